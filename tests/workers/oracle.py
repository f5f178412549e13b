"""A model whose answer is settled by the question, so that every word that a client reads can be checked.

    python -m tests.workers.oracle --gap 0.02

It is a process of its own: how it paces its words depends neither on the clients nor on the service.
"""

import argparse
import asyncio
import json
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import aiohttp
import uvloop

from tests.e2e.service import ROOT
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, USAGE, Exchange, sse

KEY = re.compile(r"\(([0-9a-f]{32})\)")  # what makes a question unique
ASIDE = re.compile(r"Give the conversation|Sum up the earlier")  # the service's own requests beside answers
WORDS = ("harbour", "valve", "orchard", "canal", "antenna", "glacier", "ledger", "turbine", "bridge", "reactor")
FEWEST, MOST = 64, 150
START_SECONDS = 30.0


def key_of(text: str) -> str:
    """The last key in a text."""
    return str(KEY.findall(text)[-1])


@lru_cache(4096)
def pieces_of(key: str) -> tuple[str, ...]:
    """The tokens of the answer to that question: between `FEWEST` and `MOST`, no word twice."""
    chance = random.Random(key)
    count = chance.randint(FEWEST, MOST)
    words = [f"{chance.choice(WORDS)}{number}" for number in range(count)]
    return (*(f"{word} " for word in words[:-1]), words[-1])


def answer_to(question: str) -> str:
    return "".join(pieces_of(key_of(question)))


def _chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    data = sse(body | {"choices": choices} | more)
    return b"%x\r\n%s\r\n" % (len(data), data)


def _encoded(pieces: tuple[str, ...]) -> list[bytes]:
    return [_chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}]) for piece in pieces]


END = (
    _chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _chunk([], usage=USAGE)
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Oracle(ModelServer):
    """`gap` seconds from token to token; `GET /pace/<seconds>` sets another. `GET /asked` tells how often each question
    came.
    """

    def __init__(self, gap: float) -> None:
        super().__init__()
        self._gap = gap
        self.asked_for: Counter[str] = Counter()

    async def answer(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path == "/asked":
            await exchange.json(dict(self.asked_for))
        elif path.startswith("/pace/"):
            self._gap = float(path.removeprefix("/pace/"))
            await exchange.json({})
        elif path.endswith("/chat/completions"):
            await self._tell(exchange)
        else:
            await super().answer(exchange)

    async def _tell(self, exchange: Exchange) -> None:
        messages = exchange.request.body["messages"]
        if ASIDE.match(str(messages[0]["content"])):
            await exchange.write(STREAM_HEAD + b"".join(_encoded(("A ledger",))) + END)
            return
        key = key_of(next(str(one["content"]) for one in reversed(messages) if one["role"] == "user"))
        self.asked_for[key] += 1
        loop = asyncio.get_running_loop()
        await exchange.write(STREAM_HEAD)
        due = loop.time()
        for piece in _encoded(pieces_of(key)):
            due += self._gap
            await asyncio.sleep(max(0.0, due - loop.time()))
            await exchange.write(piece)
        await exchange.write(END)


class Model:
    """The oracle's process, seen from outside."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url  # what OPENAI_BASE_URL is to be
        self.pid = pid

    @property
    def settings(self) -> dict[str, Any]:
        """What makes a service ask it, and nobody in its place."""
        return {
            "MODEL_PROVIDER": "openai",
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "scripted",
            "OPENAI_MODEL": "scripted",
            "MODEL_FALLBACKS": "none",
        }

    async def asked(self) -> dict[str, int]:
        """How often each question's answer was begun, by the question's key."""
        found: dict[str, int] = await self._get("/asked")
        return found

    async def pace(self, gap: float) -> None:
        """Have so many seconds from token to token in answers from now on."""
        await self._get(f"/pace/{gap}")

    async def _get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as http, http.get(self.url.removesuffix("/v1") + path) as response:
            return await response.json()


@asynccontextmanager
async def oracle(gap: float = 0.02) -> AsyncIterator[Model]:
    """Run one until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.workers.oracle", "--gap", str(gap),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        yield Model(json.loads(line)["url"], process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def serve(gap: float) -> None:
    """Answer until standard input ends, as it does with whoever started this."""
    async with Oracle(gap) as server:
        print(json.dumps({"url": server.url}), flush=True)  # noqa: T201  it is how the starter learns of it
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gap", type=float, default=0.02, help="seconds from token to token")
    uvloop.run(serve(parser.parse_args().gap))

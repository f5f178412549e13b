"""A model on a host of its own, whose every answer is known beforehand: the question says which one it is to be.

python -m tests.cluster.model ADDRESS PORT
"""

import asyncio
import random
import re
import sys
from typing import Any
from uuid import uuid4

from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Connection, Exchange

ASKED = re.compile(r"story ([0-9a-f]{32}) in (\d+) words, one every (\d+) ms")
WORDS = ("amber", "basalt", "cobalt", "dune", "ember", "fjord", "garnet", "harbour", "indigo", "juniper", "kelp")


def question(words: int, every_ms: int) -> str:
    """A question that was never asked before, for an answer of so many words at that pace."""
    return f"Tell me the story {uuid4().hex} in {words} words, one every {every_ms} ms."


def answer_to(asked: str) -> str:
    """What the model says to a question that `question` made. Each word has its number in it: none is like another."""
    found = ASKED.search(asked)
    assert found is not None
    return "".join(_tokens(found))


def _tokens(found: re.Match[str]) -> list[str]:
    chance = random.Random(found[1])
    words = [f"{chance.choice(WORDS)}{number}" for number in range(1, int(found[2]) + 1)]
    return [f"{word} " for word in words[:-1]] + [f"{words[-1]}."]


async def tell(exchange: Exchange) -> None:
    """Answer what the last message asks for; anything else (a title, say) in one word."""
    found = ASKED.search(_last_message(exchange.request.body))
    tokens, pause = (_tokens(found), int(found[3]) / 1000) if found and _is_question(exchange) else (["Stories"], 0.0)
    await exchange.write(STREAM_HEAD)
    for token in tokens:
        await asyncio.sleep(pause)
        await exchange.event({"content": token})
    await exchange.end()


def _last_message(body: Any) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _is_question(exchange: Exchange) -> bool:
    return not str(exchange.request.body["messages"][0]["content"]).startswith("Give the conversation below a title")


async def main(address: str, port: int) -> None:
    server = ModelServer()
    server.script(tell)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), address, port, backlog=1024)
    await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

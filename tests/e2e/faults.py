"""Every way in which a model's endpoint fails, and what comes of it: for the one who asks, and in the store."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from tests.e2e.conftest import API_KEY
from tests.model_server import ModelServer
from tests.model_wire import LAST_CHUNK, STREAM_HEAD, Exchange, sse

Script = Callable[[ModelServer], None]
QUESTION = "What is a liquidation threshold, says question4711?"
PARTIAL = "It is the value at "
TEN_MB = 10 << 20
UNAVAILABLE, PROTOCOL = "provider_unavailable", "provider_protocol_error"


@dataclass(frozen=True)
class Fault:
    """`code` and `retryable` are of the error that is told where nothing stands in, `tries` how often the model is
    asked (with one retry allowed), `said` the text that came before, `retry_after` what the error says of waiting.
    """

    script: Script
    code: str = UNAVAILABLE
    retryable: bool = True
    tries: int = 1
    said: str = ""
    retry_after: float | None = None

    @property
    def status(self) -> int:
        return 502 if self.code == PROTOCOL else 503


def chunk(text: str) -> bytes:
    return sse({"choices": [{"index": 0, "delta": {"content": text}}]})


def calls(*functions: dict[str, Any]) -> bytes:
    pieces = [{"index": n, "id": f"c{n}", "function": function} for n, function in enumerate(functions)]
    return sse({"choices": [{"index": 0, "delta": {"tool_calls": pieces}}]})


def with_text(*then: bytes, code: str = PROTOCOL) -> Fault:
    return Fault(lambda model: model.body(chunk(PARTIAL), *then), code, said=PARTIAL)


def refuses(status: int, headers: dict[str, str] | None = None, body: Any = None, **fields: Any) -> Fault:
    return Fault(lambda model: model.status(status, headers, body), **fields)


def says(code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": f"{API_KEY} {QUESTION}", "code": code, "type": kind}}


def date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def body(*chunks: bytes, **more: Any) -> Fault:
    return Fault(lambda model: model.body(*chunks, **more), PROTOCOL)


def _framing_breaks(*chunks: bytes) -> Script:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for one in chunks:
            await exchange.chunk(one)
        await asyncio.sleep(0.05)  # so that it is not one read with what came before
        await exchange.write(b"zz\r\nno length\r\n")

    return lambda model: model.script(answer)


LONG = json.dumps({"query": "x" * TEN_MB})
PIECES = [LONG[start : start + 500_000] for start in range(0, len(LONG), 500_000)]

BEFORE_THE_FIRST_WORD: dict[str, Fault] = {
    "401": refuses(401, body=says("invalid_api_key"), retryable=False),
    "403": refuses(403, body=says(kind="permission_error"), retryable=False),
    "404": refuses(404, body=says("model_not_found"), retryable=False),
    "400": refuses(400, body=says("context_length_exceeded"), retryable=False),
    "an empty account": refuses(429, {"Retry-After": "0"}, says("insufficient_quota"), retryable=False),
    "429 with seconds": refuses(429, {"Retry-After": "0.1"}, tries=2, retry_after=0.1),
    "429 with a date in the past": refuses(429, {"Retry-After": "Sat, 21 Nov 2020 12:00:00 GMT"}, tries=2),
    "429 with a negative time": refuses(429, {"Retry-After": "-5"}, tries=2),
    "429 with an absurd time": refuses(429, {"Retry-After": "99999999"}, tries=2),
    "429 with no time": refuses(429, {"Retry-After": "soon"}, tries=2),
    "429 for longer than there is time": refuses(429, {"Retry-After": "3600"}, retry_after=3600.0),
    "500 in a row": refuses(500, body=b"<html>" + QUESTION.encode(), tries=2),
    "503 in a row": refuses(503, body=says("overloaded"), tries=2),
    "501": refuses(501),
    "a redirect": Fault(
        lambda model: model.redirect(f"http://elsewhere.example/?key={API_KEY}"), retryable=False
    ),
    "refused": Fault(lambda model: model.stop_listening(), tries=0),
    "a reset": Fault(lambda model: model.reset(), tries=2),
    "an end before the head": Fault(lambda model: model.cut(), tries=2),
    "no first byte": Fault(lambda model: model.hang()),
    "a head and no more": Fault(lambda model: model.hang([])),
    "a slow drip": Fault(lambda model: model.drip()),
    "an error object": Fault(lambda model: model.body(sse(says()))),
    "an error object that says never": Fault(lambda model: model.body(sse(says("401"))), retryable=False),
    "no HTTP": Fault(lambda model: model.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), PROTOCOL),
    "broken chunked coding, with the head": Fault(lambda model: model.raw(STREAM_HEAD + b"zz\r\n"), PROTOCOL),
    "broken chunked coding, behind the head": Fault(_framing_breaks(), PROTOCOL),
    "HTML": body(b"<html>hello</html>", content_type="text/html"),
    "nothing": body(),
    "broken JSON": body(b"data: {broken\n\n"),
    "a line of ten megabytes": body(b"data: " + b"x" * TEN_MB),
    "arguments of ten megabytes": body(calls({"name": "search_knowledge_base", "arguments": LONG})),
    "the same in pieces": body(*(calls({"name": "search_knowledge_base", "arguments": piece}) for piece in PIECES)),
    "a hundred calls at once": body(calls(*[{"name": "list_knowledge_files", "arguments": "{}"}] * 100)),
    "a call of nothing": body(calls({"arguments": "{}"}), b"data: [DONE]\n\n"),
}  # fmt: skip

IN_MID_ANSWER: dict[str, Fault] = {
    "broken JSON": with_text(b"data: {broken\n\n"),
    "JSON of the wrong shape": with_text(b'data: {"choices": 7}\n\n'),
    "NaN": with_text(b'data: {"choices": [{"delta": {"content": NaN}}]}\n\n'),
    "invalid UTF-8": with_text(b'data: {"x": "\xff"}\n\n'),
    "deep JSON": with_text(b"data: " + b"[" * 100_000 + b"\n\n"),
    "a line of ten megabytes": with_text(*[b"a" * 65536] * 160),
    "arguments of ten megabytes": with_text(calls({"name": "search_knowledge_base", "arguments": LONG})),
    "a hundred calls at once": with_text(calls(*[{"name": "list_knowledge_files", "arguments": "{}"}] * 100)),
    "neither a reason nor [DONE]": with_text(),
    "half a stream": Fault(lambda model: model.cut([PARTIAL]), PROTOCOL, said=PARTIAL),
    "broken chunked coding": Fault(_framing_breaks(chunk(PARTIAL)), PROTOCOL, said=PARTIAL),
    "an error object": with_text(sse(says()), code=UNAVAILABLE),
    "an error object that says never": Fault(
        lambda model: model.body(chunk(PARTIAL), sse(says("insufficient_quota"))), retryable=False, said=PARTIAL
    ),
    "silence": Fault(lambda model: model.hang([PARTIAL]), said=PARTIAL),
    "drips that make no event": Fault(lambda model: model.drip(tokens=[PARTIAL]), said=PARTIAL),
}

WHOLE = "Zinsen für 5 € — größer als 🦉 war es nie."
_EVENT = sse({"choices": [{"index": 0, "delta": {"content": "@"}}]}).replace(b"@", WHOLE.encode())
_END = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
_DONE = b"data: [DONE]\n\n"


def _no_end(model: ModelServer) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(_EVENT + _END)
        await exchange.gone()

    model.script(answer)


def _cut_behind_the_end(model: ModelServer) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(_EVENT + _END)
        exchange.close()

    model.script(answer)


HARMLESS: dict[str, Script] = {
    "no [DONE]": lambda model: model.body(_EVENT, _END),
    "[DONE] and no reason": lambda model: model.body(_EVENT, _DONE),
    "no end of the body": _no_end,
    "a cut behind the end": _cut_behind_the_end,
    "characters cut in two": lambda model: model.body(*(bytes([byte]) for byte in _EVENT), _END, _DONE),
    "one read for all": lambda model: model.raw(
        STREAM_HEAD + b"%x\r\n%s\r\n" % (len(_EVENT + _END + _DONE), _EVENT + _END + _DONE) + LAST_CHUNK
    ),
    "Windows' ends of lines": lambda model: model.body((_EVENT + _END + _DONE).replace(b"\n", b"\r\n")),
    "no stream at all": lambda model: model.status(
        200, body={"choices": [{"message": {"content": WHOLE}, "finish_reason": "stop"}]}
    ),
}  # fmt: skip
"""Answers that are not as they should be, and answers all the same: `WHOLE`."""

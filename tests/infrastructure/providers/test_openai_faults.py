"""What the lean client does with an endpoint that does not behave."""

import asyncio
import json

import pytest
import structlog

from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.guarded import GuardedModel
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, Exchange, sse

TEXT = sse({"choices": [{"delta": {"content": "so far "}}]})
DONE = b"data: [DONE]\n\n"


def delta(**fields: object) -> bytes:
    return sse({"choices": [{"delta": fields}]})


def call(**fields: object) -> bytes:
    return delta(tool_calls=[fields])


BROKEN = {
    "broken JSON": b'data: {"choices": [{"delta"\n\n',
    "no JSON": b"data: hello\n\n",
    "not an object": b"data: [1]\n\n",
    "no choices": b"data: {}\n\n",
    "choices no list": sse({"choices": {"delta": {}}}),
    "choices null": sse({"choices": None}),
    "choice no object": sse({"choices": ["x"]}),
    "delta no object": sse({"choices": [{"delta": "x"}]}),
    "no delta": sse({"choices": [{"index": 0}]}),
    "content no text": delta(content=["x"]),
    "finish reason no text": sse({"choices": [{"delta": {}, "finish_reason": 5}]}),
    "finish reason no word": sse({"choices": [{"delta": {}, "finish_reason": "<b>"}]}),
    "not UTF-8": b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n',
    "lone surrogate": b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n',
    "nested too deep": b"data: " + b"[" * 100_000 + b"\n\n",
    "tool calls no list": delta(tool_calls={"index": 0}),
    "tool call no object": delta(tool_calls=["x"]),
    "tool call without function": call(index=0, id="c"),
    "tool call id no text": call(index=0, id=5, function={"name": "f"}),
    "tool arguments no text": call(index=0, id="c", function={"name": "f", "arguments": {}}),
    "tool index no number": call(index="0", id="c", function={"name": "f"}),
    "tool index negative": call(index=-1, id="c", function={"name": "f"}),
    "tool call 33": call(index=32, id="c", function={"name": "f"}),
    "tool arguments too long": call(index=0, id="c", function={"name": "f", "arguments": "x" * (64 * 1024 + 1)}),
    "tool name too long": call(index=0, id="c", function={"name": "f" * 300}),
    "tool without a name": call(index=0, id="c", function={"arguments": "{}"}),
    "line too long": b"data: " + b"x" * (1 << 20) + b"\n\n",
    "line without an end": b"x" * (2 << 20),
    "answer too long": delta(content="x" * 600_000) * 2,
}


@pytest.mark.parametrize("chunk", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_the_protocol_ends_the_answer(
    server: ModelServer, provider: GuardedModel, chunk: bytes
) -> None:
    server.body(TEXT, chunk, TEXT, DONE)
    heard = Heard()
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), heard)
    assert heard.text.startswith("so far ")
    assert len(server.requests) == 1


async def test_text_before_a_broken_event_of_the_same_read_is_kept(server: ModelServer, provider: GuardedModel) -> None:
    server.body(TEXT + b"data: {\n\n")
    heard = Heard()
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), heard)
    assert heard.text == "so far "


async def test_thirty_three_calls_of_tools_are_too_many(server: ModelServer, provider: GuardedModel) -> None:
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in range(33)]
    server.body(delta(tool_calls=calls), DONE)
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), Heard())


@pytest.mark.parametrize("body", [b"", TEXT, b"<html>welcome</html>", b": only comments\n\n"])
async def test_a_stream_that_ends_early_is_no_answer(server: ModelServer, provider: GuardedModel, body: bytes) -> None:
    server.body(*([body] if body else []))
    with pytest.raises(ProviderProtocolError, match="ended early"):
        await provider.stream(question(), Heard())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"choices":[]}', b'{"choices":[{"message":{"content":"x"}}]}'])
async def test_a_plain_answer_that_is_none_is_refused(server: ModelServer, provider: GuardedModel, body: bytes) -> None:
    server.status(200, body=body)
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), Heard())


async def test_a_plain_answer_of_many_megabytes_is_not_read(server: ModelServer, provider: GuardedModel) -> None:
    server.status(200, body=b'"' + b"x" * (10 << 20) + b'"')
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), Heard())


async def test_a_line_of_ten_megabytes_is_not_read_to_its_end(server: ModelServer, provider: GuardedModel) -> None:
    server.body(b"data: " + b"x" * (10 << 20))
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), Heard())
    await server.closed()


@pytest.mark.parametrize(
    "framing", [b"zz\r\nhello\r\n", b"5\r\nhelloXX", b"-5\r\nhello\r\n", b"ffffffffffffffffffff\r\nhello\r\n"]
)
async def test_broken_chunk_framing_ends_the_answer(
    server: ModelServer, provider: GuardedModel, framing: bytes
) -> None:
    gate = server.gate()

    async def answer(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.chunk(TEXT)
        await gate.wait()
        await exchange.write(framing)

    server.script(answer)
    heard = Heard()
    answering = asyncio.create_task(provider.stream(question(), heard))
    await heard.until(bool)
    gate.open()
    with pytest.raises(ProviderProtocolError):
        await answering
    assert heard.text == "so far "


async def test_what_is_no_http_at_all_is_refused(server: ModelServer, provider: GuardedModel) -> None:
    server.raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    with pytest.raises(ProviderProtocolError):
        await provider.stream(question(), Heard())


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_a_connection_that_ends_in_mid_answer_is_not_tried_again(
    server: ModelServer, provider: GuardedModel, how: str
) -> None:
    gate = server.gate()
    getattr(server, how)(["so ", "far"], gate=gate)
    heard = Heard()
    answering = asyncio.create_task(provider.stream(question(), heard))
    await heard.until(lambda heard: heard.text == "so far")
    gate.open()
    with pytest.raises(ProviderError) as failed:
        await answering
    assert failed.value.retryable
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "overloaded", "code": 503}, ProviderUnavailable),
        ({"message": "slow down", "code": "rate_limit_exceeded"}, ProviderUnavailable),
        ({"message": "no", "code": 429, "type": "insufficient_quota"}, ProviderRejected),
        ({"message": "no", "code": "401"}, ProviderRejected),
        ({"message": "no", "code": None, "type": "invalid_request_error"}, ProviderRejected),
        ("a plain text", ProviderUnavailable),
    ],
)
async def test_an_error_inside_the_stream_is_told_by_its_code(
    server: ModelServer, provider: GuardedModel, error: object, kind: type[ProviderError]
) -> None:
    server.body(TEXT, sse({"error": error}))
    with pytest.raises(kind):
        await provider.stream(question(), Heard())
    assert len(server.requests) == 1


async def test_silence_before_the_first_event_is_ended(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"first_event": 0.05})
    for script in (server.hang, lambda: server.hang([]), server.drip):
        server.clear()
        script()
        with pytest.raises(ProviderUnavailable, match="did not begin"):
            await provider.stream(question(), Heard())
        await server.closed()
    assert len(server.requests) == 3


async def test_silence_between_events_is_ended(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"between_events": 0.05})
    server.hang(["so far"])
    heard = Heard()
    with pytest.raises(ProviderUnavailable, match="stopped in the middle"):
        await provider.stream(question(), heard)
    assert heard.text == "so far"
    await server.closed()


async def test_a_drip_of_bytes_is_no_sign_of_life(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"between_events": 0.1})
    server.drip(b": hello\n\n\n", every=0.002, tokens=["so far"])
    with pytest.raises(ProviderUnavailable, match="stopped in the middle"):
        await provider.stream(question(), Heard())
    await server.closed()


async def test_a_stream_without_end_is_ended(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"total": 0.2, "between_events": 5.0})
    server.tokens(["on and "] * 100_000, gap=0.01)
    heard = Heard()
    with pytest.raises(ProviderUnavailable, match="too long"):
        await provider.stream(question(), heard)
    assert heard.text.startswith("on and ")
    await server.closed()


async def test_a_slow_stream_that_lives_is_not_ended(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"between_events": 0.5, "first_event": 0.5})
    server.tokens(list("abcdefgh"), gap=0.1)
    assert (await provider.stream(question(), Heard())).text == "abcdefgh"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 307])
async def test_a_refusal_is_not_tried_again(server: ModelServer, provider: GuardedModel, status: int) -> None:
    server.status(status, body={"error": {"message": "sk-secret is bad", "code": "invalid_api_key"}})
    with pytest.raises(ProviderRejected):
        await provider.stream(question(), Heard())
    assert len(server.requests) == 1


async def test_a_redirect_is_not_followed(server: ModelServer, provider: GuardedModel) -> None:
    async with ModelServer() as elsewhere:
        server.redirect(f"{elsewhere.url}/chat/completions")
        with pytest.raises(ProviderRejected):
            await provider.stream(question(), Heard())
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "leak-1 sk-secret", "code": "leak 2\nsk-secret"}},
        b"leak-3 sk-secret",
        {"error": "leak-4 sk-secret"},
        {"error": {"code": ["leak-5"], "type": "x" * 100}},
    ],
)
@pytest.mark.parametrize("status", [401, 500])
async def test_nothing_of_key_address_or_body_gets_out(
    server: ModelServer, make_provider: MakeProvider, status: int, body: object
) -> None:
    server.status(status, body=body)
    with structlog.testing.capture_logs() as lines, pytest.raises(ProviderError) as failed:
        await make_provider(max_retries=1).stream(question(), Heard())
    said = json.dumps(lines, default=str) + str(failed.value)
    for secret in ("sk-secret", "leak", "127.0.0.1", server.url, "xxx"):
        assert secret not in said


async def test_the_code_of_an_error_is_logged(server: ModelServer, provider: GuardedModel) -> None:
    server.status(404, body={"error": {"message": "no such model", "code": "model_not_found"}})
    with structlog.testing.capture_logs() as lines, pytest.raises(ProviderRejected):
        await provider.stream(question(), Heard())
    assert {"event": "provider_refused", "status": 404, "code": "model_not_found", "log_level": "warning"} in lines


async def test_an_emit_that_fails_closes_the_connection(server: ModelServer, provider: GuardedModel) -> None:
    def emit(text: str) -> None:
        raise KeyError(text)

    server.hang(["so far"])
    with pytest.raises(KeyError):
        await provider.stream(question(), emit)
    await server.closed()


async def test_a_timeout_of_somebody_else_is_not_the_models(server: ModelServer, provider: GuardedModel) -> None:
    def emit(text: str) -> None:
        raise TimeoutError(text)

    server.reply("x")
    with pytest.raises(TimeoutError):
        await provider.stream(question(), emit)

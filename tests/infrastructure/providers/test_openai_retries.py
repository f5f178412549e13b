"""When the lean client tries again, and when it does not."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from infrastructure.errors import ProviderError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.guarded import GuardedModel
from infrastructure.providers.retry import Backoff, retry_after_seconds
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer
from tests.model_wire import STREAM_HEAD, sse


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_passing_failure_is_tried_again(
    server: ModelServer, provider: GuardedModel, pauses: list[float], status: int
) -> None:
    server.status(status)
    server.status(status, body=b"<html>bad gateway</html>")
    server.reply("at last")
    assert (await provider.stream(question(), Heard())).text == "at last"
    assert pauses == [0.2, 0.4]


async def test_tries_come_to_an_end(server: ModelServer, provider: GuardedModel) -> None:
    server.status(503)
    with pytest.raises(ProviderUnavailable):
        await provider.stream(question(), Heard())
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [501, 505, 529, 408])
async def test_other_failures_of_the_endpoint_are_told_at_once(
    server: ModelServer, provider: GuardedModel, status: int
) -> None:
    server.status(status)
    with pytest.raises(ProviderUnavailable):
        await provider.stream(question(), Heard())
    assert len(server.requests) == 1


async def test_no_retries_means_none(server: ModelServer, make_provider: MakeProvider) -> None:
    server.status(503)
    with pytest.raises(ProviderUnavailable):
        await make_provider(max_retries=0).stream(question(), Heard())
    assert len(server.requests) == 1


@pytest.mark.parametrize("field", ["code", "type"])
async def test_an_empty_account_is_not_tried_again(server: ModelServer, provider: GuardedModel, field: str) -> None:
    server.status(429, body={"error": {field: "insufficient_quota"}})
    with pytest.raises(ProviderRejected):
        await provider.stream(question(), Heard())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "pause"),
    [("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("3600", 10.0), ("-5", 0.2), ("soon", 0.2), ("99999999", 0.2), ("", 0.2)],
)
async def test_the_endpoint_says_how_long_to_wait(
    server: ModelServer, provider: GuardedModel, pauses: list[float], header: str, pause: float
) -> None:
    server.status(429, {"retry-after": header})
    server.reply()
    await provider.stream(question(), Heard())
    assert pauses == [pause]


async def test_the_caller_is_told_how_long_to_wait(server: ModelServer, provider: GuardedModel) -> None:
    server.status(429, {"retry-after": "77"})
    with pytest.raises(ProviderUnavailable) as failed:
        await provider.stream(question(), Heard())
    assert failed.value.retry_after == 77.0


async def test_a_wait_that_the_whole_budget_does_not_cover_is_not_begun(
    server: ModelServer, make_provider: MakeProvider, pauses: list[float]
) -> None:
    server.status(429, {"retry-after": "10"})
    with pytest.raises(ProviderUnavailable, match="too much to do") as failed:
        await make_provider(times={"total": 9.0}).stream(question(), Heard())
    assert (len(server.requests), pauses, failed.value.retry_after) == (1, [], 10.0)


async def test_a_wait_that_the_asker_does_not_have_is_not_begun(
    server: ModelServer, provider: GuardedModel, pauses: list[float]
) -> None:
    server.status(429, {"retry-after": "9"})
    server.reply("at last")
    until = asyncio.get_running_loop().time() + 5.0
    with pytest.raises(ProviderUnavailable, match="too much to do"):
        await provider.stream(question(until=until), Heard())
    assert (len(server.requests), pauses) == (1, [])
    assert (await provider.stream(question(until=until), Heard())).text == "at last"


async def test_all_tries_share_the_whole_budget(server: ModelServer, make_provider: MakeProvider) -> None:
    server.status(503)
    server.hang(["so far"])
    with pytest.raises(ProviderUnavailable, match="too long") as failed:
        await make_provider(times={"total": 0.45}).stream(question(), Heard())
    assert failed.value.said
    assert len(server.requests) == 2


async def test_the_time_of_one_try_does_not_run_in_the_pause(server: ModelServer, make_provider: MakeProvider) -> None:
    provider = make_provider(times={"first_event": 0.1}, sleep=asyncio.sleep)
    server.status(429, {"retry-after": "0.2"})
    server.reply("at last")
    assert (await provider.stream(question(), Heard())).text == "at last"


@pytest.mark.parametrize("how", ["cut", "reset"])
async def test_a_connection_lost_before_the_answer_is_tried_again(
    server: ModelServer, provider: GuardedModel, how: str
) -> None:
    getattr(server, how)()
    server.raw(STREAM_HEAD)
    server.reply("at last")
    assert (await provider.stream(question(), Heard())).text == "at last"
    assert len(server.requests) == 3


async def test_a_kept_connection_that_died_meanwhile_is_replaced(server: ModelServer, provider: GuardedModel) -> None:
    server.reply("one")
    server.cut()
    server.reply("two")
    assert (await provider.stream(question(), Heard())).text == "one"
    assert (await provider.stream(question(), Heard())).text == "two"


async def test_an_endpoint_that_is_not_there_is_unavailable(server: ModelServer, provider: GuardedModel) -> None:
    server.stop_listening()
    with pytest.raises(ProviderUnavailable, match="cannot be reached") as failed:
        await provider.stream(question(), Heard())
    assert failed.value.retryable


async def test_a_name_that_does_not_resolve_is_unavailable(make_provider: MakeProvider, pauses: list[float]) -> None:
    with pytest.raises(ProviderUnavailable):
        await make_provider(base_url="http://nowhere.invalid/v1").stream(question(), Heard())
    assert len(pauses) == 2


async def test_after_the_first_event_there_is_no_second_try(server: ModelServer, provider: GuardedModel) -> None:
    piece = {"index": 0, "id": "c", "function": {"name": "search", "arguments": ""}}
    for event in (
        sse({"choices": [{"delta": {"content": "x"}}]}),
        sse({"choices": [{"delta": {"tool_calls": [piece]}}]}),
    ):
        server.requests.clear()
        server.clear()
        server.raw(STREAM_HEAD + b"%x\r\n%s\r\n" % (len(event), event))
        with pytest.raises(ProviderError):
            await provider.stream(question(), Heard())
        assert len(server.requests) == 1


def test_pauses_grow_to_a_limit_and_are_spread() -> None:
    assert [Backoff(jitter=lambda: 1.0).delay(failed, None) for failed in range(1, 7)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert Backoff(jitter=lambda: 0.5).delay(1, None) == 0.1
    assert all(0 <= Backoff().delay(3, None) <= 0.8 for _ in range(100))


def test_a_date_to_wait_for_counts_from_now() -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    assert retry_after_seconds(format_datetime(now + timedelta(seconds=8), usegmt=True), now) == 8.0
    assert retry_after_seconds("Sat, 21 Nov 2026 12:00:05 -0000", now) == 5.0
    assert retry_after_seconds(format_datetime(now - timedelta(seconds=8), usegmt=True), now) is None
    assert retry_after_seconds(format_datetime(now + timedelta(days=30), usegmt=True), now) is None
    for nonsense in ("", "nan", "inf", "1e3", "²", "Mon, 99 Foo 2026 99:99:99 GMT", None):
        assert retry_after_seconds(nonsense, now) is None

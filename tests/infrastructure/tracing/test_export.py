"""Traces on their way out: nothing of a far end is felt by who has traces to send."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from infrastructure.tracing.attributes import GenAI
from infrastructure.tracing.destination import Destination
from infrastructure.tracing.encode import Encoder
from infrastructure.tracing.export import Batching, Export
from infrastructure.tracing.hashes import Hashes
from infrastructure.tracing.sender import Sender
from infrastructure.tracing.tracing import Tracing
from tests.infrastructure.tracing.spans import span, trace
from tests.otlp_receiver import OtlpReceiver

ENCODER = Encoder({"service.name": "askgraph"}, "1.0", Hashes("secret"), GenAI({}), everywhere=False)
AT_ONCE = Batching(queue=2048, batch=1, seconds=60.0)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as receiver:
        yield receiver


class Way:
    """An export with what it told of drops."""

    def __init__(self, url: str, batching: Batching = AT_ONCE, name: str = "there", **options: Any) -> None:
        self.dropped: list[tuple[str, int]] = []
        self.told = asyncio.Event()
        loop = asyncio.get_running_loop()

        def dropped(why: str, count: int) -> None:
            self.dropped.append((why, count))
            loop.call_soon_threadsafe(self.told.set)

        sender = Sender(Destination(name, url, **({"timeout": 1.0} | options)))
        self.export = Export(name, ENCODER, sender, batching, dropped)


async def test_a_trace_arrives_as_it_was_given(receiver: OtlpReceiver) -> None:
    way = Way(f"{receiver.url}/v1/traces")
    way.export.take(trace(span("node", "recall")))
    spans = await receiver.spans("recall")
    assert [told.name for told in spans] == ["ask", "recall"]
    (posted,) = receiver.posted
    assert posted.path == "/v1/traces"
    assert posted.headers["content-type"] == "application/x-protobuf"
    await way.export.aclose(2)
    assert way.dropped == []


async def test_traces_wait_until_they_are_a_batch(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, Batching(queue=100, batch=6, seconds=60.0))
    for number in range(3):
        way.export.take(trace(span("node", "recall"), number=number))
    await receiver.spans("ask", 3)
    assert len(receiver.posted) == 1
    await way.export.aclose(2)


async def test_a_batch_is_no_larger_than_it_may_be_and_no_run_is_cut(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, Batching(queue=100, batch=5, seconds=60.0))
    for number in range(4):
        way.export.take(trace(span("node", "recall"), number=number))
    await way.export.aclose(2)
    assert sum(len(posted.spans) for posted in receiver.posted) == 8
    assert all(len(posted.spans) in (2, 4) for posted in receiver.posted)


async def test_what_waits_is_sent_when_its_time_has_come(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, Batching(queue=100, batch=100, seconds=0.02))
    way.export.take(trace())
    await receiver.spans("ask")
    await way.export.aclose(2)


async def test_what_waits_is_sent_at_the_end(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, Batching(queue=100, batch=100, seconds=60.0))
    way.export.take(trace())
    await way.export.aclose(2)
    assert len(receiver.all) == 1
    assert way.dropped == []


async def test_a_far_end_that_says_nothing_costs_traces_and_no_time(receiver: OtlpReceiver) -> None:
    receiver.answer = None
    way = Way(receiver.url, Batching(queue=4, batch=1, seconds=60.0), timeout=30.0)
    way.export.take(trace())
    await receiver.requests()
    began = time.perf_counter()
    with capture_logs() as lines:
        for number in range(1000):
            way.export.take(trace(number=number))
    assert time.perf_counter() - began < 0.5
    assert way.dropped == [("full", 1)] * 996
    assert len(lines) == 1
    began = time.perf_counter()
    await way.export.aclose(0.2)
    assert time.perf_counter() - began < 1.5
    assert way.dropped[996:] == [("refused", 4)]


@pytest.mark.parametrize("status", [400, 401, 500, 302])
async def test_traces_that_are_not_taken_are_counted_and_told_once(receiver: OtlpReceiver, status: int) -> None:
    receiver.status(status, "Location: http://127.0.0.1:1/canary\r\n")
    with capture_logs() as lines:
        way = Way(receiver.url, name="busy")
        for number in range(2):
            way.told.clear()
            way.export.take(trace(number=number))
            await way.told.wait()
        receiver.status(200)
        way.export.take(trace(number=3))
        await way.export.aclose(2)
    assert way.dropped == [("refused", 1)] * 2
    lines = [line for line in lines if line["destination"] == "busy"]  # an earlier test's thread may say its own still
    events = [line["event"] for line in lines]
    assert events == ["traces are not taken", "traces are taken again"]
    assert lines[0]["reason"] == ("TooManyRedirects" if status == 302 else str(status))
    assert "canary" not in str(lines).lower()


async def test_a_far_end_that_is_busy_is_asked_again(receiver: OtlpReceiver) -> None:
    receiver.status(503, "Retry-After: 0\r\n")
    way = Way(receiver.url, timeout=5.0)
    way.export.take(trace())
    await receiver.requests(1)
    receiver.status(200)
    await receiver.requests(2)
    await way.export.aclose(2)
    assert way.dropped == []


async def test_a_far_end_that_wants_to_be_left_alone_for_a_day_is_not_waited_for(receiver: OtlpReceiver) -> None:
    receiver.status(429, "Retry-After: 86400\r\n")
    way = Way(receiver.url)
    way.export.take(trace())
    await asyncio.wait_for(way.told.wait(), 30)
    await way.export.aclose(2)
    assert way.dropped == [("refused", 1)]


async def test_a_far_end_that_is_gone_costs_its_traces() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    way = Way(f"http://127.0.0.1:{port}", timeout=0.3)
    way.export.take(trace())
    await asyncio.wait_for(way.told.wait(), 30)
    await way.export.aclose(2)
    assert way.dropped == [("refused", 1)]


async def test_an_answer_without_end_is_not_read(receiver: OtlpReceiver) -> None:
    receiver.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n" + b"x" * 1_000_000
    way = Way(receiver.url)
    way.export.take(trace())
    await receiver.requests()
    await way.export.aclose(2)
    assert way.dropped == []


async def test_bodies_are_packed_where_that_is_wanted(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, compression="gzip")
    way.export.take(trace())
    (posted,) = await receiver.requests()
    assert posted.headers["content-encoding"] == "gzip"
    assert posted.spans[0].name == "ask"
    await way.export.aclose(2)


async def test_a_place_gets_its_own_credentials_and_not_those_of_the_other(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary,x-own=other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")
    way = Way(receiver.url, basic=("pk", "sk"), alone=True, headers={"x-own": "4"})
    way.export.take(trace())
    (posted,) = await receiver.requests()
    assert posted.headers["authorization"] == "Basic cGs6c2s="
    assert posted.headers["x-own"] == "4"
    assert "canary" not in str(posted.headers)
    await way.export.aclose(2)


async def test_a_collector_gets_its_headers(receiver: OtlpReceiver) -> None:
    way = Way(receiver.url, headers={"Authorization": "Bearer mine"})
    way.export.take(trace())
    (posted,) = await receiver.requests()
    assert posted.headers["authorization"] == "Bearer mine"
    await way.export.aclose(2)


class Odd:
    """An encoder that breaks."""

    def encode(self, traces: Any, on_broken: Any) -> bytes:
        for _ in traces:
            on_broken(ValueError("canary"))
        raise RuntimeError("canary")


async def test_what_breaks_in_the_thread_is_told_and_the_thread_goes_on() -> None:
    dropped: list[tuple[str, int]] = []
    with capture_logs() as lines:
        export = Export("there", Odd(), Sender(Destination("there", "http://127.0.0.1:1")), AT_ONCE,
                        lambda *told: dropped.append(told))  # fmt: skip
        export.take(trace())
        await export.aclose(2)
    assert ("broken", 1) in dropped
    assert "RuntimeError" in str(lines)
    assert "canary" not in str(lines)


async def test_a_slow_destination_does_not_hold_up_the_other(receiver: OtlpReceiver) -> None:
    async with OtlpReceiver() as slow:
        slow.answer = None
        ways = [Way(slow.url), Way(receiver.url)]
        tracing = Tracing([way.export for way in ways], Hashes("secret"), content=False)
        tracing.take(trace(number=1))
        await slow.requests()
        tracing.take(trace(number=2))
        await receiver.spans("ask", 2)
        began = time.perf_counter()
        await tracing.aclose()
        assert time.perf_counter() - began < 3


def test_a_share_of_runs_is_traced() -> None:
    def traced(share: float) -> int:
        tracing = Tracing([], Hashes("secret"), content=False, share=share)
        return sum(tracing.trace_id(str(number)) is not None for number in range(1000))

    assert traced(1.0) == 1000
    assert traced(0.0) == 0
    assert 200 < traced(0.25) < 300

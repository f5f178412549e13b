"""Probes, scores and the board: the parts of the figures that need no running service."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from backend import counters, health_score
from backend.board import Board
from backend.probes import Probe, Probed
from backend.schemas.operations import Component, Components
from backend.vitals import Vitals, levels
from infrastructure.errors import ProviderUnavailable, RateLimited


def probe(attempt: Any, clock: Any, patience: float = 5.0) -> Probe:
    return Probe("part", attempt, lambda: 10.0, patience, clock)


async def test_a_part_is_tried_once_in_a_while_however_many_look() -> None:
    now, tries = 0.0, 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)

    part = probe(attempt, lambda: now)
    assert {found.ok for found in await asyncio.gather(*(part.look() for _ in range(20)))} == {True}
    await part.look()
    assert tries == 1
    now = 10.0
    await part.look()
    assert tries == 2


async def test_a_part_that_fails_is_told_and_tried_again() -> None:
    now, fault = 0.0, True

    async def attempt() -> None:
        if fault:
            raise ProviderUnavailable("away")

    part = probe(attempt, lambda: now)
    assert (await part.look()).ok is False
    now, fault = 11.0, False
    assert (await part.look()).ok is True


async def test_a_part_that_hangs_holds_nobody_up_and_is_not_tried_twice() -> None:
    begun, go_on = 0, asyncio.Event()

    async def attempt() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()

    part = probe(attempt, asyncio.get_running_loop().time, patience=0.01)
    assert [(await part.look()).ok for _ in range(2)] == [None, None]
    assert begun == 1
    go_on.set()
    assert (await part.look()).ok is True
    await part.aclose()


async def test_an_attempt_that_goes_on_is_ended_with_the_service() -> None:
    part = probe(asyncio.get_running_loop().create_future, lambda: 0.0, patience=0.01)
    await part.look()
    await part.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "probe part"]


OK = health_score.scored(100, "well")
AGENT: dict[str, Any] = {"draining": False, "loaded": True, "active": 0, "most": 10, "runs": 0, "error_rate": None}


def parts(**other: Component) -> Components:
    return Components(**{name: other.get(name, OK) for name in health_score.WEIGHTS})


def test_all_well_is_a_hundred() -> None:
    assert health_score.overall(parts()) == ("healthy", 100.0)


@pytest.mark.parametrize(("part", "word"), [("database", "unhealthy"), ("agent", "unhealthy"), ("cache", "degraded")])
def test_a_part_that_is_away_weighs_as_much_as_it_is_needed(part: str, word: str) -> None:
    away = health_score.scored(0, "away")
    assert health_score.overall(parts(**{part: away})) == (word, 100.0 - health_score.WEIGHTS[part])


def test_what_is_not_known_or_switched_off_counts_for_nothing() -> None:
    unknown = health_score.model(False, 0, None)
    off = health_score.cache(False, False, None)
    assert (unknown.status, off.status) == ("unknown", "off")
    assert health_score.overall(parts(model=unknown, cache=off)) == ("healthy", 100.0)


@pytest.mark.parametrize(
    ("component", "status"),
    [
        (health_score.probed(Probed(True, 0.01), 0.25), "healthy"),
        (health_score.probed(Probed(True, 0.5), 0.25), "degraded"),
        (health_score.probed(Probed(None, 2.0)), "degraded"),
        (health_score.probed(Probed(False, 0.1)), "unhealthy"),
        (health_score.cache(True, False, None), "unhealthy"),
        (health_score.cache(True, True, 0.5), "healthy"),
        (health_score.model(True, 0, None), "healthy"),
        (health_score.model(False, 0, "ok"), "healthy"),
        (health_score.model(False, 0, "provider_unavailable"), "degraded"),
        (health_score.model(False, 1, "ok"), "degraded"),
        (health_score.model(False, 2, "ok"), "unhealthy"),
        (health_score.websocket(False, 1, None), "unknown"),
        (health_score.websocket(False, 2, 0.001), "healthy"),
        (health_score.websocket(False, 2, 0.1), "degraded"),
        (health_score.websocket(False, 2, 1.0), "unhealthy"),
        (health_score.websocket(True, 2, 0.001), "unhealthy"),
        (health_score.agent(**AGENT), "healthy"),
        (health_score.agent(**AGENT | {"draining": True}), "unhealthy"),
        (health_score.agent(**AGENT | {"loaded": False}), "degraded"),
        (health_score.agent(**AGENT | {"active": 9}), "degraded"),
        (health_score.agent(**AGENT | {"runs": 4, "error_rate": 1.0}), "healthy"),
        (health_score.agent(**AGENT | {"runs": 5, "error_rate": 0.5}), "degraded"),
        (health_score.agent(**AGENT | {"runs": 5, "error_rate": 0.9}), "unhealthy"),
    ],
)  # fmt: skip
def test_a_part_is_as_well_as_what_was_measured(component: Component, status: str) -> None:
    assert component.status == status
    assert component.detail


async def test_a_frame_is_made_once_for_all_who_watch() -> None:
    made, passes = 0, asyncio.Semaphore(1)

    async def make() -> bytes:
        nonlocal made
        await passes.acquire()
        made += 1
        return str(made).encode()

    board = Board(every=0.001)
    async with aclosing(board.frames(make)) as one, aclosing(board.frames(make)) as other:
        assert (await anext(one), await anext(other)) == (b"1", b"1")
        for expected in (b"2", b"3"):
            following = [asyncio.ensure_future(anext(frames)) for frames in (one, other)]
            passes.release()
            assert await asyncio.gather(*following) == [expected, expected]
        assert board.viewers == 2
    assert board.viewers == 0
    await board.aclose()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "dashboard"]


async def test_only_so_many_watch() -> None:
    board = Board(most=1)

    async def make() -> bytes:
        return b""

    async with aclosing(board.frames(make)) as one:
        await anext(one)
        with pytest.raises(RateLimited):
            await anext(board.frames(make))
    async with aclosing(board.frames(make)) as one:
        assert await anext(one) == b""
    await board.aclose()


async def test_who_watches_when_the_service_ends_is_let_go() -> None:
    board = Board(every=3600)

    async def make() -> bytes:
        return b"x"

    async with aclosing(board.frames(make)) as frames:
        await anext(frames)
        following = asyncio.ensure_future(anext(frames, None))
        await asyncio.sleep(0)
        board.close()
        assert await asyncio.wait_for(following, 30) is None


async def test_a_frame_that_cannot_be_made_is_left_out() -> None:
    turns = iter([b"1", None, b"3"])

    async def make() -> bytes:
        turn = next(turns, b"more")
        if turn is None:
            raise RuntimeError
        return turn

    board = Board(every=0.001)
    async with aclosing(board.frames(make)) as frames:
        assert [await anext(frames), await anext(frames)] == [b"1", b"3"]
    await board.aclose()


async def test_the_machine_is_read_once_a_second(tmp_path: Path) -> None:
    now = 0.0
    vitals = Vitals(tmp_path, lambda: now)
    first = await vitals.read()
    assert await vitals.read() is first
    assert first.memory_usage_bytes > 10_000_000
    assert first.threads >= 1
    assert first.disk_free_bytes
    now = 2.0
    assert await vitals.read() is not first


async def test_a_disk_that_is_gone_is_not_told_of(tmp_path: Path) -> None:
    signs = await Vitals(tmp_path / "gone").read()
    assert (signs.disk_total_bytes, signs.disk_free_bytes) == (None, None)
    assert signs.memory_usage_bytes


def test_levels_are_numbers() -> None:
    found = {name: level() for name, level in levels().items()}
    assert found["memory"] > 10_000_000
    assert found["cpu"] >= 0


def test_counters_are_read_by_their_labels() -> None:
    registry = CollectorRegistry()
    runs = Counter("runs", "Runs.", ["outcome"], registry=registry)
    runs.labels("complete").inc(3)
    runs.labels("cancelled")
    confidence = Histogram("confidence", "C.", registry=registry)
    confidence.observe(0.5)
    assert counters.total(runs) == 3
    assert counters.by_label(runs, "outcome") == {"complete": 3}
    assert (counters.total(confidence, "_count"), counters.total(confidence, "_sum")) == (1, 0.5)
    operations = Counter("operations", "O.", ["operation", "result"], registry=registry)
    for operation, result in (("get", "hit"), ("answer_get", "miss"), ("put", "stored")):
        operations.labels(operation, result).inc()
    assert counters.hits_and_asked(operations) == (1, 2)

"""Who comes in when there is room for few."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infrastructure.errors import ProviderUnavailable
from infrastructure.providers.fair_line import FairLine


class Line:
    """A line of one place, that is taken; who comes in is noted."""

    def __init__(self, line: FairLine) -> None:
        self.line = line
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, *names: str) -> list[asyncio.Task[None]]:
        """One question each: `a1` is caller `a`'s. They stand in line when this returns."""
        tasks = [asyncio.create_task(self._serve(name)) for name in names]
        self.tasks += tasks
        await asyncio.sleep(0)
        return tasks

    async def emptied(self) -> list[str]:
        self.line.leave()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return self.served

    async def _serve(self, name: str) -> None:
        await self.line.enter(name[0])
        self.served.append(name)
        await asyncio.sleep(0)
        self.line.leave()


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = Line(FairLine(1))
    await line.line.enter("somebody")
    yield line
    await asyncio.sleep(0)
    assert (line.line.inside, line.line.waiting) == (0, 0)


async def test_with_room_nobody_waits() -> None:
    line = FairLine(2)
    await line.enter("a")
    await line.enter("a")
    assert (line.inside, line.waiting) == (2, 0)
    line.leave()
    line.leave()
    assert line.inside == 0


async def test_a_caller_with_many_questions_holds_up_another_by_one(line: Line) -> None:
    await line.ask("a1", "a2", "a3", "a4", "b1", "c1", "b2")
    assert await line.emptied() == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_whoever_is_cancelled_leaves_the_line(line: Line) -> None:
    await line.ask("a1")
    (left,) = await line.ask("a2")
    await line.ask("b1", "a3")
    left.cancel()
    await asyncio.sleep(0)
    assert line.line.waiting == 3
    assert await line.emptied() == ["a1", "b1", "a3"]


async def test_the_last_of_a_caller_who_leaves_takes_the_callers_place_along(line: Line) -> None:
    (left,) = await line.ask("a1")
    await line.ask("b1")
    left.cancel()
    await asyncio.sleep(0)
    assert await line.emptied() == ["b1"]


async def test_a_place_given_to_one_who_is_cancelled_in_that_moment_goes_to_the_next(line: Line) -> None:
    (first,) = await line.ask("a1")
    await line.ask("b1")
    line.line.leave()
    first.cancel()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert line.served == ["b1"]


async def test_one_who_was_cancelled_and_has_not_run_yet_is_passed_over(line: Line) -> None:
    (first,) = await line.ask("a1")
    await line.ask("b1")
    first.cancel()
    line.line.leave()
    await asyncio.gather(*line.tasks, return_exceptions=True)
    assert line.served == ["b1"]


async def test_a_wait_ends_with_the_time_of_whoever_waits(line: Line) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await line.line.enter("a")
    assert line.line.waiting == 0
    await line.emptied()


async def test_a_line_has_an_end() -> None:
    line = FairLine(1, most_waiting=1)
    await line.enter("a")
    waiting = asyncio.create_task(line.enter("a"))
    await asyncio.sleep(0)
    with pytest.raises(ProviderUnavailable) as refused:
        await line.enter("b")
    assert refused.value.retry_after == 1.0
    line.leave()
    await waiting

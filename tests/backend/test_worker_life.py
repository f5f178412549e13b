"""A process among others: it beats, takes over, concludes, and does not mind that the database is away."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from backend import worker_life
from backend.worker_life import WorkerLife
from infrastructure.errors import NotFound


class Named(str):
    """A run that is its id."""

    __slots__ = ()

    @property
    def id(self) -> str:
        return self


class Scene:
    """What a worker's life touches, saying what was done; `away`: how often the database fails first."""

    def __init__(self, alone: bool, away: int = 0) -> None:
        self.alone = alone
        self.pause = 0.0
        self.away = away
        self.done: list[str] = []
        self.lost: list[Any] = []
        self.followed: list[str] = []
        self.ended: set[str] = set()
        self.gone: set[str] = set()
        self.life = WorkerLife(
            cast(Any, self), cast(Any, self), cast(Any, self), cast(Any, self), cast(Any, self), lambda: self.followed
        )
        self._news = asyncio.Condition()

    async def until(self, *done: str) -> None:
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: set(done) <= set(self.done)), 10)

    async def note(self, what: str) -> None:
        if self.away:
            self.away -= 1
            raise OperationalError("", None, Exception("away"))
        async with self._news:
            self.done.append(what)
            self._news.notify_all()

    async def beat(self) -> None:
        await self.note("beat")

    async def leave(self) -> None:
        await self.note("leave")

    async def left(self) -> tuple[bool, bool]:
        await self.note("looked")
        return True, bool(self.lost)

    async def take_lost(self) -> list[str]:
        lost, self.lost = self.lost, []
        return lost

    async def take(self) -> list[Any]:
        return []

    async def begin_anew(self, run: str) -> None:
        await self.note(f"began {run}")

    async def ended_of(self, run_ids: Sequence[str]) -> set[str]:
        return self.ended & set(run_ids)

    async def conclude(self, run_id: str, log: object) -> None:
        await self.note(f"concluded {run_id}")
        if run_id in self.gone:
            raise NotFound("gone")
        self.followed.remove(run_id)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_life, "LOOK_SECONDS", 0.001)


async def test_where_there_is_no_other_process_what_was_left_is_taken_up_when_questions_can_be_answered() -> None:
    scene = Scene(alone=True)
    scene.lost = ["a", "b"]
    await scene.life.begin()
    assert scene.done == []
    await scene.life.know()
    assert scene.done == ["looked", "began a", "began b"]
    await asyncio.wait_for(asyncio.gather(scene.life.beat(), scene.life.follow()), 30)  # there is nothing to do
    await scene.life.leave()
    assert scene.done == ["looked", "began a", "began b"]


async def test_a_start_goes_on_without_what_was_left_where_the_database_went_away() -> None:
    scene = Scene(alone=True, away=1)
    await scene.life.know()
    assert scene.done == []


@pytest.mark.parametrize("away", [0, 3])
async def test_a_worker_takes_over_for_as_long_as_it_lives_whatever_happens_to_the_database(away: int) -> None:
    scene = Scene(alone=False)
    await scene.life.begin()
    assert scene.done == ["beat"], "heard of before any run is begun"
    scene.away = away
    scene.lost = ["a"]
    following = [asyncio.create_task(work) for work in (scene.life.follow(), scene.life.beat())]
    await scene.life.know()
    await scene.until("began a")
    scene.lost = ["b"]
    await scene.until("began b")
    assert scene.done.count("began a") == 1
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    await scene.life.leave()
    assert scene.done[-1] == "leave"


async def test_a_run_that_was_taken_but_could_not_be_begun_is_begun_later() -> None:
    scene = Scene(alone=False)
    scene.lost = ["a"]
    begin = scene.begin_anew

    async def fails_once(run: str) -> None:
        scene.begin_anew = begin  # type: ignore[method-assign]  # the next time it works
        raise OSError("away")

    scene.begin_anew = fails_once  # type: ignore[method-assign]
    await scene.life.know()
    following = asyncio.create_task(scene.life.follow())
    await scene.until("began a")
    following.cancel()


async def test_a_run_that_cannot_be_begun_for_a_fault_of_our_own_keeps_no_other_from_it() -> None:
    scene = Scene(alone=True)
    scene.lost = [Named("a"), Named("b")]
    begin = scene.begin_anew

    async def fails_on_a(run: Any) -> None:
        if run == "a":
            raise ValueError("of our own")
        await begin(run)

    scene.begin_anew = fails_on_a  # type: ignore[method-assign]
    with capture_logs() as lines:
        await asyncio.wait_for(scene.life.know(), 30)
    assert scene.done == ["looked", "began b"]
    assert [line["event"] for line in lines] == ["a run could not be begun anew"]


async def test_a_run_that_was_kept_without_a_last_frame_gets_one_at_the_second_look() -> None:
    scene = Scene(alone=False)
    scene.followed, scene.ended, scene.gone = ["a", "b", "c"], {"a", "b"}, {"b"}
    await scene.life.know()
    following = asyncio.create_task(scene.life.follow())
    await scene.until("concluded a", "concluded b")
    following.cancel()
    assert "c" in scene.followed
    assert scene.done[:2] == ["looked", "looked"], "one that was kept just now has its last frame on the way"


async def test_a_lease_that_cannot_be_ended_runs_out() -> None:
    scene = Scene(alone=False, away=1)
    await scene.life.leave()
    assert scene.done == []

"""Many clients at once, and what must hold of all that they were answered."""

import asyncio
import re
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self
from uuid import uuid4

import aiohttp

from tests.cluster.hosts import Cluster
from tests.cluster.model import answer_to, question
from tests.cluster.progress import Answer
from tests.cluster.rejoining import RejoiningClient, RejoiningReader
from tests.e2e.crash_check import check_acknowledged, check_database, opened
from tests.e2e.crash_load import Asked

RETRYABLE = frozenset({"storage_unavailable", "shutting_down"})  # what a run may end with where a test allows it


class Crowd:
    """Clients of `url` on one host: `talking` over WebSockets, `reading` over server-sent events.

    They ask once each, or with `again` one question after the other until `enough`. Each answer has `words` words, one
    every `every_ms` milliseconds.
    """

    def __init__(
        self, cluster: Cluster, talking: int, reading: int = 0, *, words: int, every_ms: int, host: str = "client",
        again: bool = False,
    ) -> None:  # fmt: skip
        self.answers: list[Answer] = []
        self._cluster = cluster
        self._counts = {RejoiningClient: talking, RejoiningReader: reading}
        self._words, self._every_ms = words, every_ms
        self._host = host
        self._again = again
        self._tasks: list[asyncio.Task[None]] = []
        self._under_way: dict[str, Answer] = {}
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = self._cluster.session(self._host)
        clients = [
            kind(self._session, [self._cluster.url], on_frame=self._note)
            for kind, count in self._counts.items()
            for _ in range(count)
        ]
        self._tasks = [asyncio.create_task(self._ask(client)) for client in clients]
        for task in self._tasks:
            task.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    @property
    def under_way(self) -> list[Answer]:
        return list(self._under_way.values())

    async def have(self, frames: int) -> None:
        """Wait until every client has that many frames of its first answer."""
        await self._until(
            lambda: (
                len(self._under_way) + len(self.answers) >= len(self._tasks)
                and all(len(answer.arrivals) >= frames for answer in self._under_way.values())
            )
        )

    async def answered(self, count: int) -> None:
        """Wait until there are that many answers."""
        await self._until(lambda: len(self.answers) >= count)

    async def restarted(self, count: int) -> None:
        """Wait until that many runs were begun anew."""
        await self._until(lambda: sum(answer.restarts > 0 for answer in (*self.answers, *self.under_way)) >= count)

    async def enough(self) -> list[Answer]:
        """Wait until everybody has the answer to what they asked; all answers."""
        self._again = False
        await asyncio.gather(*self._tasks)
        return self.answers

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            ended = [task for task in self._tasks if task.done()]
            for task in ended:
                task.result()  # a client that failed fails the test
            assert len(ended) < len(self._tasks), "all have their answers, and what was waited for has not come"
            self._changed.clear()
            await self._changed.wait()

    async def _ask(self, client: RejoiningClient) -> None:
        while True:
            asked = question(self._words, self._every_ms)
            answer = await client.ask(asked, uuid4().hex)
            self._under_way.pop(answer.request_id, None)
            self.answers.append(answer)
            self._changed.set()
            if not self._again:
                return

    def _note(self, answer: Answer) -> None:
        self._under_way[answer.request_id] = answer
        self._changed.set()


async def check(cluster: Cluster, answers: Sequence[Answer], *, allowed: frozenset[str] = frozenset()) -> None:
    """What clients were told is what the model said, what the database holds, and what every host tells.

    `allowed`: codes of errors that runs may have ended with.
    """
    for answer in answers:
        assert answer.error is None or answer.error in allowed, f"a run that failed: {answer}"
        assert answer.error or answer.text == answer_to(answer.question), f"not what the model said: {answer}"
    asked = [
        Asked(
            answer.session_id, answer.question, answer.request_id, answer.run_id, True,
            None if answer.error else answer.text,
        )
        for answer in answers
    ]  # fmt: skip
    async with opened(cluster.data.local_database_url) as database:
        await check_database(database, all_ended=True)
        await check_acknowledged(database, asked)
    async with cluster.session() as session:
        for app in cluster.apps.values():
            if app.server.running:
                await asyncio.gather(*(_check_told(session, app.url, answer) for answer in answers))


async def _check_told(session: aiohttp.ClientSession, url: str, answer: Answer) -> None:
    assert answer.run_id is not None
    told = await RejoiningClient(session, [url]).read(answer.run_id)
    assert (told.text, told.error) == (answer.text, answer.error), f"{url} tells it otherwise: {answer}, {told}"


def figures(answers: Sequence[Answer]) -> str:
    """What is worth a line: also how long those who lost their connection waited for a frame, at most."""
    counts = {
        "answers": len(answers),
        "rejoined": sum(answer.rejoined > 0 for answer in answers),
        "restarted": sum(answer.restarts > 0 for answer in answers),
        "refused": sum(answer.refused for answer in answers),
        "gaps": sum(answer.gaps for answer in answers),
        "errors": sum(answer.error is not None for answer in answers),
    }
    line = ", ".join(f"{count} {name}" for name, count in counts.items())
    if waits := waited(answers):
        line += f"; without a frame {statistics.median(waits):.1f} s, at most {max(waits):.1f} s"
    reasons = Counter(re.sub(r"frame [1-9]\d*", "some frame", loss) for answer in answers for loss in answer.losses)
    return f"{line} {dict(reasons) or ''}".rstrip()


def waited(answers: Sequence[Answer]) -> list[float]:
    """Seconds between two frames, the longest for each who lost the connection."""
    return [answer.longest_wait for answer in answers if answer.rejoined]

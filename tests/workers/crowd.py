"""Many clients that ask without pause, each in conversations of its own, and check every word that they are told."""

import asyncio
import random
from collections.abc import Callable, Sequence
from uuid import uuid4

import aiohttp

from tests.cluster.progress import Broken
from tests.e2e.crash_check import check_acknowledged, check_database, opened
from tests.e2e.crash_load import Asked, Ledger
from tests.workers.conversing import ConversingClient, Heard
from tests.workers.oracle import answer_to

QUESTIONS_A_CHAT = 3
RAMP_SECONDS = 2.0


class Crowd:
    """`size` clients of the workers at `urls`. `errors` are codes that a run may end with here.

    A client goes to any worker; with `pinned` each stays with one, as many with each.
    """

    def __init__(
        self, urls: Sequence[str], size: int, *, errors: Sequence[str] = (), pinned: bool = False,
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._urls = urls
        self._size = size
        self._pinned = pinned
        self._errors = frozenset(errors)
        self._chance = chance or random.Random()
        self._stopping = False
        self._news = asyncio.Event()
        self.ledger = Ledger()
        self.under_way: dict[str, Heard] = {}  # by request id
        self.ended: list[Heard] = []
        self.wrong: list[str] = []

    async def __aenter__(self) -> "Crowd":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._size)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def stop(self, seconds: float = 60.0) -> None:
        """Ask nothing more, and wait until every client has its answer."""
        self._stopping = True
        done, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in done:
            task.result()
        states = [str(answer) for answer in self.under_way.values()][:5]
        assert not late, f"{len(late)} clients still wait for an answer: {states}"
        assert not self.wrong, f"{len(self.wrong)} clients were told what is wrong: {self.wrong[:5]}"

    async def until(self, happened: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that changes with frames, or with a client that was told what is wrong."""
        async with asyncio.timeout(seconds):
            while not (happened() or self.wrong):
                self._news.clear()
                await self._news.wait()
        assert not self.wrong, f"{len(self.wrong)} clients were told what is wrong: {self.wrong[:5]}"

    async def streaming(self, share: float = 0.8) -> None:
        """Wait until most clients read words."""
        await self.until(lambda: sum(bool(one.words) for one in self.under_way.values()) >= share * self._size)

    async def _client(self, number: int) -> None:
        await asyncio.sleep(RAMP_SECONDS * number / self._size)
        client = ConversingClient(self._http, self._urls, chance=self._chance, on_heard=self._heard)
        if self._pinned:
            await client.move(number % len(self._urls))
        try:
            while not self._stopping:
                client.session_id = str(uuid4())
                for _ in range(QUESTIONS_A_CHAT):
                    if not self._stopping:
                        await self._one(client)
        except Broken as error:
            self.wrong.append(str(error))
            self._news.set()
        finally:
            await client.aclose()

    async def _one(self, client: ConversingClient) -> None:
        asked = self.ledger.ask(client.session_id)
        answer = self.under_way[asked.request_id] = Heard(asked.text, asked.request_id, client.session_id)
        await client.converse(answer)
        self._note(asked, answer)
        answer.frames.clear()  # they are checked, and there will be many
        answer.arrivals.clear()
        del self.under_way[asked.request_id]
        self.ended.append(answer)
        self._news.set()

    def _note(self, asked: Asked, answer: Heard) -> None:
        asked.kept, asked.run_id = True, answer.run_id
        if answer.error is not None:
            if answer.error not in self._errors:
                raise Broken(f"ended with {answer.error}: {answer}")
            return
        if answer.text != answer_to(asked.text):
            raise Broken(f"another answer than the model's: {answer}: {answer.text!r}")
        asked.answer = answer.text

    def _heard(self, answer: Heard) -> None:
        self._news.set()


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def check_kept(url: str, crowd: Crowd) -> None:
    """The database holds what clients were told: everything once, nothing under way."""
    async with opened(url) as database:
        await check_acknowledged(database, crowd.ledger.asked)
        await check_database(database, all_ended=True)

"""Runs that other workers write, for those who read them here: fetched once, then followed.

What is fetched and what is followed meet at a frame's number, which is also the place in the stream: there is nothing
between the two. A mirror that nobody has read for a while is dropped, and fetched anew when it is asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from infrastructure.errors import NotFound
from infrastructure.event_log.memory import NO_RUN, MemoryEventLog
from infrastructure.event_log.scripts import CHECK, FETCH
from infrastructure.event_log.stored import NAME, StoredRun, decode_batch, decode_run, keys
from infrastructure.redis.link import RedisAway, RedisLink
from infrastructure.redis.streams import Item, Streams

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
UNREAD_SECONDS = 60.0
CHECK_SECONDS = 5.0  # so long silent, a run is looked at: it may have another writer, and its stream another beginning


@dataclass(slots=True)
class _Mirror:
    fence: int
    read_at: float
    news_at: float


class Mirrors:
    """The readers' side of the log in Redis. All calls are made on the event loop's thread.

    `on_vanished` is told of a run that is silent and that Redis does not have (any more), as often as it is looked at.
    """

    def __init__(
        self, link: RedisLink, streams: Streams, memory: MemoryEventLog, *, monotonic: Callable[[], float],
        on_vanished: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._link = link
        self._streams = streams
        self._memory = memory
        self._monotonic = monotonic
        self._on_vanished = on_vanished
        self._mirrors: dict[str, _Mirror] = {}
        self._doubtful: set[str] = set()
        self._doubt = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        link.listen(self._on_link)

    @property
    def names(self) -> list[str]:
        """The mirrored runs that have not ended."""
        return list(self._mirrors)

    def start(self) -> None:
        self._tending = asyncio.create_task(self._tend(), name="event log mirrors")

    async def aclose(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        for run_id in self.names:
            self.leave(run_id)

    def touch(self, run_id: str) -> None:
        """Somebody is about to read it."""
        if mirror := self._mirrors.get(run_id):
            mirror.read_at = self._monotonic()

    def leave(self, run_id: str) -> int | None:
        """Follow a run no more; the fence of the writer whose frames are here, if it was a mirror."""
        self._doubtful.discard(run_id)
        if (mirror := self._mirrors.pop(run_id, None)) is None:
            return None
        self._streams.leave(keys(self._link.prefix, run_id)[1])
        return mirror.fence

    async def fetch(self, run_id: str) -> StoredRun:
        """A run as Redis has it.

        Raises:
            NotFound: Redis does not have it.
            RedisAway: whether it has is not known.
        """
        if not NAME.fullmatch(run_id):
            raise NotFound(NO_RUN)
        names = keys(self._link.prefix, run_id)
        reply = await self._link.ask(lambda client: FETCH(client.execute_command, names))
        if reply is None:
            raise NotFound(NO_RUN)
        return decode_run(reply)

    def doubt(self, run_id: str, fence: int) -> None:
        """What is here of a run was written under `fence`, by this worker, and another has it now: fetch it soon."""
        now = self._monotonic()
        self._mirrors[run_id] = _Mirror(fence, now, now)
        self._look_again(run_id)

    def take(self, run_id: str, stored: StoredRun) -> None:
        """Bring what is here to what Redis has, and follow it until it ends."""
        mirror = self._mirrors.get(run_id)
        if mirror is not None and stored.fence < mirror.fence:  # fetched before, and come later
            return
        same_writer = mirror is None or mirror.fence == stored.fence
        agreed = self._memory.last_seq(run_id) if same_writer else stored.since
        self._memory.catch_up(run_id, stored.owner, stored.base, stored.text, stored.entries, agreed)
        self._doubtful.discard(run_id)
        if self._memory.finished(run_id):
            self.leave(run_id)
            return
        now = self._monotonic()
        self._mirrors[run_id] = _Mirror(stored.fence, mirror.read_at if mirror else now, now)
        cursor = f"{self._memory.last_seq(run_id)}-0".encode()
        self._streams.follow(keys(self._link.prefix, run_id)[1], lambda items: self._hear(run_id, items), cursor)

    def _hear(self, run_id: str, items: Sequence[Item]) -> None:
        mirror = self._mirrors.get(run_id)
        if mirror is None or run_id in self._doubtful:
            return
        mirror.news_at = self._monotonic()
        for item in items:
            batch = decode_batch(item)
            last = self._memory.last_seq(run_id)
            if batch.fence != mirror.fence or batch.entries[0].seq > last + 1:
                return self._look_again(run_id)
            for entry in batch.entries:
                if entry.seq > last:
                    self._memory.append(run_id, entry)
        if self._memory.finished(run_id):
            self.leave(run_id)

    def _look_again(self, run_id: str) -> None:
        """Fetch it once more; until then nothing of it is taken."""
        self._streams.leave(keys(self._link.prefix, run_id)[1])
        self._doubtful.add(run_id)
        self._doubt.set()

    def _on_link(self, available: bool) -> None:
        if available:
            for mirror in self._mirrors.values():
                mirror.news_at = float("-inf")
            self._doubt.set()

    async def _tend(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._doubt.wait()
            except TimeoutError:
                self._drop_unread()
            self._doubt.clear()
            if not self._link.available:
                continue
            try:
                await self._check_silent()
                for run_id in tuple(self._doubtful):
                    await self._fetch_again(run_id)
            except RedisAway:
                continue
            except Exception as error:  # the edge of the task: the other mirrors are to go on
                log.exception("mirrored runs could not be looked at", error=type(error).__name__)

    async def _fetch_again(self, run_id: str) -> None:
        with suppress(NotFound):  # its writer sends it anew, or the next one does
            stored = await self.fetch(run_id)
            if run_id in self._mirrors:
                self.take(run_id, stored)

    def _drop_unread(self) -> None:
        now = self._monotonic()
        for run_id, mirror in tuple(self._mirrors.items()):
            if self._memory.watched(run_id):
                mirror.read_at = now
            elif now - mirror.read_at > UNREAD_SECONDS:
                self.leave(run_id)
                self._memory.drop(run_id)

    async def _check_silent(self) -> None:
        """Look whether runs from which nothing is heard are still written by whom they were, and do not go back."""
        now = self._monotonic()
        silent = [run_id for run_id, mirror in self._mirrors.items() if now - mirror.news_at > CHECK_SECONDS]
        if not silent:
            return
        names = [keys(self._link.prefix, run_id)[0] for run_id in silent]
        replies = await self._link.ask(lambda client: CHECK(client.execute_command, names))
        for run_id, (fence, seq) in zip(silent, replies, strict=True):
            mirror = self._mirrors.get(run_id)
            if mirror is None:
                continue
            if fence is None:
                self._on_vanished(run_id)
            elif int(fence) != mirror.fence or int(seq) > self._memory.last_seq(run_id):
                self._look_again(run_id)

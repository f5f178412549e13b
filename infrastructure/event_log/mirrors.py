"""Runs that other workers write, for those who read them here: fetched once, then followed.

What is fetched and what is followed meet at a frame's number, which is also the place in the stream: there is nothing
between the two. A mirror that nobody has read for a while is dropped, and fetched anew when it is asked for.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from infrastructure.errors import NotFound
from infrastructure.event_log.memory import NO_RUN, MemoryEventLog
from infrastructure.event_log.scripts import FETCH
from infrastructure.event_log.stored import NAME, StoredRun, decode_batch, decode_run, keys
from infrastructure.redis.link import RedisLink
from infrastructure.redis.streams import Item, Streams

UNREAD_SECONDS = 60.0
FETCHES_AT_ONCE = 8


@dataclass(slots=True)
class _Mirror:
    fence: int
    read_at: float
    news_at: float


class Mirrors:
    """The readers' side of the log in Redis. All calls are made on the event loop's thread."""

    def __init__(
        self, link: RedisLink, streams: Streams, memory: MemoryEventLog, *, monotonic: Callable[[], float]
    ) -> None:
        self._link = link
        self._streams = streams
        self._memory = memory
        self._monotonic = monotonic
        self._mirrors: dict[str, _Mirror] = {}
        self._doubtful: set[str] = set()
        self._turns = asyncio.Semaphore(FETCHES_AT_ONCE)
        self.in_doubt = asyncio.Event()

    @property
    def names(self) -> list[str]:
        """The mirrored runs that have not ended."""
        return list(self._mirrors)

    def close(self) -> None:
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
        async with self._turns:  # outside the time limit: many clients come back at once after a restart
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
        self.in_doubt.set()

    def drop_unread(self) -> None:
        """Let go of runs that nobody reads."""
        now = self._monotonic()
        for run_id, mirror in tuple(self._mirrors.items()):
            if self._memory.watched(run_id):
                mirror.read_at = now
            elif now - mirror.read_at > UNREAD_SECONDS:
                self.leave(run_id)
                self._memory.drop(run_id)

    def doubt_all(self) -> None:
        """Redis was away: what is heard no more may have changed."""
        for mirror in self._mirrors.values():
            mirror.news_at = float("-inf")
        self.in_doubt.set()

    def silent(self, seconds: float) -> list[str]:
        """The runs from which nothing was heard for so long."""
        before = self._monotonic() - seconds
        return [run_id for run_id, mirror in self._mirrors.items() if mirror.news_at < before]

    def seen(self, run_id: str, fence: int | None, seq: int) -> None:
        """Redis has a run under this fence, with frames up to `seq`, or, with None, does not have it."""
        mirror = self._mirrors.get(run_id)
        if mirror is None or fence is None:  # its writer sends it anew, or the next one does
            return
        if fence != mirror.fence or seq > self._memory.last_seq(run_id):
            self._look_again(run_id)

    async def fetch_doubtful(self) -> None:
        """Fetch the runs once more of which nothing is taken until then.

        Raises:
            RedisAway: not all were fetched.
        """
        for run_id in tuple(self._doubtful):
            with suppress(NotFound):  # its writer sends it anew, or the next one does
                stored = await self.fetch(run_id)
                if run_id in self._mirrors:
                    self.take(run_id, stored)

"""The event log of many processes: what each writes goes through Redis, and each reads what any of them writes.

No reader, here or elsewhere, is shown a frame that is not in Redis yet: whoever takes a run over from a process that
died goes on behind all that anybody has seen. That costs a frame one round trip. While Redis is away frames are shown
here at once, and are sent when it is there again. All keys of a call are in one Redis: not for a Redis Cluster.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from uuid import uuid4

from infrastructure.errors import Conflict, NotFound, StorageUnavailable
from infrastructure.event_log.entry import Batch, Entry, Tail
from infrastructure.event_log.memory import NO_RUN, MemoryEventLog
from infrastructure.event_log.mirrors import Mirrors
from infrastructure.event_log.scripts import TAKE
from infrastructure.event_log.sender import Sender
from infrastructure.event_log.stored import NAME, StoredRun, decode_run, keys
from infrastructure.event_log.watch import Watch
from infrastructure.event_log.writing import Writing
from infrastructure.redis.link import RedisAway, RedisLink
from infrastructure.redis.streams import Streams

REMEMBERED_FENCED = 1000


class RedisEventLog:
    """Fits the agents' `EventLog` port. All calls are made on the event loop's thread.

    `on_batch` is told of each call: its frames, and the seconds it took. `fenced` is called with a run that another
    worker has taken from this one; what is appended to it from then on is dropped. Where a run that is `followed`
    has ended and Redis has lost its end, its readers wait for `restore`.
    """

    def __init__(
        self,
        link: RedisLink,
        streams: Streams,
        *,
        max_run_bytes: int = 4 * 1024 * 1024,
        max_bytes: int = 32 * 1024 * 1024,
        ttl_seconds: float = 900.0,
        memory_seconds: float = 86_400.0,
        max_runs: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
        on_batch: Callable[[int, float], None] = lambda frames, seconds: None,
    ) -> None:
        self.fenced: Callable[[str], None] = lambda run_id: None
        self._link = link
        self._worker = uuid4().hex
        self._memory = MemoryEventLog(
            max_run_bytes=max_run_bytes, max_bytes=max_bytes, ttl_seconds=ttl_seconds, memory_seconds=memory_seconds,
            max_runs=max_runs, monotonic=monotonic,
        )  # fmt: skip
        self._sender = Sender(
            link, self._memory, worker=self._worker, max_run_bytes=max_run_bytes, ttl_seconds=ttl_seconds,
            on_fenced=self._on_fenced, on_batch=on_batch, monotonic=monotonic,
        )  # fmt: skip
        self._mirrors = Mirrors(link, streams, self._memory, monotonic=monotonic)
        self._watch = Watch(link, self._sender, self._mirrors)
        self._lost: OrderedDict[str, None] = OrderedDict()  # runs that another worker has taken from this one

    def start(self) -> None:
        """Begin to send and to follow. Before, frames are delivered here only."""
        self._sender.start()
        self._watch.start()

    async def aclose(self) -> None:
        """Send what waits, for a short while, and end. Frames that come later are delivered here only."""
        await self._sender.aclose()
        await self._watch.aclose()
        self._mirrors.close()

    def open(self, run_id: str, owner: str | None, seq: int = 0, answer: str = "", fence: int = 1) -> None:
        writing = self._sender.writing(run_id)
        ended = self._is_here(run_id) and self._memory.finished(run_id)
        if (writing is not None and writing.fence >= fence) or (ended and fence == 1):
            raise ValueError("this run has begun")
        if ended:  # here only, while Redis was away
            self._memory.drop(run_id)
        self._begin(run_id, owner, seq, answer, fence)

    def restore(self, run_id: str, owner: str | None, answer: str, terminal: Entry) -> None:
        if not self._is_here(run_id):
            self._memory.restore(run_id, owner, answer, terminal)
        elif self._mirrors.leave(run_id) is not None:
            known = self._memory.last_seq(run_id)
            agreed = known if known < terminal.seq else 0
            self._memory.catch_up(run_id, owner, terminal.seq - 1, answer, (terminal,), agreed)

    def append(self, run_id: str, entry: Entry) -> None:
        writing = self._sender.writing(run_id)
        if writing is None:
            if run_id in self._lost:
                return
            if self._is_here(run_id) or entry.seq != 1:
                raise ValueError(f"frame {entry.seq} does not follow frame {self._memory.last_seq(run_id)}")
            writing = self._begin(run_id, None)
        self._sender.append(writing, entry)

    def read(self, run_id: str, after: int = 0) -> AsyncGenerator[Batch, None]:
        return self._memory.read(run_id, after)

    def tail(self, run_id: str, after: int, take: Tail) -> Callable[[], None] | None:
        return self._memory.tail(run_id, after, take)

    async def terminal(self, run_id: str) -> Entry:
        return await self._memory.terminal(run_id)

    def last_seq(self, run_id: str) -> int:
        return self._memory.last_seq(run_id)

    def answer(self, run_id: str) -> str:
        return self._memory.answer(run_id)

    def owner(self, run_id: str) -> str | None:
        return self._memory.owner(run_id)

    async def find(self, run_id: str) -> str | None:
        with suppress(NotFound):
            owner = self._memory.owner(run_id)
            self._mirrors.touch(run_id)
            return owner
        try:
            stored = await self._mirrors.fetch(run_id)
        except RedisAway as error:
            raise _no_answer() from error
        if not self._is_here(run_id):  # it may have come meanwhile
            self._mirrors.take(run_id, stored)
        return self._memory.owner(run_id)

    async def take_over(self, run_id: str, fence: int) -> int:
        if not NAME.fullmatch(run_id):
            raise NotFound(NO_RUN)
        names = keys(self._link.prefix, run_id)
        args = (fence, self._worker)
        try:
            reply = await self._link.ask(lambda client: TAKE(client.execute_command, names, args))
        except RedisAway as error:
            raise _no_answer() from error
        if reply is None:
            raise NotFound(NO_RUN)
        if isinstance(reply, bytes):
            raise Conflict("The run has ended." if reply == b"ended" else "The run has another writer.")
        self._write_on(run_id, fence, decode_run(reply))
        return self._memory.last_seq(run_id)

    def release(self, run_id: str) -> None:
        if (writing := self._sender.end(run_id)) is not None:
            self._become_reader(writing)

    async def settle(self, run_id: str) -> None:
        await self._sender.settle(run_id)

    @property
    def behind(self) -> bool:
        """Whether frames were shown here that Redis does not have."""
        return self._sender.behind

    def leave_followed(self) -> None:
        for run_id in self._mirrors.names:
            self._mirrors.leave(run_id)
            self._memory.drop(run_id)

    @property
    def followed(self) -> list[str]:
        """Runs under way that other workers write and that are held here."""
        return self._mirrors.names

    def expire(self) -> None:
        """As the memory's log does."""
        self._memory.expire()
        self._sender.expire()

    @property
    def held_runs(self) -> int:
        return self._memory.held_runs

    @property
    def held_bytes(self) -> int:
        return self._memory.held_bytes

    def _begin(self, run_id: str, owner: str | None, seq: int = 0, answer: str = "", fence: int = 1) -> Writing:
        self._sender.end(run_id)
        self._mirrors.leave(run_id)
        self._lost.pop(run_id, None)
        agreed = min(self._memory.last_seq(run_id), seq)
        self._memory.catch_up(run_id, owner, seq, answer, (), agreed)
        writing = Writing(run_id, owner, fence, seq)
        self._sender.begin(writing)
        return writing

    def _write_on(self, run_id: str, fence: int, stored: StoredRun) -> None:
        earlier = self._sender.end(run_id)
        mirrored = self._mirrors.leave(run_id)
        self._lost.pop(run_id, None)
        if self._is_here(run_id) and self._memory.finished(run_id):  # ended here while Redis was away, and not there
            self._memory.drop(run_id)
        known_fence = earlier.fence if earlier is not None else mirrored
        agreed = stored.seq if known_fence in (None, stored.fence) else stored.since
        agreed = min(agreed, stored.seq, self._memory.last_seq(run_id))
        self._memory.catch_up(run_id, stored.owner, stored.base, stored.text, stored.entries, agreed)
        writing = Writing(run_id, stored.owner, fence, stored.seq)
        writing.go_on(stored.base, stored.batches)
        self._sender.begin(writing)

    def _on_fenced(self, writing: Writing) -> None:
        self._become_reader(writing)
        self.fenced(writing.run_id)

    def _become_reader(self, writing: Writing) -> None:
        run_id = writing.run_id
        self._lost[run_id] = None
        while len(self._lost) > REMEMBERED_FENCED:
            self._lost.popitem(last=False)
        if self._memory.finished(run_id):
            self._memory.drop(run_id)
        else:
            self._mirrors.doubt(run_id, writing.fence)

    def _is_here(self, run_id: str) -> bool:
        try:
            self._memory.owner(run_id)
        except NotFound:
            return False
        return True


def _no_answer() -> StorageUnavailable:
    return StorageUnavailable("The event log does not answer. Try again in a moment.", retry_after=1.0)

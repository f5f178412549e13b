"""Sends what is appended to runs to Redis, and has it delivered here once it is there.

One call is under way at a time; what is appended meanwhile, to whatever runs, goes with the next one. So a lone answer
waits for nobody, and many at once share their calls.
"""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import structlog

from infrastructure.errors import NotFound
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.event_log.scripts import APPEND, APPENDED, FENCED
from infrastructure.event_log.stored import keys
from infrastructure.event_log.writing import Portion, Writing
from infrastructure.redis.line import Line
from infrastructure.redis.link import RedisAway, RedisLink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
RUNS_A_CALL = 256
CALL_BYTES = 1024 * 1024
UNDER_WAY_SECONDS = 86_400.0  # how long Redis keeps a run to which nothing is added and that has not ended
CLOSE_SECONDS = 2.0


class Sender:
    """The writers' side of the log in Redis. All calls are made on the event loop's thread.

    Without Redis frames are delivered at once; when it is there again it gets them from the memory's log. `on_fenced`
    is told of runs that another worker has taken: what waited to be sent of them is gone.
    """

    def __init__(
        self,
        link: RedisLink,
        memory: MemoryEventLog,
        *,
        worker: str,
        max_run_bytes: int,
        ttl_seconds: float,
        on_fenced: Callable[[Writing], None],
        on_batch: Callable[[int, float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._link = link
        self._memory = memory
        self._line = Line(link)
        self._worker = worker
        self._max_run_bytes = max_run_bytes
        self._ttl = ttl_seconds
        self._on_fenced = on_fenced
        self._on_batch = on_batch
        self._monotonic = monotonic
        self._writing: dict[str, Writing] = {}
        self._unsent: dict[str, Writing] = {}
        self._news = asyncio.Event()
        self._settled: list[asyncio.Future[None]] = []
        self._sending: asyncio.Task[None] | None = None
        self._closed = False
        link.listen(self._on_link)

    def writing(self, run_id: str) -> Writing | None:
        """The run, if it is written here: it has not ended, or Redis does not have its end yet."""
        return self._writing.get(run_id)

    def begin(self, writing: Writing) -> None:
        """Take frames of a run from now on."""
        self._writing[writing.run_id] = writing

    def end(self, run_id: str) -> Writing | None:
        """Take no more frames of a run, and forget what waits."""
        self._unsent.pop(run_id, None)
        return self._writing.pop(run_id, None)

    def append(self, writing: Writing, entry: Entry) -> None:
        if writing.ended_at is not None or entry.seq != writing.seq + 1:
            raise ValueError(f"frame {entry.seq} does not follow frame {writing.seq}")
        writing.seq = entry.seq
        if entry.terminal:
            writing.ended_at = self._monotonic()
        self._unsent[writing.run_id] = writing
        if self._link.available and self._sending is not None:
            writing.outbox.append(entry)
            self._news.set()
        else:
            self._memory.append(writing.run_id, entry)

    def start(self) -> None:
        self._sending = asyncio.create_task(self._send_on(), name="event log sender")

    async def settle(self, run_id: str) -> None:
        """Return when what was appended is delivered."""
        while (writing := self._writing.get(run_id)) is not None and writing.outbox:
            settled = asyncio.get_running_loop().create_future()
            self._settled.append(settled)
            await settled

    @property
    def behind(self) -> bool:
        """Whether frames were delivered that Redis does not have."""
        return any(self._memory.last_seq(run_id) > writing.sent for run_id, writing in self._unsent.items())

    def silent(self, seconds: float) -> list[str]:
        """The runs to which nothing was added for so long."""
        before = self._monotonic() - seconds
        return [
            run_id for run_id, writing in self._writing.items()
            if writing.sent_at < before and run_id not in self._unsent and not writing.outbox
        ]  # fmt: skip

    def seen(self, run_id: str, fence: int | None, seq: int) -> None:
        """Redis has a run under this fence, with frames up to `seq`, or, with None, does not have it."""
        writing = self._writing.get(run_id)
        if writing is None or run_id in self._unsent or writing.outbox:  # what is sent next tells as well
            return
        if fence is not None and fence > writing.fence:
            self._fence(writing)
        elif writing.seq > writing.since and (fence != writing.fence or seq != writing.sent):
            writing.anew = True
            self._unsent[run_id] = writing
            self._news.set()

    def expire(self) -> None:
        """Forget ended runs that Redis would not keep any more."""
        now = self._monotonic()
        for writing in tuple(self._writing.values()):
            if writing.ended_at is not None and not writing.outbox and now - writing.ended_at > self._ttl:
                self.end(writing.run_id)

    async def aclose(self) -> None:
        """Send what waits, for `CLOSE_SECONDS` at most; what comes later is delivered here only."""
        sending, self._closed = self._sending, True
        if sending is not None:
            self._news.set()
            await asyncio.wait((sending,), timeout=CLOSE_SECONDS)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        self._sending = None
        self._deliver_all()
        await self._line.aclose()

    def _on_link(self, available: bool) -> None:
        if available:
            self._news.set()
        else:
            self._deliver_all()

    async def _send_on(self) -> None:
        while True:
            while self._unsent and self._link.available:
                await self._send()
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()

    async def _send(self) -> None:
        portions = self._portions()
        try:
            replies = await self._call(portions) if portions else ()
        except RedisAway:
            self._unsent.update({portion.writing.run_id: portion.writing for portion in portions})
            self._deliver_all()
        except Exception as error:  # the edge of the task: answers are worth more than their copies in Redis
            log.exception("frames could not be sent", error=type(error).__name__)
            self._deliver_all()
        else:
            for portion, reply in zip(portions, replies, strict=True):
                self._sent(portion, reply)
        self._wake_settled()

    def _portions(self) -> list[Portion]:
        portions: list[Portion] = []
        room = CALL_BYTES
        for run_id, writing in list(islice(self._unsent.items(), RUNS_A_CALL)):
            del self._unsent[run_id]
            try:
                portion = writing.portion(self._memory, int(self._ttl * 1000), int(UNDER_WAY_SECONDS * 1000))
            except NotFound:  # it was so long ago that nobody knows it
                self.end(run_id)
                continue
            if portion is None:
                continue
            portions.append(portion)
            room -= portion.size
            if room <= 0:
                break
        return portions

    async def _call(self, portions: list[Portion]) -> list[int]:
        names: list[str] = []
        args: list[Any] = [self._worker]
        for portion in portions:
            names += keys(self._link.prefix, portion.writing.run_id)
            args += portion.args
        began = time.perf_counter()
        replies: list[int] = await self._link.ask(lambda _: APPEND(self._line.call, names, args))
        self._on_batch(sum(len(portion.entries) for portion in portions), time.perf_counter() - began)
        return replies

    def _sent(self, portion: Portion, reply: int) -> None:
        writing = portion.writing
        if self._writing.get(writing.run_id) is not writing:  # ended meanwhile
            return
        if reply == FENCED:
            return self._fence(writing)
        if reply == APPENDED:
            writing.stored(portion, self._max_run_bytes)
            writing.sent_at = self._monotonic()
            self._deliver(writing, writing.sent)
        else:
            writing.anew = True
        if writing.sent < writing.seq:
            self._unsent[writing.run_id] = writing
        elif writing.ended_at is not None:
            self.end(writing.run_id)

    def _fence(self, writing: Writing) -> None:
        self.end(writing.run_id)
        self._on_fenced(writing)

    def _deliver(self, writing: Writing, up_to: int) -> None:
        outbox = writing.outbox
        while outbox and outbox[0].seq <= up_to:
            self._memory.append(writing.run_id, outbox.popleft())

    def _deliver_all(self) -> None:
        """Redis is away: show here what waits."""
        for writing in tuple(self._writing.values()):
            self._deliver(writing, writing.seq)
        self._wake_settled()

    def _wake_settled(self) -> None:
        settled, self._settled = self._settled, []
        for one in settled:
            if not one.done():
                one.set_result(None)

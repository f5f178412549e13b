"""Event logs of workers on one Valkey, and what tests append to them and read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from infrastructure.event_log.entry import Batch, Entry
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.event_log.redis import RedisEventLog
from infrastructure.redis.link import RedisLink
from infrastructure.redis.streams import Streams

RUN = "run"
Log = MemoryEventLog | RedisEventLog
MakeLog = Callable[..., Any]
PROBE_SECONDS = 0.02
PATIENCE_SECONDS = 30.0


def entry(seq: int, text: str = "", terminal: bool = False, size: int = 10, restart: bool = False) -> Entry:
    return Entry(seq, f"{seq}".encode().ljust(size, b"."), text, terminal, restart)


def word(seq: int) -> Entry:
    return entry(seq, f"word{seq} ")


def said(seq: int) -> str:
    return f"word{seq} "


def words(first: int, last: int) -> list[Entry]:
    return [word(seq) for seq in range(first, last + 1)]


async def say(log: Log, *entries: Entry, run_id: str = RUN) -> None:
    """Append, and wait until it is delivered."""
    for one in entries:
        log.append(run_id, one)
    await log.settle(run_id)


async def read_all(log: Log, after: int = 0, run_id: str = RUN) -> list[Batch]:
    return [batch async for batch in log.read(run_id, after)]


def seqs(batches: list[Batch]) -> list[int]:
    return [one.seq for batch in batches for one in batch.entries]


def texts(batches: list[Batch]) -> str:
    return "".join(one.text for batch in batches for one in batch.entries)


def assert_replay(
    batches: list[Batch], after: int, last: int, said: Callable[[int], str], restarts: Collection[int] = ()
) -> None:
    """Dense numbers from `after` to `last`; at each gap the answer up to it, and behind it the rest."""

    def answer(up_to: int) -> str:
        begun = max((seq for seq in restarts if seq <= up_to), default=1)
        return "".join(said(seq) for seq in range(begun, up_to + 1))

    have = after
    for batch in batches:
        assert batch.entries, "no batch is empty"
        if batch.gap is not None:
            assert batch.gap.first == have + 1
            assert batch.gap.last >= batch.gap.first
            assert batch.gap.answer == answer(batch.gap.last)
            have = batch.gap.last
        expected = range(have + 1, have + 1 + len(batch.entries))
        assert [(one.seq, one.text, one.restart) for one in batch.entries] == [
            (seq, said(seq), seq in restarts) for seq in expected
        ]
        have += len(batch.entries)
    assert have == last


@dataclass(frozen=True)
class Worker:
    link: RedisLink
    streams: Streams
    log: RedisEventLog


@asynccontextmanager
async def worker(url: str, prefix: str = "askgraph:", wait: float = 5.0, **options: Any) -> AsyncIterator[Worker]:
    async with AsyncExitStack() as stack:
        link = RedisLink(url, prefix=prefix, timeout=wait, probe_seconds=PROBE_SECONDS)
        await link.open()
        stack.push_async_callback(link.aclose)
        streams = Streams(link)
        log = RedisEventLog(link, streams, **options)
        await streams.open()
        stack.push_async_callback(streams.aclose)
        log.start()
        stack.push_async_callback(log.aclose)
        yield Worker(link, streams, log)


async def until(holds: Callable[[], object]) -> None:
    """Return when something holds that nobody tells of."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110  # there is no event for what happens inside
            await asyncio.sleep(0.002)

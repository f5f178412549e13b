"""A run has another writer now: the one before learns it, and readers are told what counts."""

import asyncio

import pytest

from infrastructure.event_log.stored import keys
from infrastructure.event_log.watch import CHECK_SECONDS
from tests.infrastructure.event_log.outages import cut_off, said
from tests.infrastructure.event_log.workers import (
    RUN,
    assert_replay,
    entry,
    read_all,
    say,
    seqs,
    until,
    word,
    words,
    worker,
)
from tests.infrastructure.redis.cable import cable_to

pytestmark = pytest.mark.usefixtures("nothing_out_of_place")


async def test_a_writer_with_nothing_to_say_learns_that_its_run_was_taken(redis_url: str, prefix: str) -> None:
    now = 0.0
    async with worker(redis_url, prefix, monotonic=lambda: now) as a, worker(redis_url, prefix) as b:
        fenced: list[str] = []
        a.log.fenced = fenced.append
        await say(a.log, word(1))
        await b.log.take_over(RUN, 2)
        now = CHECK_SECONDS + 1
        await a.log._watch.look()
        assert fenced == [RUN]
        assert a.log.followed == [RUN]
        await say(b.log, word(2), entry(3, terminal=True))
        assert_replay(await read_all(a.log), 0, 3, said(3))


async def test_a_worker_that_was_cut_off_and_replaced_tells_its_readers_what_counts(
    redis_url: str, prefix: str
) -> None:
    """They have had frames that nobody else saw: they get a gap and the answer's text, and then the true frames."""
    async with (
        cable_to(redis_url) as cable,
        worker(cable.url, prefix) as a,
        worker(redis_url, prefix) as b,
    ):
        fenced: list[str] = []
        a.log.fenced = fenced.append
        a.log.open(RUN, "ada")
        await say(a.log, *words(1, 3))
        reading = asyncio.ensure_future(read_all(a.log))
        await cut_off(cable, a)
        await say(a.log, entry(4, "nobody "), entry(5, "else "))
        assert a.log.answer(RUN) == "word1 word2 word3 nobody else "
        assert await b.log.take_over(RUN, 2) == 3
        await say(b.log, *words(4, 7))
        cable.mend()
        await until(lambda: fenced)
        await until(lambda: a.log.last_seq(RUN) == 7)
        await say(b.log, entry(8, terminal=True))
        batches = await reading
        assert seqs(batches) == [1, 2, 3, 4, 5, 7, 8]
        [gap] = [batch.gap for batch in batches if batch.gap]
        assert (gap.first, gap.last, gap.answer) == (6, 6, "".join(f"word{seq} " for seq in range(1, 7)))
        assert a.log.answer(RUN) == b.log.answer(RUN)


async def test_an_end_that_only_a_worker_that_was_cut_off_knew_gives_way(redis_url: str, prefix: str) -> None:
    async with (
        cable_to(redis_url) as cable,
        worker(cable.url, prefix) as a,
        worker(redis_url, prefix) as b,
    ):
        fenced: list[str] = []
        a.log.fenced = fenced.append
        await say(a.log, *words(1, 3))
        await cut_off(cable, a)
        await say(a.log, entry(4, terminal=True))
        await b.log.take_over(RUN, 2)
        await say(b.log, word(4), entry(5, terminal=True))
        cable.mend()
        await until(lambda: fenced)
        await a.log.find(RUN)
        assert_replay(await read_all(a.log), 0, 5, said(5))


async def test_a_mirror_finds_out_that_its_run_has_another_writer_and_another_beginning(
    redis_url: str, prefix: str
) -> None:
    """Redis lost the run with its writer; the next writer knows less of it than this reader has had."""
    now = 0.0
    async with worker(redis_url, prefix, monotonic=lambda: now) as reader, worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            await say(a.log, *words(1, 6))
            await reader.log.find(RUN)
            reading = asyncio.ensure_future(read_all(reader.log))
            await until(lambda: reader.log.last_seq(RUN) == 6)
        await b.link.client.delete(*keys(prefix, RUN))
        b.log.open(RUN, None, seq=2, answer="word1 word2 ", fence=2)
        await say(b.log, *words(3, 4))
        now = CHECK_SECONDS + 1
        await reader.log._watch.look()
        await until(lambda: reader.log.last_seq(RUN) == 4)
        await say(b.log, *words(5, 9), entry(10, terminal=True))
        batches = await reading
        assert [batch.gap.last for batch in batches if batch.gap] != []
        assert_replay(batches, 0, 10, said(10))


async def test_a_mirror_that_hears_another_writer_with_other_frames_tells_its_readers(
    redis_url: str, prefix: str
) -> None:
    """The first that it hears of that writer are frames behind its own."""
    async with worker(redis_url, prefix) as reader, worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            await say(a.log, *words(1, 6))
            await reader.log.find(RUN)
            reading = asyncio.ensure_future(read_all(reader.log))
            await until(lambda: reader.log.last_seq(RUN) == 6)
        await b.link.client.delete(*keys(prefix, RUN))
        b.log.open(RUN, None, seq=2, answer="word1 word2 ", fence=2)
        await say(b.log, *(entry(seq, f"other{seq} ") for seq in range(3, 10)))
        await say(b.log, entry(10, terminal=True))
        batches = await reading
        assert reader.log.answer(RUN) == b.log.answer(RUN)
        [gap] = [batch.gap for batch in batches if batch.gap]
        assert (gap.last, gap.answer) == (7, "word1 word2 other3 other4 other5 other6 other7 ")

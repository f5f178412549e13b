"""Runs that change hands between workers: what the old writer, the new one, and readers of both are shown."""

import asyncio

import pytest

from infrastructure.errors import Conflict, NotFound
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.stored import keys
from tests.infrastructure.event_log.workers import (
    RUN,
    assert_replay,
    entry,
    read_all,
    said,
    say,
    seqs,
    word,
    words,
    worker,
)


async def test_a_run_is_taken_over_behind_all_that_anybody_has_seen(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b, worker(redis_url, prefix) as c:
        a.log.open(RUN, "ada")
        await say(a.log, *words(1, 3))
        await c.log.find(RUN)
        reading = asyncio.ensure_future(read_all(c.log))
        assert await b.log.take_over(RUN, 2) == 3
        assert (b.log.answer(RUN), b.log.owner(RUN)) == ("word1 word2 word3 ", "ada")
        await say(b.log, entry(4, restart=True), word(5), entry(6, terminal=True))
        batches = await reading
        assert seqs(batches) == [1, 2, 3, 4, 5, 6]
        assert all(batch.gap is None for batch in batches)
        assert c.log.answer(RUN) == b.log.answer(RUN) == "word5 "


async def test_a_writer_whose_run_was_taken_says_nothing_more_and_its_readers_go_on(
    redis_url: str, prefix: str
) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        fenced: list[str] = []
        a.log.fenced = fenced.append
        a.log.open(RUN, "ada")
        await say(a.log, *words(1, 3))
        reading = asyncio.ensure_future(read_all(a.log))
        heard: list[Entry] = []
        assert a.log.tail(RUN, 3, heard.append) is not None
        assert await b.log.take_over(RUN, 2) == 3
        await say(a.log, entry(4, "never "), entry(5, "seen "))
        assert fenced == [RUN]
        a.log.append(RUN, entry(6, "dropped"))
        await say(b.log, *words(4, 5), entry(6, terminal=True))
        batches = await reading
        assert_replay(batches, 0, 6, lambda seq: said(seq) if seq < 6 else "")
        assert heard == [*words(4, 5), entry(6, terminal=True)]


async def test_a_run_is_taken_by_one_only(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b, worker(redis_url, prefix) as c:
        a.log.open(RUN, "ada", fence=3)
        await say(a.log, word(1))
        for fence in (2, 3):
            with pytest.raises(Conflict):
                await b.log.take_over(RUN, fence)
        assert await b.log.take_over(RUN, 4) == 1
        assert await b.log.take_over(RUN, 4) == 1, "its own attempt, whose answer was lost"
        with pytest.raises(Conflict):
            await c.log.take_over(RUN, 4)
        await say(b.log, entry(2, terminal=True))
        with pytest.raises(Conflict):
            await c.log.take_over(RUN, 5)


async def test_a_run_that_is_released_is_followed_where_it_goes_on(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        await say(a.log, *words(1, 3))
        reading = asyncio.ensure_future(read_all(a.log))
        a.log.release(RUN)
        a.log.release("unknown")
        a.log.append(RUN, word(4))
        assert await b.log.take_over(RUN, 2) == 3
        await say(b.log, word(4), entry(5, terminal=True))
        assert_replay(await reading, 0, 5, lambda seq: said(seq) if seq < 5 else "")


async def test_a_run_comes_back_to_the_worker_that_lost_it(redis_url: str, prefix: str) -> None:
    async with worker(redis_url, prefix) as a, worker(redis_url, prefix) as b:
        a.log.open(RUN, None)
        await say(a.log, word(1))
        reading = asyncio.ensure_future(read_all(a.log))
        await b.log.take_over(RUN, 2)
        await say(b.log, word(2))
        await say(a.log, entry(2, "never"))
        assert await a.log.take_over(RUN, 3) == 2
        await say(b.log, entry(3, "never"))
        await say(a.log, word(3), entry(4, terminal=True))
        assert_replay(await reading, 0, 4, lambda seq: said(seq) if seq < 4 else "")
        await b.log.terminal(RUN)
        assert b.log.answer(RUN) == "word1 word2 word3 "


@pytest.mark.parametrize(("known", "shown"), [(5, [1, 2, 6, 7, 8]), (1, [1, 2, 4])])
async def test_a_run_begun_anew_where_it_was_a_mirror_goes_on_for_its_readers(
    redis_url: str, prefix: str, known: int, shown: list[int]
) -> None:
    """Its writer is gone, and what Redis had of it too; the next one knows of more frames than were read here, or of
    fewer."""
    async with worker(redis_url, prefix) as b:
        async with worker(redis_url, prefix) as a:
            await say(a.log, word(1), word(2))
            await b.log.find(RUN)
            reading = asyncio.ensure_future(read_all(b.log))
            await asyncio.sleep(0)
        await b.link.client.delete(*keys(prefix, RUN))
        with pytest.raises(NotFound):
            await b.log.take_over(RUN, 2)
        b.log.open(RUN, None, seq=known, answer="what was kept ", fence=2)
        assert b.log.last_seq(RUN) == known
        await say(b.log, *words(known + 1, known + 2), entry(known + 3, terminal=True))
        batches = await reading
        assert seqs(batches) == shown
        assert b.log.answer(RUN) == "what was kept " + "".join(said(seq) for seq in (known + 1, known + 2))


async def test_a_run_that_is_begun_again_with_a_higher_fence_takes_the_place_of_what_was_here(
    redis_url: str, prefix: str
) -> None:
    async with worker(redis_url, prefix) as a:
        a.log.open(RUN, "ada")
        await say(a.log, word(1))
        with pytest.raises(ValueError, match="has begun"):
            a.log.open(RUN, "ada")
        a.log.open(RUN, "ada", seq=1, answer="word1 ", fence=2)
        await say(a.log, word(2), entry(3, terminal=True))
        assert seqs(await read_all(a.log)) == [1, 2, 3]
        a.log.open(RUN, "ada", seq=7, answer="", fence=3)
        await say(a.log, entry(8, "anew", terminal=True))
        [batch] = await read_all(a.log)
        assert (seqs([batch]), batch.gap and batch.gap.last) == ([8], 7)

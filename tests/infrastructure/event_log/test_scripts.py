"""What the scripts refuse: calls that come too late, twice, or from a writer who is none any more."""

from typing import Any

import orjson
import pytest

from infrastructure.event_log.entry import Entry
from infrastructure.event_log.scripts import APPEND, APPENDED, FENCED, FETCH, UNLIKE
from infrastructure.event_log.stored import StoredRun, decode_run, encode_batch, keys
from infrastructure.redis.link import RedisLink
from tests.infrastructure.event_log.workers import RUN, words


class Writer:
    """Calls as a sender makes them, one run each."""

    def __init__(self, link: RedisLink, name: str = "a", fence: int = 1) -> None:
        self._link = link
        self._name = name
        self._fence = fence
        self._names = keys(link.prefix, RUN)

    async def append(self, entries: list[Entry], **seldom: Any) -> int:
        frames, meta = encode_batch(entries, self._fence)
        args = [self._name, self._fence, entries[0].seq - 1, entries[-1].seq, frames, meta, b"", 60_000]
        more = orjson.dumps(seldom) if seldom else b""
        [reply] = await APPEND(self._link.client.execute_command, self._names, [*args, more])
        return int(reply)

    async def stored(self) -> StoredRun:
        return decode_run(await FETCH(self._link.client.execute_command, self._names))


def make(number: int, base: int = 0, text: str = "") -> dict[str, Any]:
    return {"round": number, "owner": "ada", "since": "0", "base": str(base), "text": text}


@pytest.fixture
def writer(link: RedisLink) -> Writer:
    return Writer(link)


async def test_a_run_is_made_and_added_to_frame_by_frame(writer: Writer) -> None:
    assert await writer.append(words(1, 1)) == UNLIKE
    assert await writer.append(words(1, 2), make=make(1)) == APPENDED
    assert await writer.append(words(3, 5)) == APPENDED
    stored = await writer.stored()
    assert (stored.owner, stored.fence, stored.seq, stored.entries) == ("ada", 1, 5, words(1, 5))


async def test_a_call_that_is_carried_out_twice_or_leaves_a_hole_adds_nothing(writer: Writer) -> None:
    await writer.append(words(1, 2), make=make(1))
    assert await writer.append(words(3, 4)) == APPENDED
    assert await writer.append(words(3, 4)) == UNLIKE
    assert await writer.append(words(6, 6)) == UNLIKE
    assert (await writer.stored()).entries == words(1, 4)


async def test_a_log_is_not_made_anew_by_a_call_that_was_overtaken(writer: Writer) -> None:
    await writer.append(words(1, 2), make=make(1))
    assert await writer.append(words(1, 5), make=make(2)) == APPENDED
    assert await writer.append(words(1, 3), make=make(1)) == UNLIKE
    assert (await writer.stored()).entries == words(1, 5)


async def test_a_writer_with_a_higher_fence_makes_it_anew_and_the_one_before_is_shut_out(link: RedisLink) -> None:
    before, behind = Writer(link), Writer(link, "b", 2)
    await before.append(words(1, 5), make=make(7))
    assert await behind.append(words(4, 4), make=make(1, 3, "kept ")) == APPENDED
    assert await before.append(words(6, 6)) == FENCED
    assert await before.append(words(1, 6), make=make(8)) == FENCED
    assert await Writer(link, "c", 2).append(words(5, 5)) == FENCED
    stored = await behind.stored()
    assert (stored.fence, stored.base, stored.text, stored.entries) == (2, 3, "kept ", words(4, 4))


async def test_what_leaves_goes_into_the_text_once(writer: Writer) -> None:
    for seq in range(1, 5):
        await writer.append(words(seq, seq), **({"make": make(1)} if seq == 1 else {}))
    trim = {"from": "0", "next": "3", "to": "2", "text": "word1 word2 ", "anew": False}
    assert await writer.append(words(5, 5), trim=trim) == APPENDED
    assert await writer.append(words(6, 6), trim=trim) == APPENDED
    stored = await writer.stored()
    assert (stored.base, stored.text, stored.entries) == (2, "word1 word2 ", words(3, 6))
    anew = {"from": "2", "next": "5", "to": "4", "text": "word4 ", "anew": True}
    await writer.append(words(7, 7), trim=anew)
    assert ((await writer.stored()).base, (await writer.stored()).text) == (4, "word4 ")

"""The writer numbers frames without a hole and passes text on exactly."""

import asyncio
import gc
import json
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.events import Failure, Metadata, Source, Status, Step
from agents.words import PATIENCE_SECONDS
from agents.writer import RunWriter
from infrastructure.event_log.memory import MemoryEventLog
from tests.agents.fakes import Counted

RUN = "run"
FAILURE = Failure("e", "e", "internal_error", False)


class Written:
    def __init__(self) -> None:
        self.log = MemoryEventLog()
        self.counted = Counted()
        self.writer = RunWriter(RUN, self.log, lambda: 5.0, self.counted)

    async def frames(self) -> list[dict[str, Any]]:
        self.writer.frame(FAILURE)
        return [json.loads(entry.data) async for batch in self.log.read(RUN) for entry in batch.entries]

    async def words(self) -> list[dict[str, Any]]:
        return [frame for frame in await self.frames() if frame["type"] == "word"]


@pytest.fixture
async def written() -> Written:
    return Written()


async def test_frames_are_numbered_from_one_without_a_hole(written: Written) -> None:
    written.writer.frame(Status("streaming"))
    written.writer.put("one two")
    written.writer.frame(Step("retrieve", "started"))
    frames = await written.frames()
    assert [frame["seq"] for frame in frames] == [1, 2, 3, 4, 5]
    assert [frame.get("content") for frame in frames] == [None, "one ", "two", None, None]


async def test_a_frame_that_cannot_be_said_leaves_no_hole_and_the_run_open(written: Written) -> None:
    unsayable = Metadata("s", 1.0, "m", (Source("\udcff.md", 1.0),), "streaming")
    with pytest.raises(TypeError):
        written.writer.frame(unsayable)
    with pytest.raises(TypeError):
        written.writer.frame(Failure("\ud800", "", "", False))
    assert not written.writer.ended
    assert [frame["seq"] for frame in await written.frames()] == [1]


async def test_behind_the_terminal_frame_nothing_is_written(written: Written) -> None:
    written.writer.frame(FAILURE)
    written.writer.put("late ")
    written.writer.flush()
    written.writer.frame(Status("cancelled"))
    assert len(await written.frames()) == 1
    assert written.writer.text == ""


async def test_held_text_goes_before_the_frame_that_follows_it(written: Written) -> None:
    written.writer.put("half")
    assert written.writer.has_text
    assert written.writer.text == ""
    written.writer.frame(Step("retrieve", "started"))
    assert [frame["type"] for frame in await written.frames()] == ["word", "step", "error"]


async def test_a_word_that_does_not_end_leaves_by_itself(written: Written) -> None:
    written.writer.put("half")
    reader = written.log.read
    written.writer.flush()
    written.writer.put("way")
    async with asyncio.timeout(PATIENCE_SECONDS * 50):
        async for batch in reader(RUN, 1):
            assert batch.entries[0].text == "way"
            break
    assert written.writer.text == "halfway"


@given(st.lists(st.text(max_size=90), max_size=12), st.booleans())
async def test_words_are_counted_and_numbered_as_the_answer_has_them(pieces: list[str], flush: bool) -> None:
    written = Written()
    for piece in pieces:
        written.writer.put(piece)
        if flush:
            written.writer.flush()
    answer = "".join(pieces).replace("\0", "\ufffd")
    words = await written.words()
    assert "".join(word["content"] for word in words) == answer == written.writer.text
    assert written.writer.words == len(answer.split())
    before = ""
    for word in words:
        goes_on = bool(before) and not before[-1].isspace() and not word["content"][0].isspace()
        assert word["index"] == len(before.split()) - goes_on
        before += word["content"]


async def test_words_carry_the_confidence_that_was_said_last(written: Written) -> None:
    written.writer.put("a ")
    written.writer.confidence(0.75)
    written.writer.put("b ")
    assert [word["confidence"] for word in await written.words()] == [0.0, 0.75]


async def test_text_that_is_no_text_is_marked_and_a_pair_in_two_halves_is_put_together(written: Written) -> None:
    written.writer.put("a\ud800b \ud83e\udd9c ")
    written.writer.put("ok ")
    words = await written.words()
    assert [word["content"] for word in words] == ["a\ufffdb 🦜 ", "ok "]


async def test_the_first_word_is_timed_from_the_start_and_the_others_from_each_other(written: Written) -> None:
    written.writer.start()
    for word in ("a ", "b ", "c "):
        written.writer.put(word)
    assert len(written.counted.first) == 1
    assert len(written.counted.gaps) == 2
    assert min(*written.counted.first, *written.counted.gaps) >= 0


async def test_frames_continue_behind_what_the_log_already_has(written: Written) -> None:
    written.writer.frame(Status("streaming"))
    written.writer = RunWriter(RUN, written.log, lambda: 5.0, written.counted)
    written.writer.frame(Status("restarted"))
    assert [frame["seq"] for frame in await written.frames()] == [1, 2, 3]


async def test_an_ended_writer_leaves_memory_without_a_collection() -> None:
    counted = Counted()
    gone = weakref.ref(counted)
    writer = RunWriter(RUN, MemoryEventLog(), lambda: 5.0, counted)
    writer.put("one two ")
    writer.put("three")
    writer.frame(FAILURE)
    gc.disable()
    try:
        del counted, writer
        assert gone() is None
    finally:
        gc.enable()

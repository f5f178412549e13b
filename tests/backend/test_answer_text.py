"""An answer's text for readers to whom nothing can be unsaid."""

import asyncio

import pytest

from backend.answer_text import answer_text
from infrastructure.errors import Interrupted
from infrastructure.event_log.entry import Entry
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.websocket_manager import PORTION_BYTES
from tests.backend.runs import WrittenRun


async def texts(log: MemoryEventLog, **options: int) -> list[str]:
    return [text async for text in answer_text(log, "run-1", **options)]


async def test_an_answers_text_comes_whole_from_any_point() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A ", "health ", "factor.")
    run.complete()
    assert "".join(await texts(log)) == "A health factor."
    assert "".join(await texts(log, after=2, had=2)) == "health factor."
    assert await texts(log, after=5, had=16) == []


async def test_text_whose_frames_are_gone_comes_all_the_same_and_once() -> None:
    log = MemoryEventLog(max_run_bytes=4096)
    run = WrittenRun(log)
    words = [f"word{i} " for i in range(100)]
    run.say(*words)
    run.complete()
    whole = "".join(words)
    assert "".join(await texts(log)) == whole
    had = len("".join(words[:10]))
    assert "".join(await texts(log, after=11, had=had)) == whole[had:]


async def test_a_long_text_comes_in_portions() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("x" * (2 * PORTION_BYTES + 1))
    run.complete()
    assert [len(text) for text in await texts(log)] == [PORTION_BYTES, PORTION_BYTES, 1]


def anew(run: WrittenRun, log: MemoryEventLog, *words: str) -> None:
    """The run is begun anew, and says `words`."""
    for text, restart in [("", True), *[(word, False) for word in words]]:
        seq = log.last_seq("run-1") + 1
        log.append("run-1", Entry(seq, b"{}", text, False, restart))


def end(log: MemoryEventLog) -> None:
    log.append("run-1", Entry(log.last_seq("run-1") + 1, b"{}", "", True))


async def test_an_answer_that_is_begun_anew_and_says_the_same_goes_on_where_it_was() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A ", "health ")
    reading = asyncio.create_task(texts(log))
    await asyncio.sleep(0)
    anew(run, log, "A ", "he", "alth ", "factor.")
    end(log)
    assert "".join(await reading) == "A health factor."


async def test_an_answer_that_is_begun_anew_and_says_something_else_is_not_mixed_with_what_was_said() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A ", "health ")
    texts = answer_text(log, "run-1")
    assert await anext(texts) == "A health "
    anew(run, log, "Another ", "answer.")
    end(log)
    with pytest.raises(Interrupted):
        await anext(texts)


async def test_who_has_words_that_nobody_here_knows_is_told_that_there_is_another_answer() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    run.say("A ", "health ")
    texts = answer_text(log, "run-1", after=log.last_seq("run-1"), had=9)
    anew(run, log, "A ", "health ", "factor.")
    end(log)
    with pytest.raises(Interrupted):
        await anext(texts)


async def test_a_restart_before_the_first_word_is_nothing_to_tell() -> None:
    log = MemoryEventLog()
    run = WrittenRun(log)
    reading = asyncio.create_task(texts(log))
    await asyncio.sleep(0)
    anew(run, log, "So.")
    end(log)
    assert "".join(await reading) == "So."

"""What a client takes, and what it holds to be broken: else the scenarios could not fail."""

from typing import Any

import pytest

from tests.cluster.progress import Answer, Broken, Progress

RUN = "run-1"


def frame(seq: int, kind: str = "word", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "run_id": RUN, "seq": seq, **fields}


def word(seq: int, content: str) -> dict[str, Any]:
    return frame(seq, content=content)


def complete(seq: int, answer: str) -> dict[str, Any]:
    return frame(seq, "complete", answer=answer)


def took(*frames: dict[str, Any]) -> Progress:
    progress = Progress(Answer("Why?", "asked-once", "chat-1"))
    for one in frames:
        progress.take(one)
    return progress


def test_words_and_the_last_frame_make_an_answer() -> None:
    progress = took(word(1, "One "), {"type": "heartbeat"}, word(2, "two."), complete(3, "One two."))
    assert progress.ended
    assert (progress.answer.run_id, progress.answer.text, progress.answer.error) == (RUN, "One two.", None)
    assert len(progress.answer.arrivals) == 3


def test_what_was_said_before_a_restart_does_not_count() -> None:
    progress = took(word(1, "Wrong "), frame(2, "status", status="restarted"), word(3, "Right."), complete(4, "Right."))
    assert (progress.answer.text, progress.answer.restarts) == ("Right.", 1)
    assert [one["seq"] for one in progress.answer.frames] == [2, 3, 4]


def test_a_snapshot_stands_for_the_frames_of_a_gap() -> None:
    gap = {"type": "gap", "from": 1, "to": 7}
    snapshot = {"type": "snapshot", "answer": "One two ", "seq": 7}
    progress = took(gap, snapshot, word(8, "three."), complete(9, "One two three."))
    assert (progress.answer.text, progress.answer.gaps) == ("One two three.", 1)


def test_a_reader_of_the_rest_has_the_rest_of_the_words() -> None:
    rest = Progress(Answer("Why?", "asked-once", "chat-1", "run-1"), after=1)
    for one in (word(2, "two."), complete(3, "One two.")):
        rest.take(one)
    assert rest.answer.text == "two."
    rest = Progress(Answer("Why?", "asked-once", "chat-1", "run-1"), after=1)
    rest.take(word(2, "three."))
    with pytest.raises(Broken):
        rest.take(complete(3, "One two."))


def test_a_run_may_end_otherwise() -> None:
    assert took(frame(1, "error", code="storage_unavailable")).answer.error == "storage_unavailable"
    assert took(word(1, "One "), frame(2, "status", status="cancelled")).answer.error == "cancelled"


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([word(1, "One "), word(1, "One ")], id="a frame twice"),
        pytest.param([word(1, "One "), word(3, "three ")], id="a frame left out"),
        pytest.param([word(1, "One "), {**word(2, "two "), "run_id": "another"}], id="another run's frame"),
        pytest.param([word(1, "One."), complete(2, "One."), word(3, "two")], id="a frame after the last"),
        pytest.param([word(1, "One "), word(2, "three."), complete(3, "One two three.")], id="a word left out"),
        pytest.param([word(1, "One "), word(2, "One "), complete(3, "One ")], id="a word twice"),
        pytest.param([word(1, "One "), {"type": "gap", "from": 3, "to": 4}], id="a gap that is too late"),
        pytest.param([{"type": "gap", "from": 1, "to": 4}, word(5, "five")], id="a gap without a snapshot"),
        pytest.param([{"type": "snapshot", "answer": "One ", "seq": 4}], id="a snapshot without a gap"),
        pytest.param(
            [{"type": "gap", "from": 1, "to": 4}, {"type": "snapshot", "answer": "", "seq": 5}], id="another gap's"
        ),
    ],
)
def test_whatever_else_comes_is_broken(frames: list[dict[str, Any]]) -> None:
    with pytest.raises(Broken):
        took(*frames)


def test_the_next_frame_after_a_moment_is_what_was_waited_for() -> None:
    answer = Answer("Why?", "asked-once", "chat-1", arrivals=[1.0, 2.0, 7.5])
    assert (answer.first_after(2.5), answer.first_after(8.0), answer.longest_wait) == (5.0, None, 5.5)

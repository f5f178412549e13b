"""Frames as the wire has them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.events import (
    Complete,
    Failure,
    Metadata,
    RunFrame,
    Source,
    Status,
    Step,
    Word,
    WordEncoder,
    citation_fields,
    encode,
    is_terminal,
)
from infrastructure.errors import ProviderUnavailable, RateLimited
from infrastructure.providers.types import Usage
from services.knowledge.grounding import Citation

RUN = "0190-run"
NOW = 1_700_000_000.25
VALID_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def told(frame: RunFrame, seq: int = 7) -> dict[str, Any]:
    """The frame as a client reads it, without what every frame has."""
    body: dict[str, Any] = json.loads(encode(frame, RUN, seq, NOW))
    assert (body.pop("run_id"), body.pop("seq"), body.pop("timestamp")) == (RUN, seq, NOW)
    return body


def cited(**fields: Any) -> Citation:
    known = {
        "id": 1, "document": "a.md", "document_id": "d", "chunk_id": "c", "page": None, "section": None, "start": 3,
        "end": 9, "quote": "quoted", "score": 0.5,
    }  # fmt: skip
    return Citation(**(known | fields))


def complete(**fields: Any) -> Complete:
    known = {
        "answer": "Yes [1].", "final_confidence": 0.9, "confidence": 0.9, "total_words": 2, "citations": (cited(),),
        "grounded": True, "usage": Usage(3, 4), "finish_reason": "stop", "model": "m", "session_id": "s",
    }  # fmt: skip
    return Complete(**(known | fields))


def test_a_status_says_where_the_run_stands() -> None:
    assert told(Status("streaming", "s")) == {"type": "status", "status": "streaming", "session_id": "s"}
    assert told(Status("queued")) == {"type": "status", "status": "queued"}


def test_metadata_says_null_for_words_it_cannot_know() -> None:
    frame = Metadata("s", 0.5, "m", (Source("a.md", 0.75),), "streaming")
    assert told(frame) == {
        "type": "metadata",
        "session_id": "s",
        "confidence": 0.5,
        "model": "m",
        "sources": [{"document": "a.md", "score": 0.75}],
        "processing_stage": "streaming",
        "total_words": None,
    }


def test_a_step_leaves_out_what_it_has_nothing_to_say_about() -> None:
    assert told(Step("retrieve", "started")) == {"type": "step", "name": "retrieve", "state": "started"}
    assert told(Step("search", "failed", "no", "c1")) == {
        "type": "step", "name": "search", "state": "failed", "detail": "no", "call_id": "c1",
    }  # fmt: skip


def test_a_complete_frame_has_the_whole_answer() -> None:
    assert told(complete()) == {
        "type": "complete",
        "answer": "Yes [1].",
        "final_confidence": 0.9,
        "confidence": 0.9,
        "total_words": 2,
        "citations": [
            {"id": 1, "document": "a.md", "document_id": "d", "chunk_id": "c", "start": 3, "end": 9, "quote": "quoted",
             "score": 0.5}
        ],
        "grounded": True,
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
        "finish_reason": "stop",
        "model": "m",
        "session_id": "s",
        "processing_stage": "response_complete",
    }  # fmt: skip


def test_a_citation_has_a_page_and_a_section_only_where_there_is_one() -> None:
    assert "page" not in citation_fields(cited())
    assert citation_fields(cited(page=2, section="A > B")).items() >= {"page": 2, "section": "A > B"}.items()


def test_an_error_says_the_same_text_twice_and_keeps_what_was_said() -> None:
    assert told(Failure.of(ProviderUnavailable("The model is away."), "Half")) == {
        "type": "error",
        "error": "The model is away.",
        "message": "The model is away.",
        "code": "provider_unavailable",
        "retryable": True,
        "answer": "Half",
        "processing_stage": "error",
    }


def test_an_error_leaves_out_a_partial_answer_that_is_none() -> None:
    body = told(Failure.of(RateLimited("Too many.", retry_after=2.0)))
    assert "answer" not in body
    assert body["retry_after"] == 2.0


@pytest.mark.parametrize(
    ("frame", "ends"),
    [
        (complete(), True),
        (Failure("e", "e", "internal_error", False), True),
        (Status("cancelled"), True),
        (Status("streaming"), False),
        (Status("queued"), False),
        (Status("restarted"), False),
        (Step("retrieve", "finished"), False),
        (Word("a ", 0, 0.5), False),
    ],
)
def test_the_frames_that_end_a_run(frame: RunFrame, ends: bool) -> None:
    assert is_terminal(frame) is ends


@given(content=VALID_TEXT, index=st.integers(0, 10**6), confidence=st.floats(0, 1), run_id=VALID_TEXT)
def test_the_quick_encoder_says_what_the_plain_one_says(
    content: str, index: int, confidence: float, run_id: str
) -> None:
    quick = json.loads(WordEncoder(run_id, confidence).encode(content, index, 3, NOW))
    assert quick.pop("run_id") == run_id
    plain = json.loads(encode(Word(content, index, confidence), "r", 3, NOW))
    del plain["run_id"]
    assert quick == plain


@pytest.mark.parametrize("text", ['%s %% %(x)d {0} "quoted" \\', "\u2028\u0000\u001b", "ünï 字 🦜\n", "</script>"])
def test_no_text_is_a_format_or_breaks_its_frame(text: str) -> None:
    data = WordEncoder("run%d", 1.0).encode(text, 0, 1, NOW)
    assert json.loads(data)["content"] == text
    assert b"\n" not in data
    assert told(Metadata(text, 0.5, text, (Source(text, 1.0),), text))["model"] == text
    assert told(complete(answer=text, model=text, citations=(cited(quote=text),)))["answer"] == text

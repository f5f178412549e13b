"""What a reading process says is checked, for a stranger's file may have made it say anything."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.chunk import Chunk
from services.knowledge.extracted import ExtractedDocument, PageSpan
from services.knowledge.reading_wire import HEADER, BadFrames, Kind, ReadDocument, decode, encode

ABOUT = {"title": "T", "media_type": "text/plain", "pages": [[1, 0, 4]]}
ROW = [0, 4, None, 1, "text", None, None]


def payloads(document: ExtractedDocument, chunks: list[Chunk], kind: Kind) -> list[bytes]:
    return [
        frame[HEADER.size :] for frame in encode(document, chunks) if HEADER.unpack(frame[: HEADER.size])[0] == kind
    ]


def through(document: ExtractedDocument, chunks: list[Chunk]) -> ReadDocument:
    (about,) = payloads(document, chunks, Kind.DOCUMENT)
    return decode(about, payloads(document, chunks, Kind.TEXT), payloads(document, chunks, Kind.CHUNKS))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.integers(0, 50), st.integers(0, 50))
def test_a_document_comes_through_as_it_was(text: str, one: int, other: int) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    document = ExtractedDocument(text, "T", "text/plain", (), (PageSpan(1, 0, len(text)),))
    chunks = [Chunk(start, end, text[start:end], "A > B", 1), Chunk(start, end, text[start:end], None)]
    assert through(document, chunks) == ReadDocument(document, chunks)


def test_a_long_text_and_many_chunks_come_in_pieces() -> None:
    document = ExtractedDocument("ä" * 200_000, "T", "text/plain", ())
    chunks = [Chunk(n, n + 1, "ä", None) for n in range(1000)]
    assert len(payloads(document, chunks, Kind.TEXT)) > 2
    assert len(payloads(document, chunks, Kind.CHUNKS)) > 2
    assert through(document, chunks) == ReadDocument(document, chunks)


def test_a_curated_entry_has_its_question_and_answer() -> None:
    document = ExtractedDocument("Why?\nSo.\n\n", "T", "application/json", ())
    entry = Chunk(0, 8, "Why?\nSo.", None, kind="qa", question="Why?", answer_start=5, answer_end=8)
    assert through(document, [entry]).chunks == [entry]


@pytest.mark.parametrize(
    "row",
    [
        [-1, 4, *ROW[2:]],
        [0, 5, *ROW[2:]],
        [3, 2, *ROW[2:]],
        [0.0, 4, *ROW[2:]],
        [True, 4, *ROW[2:]],
        [0, 4, 7, 1, "text", None, None],
        [0, 4, None, "1", "text", None, None],
        [0, 4, None, None, "qa", 2, 9],
        [0, 4, None, None, "qa", None, None],
        [0, 4],
        7,
        None,
    ],
)
def test_a_chunk_that_is_none_is_refused(row: object) -> None:
    with pytest.raises(BadFrames):
        decode(orjson.dumps(ABOUT), [b"text"], [orjson.dumps([row])])


@pytest.mark.parametrize(
    "about",
    [
        {},
        {**ABOUT, "title": None},
        {**ABOUT, "media_type": 1},
        {**ABOUT, "pages": [[1, 0, 5]]},
        {**ABOUT, "pages": [["1", 0, 4]]},
        {**ABOUT, "pages": [7]},
        [],
    ],
)
def test_a_document_that_is_none_is_refused(about: object) -> None:
    with pytest.raises(BadFrames):
        decode(orjson.dumps(about), [b"text"], [])


def test_bytes_that_are_no_text_or_no_json_are_refused() -> None:
    for about, text, chunks in ((b"{", b"text", b"[]"), (orjson.dumps(ABOUT), b"\xff", b"[]")):
        with pytest.raises(BadFrames):
            decode(about, [text], [chunks])
    with pytest.raises(BadFrames):
        decode(orjson.dumps(ABOUT), [b"text"], [b"nonsense"])

"""Chunking: exact places, nothing lost, sections kept apart."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.chunk import STRETCH, Chunk, chunk
from services.knowledge.extract import extract
from services.knowledge.extracted import ExtractedDocument

SENTENCE = "The quick brown fox jumps over the lazy dog number {}. "


def prose(count: int) -> str:
    return "".join(SENTENCE.format(n) for n in range(count)).strip()


def markdown(text: str) -> ExtractedDocument:
    return extract("a.md", text.encode())


def cut(text: str, size: int = 300, overlap: int = 60) -> list[Chunk]:
    return chunk(markdown(text), size, overlap)


def test_each_top_level_section_is_a_chunk_with_its_heading_line() -> None:
    chunks = cut("# Title\n\n## One\n\nfirst\n\n## Two\n\nsecond\n")
    assert [(c.section, c.text) for c in chunks] == [("One", "## One\n\nfirst"), ("Two", "## Two\n\nsecond")]


def test_a_title_with_text_below_it_is_a_chunk_of_no_section() -> None:
    chunks = cut("# Title\n\nIntro.\n\n## One\n\nfirst\n")
    assert [(c.section, c.text) for c in chunks] == [(None, "# Title\n\nIntro."), ("One", "## One\n\nfirst")]


def test_a_document_of_headings_alone_is_not_lost() -> None:
    assert [c.text for c in cut("# Title\n")] == ["# Title"]
    assert [c.text for c in cut("# Title\n\n## One\n\n## Two\n")] == ["## One", "## Two"]


def test_small_parts_of_a_section_go_together_under_what_they_share() -> None:
    chunks = cut("## A\n\n### B\n\nbee\n\n### C\n\nsea\n\n## D\n\nend\n")
    assert [c.section for c in chunks] == ["A", "D"]
    assert "bee" in chunks[0].text
    assert "sea" in chunks[0].text


def test_large_parts_of_a_section_stay_apart_under_their_own_headings() -> None:
    chunks = cut(f"# T\n\n## A\n\n### B\n\n{prose(4)}\n\n### C\n\n{prose(4)}\n")
    assert [c.section for c in chunks] == ["A > B", "A > C"]
    assert chunks[0].text.startswith("## A\n\n### B\n\nThe quick")


def test_a_later_heading_of_level_one_is_a_section() -> None:
    chunks = cut("# T\n\n## A\n\na\n\n# Appendix\n\n## B\n\nb\n")
    assert [c.section for c in chunks] == ["A", "Appendix > B"]


def test_a_section_that_fits_with_a_little_stretch_is_not_cut() -> None:
    section = f"## 1\n\n{prose(7)}"
    assert 300 < len(section) < 300 * STRETCH + 60
    assert len(cut(section, 310)) == 1


def test_a_long_paragraph_is_cut_at_sentence_ends_and_overlaps() -> None:
    chunks = cut(prose(40))
    assert len(chunks) > 5
    for left, right in pairwise(chunks):
        assert left.text.endswith(".")
        assert right.text.startswith("The quick")
        assert left.start < right.start < left.end < right.end


def test_paragraphs_are_packed_whole() -> None:
    paragraphs = [f"{n} {prose(2)}" for n in range(8)]
    chunks = cut("\n\n".join(paragraphs))
    assert all(any(paragraph in c.text for c in chunks) for paragraph in paragraphs)
    assert all(left.end <= right.start for left, right in pairwise(chunks))


def test_a_long_table_is_cut_between_its_rows() -> None:
    rows = "".join(f"| row {n} | some value. More of it |\n" for n in range(60))
    chunks = cut(f"| a | b |\n|---|---|\n{rows}", overlap=0)
    assert all(c.text.endswith("|") for c in chunks)
    assert all(c.text.startswith("|") for c in chunks)


def test_text_without_spaces_is_cut_all_the_same() -> None:
    chunks = cut("x" * 5000, overlap=0)
    assert "".join(c.text for c in chunks) == "x" * 5000


def test_scripts_without_spaces_are_cut_at_their_full_stops() -> None:
    assert all(c.text.endswith("。") for c in cut("これは文です。" * 200))


def test_a_curated_entry_is_one_chunk_with_its_answers_place() -> None:
    entries = [{"question": "Why?", "answer": prose(50)}, {"question": "How?", "answer": "So."}]
    document = extract("faq.json", json.dumps(entries).encode())
    first, second = chunk(document, 300, 60)
    assert (first.kind, first.question, second.question) == ("qa", "Why?", "How?")
    assert document.text[second.answer_start : second.answer_end] == "So."
    assert second.text == "How?\nSo."


def test_an_impossible_size_is_refused() -> None:
    with pytest.raises(ValueError, match="chunk size"):
        cut("a", size=5)


def test_an_overlap_of_nearly_the_size_still_gets_on() -> None:
    assert len(cut(prose(40), size=300, overlap=299)) < 30


LINES = st.lists(
    st.sampled_from(["# ", "## ", "### ", "- ", "> ", "", "    ", "```", "| a | ", "1. "]).flatmap(
        lambda mark: st.text(max_size=120).map(lambda words: mark + words)
    ),
    max_size=30,
).map("\n".join)


@given(LINES, st.integers(20, 300), st.integers(0, 200), st.sampled_from([".md", ".txt", ".html"]))
def test_places_are_exact_and_nothing_is_lost(source: str, size: int, overlap: int, ending: str) -> None:
    document = extract(f"a{ending}", source.encode("utf-8", "replace").replace(b"\0", b""))
    chunks = chunk(document, size, overlap)
    covered = [False] * len(document.text)
    for piece in chunks:
        assert piece.text == document.text[piece.start : piece.end]
        assert 0 < len(piece.text) <= size * STRETCH
        assert piece.text == piece.text.strip()
        covered[piece.start : piece.end] = [True] * len(piece.text)
    for block in document.blocks:
        if block.kind != "heading" or block.level != 1:
            assert all(covered[n] for n in range(block.start, block.end) if not document.text[n].isspace())
    assert [piece.start for piece in chunks] == sorted({piece.start for piece in chunks})

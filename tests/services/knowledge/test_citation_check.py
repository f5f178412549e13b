"""Citations against the documents: what holds, what moved, what is gone."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.knowledge.citation_check import CitationCheck, verified
from services.knowledge.grounding import Citation

TEXT = "Pools hold deposits.\nBorrowers post collateral worth more than debt.\nIt is liquidated."
QUOTE = "Borrowers post collateral worth more than debt."
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def citation(quote: str = QUOTE, start: int = TEXT.index(QUOTE), document_id: str = "d") -> Citation:
    return Citation(1, "a.md", document_id, "c", None, None, start, start + len(quote), quote, 0.9)


def test_a_quote_at_its_place_holds() -> None:
    assert verified(citation(), TEXT) == citation()


def test_a_quote_that_moved_gets_its_new_place() -> None:
    moved = verified(citation(), f"A new line.\n{TEXT}")
    assert moved is not None
    assert (moved.start, moved.end) == (citation().start + 12, citation().end + 12)


def test_a_quote_whose_white_space_changed_is_the_text_as_it_stands() -> None:
    text = TEXT.replace("post collateral", "post\n  collateral")
    held = verified(citation(), text)
    assert held is not None
    assert held.quote == text[held.start : held.end] == "Borrowers post\n  collateral worth more than debt."


@pytest.mark.parametrize("quote", ["Borrowers post nothing.", "", "   "])
def test_a_quote_that_stands_nowhere_is_none(quote: str) -> None:
    assert verified(replace(citation(), quote=quote, end=999), TEXT) is None


@given(st.text(alphabet="ab .\n", max_size=40), st.text(alphabet="ab .\n", max_size=8), st.integers(0, 40))
def test_what_holds_is_exactly_the_text_at_its_place(text: str, quote: str, start: int) -> None:
    held = verified(replace(citation(quote, start)), text)
    assert held is None or text[held.start : held.end] == held.quote


class Knowledge:
    changes = 0


async def put(database: Database, text: str) -> str:
    document_id = new_id()
    async with database.write() as session:
        await KnowledgeRepository(session).save(
            {
                "id": document_id, "partition": "", "name": document_id, "title": "A", "media_type": "text/markdown",
                "size_bytes": 1, "checksum": "0" * 64, "modified_ns": 0, "recipe": "", "text": text, "status": "ready",
                "error_message": None, "chunks_count": 0, "created_at": NOW, "updated_at": NOW,
            }
        )  # fmt: skip
    return document_id


async def test_what_changed_since_is_read_again(database: Database) -> None:
    knowledge = Knowledge()
    check = CitationCheck(database, knowledge)
    document_id = await put(database, f"Before. {TEXT}")
    gone = citation(document_id=new_id())
    mine = citation(document_id=document_id)
    since = check.mark()
    knowledge.changes += 1
    held = await check.check([mine, gone], since)
    assert [(one.document_id, one.start) for one in held] == [(document_id, mine.start + 8)]


async def test_without_a_change_nothing_is_read_where_this_process_alone_makes_them(database: Database) -> None:
    check = CitationCheck(database, Knowledge())
    mine = citation(document_id=await put(database, "Something else."))
    held = await check.check([mine], check.mark())
    assert held == ([mine] if database.is_sqlite else [])

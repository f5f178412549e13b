"""The library: documents by name, and nothing else by any name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infrastructure.errors import NotFound
from tests.services.knowledge.knowledge_base import KnowledgeBase, open_knowledge_base

TEXT = "Größe 😀 and more"


@pytest.fixture
async def kb(tmp_path: Path) -> AsyncIterator[KnowledgeBase]:
    async with open_knowledge_base(tmp_path) as kb:
        kb.write("dir/a.md", TEXT)
        kb.write("b.json", "{broken")
        await kb.indexer.start()
        yield kb


async def test_documents_are_listed_by_name(kb: KnowledgeBase) -> None:
    assert [(d.name, d.title, d.chunks_count) for d in await kb.library.list_documents()] == [("dir/a.md", "A", 1)]
    assert [d.name for d in await kb.library.list_documents(failed=True)] == ["b.json", "dir/a.md"]


async def test_the_status_counts_what_can_be_found(kb: KnowledgeBase) -> None:
    status = await kb.library.status()
    assert (status.documents, status.chunks, status.generation) == (1, 1, 2)
    assert [name for name, _ in status.failed] == ["b.json"]


@pytest.mark.parametrize(
    ("options", "expected", "end"),
    [
        ({}, TEXT, len(TEXT)),
        ({"start": 6, "end": 7}, "😀", 7),
        ({"start": 8, "limit": 3}, "and", 11),
        ({"end": 5, "limit": 100}, "Größe", 5),
        ({"start": 5, "end": 2}, "", 5),
        ({"start": 9999}, "", len(TEXT)),
        ({"start": 2**31, "end": 2**40}, "", len(TEXT)),
        ({"start": -5, "end": 2}, "Gr", 2),
    ],
)
async def test_a_range_is_counted_in_characters(
    kb: KnowledgeBase, options: dict[str, int], expected: str, end: int
) -> None:
    part = await kb.library.read_document("dir/a.md", **options)
    assert (part.text, part.end, part.total_chars) == (expected, end, len(TEXT))
    assert part.start == end - len(expected)


@pytest.mark.parametrize(
    "name",
    [
        "../knowledge/dir/a.md",
        "/etc/passwd",
        "a\0b",
        "dir/./a.md",
        "",
        "dir",
        "DIR/A.MD",
        "b.json",
        "\ud800",
        "x" * 9999,
    ],
)
async def test_any_other_name_is_not_found(kb: KnowledgeBase, name: str) -> None:
    with pytest.raises(NotFound):
        await kb.library.read_document(name)


async def test_a_document_that_went_since_the_list_was_read_is_not_found(kb: KnowledgeBase) -> None:
    await kb.library.list_documents()
    async with kb.database.write() as session:
        from sqlalchemy import text

        await session.execute(text("DELETE FROM document"))
    with pytest.raises(NotFound):
        await kb.library.read_document("dir/a.md")


async def test_the_list_is_read_once_until_something_changes(kb: KnowledgeBase) -> None:
    first = await kb.library.status()
    assert await kb.library.status() is first
    kb.write("c.md", "new")
    await kb.indexer.sync()
    assert (await kb.library.status()).documents == 2

"""The three tools over a real library: what a model may ask of the knowledge, and what it cannot reach."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents.tools.base import Tool
from agents.tools.list_knowledge_files import MAX_LISTED, list_knowledge_files
from agents.tools.read_knowledge_file import MAX_CHARS, read_knowledge_file
from agents.tools.search_knowledge_base import search_knowledge_base
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import upgrade
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.errors import ToolFailed
from services.knowledge.library import Library
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Retrieval
from tests.agents.fakes import found, passage

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LONG = "0123456789" * 3000


class Shelf:
    """A library, and a way to put documents into it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.library = Library(database)

    async def put(self, **texts: str) -> None:
        async with self._database.write() as session:
            for name, text in texts.items():
                await KnowledgeRepository(session).save(_document(str(uuid4()), name, text))
        self.library.forget()


def _document(document_id: str, name: str, text: str) -> dict[str, Any]:
    return {
        "id": document_id, "partition": "", "name": name, "title": f"Title of {name}", "media_type": "text/markdown",
        "size_bytes": len(text), "checksum": "0" * 64, "modified_ns": 0, "recipe": "", "text": text,
        "status": "ready", "error_message": None, "chunks_count": 0, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that the real migrations have built."""
    path = tmp_path_factory.mktemp("knowledge") / "migrated.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


@pytest.fixture
async def shelf(migrated: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    copy = tmp_path / "test.db"
    shutil.copy(migrated, copy)
    database = Database(open_engine(f"sqlite:///{copy}"))
    shelf = Shelf(database)
    await shelf.put(**{"guide.md": "The capital of France is Paris.", "long.txt": LONG})
    yield shelf
    await database.close()


async def read(shelf: Shelf, filename: str = "guide.md", **arguments: Any) -> Any:
    return await read_knowledge_file(shelf.library).run(json.dumps({"filename": filename, **arguments}), SHARED_SCOPE)


async def test_a_document_is_read_and_can_be_cited(shelf: Shelf) -> None:
    result = await read(shelf)
    assert result.text == "Characters 0 to 31 of 31."
    [part] = result.passages
    assert (part.document, part.title, part.text) == (
        "guide.md",
        "Title of guide.md",
        "The capital of France is Paris.",
    )
    assert (part.start, part.end, part.score) == (0, 31, 1.0)


async def test_a_part_of_a_document_knows_its_place(shelf: Shelf) -> None:
    result = await read(shelf, "long.txt", start=10_005, end=10_015)
    [part] = result.passages
    assert (part.text, part.start, part.end) == (LONG[10_005:10_015], 10_005, 10_015)
    assert result.text == "Characters 10005 to 10015 of 30000."


async def test_no_more_than_so_much_is_read_at_once(shelf: Shelf) -> None:
    result = await read(shelf, "long.txt", start=1, end=2**31)
    assert len(result.passages[0].text) == MAX_CHARS
    assert result.text == f"Characters 1 to {MAX_CHARS + 1} of 30000."


@pytest.mark.parametrize("where", [{"start": 31}, {"start": 2**31}, {"start": 20, "end": 10}, {"end": 0}])
async def test_an_empty_range_says_how_long_the_document_is(shelf: Shelf, where: dict[str, int]) -> None:
    with pytest.raises(ToolFailed, match="The file has 31 characters; that range is empty"):
        await read(shelf, **where)


@pytest.mark.parametrize(
    "name",
    [
        "secret.txt",
        "./secret.txt",
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\windows\\win.ini",
        "./guide.md",
        "sub/../guide.md",
        "guide.md\0",
        "GUIDE.MD",
        "file:///etc/passwd",
        "%2e%2e/etc/passwd",
        "~root/.ssh/id_rsa",
        "' OR 1=1 --",
        "*",
        ".",
    ],
)
async def test_a_name_is_no_path(shelf: Shelf, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.txt").write_text("canary")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolFailed, match=r"^There is no such file. list_knowledge_files tells the names.$"):
        await read(shelf, name)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"filename": ""},
        {"filename": "x" * 501},
        {"filename": ["guide.md"]},
        {"filename": None},
        {"filename": "guide.md", "start": -1},
        {"filename": "guide.md", "start": "0"},
        {"filename": "guide.md", "start": 0.5},
        {"filename": "guide.md", "end": 2**40},
        {"filename": "guide.md", "path": "/etc/passwd"},
    ],
)
async def test_arguments_that_are_not_its_own_are_refused(shelf: Shelf, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed, match="arguments are not valid"):
        await read_knowledge_file(shelf.library).run(json.dumps(arguments), SHARED_SCOPE)


async def test_documents_are_listed_by_name(shelf: Shelf) -> None:
    result = await list_knowledge_files(shelf.library).run("{}", SHARED_SCOPE)
    assert result.text == "guide.md - Title of guide.md\nlong.txt - Title of long.txt"
    assert result.passages == ()


async def test_a_long_list_is_cut_and_says_so(shelf: Shelf) -> None:
    await shelf.put(**{f"n{number:04}.md": "x" for number in range(MAX_LISTED)})
    lines = (await list_knowledge_files(shelf.library).run("", SHARED_SCOPE)).text.splitlines()
    assert len(lines) == MAX_LISTED + 1
    assert lines[-1] == "… and 2 more"


async def test_an_empty_library_says_so(shelf: Shelf) -> None:
    async with shelf._database.write() as session:
        for document in await KnowledgeRepository(session).documents():
            await KnowledgeRepository(session).remove(document.id)
    shelf.library.forget()
    assert (await list_knowledge_files(shelf.library).run("{}", SHARED_SCOPE)).text == "There are no documents."


def search_tool(retrieval: Retrieval, asked: list[tuple[str, int]]) -> Tool:
    async def search(query: str, limit: int, scope: Scope) -> Retrieval:
        asked.append((query, limit))
        return retrieval

    return search_knowledge_base(search, 4)


async def test_a_search_gives_its_passages() -> None:
    asked: list[tuple[str, int]] = []
    result = await search_tool(found(passage(), passage("Two.", 2)), asked).run('{"query": "capital"}', SHARED_SCOPE)
    assert asked == [("capital", 4)]
    assert result.text == "2 passages, best first."
    assert [one.chunk_id for one in result.passages] == ["c1", "c2"]


async def test_a_search_that_finds_nothing_says_so() -> None:
    assert (await search_tool(found(), []).run('{"query": "x"}', SHARED_SCOPE)).text == "Nothing was found."


@pytest.mark.parametrize("query", ["", "x" * 501, None, 5, ["x"]])
async def test_a_search_for_nothing_or_too_much_is_refused(query: Any) -> None:
    asked: list[tuple[str, int]] = []
    with pytest.raises(ToolFailed):
        await search_tool(found(), asked).run(json.dumps({"query": query}), SHARED_SCOPE)
    assert asked == []

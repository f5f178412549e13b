"""Embedding models and what they have embedded, on both databases."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database
from infrastructure.database.models import ChunkEmbedding, new_id
from infrastructure.database.repositories.embedding_models import EmbeddingModelRepository, EmbeddingRepository
from infrastructure.database.repositories.knowledge import KnowledgeRepository

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)


def model(name: str, **more: Any) -> dict[str, Any]:
    values = {
        "id": new_id(), "name": name, "description": None, "provider": "openai", "dimensions": None,
        "is_default": False, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return values | more


async def add_document(database: Database, chunks: int, status: str = "ready") -> tuple[str, list[int]]:
    """Its id, and its chunks' rows."""
    document_id = new_id()
    values = {
        "id": document_id, "partition": "", "name": document_id, "title": "", "media_type": "", "size_bytes": 0,
        "checksum": "", "modified_ns": 0, "recipe": "", "text": "", "status": status, "chunks_count": chunks,
        "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    async with database.write() as session:
        repository = KnowledgeRepository(session)
        await repository.save(values)
        rows = await repository.add_chunks(document_id, [{"kind": "text", "start": 0, "end": 0}] * chunks)
    return document_id, [row[0] for row in rows]


async def test_one_model_is_the_default(database: Database) -> None:
    first, second = model("first"), model("second")
    async with database.write() as session:
        repository = EmbeddingModelRepository(session)
        for values in (first, second):
            await repository.add(values)
            await repository.make_default(values["id"], NOW)
        await repository.note_dimensions("openai", "first", 26)
    async with database.read() as session:
        repository = EmbeddingModelRepository(session)
        found = [(row.name, row.is_default, row.dimensions) for row in await repository.all()]
        assert found == [("first", False, 26), ("second", True, None)]
        assert await repository.get(new_id()) is None
    for bad in (model("first"), model("third", is_default=True)):
        with pytest.raises(IntegrityError):
            async with database.write() as session:
                await EmbeddingModelRepository(session).add(bad)
    async with database.write() as session:
        await EmbeddingModelRepository(session).remove(first["id"])
    async with database.read() as session:
        assert [row.name for row in await EmbeddingModelRepository(session).all()] == ["second"]


async def test_what_a_model_lacks_is_found_and_added_once(database: Database) -> None:
    documents = [await add_document(database, 3) for _ in range(3)]
    _, unready = await add_document(database, 2, "indexing")
    ids = sorted(document_id for document_id, _ in documents)
    async with database.write() as session:
        repository = EmbeddingRepository(session)
        assert await repository.chunks() == 9
        assert await repository.documents_lacking("new", None, 2) == ids[:2]
        assert await repository.documents_lacking("new", ids[1], 2) == ids[2:]
        document_id, rows = documents[0]
        assert await repository.add("new", [(row, b"1") for row in [*rows[:2], 10**9]]) == 2  # the last is gone
        assert await repository.add("new", []) == 0
        assert await repository.rows_lacking("new", document_id) == rows[2:]
        await repository.add("new", [(rows[1], b"2"), (rows[2], b"2")])
        assert await repository.rows_lacking("new", document_id) == []
        await repository.add("old", [(unready[0], b"3")])
        assert await repository.embedded() == {"new": 3, "old": 1}
    async with database.read() as session:
        kept = select(ChunkEmbedding.embedding).where(ChunkEmbedding.chunk_row == rows[1])
        assert (await session.execute(kept)).scalar_one() == b"1"  # the one that was first
        assert await EmbeddingRepository(session).documents_lacking("new", None, 9) == sorted(set(ids) - {document_id})


async def test_others_embeddings_are_removed_a_few_at_a_time(database: Database) -> None:
    _, rows = await add_document(database, 5)
    removed = []
    async with database.write() as session:
        repository = EmbeddingRepository(session)
        for name in ("old", "older", "new"):
            await repository.add(name, [(row, b"") for row in rows])
        while some := await repository.remove_some_but("new", 4):
            removed.append(some)
        assert removed == [4, 4, 2]
        assert await repository.embedded() == {"new": 5}

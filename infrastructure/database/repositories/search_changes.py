"""Changes of the tables that PostgreSQL searches in. Nothing here commits: that is the unit of work's, around it."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.copying import copy_rows
from infrastructure.database.search_tables import SearchTables

# The row is locked for the rest of the transaction: changes of one partition take turns.
_LOCK = """
    INSERT INTO search_partition_$ (partition) VALUES (:partition)
    ON CONFLICT (partition) DO UPDATE SET partition = excluded.partition RETURNING generation
"""
_TOTALS = "SELECT measured, body, title, section FROM search_partition_$ WHERE partition = :partition"
_REMOVE = """
    WITH gone AS (
        DELETE FROM search_chunk_$ WHERE chunk_row = ANY(CAST(:rows AS bigint[])) AND partition = :partition
        RETURNING lexemes
    ), lost AS (
        SELECT lexeme, count(*) AS times FROM gone, unnest(tsvector_to_array(lexemes)) AS lexeme GROUP BY lexeme
    ), lowered AS (
        UPDATE search_term_$ SET held = held - times FROM lost WHERE partition = :partition AND term = lexeme
    ), asked AS (
        DELETE FROM search_question_$ WHERE chunk_row = ANY(CAST(:rows AS bigint[])) AND partition = :partition
        RETURNING chunk_row
    )
    UPDATE search_partition_$
    SET chunks = chunks - (SELECT count(*) FROM gone), questions = questions - (SELECT count(*) FROM asked)
    WHERE partition = :partition
"""
_COUNT_TERMS = """
    INSERT INTO search_term_$ AS known (partition, term, held)
    SELECT :partition, term, times FROM unnest(CAST(:terms AS text[]), CAST(:times AS bigint[])) AS added (term, times)
    ON CONFLICT (partition, term) DO UPDATE SET held = known.held + excluded.held
"""
_COUNT_CHUNKS = """
    UPDATE search_partition_$ SET chunks = chunks + :chunks, questions = questions + :questions,
        measured = measured + :chunks, body = body + :body, title = title + :title, section = section + :section
    WHERE partition = :partition
"""
_EXISTING = "SELECT chunk_row, embedded FROM search_chunk_$ WHERE chunk_row = ANY(CAST(:rows AS bigint[]))"
_LACKING = "SELECT EXISTS (SELECT FROM search_chunk_$ WHERE partition = :partition AND NOT embedded)"
_DOUBT_LACKING = """
    UPDATE search_partition_$ SET generation = NULL WHERE partition <> ''
    AND partition IN (SELECT partition FROM search_chunk_$ WHERE NOT embedded)
"""
_ROWS_OF = "SELECT chunk_row FROM search_chunk_$ WHERE partition = :partition"
_GENERATION = "SELECT generation FROM search_partition_$ WHERE partition = :partition"
_SET_GENERATION = "UPDATE search_partition_$ SET generation = :generation WHERE partition = :partition"
_CHUNK = ("chunk_row", "partition", "document_id", "lexemes", "terms", "embedding", "embedded")
_QUESTION = ("chunk_row", "partition", "document_id", "plain", "embedding")


class Lengths(NamedTuple):
    """How many terms stand in the fields of `measured` chunks, in all."""

    measured: int = 0
    body: int = 0
    title: int = 0
    section: int = 0


class ChunkEntry(NamedTuple):
    """A chunk as it is searched, with words and vectors in the server's binary form. It is not `embedded` where zeros
    stand for its vector, or for that of its question."""

    row: int
    partition: str
    document_id: str
    lexemes: bytes
    terms: bytes
    embedding: bytes
    embedded: bool


class QuestionEntry(NamedTuple):
    """The question of a curated entry. `plain` is the same for two that differ in nothing that counts."""

    row: int
    partition: str
    document_id: str
    plain: str
    embedding: bytes


class SearchChanges:
    """One session's changes of the tables of one model."""

    def __init__(self, session: AsyncSession, tables: SearchTables) -> None:
        self._session = session
        self._tables = tables

    async def lock(self, partition: str) -> int | None:
        """Let nobody else change a partition until the transaction ends. Its generation; None when not all of it is
        there."""
        found = await self._session.execute(self._tables.statement(_LOCK), {"partition": partition})
        generation: int | None = found.scalar_one()
        return generation

    async def generation(self, partition: str) -> int | None:
        """The partition's generation; None when not all of it is there."""
        found = await self._session.execute(self._tables.statement(_GENERATION), {"partition": partition})
        generation: int | None = found.scalar_one_or_none()
        return generation

    async def lengths(self, partition: str) -> Lengths:
        """How long the chunks are that were ever added to a partition."""
        found = await self._session.execute(self._tables.statement(_TOTALS), {"partition": partition})
        row = found.one_or_none()
        return Lengths(*row) if row else Lengths()

    async def existing(self, rows: Sequence[int]) -> dict[int, bool]:
        """Those of `rows` that are there, and whether each is embedded."""
        found = await self._session.execute(self._tables.statement(_EXISTING), {"rows": rows})
        return {row: embedded for row, embedded in found}

    async def lacks_vectors(self, partition: str) -> bool:
        """Whether a chunk of the partition is not embedded."""
        found = await self._session.execute(self._tables.statement(_LACKING), {"partition": partition})
        return bool(found.scalar_one())

    async def doubt_lacking(self) -> None:
        """Have the owners' partitions looked at again in which a chunk is not embedded."""
        await self._session.execute(self._tables.statement(_DOUBT_LACKING))

    async def rows_of(self, partition: str) -> set[int]:
        """The rows of all chunks of a partition."""
        found = await self._session.execute(self._tables.statement(_ROWS_OF), {"partition": partition})
        return set(found.scalars())

    async def remove(self, partition: str, rows: Collection[int]) -> None:
        """Remove those of `rows` that are of the partition, which is locked."""
        if rows:
            values = {"partition": partition, "rows": list(rows)}
            await self._session.execute(self._tables.statement(_REMOVE), values)

    async def add(
        self,
        partition: str,
        chunks: Sequence[ChunkEntry],
        questions: Sequence[QuestionEntry],
        lengths: Lengths,
        held: Mapping[str, int],
    ) -> None:
        """Add chunks to the partition, which is locked; none of their rows is there. `held`: how many of them hold each
        term."""
        if not chunks:
            return
        await copy_rows(self._session, self._tables.named("search_chunk_$"), _CHUNK, chunks)
        if questions:
            await copy_rows(self._session, self._tables.named("search_question_$"), _QUESTION, questions)
        counted = {"partition": partition, "terms": list(held), "times": list(held.values())}
        await self._session.execute(self._tables.statement(_COUNT_TERMS), counted)
        totals = {
            "chunks": len(chunks), "questions": len(questions),
            "body": lengths.body, "title": lengths.title, "section": lengths.section,
        }  # fmt: skip
        await self._session.execute(self._tables.statement(_COUNT_CHUNKS), {"partition": partition, **totals})

    async def set_generation(self, partition: str, generation: int | None) -> None:
        """Say that the partition holds all of `generation`; None: that something may be missing."""
        values = {"partition": partition, "generation": generation}
        await self._session.execute(self._tables.statement(_SET_GENERATION), values)

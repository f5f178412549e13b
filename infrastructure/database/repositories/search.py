"""Queries of the tables that PostgreSQL searches in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import SHARED
from infrastructure.database.repositories.search_sql import (
    COMMON,
    COUNT,
    LOOK,
    NEAREST,
    ONLY,
    QUESTIONS,
    TERMS,
    best_statement,
)
from infrastructure.database.search_tables import SearchTables


class PartitionSize(NamedTuple):
    """How much of a partition is there. `generation`: what of it is indexed, None while not all of it can be;
    `stored`: how often the partition has changed."""

    chunks: int
    questions: int
    generation: int | None
    stored: int


@dataclass(frozen=True, slots=True)
class Look:
    """What a search has to know first: the partitions by name, how many of their chunks hold each of the terms, and how
    many chunks there are of the documents that it keeps to (None: of all), counted up to a bound."""

    partitions: Mapping[str, PartitionSize]
    held: Mapping[str, int]
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for. `words` has a weight for each term and `vector` is the question's, as text for PostgreSQL.
    `holding`, a tsquery: what a candidate by words holds; None for none. `per_score` times the weighed words plus
    `share` times the cosine is what is best.
    """

    words: str
    vector: str
    by_vector: bool  # False where nothing is known of the vector: then it is zeros
    holding: str | None
    share: float
    per_score: float
    size: int
    matched: int


@dataclass(frozen=True, slots=True)
class Within:
    """Where a search looks: every chunk of `exact`, and by the indexes into `indexed`; both are partitions."""

    exact: Sequence[str]
    indexed: Sequence[str]
    only: Collection[str] | None


class FoundChunk(NamedTuple):
    """A chunk with its scores and its embedding as `halfvec_send` gives it."""

    row: int
    lexical: float
    cosine: float
    fused: float
    embedding: bytes


class FoundQuestion(NamedTuple):
    row: int
    cosine: float
    same: bool


class SearchRepository:
    """The tables of one model as one session sees them. `look` comes first: it also makes the settings for the rest of
    the transaction."""

    def __init__(self, session: AsyncSession, tables: SearchTables) -> None:
        self._session = session
        self._tables = tables

    async def look(self, partitions: Sequence[str], terms: Sequence[str]) -> Look:
        sizes, held = {}, {}
        for kind, name, *numbers in await self._rows(LOOK, {"partitions": partitions, "terms": terms}):
            if kind == 0:
                chunks, questions, generation, stored = numbers
                sizes[name] = PartitionSize(chunks or 0, questions or 0, generation, stored or 0)
            elif kind == 1:
                held[name] = max(numbers[0], 0)
        return Look(sizes, held)

    async def count(self, partitions: Sequence[str], only: Collection[str], most: int) -> int:
        """How many chunks there are of documents, counted up to `most`."""
        values = {"partitions": partitions, "only": list(only), "most": most}
        return int((await self._rows(COUNT, values))[0][0])

    async def held(self, partitions: Sequence[str], terms: Sequence[str]) -> dict[str, int]:
        """How many chunks of the partitions hold each of the terms."""
        return {
            term: max(held, 0) for term, held in await self._rows(TERMS, {"partitions": partitions, "terms": terms})
        }

    async def common_terms(self, partition: str, limit: int) -> dict[str, int]:
        """The terms that most chunks hold, and how many do."""
        return {term: held for term, held in await self._rows(COMMON, {"partition": partition, "limit": limit})}

    async def questions(
        self, partitions: Sequence[str], only: Collection[str] | None, vector: str, plain: str
    ) -> list[FoundQuestion]:
        """The curated questions nearest to a vector, nearest first, and then the very same one if there is one."""
        values = {
            "partitions": partitions,
            "vector": vector,
            "plain": plain,
            "limit": NEAREST,
            "only": list(only or ()),
        }
        sql = QUESTIONS.format(only="true" if only is None else ONLY)
        return [FoundQuestion(*row) for row in await self._rows(sql, values)]

    async def best(self, asked: Asked, within: Within, questions: Mapping[int, float]) -> list[FoundChunk]:
        """The best chunks by words and vectors together, best first. `questions`: how near the questions of some
        chunks are; such a chunk is as near as its question is, if that is nearer."""
        if not within.exact and not within.indexed:
            return []
        owned = [name for name in within.indexed if name != SHARED]
        sql = best_statement(
            bool(within.exact),
            SHARED in within.indexed,
            bool(owned),
            within.only is not None,
            asked.by_vector,
            asked.holding is not None,
        )
        values = {
            "words": asked.words, "vector": asked.vector, "holding": asked.holding, "share": asked.share,
            "per_score": asked.per_score, "size": asked.size, "matched": asked.matched, "nearest": NEAREST,
            "exact": list(within.exact), "owned": owned, "only": list(within.only or ()),
            "rows": list(questions), "nearness": list(questions.values()),
        }  # fmt: skip
        return [FoundChunk(*row) for row in await self._rows(sql, values)]

    async def _rows(self, sql: str, values: Mapping[str, Any]) -> Sequence[Any]:
        return (await self._session.execute(self._tables.statement(sql), values)).all()

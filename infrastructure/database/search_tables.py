"""The tables that PostgreSQL searches in, and how they are made.

They are derived data, in no migration: their form depends on the embedding model, which may change while the service
runs. Each model has its own, named after what they depend on.
"""

from dataclasses import dataclass
from hashlib import blake2s

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database

FORMAT = 1
"""Raise it when the tables change: others are made beside them, and filled anew."""

_LOCK = 0x4173_6B47_5365_6172  # "AskGSear": the key of the advisory lock for making tables and indexes
_NAMES = ("search_chunk_$", "search_question_$", "search_term_$", "search_partition_$")
# A limit: the graph of 100,000 vectors of 256 dimensions takes some 100 MB. Several workers would share it in /dev/shm,
# for which a container has 64 MB.
_BUILD_SETTINGS = text(
    "SELECT set_config('maintenance_work_mem', '1GB', true), set_config('max_parallel_maintenance_workers', '0', true)"
)

# Rows are some 2.5 KB, just above what PostgreSQL would begin to compress and to put elsewhere.
_TABLES = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    """CREATE TABLE IF NOT EXISTS search_chunk_$ (
        chunk_row bigint PRIMARY KEY, partition text COLLATE "C" NOT NULL, document_id text COLLATE "C" NOT NULL,
        lexemes tsvector NOT NULL, terms sparsevec NOT NULL, embedding halfvec(:dimensions) NOT NULL,
        embedded boolean NOT NULL
    ) WITH (toast_tuple_target = 8160)""",
    """CREATE TABLE IF NOT EXISTS search_question_$ (
        chunk_row bigint PRIMARY KEY, partition text COLLATE "C" NOT NULL, document_id text COLLATE "C" NOT NULL,
        plain text COLLATE "C" NOT NULL, embedding halfvec(:dimensions) NOT NULL
    ) WITH (toast_tuple_target = 8160)""",
    """CREATE TABLE IF NOT EXISTS search_term_$ (
        partition text COLLATE "C", term text COLLATE "C", held bigint NOT NULL, PRIMARY KEY (partition, term)
    ) WITH (fillfactor = 80)""",
    """CREATE TABLE IF NOT EXISTS search_partition_$ (
        partition text COLLATE "C" PRIMARY KEY, generation bigint, chunks bigint NOT NULL DEFAULT 0,
        questions bigint NOT NULL DEFAULT 0, measured bigint NOT NULL DEFAULT 0, body bigint NOT NULL DEFAULT 0,
        title bigint NOT NULL DEFAULT 0, section bigint NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX IF NOT EXISTS search_chunk_partition_$ ON search_chunk_$ (partition)",
    "CREATE INDEX IF NOT EXISTS search_chunk_document_$ ON search_chunk_$ (document_id)",
    "CREATE INDEX IF NOT EXISTS search_chunk_lacking_$ ON search_chunk_$ (partition) WHERE NOT embedded",
    "CREATE INDEX IF NOT EXISTS search_question_plain_$ ON search_question_$ (partition, plain)",
)
# The shared knowledge has a graph of its own: a search of it would else wade through everybody's files.
_INDEXES = (
    "CREATE INDEX search_chunk_lexemes_$ ON search_chunk_$ USING gin (lexemes) WITH (fastupdate = off)",
    """CREATE INDEX search_chunk_shared_$ ON search_chunk_$ USING hnsw (embedding halfvec_ip_ops)
        WITH (m = 24, ef_construction = 200) WHERE partition = ''""",
    """CREATE INDEX search_chunk_owned_$ ON search_chunk_$ USING hnsw (embedding halfvec_ip_ops)
        WITH (m = 24, ef_construction = 200) WHERE partition <> ''""",
    "CREATE INDEX search_question_near_$ ON search_question_$ USING hnsw (embedding halfvec_ip_ops)",
)


@dataclass(frozen=True, slots=True)
class SearchTables:
    """The tables of one model. `suffix` is what their names end in."""

    suffix: str
    dimensions: int

    @classmethod
    def of(cls, model: str, dimensions: int, analysis: int) -> "SearchTables":
        """`analysis` is the number of how texts become terms."""
        about = f"{FORMAT} {analysis} {dimensions} {model}"
        return cls(blake2s(about.encode(), digest_size=6).hexdigest(), dimensions)

    def named(self, name: str) -> str:
        """A name, or a whole statement, in which `$` stands for the suffix."""
        return name.replace("$", self.suffix)

    def statement(self, sql: str) -> TextClause:
        return text(self.named(sql))

    async def make(self, database: Database) -> None:
        """Make the tables that are missing. Processes that do it at once take turns."""
        async with database.read() as session:
            if await self._has(session, "search_partition_$"):
                return
        async with database.write() as session:
            await _lock(session)
            for sql in _TABLES:
                await session.execute(self.statement(sql.replace(":dimensions", str(self.dimensions))))

    async def build_indexes(self, database: Database) -> None:
        """Build what finds words and vectors, where it is missing: far quicker over rows that are there already."""
        async with database.read() as session:
            if await self._has(session, "search_question_near_$"):
                return
        async with database.write() as session:
            await _lock(session)
            if not await self._has(session, "search_question_near_$"):  # the last one that is made
                await session.execute(_BUILD_SETTINGS)
                for sql in _INDEXES:
                    await session.execute(self.statement(sql))
            for name in _NAMES:
                await session.execute(self.statement(f"ANALYZE {name}"))

    async def drop(self, database: Database) -> None:
        """Drop them, when the model is not used any more."""
        async with database.write() as session:
            await _lock(session)
            await session.execute(self.statement(f"DROP TABLE IF EXISTS {', '.join(_NAMES)}"))

    async def _has(self, session: AsyncSession, name: str) -> bool:
        found = await session.execute(text("SELECT to_regclass(:name) IS NOT NULL"), {"name": self.named(name)})
        return bool(found.scalar_one())


async def _lock(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})

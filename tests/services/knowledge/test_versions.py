"""The version of the knowledge: another one after each change of what a search would find, and of nothing else."""

from collections.abc import Hashable, Sequence

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.embeddings import Embeddings
from services.knowledge.changes import ChangeCounts
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.versions import KnowledgeVersions
from tests.services.knowledge.corpus import EMBEDDER, Source, chunk, knowledge, open_index
from tests.services.knowledge.postgres_knowledge import ANNA, ANTS, Opened, add

BOTH = (SHARED, "anna")


def test_changes_are_counted_for_their_partition() -> None:
    counts = ChangeCounts()
    before, others = counts.of(BOTH), counts.of(["ben"])
    counts.note("anna")
    assert counts.of(BOTH) != before
    assert counts.of(["ben"]) == others
    counts.note_all()
    assert counts.of(["ben"]) != others
    assert counts.total == 2


async def test_a_search_index_has_another_version_while_it_changes_and_yet_another_when_it_is_done() -> None:
    index = await open_index(knowledge())
    seen = [await index.version(BOTH)]
    replaced = index._replace

    async def replacing(*given: object) -> None:
        seen.append(await index.version(BOTH))
        await replaced(*given)  # type: ignore[arg-type]

    index._replace = replacing  # type: ignore[method-assign,assignment]
    vectors = EMBEDDER.embed([one.index_text() for one in ANNA])
    other = await index.version((SHARED,))
    await index.replace("anna", [], ANNA, vectors, generation=1)
    seen.append(await index.version(BOTH))
    await index.search("walrus")
    assert len(set(seen)) == 3
    assert await index.version(BOTH) == seen[-1], "what is only read is not changed"
    assert await index.version((SHARED,)) == other
    await index.adopt(Embeddings(EMBEDDER), Source())
    assert await index.version((SHARED,)) != other
    await index.aclose()


async def test_postgres_tells_every_process_of_a_change_by_any(search: PostgresSearch, opened: Opened) -> None:
    other = opened(Source(shared=knowledge(), anna=ANNA))
    before = await other.version((SHARED,))
    assert before == await other.version((SHARED,))
    await add(search, SHARED, ANTS, generation=2)
    assert await other.version((SHARED,)) != before


async def test_postgres_has_no_version_while_its_tables_may_lack_something(search: PostgresSearch) -> None:
    database = search._database
    async with database.write() as session:
        generation = await KnowledgeRepository(session).next_generation(SHARED)
    assert await search.version((SHARED,)) is not None
    await add(search, SHARED, chunk(95, "later.md", "Later."), generation=generation + 5)  # one between is missing
    assert await search.version((SHARED,)) is None


class Told:
    def __init__(self, version: Hashable | None) -> None:
        self.found = version

    async def version(self, partitions: Sequence[str]) -> Hashable | None:
        return self.found


async def test_a_database_that_others_change_too_is_asked_as_well(database: Database) -> None:
    versions = KnowledgeVersions(database, Told(7))
    before = await versions.of(BOTH)
    async with database.write() as session:
        await KnowledgeRepository(session).next_generation("anna")
    assert (await versions.of(BOTH) == before) is database.is_sqlite
    assert await versions.of((SHARED,)) == await versions.of((SHARED,))


async def test_where_the_search_can_tell_nothing_there_is_no_version(database: Database) -> None:
    assert await KnowledgeVersions(database, Told(None)).of(BOTH) is None


@pytest.mark.parametrize("partition", ["", "ä" * 50, "01a1"])
def test_a_partition_of_any_name_can_be_counted(partition: str) -> None:
    counts = ChangeCounts()
    counts.note(partition)
    assert counts.of([partition]) == (0, 1)

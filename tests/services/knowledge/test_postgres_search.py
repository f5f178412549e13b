"""Search on PostgreSQL: that it finds what the search index in memory finds, and that every process sees the same."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.postgres_search import PostgresSearch
from services.knowledge.scope import Scope
from services.knowledge.served import Batch
from tests.services.knowledge.corpus import CURATED, EMBEDDER, TEXTS, Source, chunk, knowledge, open_index
from tests.services.knowledge.postgres_knowledge import ANNA, ANTS, BEES, BEN, NOTHING, Opened, add, batches, own, texts


@pytest.mark.usefixtures("way")
async def test_it_finds_what_the_search_index_in_memory_finds(search: PostgresSearch) -> None:
    index = await open_index(knowledge())
    for question in ("What is impermanent loss?", "When did Ethereum move to proof of stake?", "collateral", "flash"):
        mine, other = await search.search(question), await index.search(question)
        assert [one.chunk_id for one in mine.passages][:3] == [one.chunk_id for one in other.passages][:3]
        assert mine.confidence == pytest.approx(other.confidence, abs=0.01)
        assert mine.signals.lexical == pytest.approx(other.signals.lexical, abs=0.02)
        assert mine.signals.cosine == pytest.approx(other.signals.cosine, abs=0.002)
    await index.aclose()


@pytest.mark.usefixtures("way")
async def test_a_curated_question_is_matched_and_its_answer_is_exact(search: PostgresSearch) -> None:
    match = (await search.search("what is a FLASH loan")).curated
    assert match is not None
    assert match.similarity == 1
    assert match.answer == CURATED["What is a flash loan?"]
    near = (await search.search("What is the meaning of a flash loan?")).curated
    assert near is not None
    assert 0.7 < near.similarity < 1
    assert (await search.search("What is staking?")).curated is None


@pytest.mark.usefixtures("way")
async def test_what_the_knowledge_does_not_answer_is_not_confident(search: PostgresSearch) -> None:
    for question in ("What is the capital of France?", "?", "", "\x00"):
        assert 0 < (await search.search(question)).confidence < ANSWER_THRESHOLD
    assert (await search.search("oracle")).passages[0].document == "oracle.md"


@pytest.mark.usefixtures("way")
async def test_a_hostile_query_is_only_text(search: PostgresSearch) -> None:
    for query in ("' | 'a:* & !(", "*" * 5000, "oracle " * 3000, "%s :name $1 \\' \\", "\u202e", "word " * 100):
        assert len((await search.search(query)).passages) <= 8


async def test_an_empty_knowledge_has_nothing(opened: Opened) -> None:
    search = opened()
    found = await search.search("anything")
    assert (found.passages, found.curated, search.size, search.lexical_generation) == ((), None, 0, None)


async def test_a_change_is_seen_by_the_next_search_of_another_process(search: PostgresSearch, opened: Opened) -> None:
    fresh = chunk(50, "bees.md", "Bees make honey from nectar.")
    other = opened(Source(shared=[*knowledge(), fresh]))
    assert (await other.search("impermanent loss")).passages[0].document == "amm.md"
    await search.replace(SHARED, [2, 5], [fresh], EMBEDDER.embed([fresh.index_text()]), generation=2)
    for one in (search, other):
        assert (await one.search("honey")).passages[0].document == "bees.md"
        assert "amm.md" not in [passage.document for passage in (await one.search("impermanent loss")).passages]
        assert (await one.search("What is a flash loan?")).curated is None
        assert (one.size, one.lexical_generation) == (len(knowledge()) - 1, 2)


async def test_how_rare_terms_are_follows_the_knowledge(search: PostgresSearch) -> None:
    assert search.idf("nowher") > search.idf("oracl") > 0
    before = search.idf("oracl")
    await add(search, SHARED, chunk(50, "more.md", "Another oracle."), chunk(51, "x.md", "No bees."), generation=2)
    await search.search("oracle")
    assert search.idf("oracl") < before
    await search.withdraw(SHARED, [50, 51], generation=3)
    await search.search("oracle")
    assert search.idf("oracl") == before


async def test_nothing_is_read_where_the_tables_hold_the_generation(search: PostgresSearch, opened: Opened) -> None:
    async def none() -> AsyncIterator[Batch]:
        raise AssertionError("read anew")
        yield [], NOTHING

    other = opened(Source(shared=knowledge()))
    await other.load(none(), generation=1)
    assert (other.size, other.lexical_generation) == (len(knowledge()), 1)
    assert other.idf("oracl") == search.idf("oracl")
    assert (await other.search("oracle")).passages[0].document == "oracle.md"


async def test_loading_replaces_what_was_there(search: PostgresSearch) -> None:
    await search.load(batches([knowledge()[0], BEES]), generation=9)
    assert search.size == 2
    found = await search.search("oracle honey")
    assert [passage.document for passage in found.passages] == ["bees.md", "lending.md"]
    await search.load(batches([]), generation=10)
    assert (await search.search("honey")).passages == ()


async def test_loading_that_fails_is_taken_up_where_it_ended(search: PostgresSearch) -> None:

    async def broken() -> AsyncIterator[Batch]:
        yield [BEES], EMBEDDER.embed([BEES.text])
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await search.load(broken(), generation=9)
    assert (await search.search("oracle")).passages[0].document == "oracle.md"
    assert search.lexical_generation == 1
    await search.load(batches([*knowledge(), BEES]), generation=9)
    assert (search.size, search.lexical_generation) == (len(knowledge()) + 1, 9)


async def test_changes_that_were_missed_are_found_at_the_next_start(search: PostgresSearch, opened: Opened) -> None:
    await add(search, SHARED, BEES, generation=7)  # 2 to 6 never came
    assert search.lexical_generation is None
    await opened().load(batches([*knowledge(), BEES, ANTS]), generation=7)
    assert (await search.search("ants")).passages[0].document == "ants.md"
    assert search.lexical_generation == 7


async def test_two_processes_may_load_at_once(opened: Opened) -> None:
    one, other = opened(Source(shared=knowledge())), opened()
    await asyncio.gather(one.load(batches(knowledge()), generation=3), other.load(batches(knowledge()), generation=3))
    found = await one.search("oracle")
    assert found.passages[0].document == "oracle.md"
    assert (one.size, other.size) == (len(knowledge()), len(knowledge()))
    assert one.idf("oracl") == other.idf("oracl")


@pytest.mark.usefixtures("way")
async def test_a_search_meets_the_partitions_of_its_scope_and_no_other(search: PostgresSearch) -> None:
    await own(search)
    question = "What is the walrus called?"
    assert "walrus" not in texts(await search.search(question))
    mine = await search.search(question, 8, Scope((SHARED, "anna")))
    assert mine.passages[0].document == "anna.md"
    assert mine.confidence > ANSWER_THRESHOLD
    assert "Balthasar" not in texts(mine)
    both = await search.search(question, 8, Scope(("anna", "ben")))
    assert {"anna.md", "ben.md"} <= {passage.document for passage in both.passages}
    secret = "What is the password of Ben?"
    assert (await search.search(secret, 8, Scope((SHARED, "anna")))).curated is None
    assert (await search.search(secret, 8, Scope((SHARED, "ben")))).curated is not None


@pytest.mark.usefixtures("way")
async def test_another_owners_texts_change_nothing_of_what_is_found(search: PostgresSearch) -> None:
    question, scope = "What is a walrus and an oracle?", Scope((SHARED, "anna"))
    await add(search, "anna", *ANNA, generation=1)
    before = await search.search(question, 8, scope)
    await add(search, "ben", *BEN, generation=1)
    after = await search.search(question, 8, scope)
    assert (before.passages, before.confidence) == (after.passages, after.confidence)


@pytest.mark.usefixtures("way")
async def test_chosen_documents_are_all_that_is_searched(search: PostgresSearch) -> None:
    await own(search)
    only = frozenset({"d-other.md"})
    found = await search.search("Where does the walrus live?", 8, Scope(("ben",), only=only))
    assert {passage.document_id for passage in found.passages} == only
    assert (await search.search("What is the password of Ben?", 8, Scope(("ben",), only=only))).curated is None
    nothing = await search.search("Where does the walrus live?", 8, Scope((SHARED, "anna"), only=only))
    assert nothing.passages == ()
    assert (await search.search("walrus", 8, Scope(("ben",), only=frozenset()))).passages == ()


@pytest.mark.usefixtures("way")
async def test_what_is_looked_at_first_comes_first_where_it_answers(search: PostgresSearch) -> None:
    await own(search)
    scope = Scope((SHARED, "ben"), first=frozenset({"d-other.md"}))
    found = await search.search("Which bridge is the oldest?", 3, scope)
    assert found.passages[0].document == "other.md"
    assert len(found.passages) == 3
    elsewhere = await search.search("What is impermanent loss?", 3, scope)
    assert elsewhere.passages[0].document == "amm.md"


async def test_an_owners_partition_that_is_behind_is_brought_up_by_the_search(
    search: PostgresSearch, opened: Opened, knowledge_database: Database
) -> None:
    source = Source(carl=ANNA)
    other, scope = opened(source), Scope((SHARED, "carl"))
    assert "walrus" not in texts(await other.search("walrus", 8, scope))
    async with knowledge_database.write() as session:
        await KnowledgeRepository(session).next_generation("carl")
    found = await asyncio.gather(*[other.search("walrus", 8, scope) for _ in range(3)])
    assert [one.passages[0].document for one in found] == ["anna.md"] * 3
    assert source.read == ["carl"]
    async with knowledge_database.write() as session:
        await KnowledgeRepository(session).next_generation("carl")
    source.partitions["carl"] = []
    assert "walrus" not in texts(await other.search("walrus", 8, scope))
    assert "walrus" not in texts(await search.search("walrus", 8, scope))


async def test_texts_that_do_not_fit_in_memory_are_fetched(search: PostgresSearch, opened: Opened) -> None:
    source = Source(shared=[one for one in knowledge() if one.row != 1])  # one is gone in the meantime
    other = opened(source, text_bytes=2500)
    for _ in range(2):
        found = await other.search("What is impermanent loss?")
        assert found.passages[0].document == "amm.md"
        assert "lending.md" not in [passage.document for passage in found.passages]
    assert len(source.fetched) > len(knowledge())


async def test_a_scope_of_nothing_finds_nothing(search: PostgresSearch) -> None:
    assert (await search.search("oracle", 8, Scope(()))).passages == ()


async def test_searches_and_changes_may_run_at_the_same_time(search: PostgresSearch) -> None:
    async def change(generation: int) -> None:
        fresh = chunk(100 + generation, "bees.md", f"Bees make honey number {generation}.")
        await search.replace(SHARED, [99 + generation], [fresh], EMBEDDER.embed([fresh.text]), generation=generation)

    changes = [change(generation) for generation in range(2, 8)]
    searches = asyncio.gather(*[search.search("oracle") for _ in range(20)])
    await asyncio.gather(*changes)
    assert all(one.passages[0].document == "oracle.md" for one in await searches)
    assert (search.lexical_generation, search.size) == (7, len(knowledge()) + 1)


async def test_copies_of_a_text_are_shown_once(search: PostgresSearch) -> None:
    await add(search, SHARED, replace(chunk(50, "copy.md", TEXTS["amm.md"]), title="Amm"), generation=2)
    found = await search.search("What is impermanent loss?")
    assert [passage.text for passage in found.passages].count(TEXTS["amm.md"]) == 1

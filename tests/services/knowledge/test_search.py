"""The search index: what it finds, and how it follows the knowledge."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from infrastructure.database.models import SHARED
from infrastructure.errors import ProviderUnavailable
from infrastructure.lexical.tantivy import LexicalIndex
from services.embeddings import Embeddings
from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.records import ChunkRecord
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Retrieval, SearchIndex
from tests.services.knowledge.corpus import CURATED, EMBEDDER, TEXTS, Source, chunk, entry, knowledge, open_index


@pytest.fixture
async def index() -> AsyncIterator[SearchIndex]:
    index = await open_index(knowledge())
    yield index
    await index.aclose()


async def batches(
    chunks: Sequence[ChunkRecord], size: int = 2
) -> AsyncIterator[tuple[Sequence[ChunkRecord], np.ndarray]]:
    for start in range(0, len(chunks), size):
        part = chunks[start : start + size]
        yield part, EMBEDDER.embed([one.index_text() for one in part])


async def test_the_passage_that_answers_comes_first_with_its_exact_place(index: SearchIndex) -> None:
    found = await index.search("What is impermanent loss?")
    assert found.passages[0].document == "amm.md"
    assert found.passages[0].text == TEXTS["amm.md"][found.passages[0].start : found.passages[0].end]
    scores = [passage.score for passage in found.passages]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert found.took_ms > 0


async def test_a_limit_is_kept(index: SearchIndex) -> None:
    assert len((await index.search("oracle", 2)).passages) == 2


@pytest.mark.parametrize("question", ["What is impermanent loss?", "What does an oracle bring to a smart contract?"])
async def test_what_the_knowledge_answers_is_confident(index: SearchIndex, question: str) -> None:
    assert ANSWER_THRESHOLD < (await index.search(question)).confidence < 1


@pytest.mark.parametrize(
    "question",
    ["What is the capital of France?", "Who are you?", "?", "", "hello", "\x00\x00", "How tall is Mount Everest?"],
)
async def test_what_the_knowledge_does_not_answer_is_not_confident(index: SearchIndex, question: str) -> None:
    assert 0 < (await index.search(question)).confidence < ANSWER_THRESHOLD


async def test_a_curated_question_is_matched_and_its_answer_is_exact(index: SearchIndex) -> None:
    match = (await index.search("what is a FLASH loan")).curated
    assert match is not None
    assert match.similarity == 1
    assert match.answer == CURATED["What is a flash loan?"]
    assert match.answer_end - match.answer_start == len(match.answer)
    assert match.passage.text[match.answer_start - match.passage.start :] == match.answer


async def test_a_question_near_to_no_curated_one_has_no_match(index: SearchIndex) -> None:
    assert (await index.search("What is staking?")).curated is None


async def test_a_hostile_query_is_only_text(index: SearchIndex) -> None:
    for query in ('body:"a" AND (', "*" * 5000, "oracle " * 3000, "[a TO z]^9~", "\u202e"):
        assert len((await index.search(query)).passages) <= 8


async def test_an_empty_index_finds_nothing() -> None:
    index = await open_index([])
    found = await index.search("anything")
    assert (found.passages, found.curated) == ((), None)
    assert found.confidence < ANSWER_THRESHOLD
    await index.aclose()


async def test_a_change_is_seen_by_the_next_search(index: SearchIndex) -> None:
    fresh = chunk(50, "bees.md", "Bees make honey from nectar.")
    await index.replace(SHARED, [2], [fresh], EMBEDDER.embed([fresh.index_text()]), generation=2)
    assert (await index.search("honey")).passages[0].document == "bees.md"
    documents = [passage.document for passage in (await index.search("impermanent loss")).passages]
    assert "amm.md" not in documents
    assert index.lexical_generation == 2
    assert index.size == len(knowledge())


async def test_a_removed_curated_question_no_longer_matches(index: SearchIndex) -> None:
    await index.replace(SHARED, [5], [], np.empty((0, 256), np.float32), generation=2)
    assert (await index.search("What is a flash loan?")).curated is None


async def test_copies_of_a_text_are_shown_once() -> None:
    text = TEXTS["amm.md"]
    index = await open_index(
        [chunk(1, "amm.md", text), chunk(2, "copy.md", text), chunk(3, "x.md", TEXTS["oracle.md"])]
    )
    found = await index.search("What is impermanent loss?")
    assert [passage.text for passage in found.passages].count(text) == 1
    await index.aclose()


async def test_texts_that_differ_in_a_word_or_two_are_shown_once_and_others_are_not() -> None:
    text = " ".join([TEXTS["amm.md"], TEXTS["oracle.md"], TEXTS["lending.md"]])
    other = f"{text} {TEXTS['staking.md']}"
    chunks = [chunk(1, "amm.md", text), chunk(2, "amm.md", f"{text} Indeed."), chunk(3, "amm.md", other)]
    index = await open_index(chunks)
    found = await index.search("What is impermanent loss?")
    assert len(found.passages) == 2
    assert other in [passage.text for passage in found.passages]
    await index.aclose()


async def test_loading_builds_the_lexical_index_once_and_then_trusts_its_generation(tmp_path: Path) -> None:
    chunks = knowledge()
    for generation in (4, 4):
        index = SearchIndex(Embeddings(EMBEDDER), LexicalIndex(tmp_path), Source())
        before = index.lexical_generation
        await index.load(batches(chunks), generation=generation)
        assert (await index.search("oracle")).passages[0].document == "oracle.md"
        assert (await index.search("What is a flash loan?")).curated is not None
        await index.aclose()
    assert before == 4


async def test_loading_replaces_what_was_there(index: SearchIndex) -> None:
    await index.load(batches([chunk(90, "bees.md", "Bees make honey.")]), generation=9)
    assert [passage.document for passage in (await index.search("oracle honey")).passages] == ["bees.md"]
    await index.load(batches([]), generation=10)
    assert (await index.search("honey")).passages == ()


async def test_loading_that_fails_leaves_all_as_it_was(index: SearchIndex) -> None:
    async def broken() -> AsyncIterator[tuple[Sequence[ChunkRecord], np.ndarray]]:
        yield [chunk(90, "bees.md", "Bees make honey.")], EMBEDDER.embed(["Bees make honey."])
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await index.load(broken(), generation=9)
    assert (await index.search("oracle")).passages[0].document == "oracle.md"
    assert index.lexical_generation == 1
    await index.load(batches(knowledge()), generation=10)
    assert index.lexical_generation == 10


async def test_texts_that_do_not_fit_in_memory_are_fetched() -> None:
    chunks = knowledge()
    source = Source(shared=[one for one in chunks if one.row != 1])  # one is gone in the meantime
    index = SearchIndex(Embeddings(EMBEDDER), LexicalIndex(None), source, text_bytes=2500)
    await index.load(batches(chunks), generation=1)
    found = await index.search("What is impermanent loss?")
    assert found.passages[0].document == "amm.md"
    assert "lending.md" not in [passage.document for passage in found.passages]
    assert len(source.fetched) >= len(chunks) - 2
    await index.aclose()


async def test_searches_and_changes_may_run_at_the_same_time(index: SearchIndex) -> None:
    async def change(generation: int) -> None:
        fresh = chunk(100 + generation, "bees.md", f"Bees make honey number {generation}.")
        await index.replace(SHARED, [99 + generation], [fresh], EMBEDDER.embed([fresh.text]), generation=generation)

    changes = [change(generation) for generation in range(2, 8)]
    searches = asyncio.gather(*[index.search("oracle") for _ in range(40)])
    await asyncio.gather(*changes)
    found = await searches
    assert all(one.passages[0].document == "oracle.md" for one in found)
    assert index.lexical_generation == 7


ANNA = [chunk(1001, "anna.md", "The walrus of Anna is called Theodore. It lives in a bath full of ice.")]
BEN = [
    chunk(2001, "ben.md", "The walrus of Ben is called Balthasar. It lives under a bridge of stone."),
    chunk(2002, "other.md", "Ben keeps a diary of bridges. The oldest bridge is of wood."),
    entry(2003, "What is the password of Ben?", "The password of Ben is kept in his head."),
]


@pytest.fixture
async def owned() -> AsyncIterator[tuple[SearchIndex, Source]]:
    source = Source(anna=ANNA, ben=BEN)
    index = await open_index(knowledge(), source)
    yield index, source
    await index.aclose()


def texts(found: Retrieval) -> str:
    return " ".join(passage.text for passage in found.passages)


async def test_a_search_meets_the_partitions_of_its_scope_and_no_other(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    question = "What is the walrus called?"
    assert "walrus" not in texts(await index.search(question))
    mine = await index.search(question, 8, Scope((SHARED, "anna")))
    assert mine.passages[0].document == "anna.md"
    assert mine.confidence > ANSWER_THRESHOLD
    assert "Balthasar" not in texts(mine)
    both = await index.search(question, 8, Scope(("anna", "ben")))
    assert {"anna.md", "ben.md"} <= {passage.document for passage in both.passages}


async def test_another_owners_texts_change_nothing_of_what_is_found(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    before = await index.search("What is a walrus and an oracle?", 8, Scope((SHARED, "anna")))
    await index.search("walrus", 8, Scope((SHARED, "ben")))
    after = await index.search("What is a walrus and an oracle?", 8, Scope((SHARED, "anna")))
    assert (before.passages, before.confidence) == (after.passages, after.confidence)


async def test_curated_answers_are_their_owners_alone(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    question = "What is the password of Ben?"
    assert (await index.search(question, 8, Scope((SHARED, "anna")))).curated is None
    assert (await index.search(question, 8, Scope((SHARED, "ben")))).curated is not None


async def test_chosen_documents_are_all_that_is_searched(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    only = frozenset({"d-other.md"})
    found = await index.search("Where does the walrus live?", 8, Scope(("ben",), only=only))
    assert {passage.document_id for passage in found.passages} == only
    assert (await index.search("What is the password of Ben?", 8, Scope(("ben",), only=only))).curated is None
    nothing = await index.search("Where does the walrus live?", 8, Scope((SHARED, "anna"), only=only))
    assert nothing.passages == ()


async def test_what_is_looked_at_first_comes_first_where_it_answers(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    scope = Scope((SHARED, "ben"), first=frozenset({"d-other.md"}))
    found = await index.search("Which bridge is the oldest?", 3, scope)
    assert found.passages[0].document == "other.md"
    assert len(found.passages) == 3
    elsewhere = await index.search("What is impermanent loss?", 3, scope)
    assert elsewhere.passages[0].document == "amm.md"


async def test_a_partition_is_read_once_and_follows_its_changes(owned: tuple[SearchIndex, Source]) -> None:
    index, source = owned
    scope = Scope((SHARED, "anna"))
    await asyncio.gather(*[index.search("walrus", 8, scope) for _ in range(5)])
    assert source.read == ["anna"]
    fresh = chunk(1002, "more.md", "The penguin of Anna is called Paulina.")
    await index.replace("anna", [1001], [fresh], EMBEDDER.embed([fresh.index_text()]), generation=2)
    found = texts(await index.search("Who is the penguin?", 8, scope))
    assert "Paulina" in found
    assert "walrus" not in found
    await index.withdraw("anna", [1002], generation=3)
    assert "Paulina" not in texts(await index.search("Who is the penguin?", 8, scope))
    assert source.read == ["anna"]


async def test_a_change_while_a_partition_is_being_read_is_not_lost(owned: tuple[SearchIndex, Source]) -> None:
    index, _ = owned
    scope = Scope(("anna",))
    search = asyncio.create_task(index.search("penguin", 8, scope))
    await asyncio.sleep(0)  # it has begun to read
    fresh = chunk(1002, "more.md", "The penguin of Anna is called Paulina.")
    await index.replace("anna", [], [fresh], EMBEDDER.embed([fresh.index_text()]), generation=2)
    await search
    assert "Paulina" in texts(await index.search("penguin", 8, scope))


async def test_partitions_leave_memory_when_there_are_too_many_chunks() -> None:
    source = Source(anna=ANNA, ben=BEN)
    index = await open_index(knowledge(), source, held_chunks=2)
    for _ in range(2):
        for name in ("anna", "ben"):
            assert (await index.search("walrus", 8, Scope((name,)))).passages
    assert source.read == ["anna", "ben", "anna", "ben"]
    await index.aclose()


class AwayEmbedder:
    """A model that made the index, and is away when a question comes."""

    name = "away"
    dimensions = 256

    async def embed(self, texts: Sequence[str], purpose: str = "passage") -> np.ndarray:
        if purpose == "query":
            raise ProviderUnavailable("The model is away.")
        return EMBEDDER.embed(texts)

    async def aclose(self) -> None: ...


async def test_words_alone_find_what_they_can_while_the_model_is_away() -> None:
    index = SearchIndex(Embeddings(AwayEmbedder()), LexicalIndex(None), Source())
    await index.load(batches(knowledge()), generation=1)
    assert (await index.search("impermanent loss", 8, SHARED_SCOPE)).passages[0].document == "amm.md"
    await index.aclose()

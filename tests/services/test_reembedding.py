"""Another embedding model takes over while questions are asked and documents come."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from infrastructure.database.engine import Database, open_engine
from infrastructure.errors import ProviderRejected, ProviderUnavailable
from infrastructure.storage.local import LocalStorage
from services.embedding_choice import open_serving
from services.embedding_specs import ModelSpec
from services.embeddings import Embeddings
from services.file_indexing import FileIndexing
from services.knowledge.scope import Scope
from services.serving_model import WORDS_ONLY, words_only
from tests.databases import migrated_url
from tests.services.file_indexing_parts import Gate, Setup
from tests.services.reembedding_parts import (
    Library,
    TurnedEmbedder,
    asked,
    no_pause,
    open_library,
    text_of,
    until,
    working,
)

OLD, NEW = "ollama:old", "ollama:new"


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return migrated_url("sqlite", request, tmp_path)


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database(open_engine(url))
    yield database
    await database.close()


def old() -> TurnedEmbedder:
    return TurnedEmbedder(OLD, 0)


async def test_the_former_model_serves_until_the_new_one_has_embedded_all(database: Database, tmp_path: Path) -> None:
    gate = Gate()
    former, new = Embeddings(old()), TurnedEmbedder(NEW, 7, gate)
    async with open_library(tmp_path, database, former, 5) as library:
        await library.indexer.start()
        wanted = Embeddings(new)
        async with working(library, wanted, batch=2) as reembedding:
            await gate.wait()
            assert library.search.serving.embeddings is former
            assert await library.closeness(asked(3)) == pytest.approx(1)
            standing = reembedding.standing(NEW)
            assert standing.progress is not None
            assert (standing.state, standing.progress.done, standing.progress.total) == ("preparing", 0, 5)
            assert reembedding.standing(OLD).state == "serving"
            gate.opened.set()
            await until(lambda: library.search.serving.embeddings is wanted)
            assert await library.closeness(asked(3)) == pytest.approx(1)
            assert (await library.search.search("number4")).passages[0].document == "d4.md"
            await until(lambda: _is_kept(library, {NEW: 5}))
            assert (reembedding.standing(NEW).state, reembedding.standing(OLD).state) == ("serving", "known")


async def test_no_search_mixes_models_and_no_document_is_lost(database: Database, tmp_path: Path) -> None:
    former, new = Embeddings(old()), Embeddings(TurnedEmbedder(NEW, 7))
    async with open_library(tmp_path, database, former, 12) as library:
        await library.indexer.start()
        ended = asyncio.Event()
        lowest: list[float] = []

        async def search(n: int) -> None:
            while not ended.is_set():
                lowest.append(await library.closeness(asked(n)))
                await asyncio.sleep(0.005)

        async def bring() -> None:
            for n in range(12, 20):
                library.write(f"d{n}.md", text_of(n))
                await library.indexer.sync()

        searching = [asyncio.create_task(search(n)) for n in range(3)]
        async with working(library, new, batch=2):
            await asyncio.gather(bring(), until(lambda: library.search.serving.embeddings is new))
            await until(lambda: _is_kept(library, {NEW: 20}))
            await until(lambda: _all_found(library, 20))
            ended.set()
            await asyncio.gather(*searching)
        assert len(lowest) > 20
        assert min(lowest) == pytest.approx(1)
        assert library.search.size == 20


async def test_a_search_ends_with_the_model_that_it_began_with(database: Database, tmp_path: Path) -> None:
    gate, slow = Gate(), old()
    new = Embeddings(TurnedEmbedder(NEW, 7))
    async with open_library(tmp_path, database, Embeddings(slow), 3) as library:
        await library.indexer.start()
        slow.before_query = gate
        searching = asyncio.create_task(library.closeness(asked(1)))
        await gate.wait()
        async with working(library, new):
            await until(lambda: library.search.serving.embeddings is new)
            assert await library.closeness(asked(1)) == pytest.approx(1)
            gate.opened.set()
            assert await searching == pytest.approx(1)
            assert np.max(slow.vectors([asked(1)]) @ TurnedEmbedder(NEW, 7).vectors([asked(1)]).T) < 0.9


async def test_a_document_that_the_former_model_embedded_comes_after_the_change(
    database: Database, tmp_path: Path
) -> None:
    gate = Gate()
    slow = old()
    former, new = Embeddings(slow), Embeddings(TurnedEmbedder(NEW, 7))
    async with open_library(tmp_path, database, former, 3) as library:
        await library.indexer.start()
        slow.before = gate
        library.write("d3.md", text_of(3))
        coming = asyncio.create_task(library.indexer.sync())
        await gate.wait()
        async with working(library, new):
            await until(lambda: library.search.serving.embeddings is new)
            gate.opened.set()
            await coming
            assert (await library.search.search("number3")).passages[0].document == "d3.md"
            await until(lambda: _is_kept(library, {NEW: 4}))
            await until(lambda: _all_found(library, 4))


async def test_an_upload_that_the_former_model_is_embedding_is_found_after_the_change(
    database: Database, tmp_path: Path
) -> None:
    gate, slow = Gate(), old()
    new = Embeddings(TurnedEmbedder(NEW, 7))
    async with open_library(tmp_path, database, Embeddings(slow), 2) as library:
        await library.indexer.start()
        setup = Setup(database, await LocalStorage.open(tmp_path / "files"), tmp_path)
        uploads = FileIndexing(
            database, setup.storage, setup.reading, library.search.serving, library.search,
            clock=setup.clock, worker_id="test", temp_dir=tmp_path / "temporary",
        )  # fmt: skip
        done, coming = [await setup.upload(text_of(n), name=f"D{n}.md") for n in (5, 6)]
        assert await uploads.index_one()
        assert await library.closeness(asked(5), Scope((done,))) == pytest.approx(1)
        slow.before = gate
        indexing = asyncio.create_task(uploads.index_one())
        await gate.wait()
        async with working(library, new):
            await until(lambda: library.search.serving.embeddings is new)
            assert await library.closeness(asked(5), Scope((done,))) == pytest.approx(1)
            gate.opened.set()
            assert await indexing
            assert (await setup.state(coming))[0] == "ready"
            assert (await library.search.search("number6", 4, Scope((coming,)))).passages
            await until(lambda: _is_kept(library, {NEW: 4}))
            await until(lambda: _is_close(library, asked(6), Scope((coming,))))


async def test_what_is_done_is_not_done_again_after_a_restart(database: Database, tmp_path: Path) -> None:
    cut = TurnedEmbedder(NEW, 7)

    async def third() -> None:
        if cut.batches == 3:
            await asyncio.get_running_loop().create_future()

    cut.before = third
    async with open_library(tmp_path, database, Embeddings(old()), 6) as library:
        await library.indexer.start()
        async with working(library, Embeddings(cut), batch=1):
            await until(lambda: cut.batches == 3)
    rest = TurnedEmbedder(NEW, 7)
    wanted = Embeddings(rest)
    serving = await open_serving(database, wanted, lambda spec: Embeddings(TurnedEmbedder(spec.kept, 0)))
    assert serving.model == OLD  # which has embedded most
    async with open_library(tmp_path, database, serving) as library:
        await library.indexer.start()
        async with working(library, wanted):
            await until(lambda: library.search.serving.embeddings is wanted)
            assert len(rest.passages) == 4
            assert sorted([*cut.passages, *rest.passages]) == sorted(asked(n) for n in range(6))
            assert await _all_found(library, 6)


async def test_a_model_that_is_away_for_a_moment_is_asked_again(database: Database, tmp_path: Path) -> None:
    new, pauses = TurnedEmbedder(NEW, 7), []

    async def fail_twice() -> None:
        if new.batches in (2, 3):
            raise ProviderUnavailable("The model cannot be reached.")

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    new.before = fail_twice
    wanted = Embeddings(new)
    async with open_library(tmp_path, database, Embeddings(old()), 4) as library:
        await library.indexer.start()
        async with working(library, wanted, batch=1, pauses=(1.0, 10.0), sleep=pause):
            await until(lambda: library.search.serving.embeddings is wanted)
    assert [0.8 <= pauses[0] <= 1.2, 8 <= pauses[1] <= 12, len(pauses)] == [True, True, 2]
    assert len(new.passages) == 4


@pytest.mark.parametrize(
    ("fault", "tries"),
    [(ProviderUnavailable("The model cannot be reached."), 3), (ProviderRejected("The key is not good."), 1)],
)
async def test_a_change_that_fails_leaves_the_former_model(
    fault: ProviderUnavailable | ProviderRejected, tries: int, database: Database, tmp_path: Path
) -> None:
    new, former = TurnedEmbedder(NEW, 7), Embeddings(old())

    async def fail() -> None:
        raise fault

    new.before = fail
    async with open_library(tmp_path, database, former, 2) as library:
        await library.indexer.start()
        async with working(library, Embeddings(new), pauses=(1.0, 1.0), sleep=no_pause) as reembedding:
            await until(lambda: reembedding.standing(NEW).state == "failed")
            assert reembedding.standing(NEW).error == fault.message
            assert new.batches == tries
            assert library.search.serving.embeddings is former
            assert await library.closeness(asked(1)) == pytest.approx(1)
            new.before = None
            reembedding.want(wanted := Embeddings(new))  # it is wanted once more
            await until(lambda: library.search.serving.embeddings is wanted)
            assert reembedding.standing(NEW).error is None


async def test_another_wish_ends_what_is_being_prepared(database: Database, tmp_path: Path) -> None:
    gate = Gate()
    former, unwanted = Embeddings(old()), TurnedEmbedder(NEW, 7, gate)
    async with open_library(tmp_path, database, former, 3) as library:
        await library.indexer.start()
        async with working(library, Embeddings(unwanted)) as reembedding:
            await gate.wait()
            again = old()
            reembedding.want(Embeddings(again))
            assert reembedding.standing(OLD).state == "serving"
            assert reembedding.standing(NEW).state == "known"
            await until(lambda: _is_kept(library, {OLD: 3}))
            assert library.search.serving.embeddings is former
        assert unwanted.closed
        assert again.closed


async def test_a_model_that_is_away_at_the_start_keeps_nothing_from_starting(
    database: Database, tmp_path: Path
) -> None:
    class Unknown(TurnedEmbedder):
        @property
        def dimensions(self) -> int:  # type: ignore[override]  # it is learnt from the first answer
            if not self.batches:
                raise ProviderUnavailable("Not yet known.")
            return 26

    remote = Unknown(NEW, 7)
    remote.away = ProviderUnavailable("The model cannot be reached.")
    back = asyncio.Event()
    wanted = Embeddings(remote)
    serving = await open_serving(database, wanted, _no_other)
    assert serving.model == WORDS_ONLY
    async with open_library(tmp_path, database, serving, 3) as library:
        await library.indexer.start()
        assert (await library.search.search("number2")).passages[0].document == "d2.md"
        async with working(library, wanted, pauses=(1.0,) * 5, sleep=lambda _: back.wait()) as reembedding:
            await until(lambda: reembedding.standing(NEW).error is not None)
            assert reembedding.standing(NEW).state == "preparing"
            remote.away = None
            back.set()
            await until(lambda: library.search.serving.embeddings is wanted)
            assert await _all_found(library, 3)
            await until(lambda: _is_kept(library, {NEW: 3}))


async def test_documents_that_come_while_the_model_is_away_get_their_vectors_later(
    database: Database, tmp_path: Path
) -> None:
    remote = TurnedEmbedder(NEW, 7)
    wanted = Embeddings(remote)
    async with open_library(tmp_path, database, wanted, 2) as library:
        await library.indexer.start()
        remote.away = ProviderUnavailable("The model cannot be reached.")
        library.write("d2.md", text_of(2))
        library.write("qa.json", '[{"question": "What is zebra?", "answer": "A striped horse."}]')
        assert (await library.indexer.sync()).added == ["d2.md", "qa.json"]
        found = await library.search.search("number2")
        assert found.passages[0].document == "d2.md"
        back = asyncio.Event()
        async with working(library, wanted, sleep=lambda _: back.wait()):
            await asyncio.sleep(0.01)
            remote.away = None
            back.set()
            await until(lambda: _is_kept(library, {NEW: 4}))
            await until(lambda: _all_found(library, 3))
            assert (await library.search.search("What is zebra?")).curated is not None


async def test_when_no_model_can_be_had_words_serve_until_the_wanted_one_is_ready(
    database: Database, tmp_path: Path
) -> None:
    async with open_library(tmp_path, database, Embeddings(old()), 3) as library:
        await library.indexer.start()
    wanted = Embeddings(TurnedEmbedder(NEW, 7))
    serving = await open_serving(database, wanted, _no_other)
    assert serving.model == WORDS_ONLY
    async with open_library(tmp_path, database, serving) as library:
        await library.indexer.start()
        assert (await library.search.search("number1")).passages[0].document == "d1.md"
        async with working(library, wanted):
            await until(lambda: library.search.serving.embeddings is wanted)
            assert await _all_found(library, 3)


async def test_the_wanted_model_serves_at_once_where_there_is_nothing_else(database: Database) -> None:
    wanted = Embeddings(TurnedEmbedder(NEW, 7))
    assert await open_serving(database, wanted, _no_other) is wanted


async def test_texts_are_forgotten_by_every_model_in_use(database: Database, tmp_path: Path) -> None:
    wanted = Embeddings(TurnedEmbedder(NEW, 7))
    async with open_library(tmp_path, database, words_only()) as library, working(library, wanted) as reembedding:
        await reembedding.forget(["a text"])


def _no_other(spec: ModelSpec) -> Embeddings:
    raise ProviderRejected("Not installed.")


async def _is_kept(library: Library, expected: dict[str, int]) -> bool:
    return bool(await library.kept() == expected)


async def _is_close(library: Library, text: str, scope: Scope) -> bool:
    return await library.closeness(text, scope) > 0.999


async def _all_found(library: Library, documents: int) -> bool:
    """Whether each document's own text is found by its vector, of the model that serves."""
    return all([await library.closeness(asked(n)) > 0.999 for n in range(documents)])

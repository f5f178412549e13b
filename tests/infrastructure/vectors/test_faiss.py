"""Vectors of many chunks: the index, and what has changed since it was built."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.vectors.blocks import BlockSnapshot
from infrastructure.vectors.faiss import IndexedVectors, index_vectors, sample_size
from infrastructure.vectors.numpy import VectorSnapshot
from infrastructure.vectors.sized import AnyVectors, VectorPile, settled

WIDTH = 16
Model = dict[int, np.ndarray]


def unit_vectors(count: int, seed: int = 0, width: int = WIDTH) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, width), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(count: int, around: int, seed: int = 0) -> np.ndarray:
    chance = np.random.default_rng(seed)
    centres = unit_vectors(around, 99)
    vectors = centres[chance.integers(around, size=count)] + 0.15 * chance.standard_normal((count, WIDTH), np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def indexed(vectors: np.ndarray, rows: np.ndarray | None = None) -> IndexedVectors:
    return index_vectors(np.arange(len(vectors)) if rows is None else rows, vectors, [vectors])


def large(model: Model, faiss_from: int = 0) -> BlockSnapshot:
    pile = VectorPile(faiss_from)
    for row, vector in model.items():
        pile.add([row], vector[np.newaxis])
    snapshot = pile.snapshot(WIDTH)
    assert isinstance(snapshot, BlockSnapshot)
    return snapshot


def nearest_rows(snapshot: BlockSnapshot, query: np.ndarray, limit: int) -> list[int]:
    return snapshot.rows_at(snapshot.nearest(query, limit)[0]).tolist()


def assert_same(snapshot: AnyVectors, model: Model) -> None:
    """That a snapshot has the model's rows and vectors and no others, and finds the nearest of them."""
    rows = np.array(sorted(model), np.int64)
    positions = snapshot.positions(rows)
    assert snapshot.size == len(model)
    assert (positions >= 0).all()
    if not model:
        return
    vectors = np.stack([model[row] for row in rows.tolist()])
    assert snapshot.vectors_at(positions) == pytest.approx(vectors, abs=1e-3)
    query = unit_vectors(1, 7)[0]
    found, scores = snapshot.nearest(query, 5)
    assert scores == pytest.approx(np.sort(vectors @ query)[::-1][:5], abs=2e-3)
    assert np.isin(found, positions).all()


def test_vectors_come_back_at_half_their_size_but_close() -> None:
    vectors = unit_vectors(300)
    index = indexed(vectors)
    places = np.array([7, 0, 299])
    assert (index.size, index.dimensions) == (300, WIDTH)
    assert index.vectors_at(places) == pytest.approx(vectors[places], abs=5e-4)


def test_rows_may_come_in_any_order() -> None:
    vectors, rows = unit_vectors(200), np.random.default_rng(1).permutation(200) * 3
    index = indexed(vectors, rows)
    assert (np.diff(index.rows) > 0).all()
    assert index.vectors_at(index.positions(rows)) == pytest.approx(vectors, abs=5e-4)
    assert index.positions(np.array([1, 10_000])).tolist() == [-1, -1]


def test_nearly_all_of_the_nearest_are_found() -> None:
    vectors, queries = clustered(40_000, 300), clustered(50, 300, 5)
    some = np.random.default_rng(0).choice(len(vectors), sample_size(len(vectors)), replace=False)
    index = index_vectors(np.arange(len(vectors)), vectors[some], np.array_split(vectors, 7))
    found = 0
    for query in queries:
        exact = np.argsort(-(vectors @ query))[:10]
        places, scores = index.nearest(query, 10)
        assert (np.diff(scores) <= 0).all()
        found += len(np.intersect1d(places, exact))
    assert found / 500 >= 0.98


def test_only_what_is_allowed_is_found_and_all_of_it() -> None:
    vectors = unit_vectors(20_000)
    allowed = np.zeros(20_000, np.bool_)
    allowed[::1000] = True
    found, _ = BlockSnapshot(indexed(vectors)).nearest(vectors[1], 50, np.flatnonzero(allowed))
    assert sorted(found.tolist()) == list(range(0, 20_000, 1000))
    assert indexed(vectors[:50]).nearest(vectors[1], 5, np.zeros(50, np.bool_))[0].size == 0


def test_texts_without_a_vector_can_be_indexed() -> None:
    snapshot = large({row: np.zeros(WIDTH, np.float32) for row in range(100)})
    assert len(nearest_rows(snapshot, unit_vectors(1)[0], 10)) == 10


def test_the_work_is_done_in_the_calling_thread() -> None:
    code = (
        "import numpy as np, psutil\n"
        "from infrastructure.vectors.faiss import index_vectors\n"
        "vectors = np.random.default_rng(0).standard_normal((20000, 64), np.float32)\n"
        "before = psutil.Process().num_threads()\n"
        "import faiss\n"
        "imported = psutil.Process().num_threads()\n"
        "index = index_vectors(np.arange(20000), vectors[:9000], [vectors])\n"
        "index.nearest(vectors[0], 10)\n"
        "print(psutil.Process().num_threads() - imported)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout.strip(), ran.stderr) == ("0", "")


def test_faiss_is_imported_only_where_there_are_many_vectors() -> None:
    code = (
        "import sys, numpy as np, services.knowledge.search\n"
        "from infrastructure.vectors.numpy import VectorSnapshot\n"
        "from infrastructure.vectors.sized import settled\n"
        "few = VectorSnapshot.empty(2).replace([], [1], np.ones((1, 2), np.float32))\n"
        "assert settled(few) is few\n"
        "print('faiss' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_change_is_seen_and_leaves_the_snapshot_before_it_as_it_was() -> None:
    model = dict(enumerate(unit_vectors(200)))
    before = large(model)
    query = model[5]
    after = before.replace([5], [300, 6], np.stack([query, -query]))
    assert nearest_rows(before, query, 1) == [5]
    assert nearest_rows(after, query, 1) == [300]
    assert after.size == 200
    assert after.positions(np.array([5, 300, 6, 999])).tolist()[0::3] == [-1, -1]
    changed = {row: vector for row, vector in model.items() if row != 5} | {300: query, 6: -query}
    later = after.replace([7, 300], [], query[:0].reshape(0, WIDTH))
    assert_same(before, model)
    assert_same(after, changed)
    assert_same(later, {row: vector for row, vector in changed.items() if row not in (7, 300)})


def test_a_search_within_some_positions_finds_no_others() -> None:
    model = dict(enumerate(unit_vectors(300)))
    snapshot = large(model).replace([], [500, 501, 502], unit_vectors(3, 1))
    within = snapshot.positions(np.array([3, 70, 501]))
    found, _ = snapshot.nearest(model[9], 10, within)
    assert sorted(snapshot.rows_at(found).tolist()) == [3, 70, 501]


def test_many_changes_leave_few_blocks() -> None:
    snapshot = large(dict(enumerate(unit_vectors(1000))))
    for row in range(1000, 1090):
        snapshot = snapshot.replace([], [row], unit_vectors(1, row))
    assert len(snapshot._parts) <= 8


def test_vectors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        large({1: unit_vectors(1)[0]}).replace([], [2, 3], unit_vectors(1))


def test_an_index_is_built_when_there_are_many_and_again_when_a_tenth_has_changed() -> None:
    vectors = unit_vectors(1000)
    few = VectorSnapshot.empty(WIDTH).replace([], range(100), vectors[:100])
    assert settled(few, 100) is few
    many = settled(few.replace([], range(100, 200), vectors[100:200]), 100)
    assert isinstance(many, BlockSnapshot)
    some = many.replace([], range(200, 220), vectors[200:220])
    assert settled(some, 100) is some
    more = settled(some.replace([], [220], vectors[220:221]), 100)
    assert len(more._parts) == 1
    assert_same(more, dict(enumerate(vectors[:221])))
    less = more.replace(range(23), [], vectors[:0])
    assert settled(less, 100)._parts[0].block.size == 198
    assert settled(more.replace(range(22), [], vectors[:0]), 100)._parts[0].block.size == 221


def test_few_that_are_left_have_no_index() -> None:
    vectors = unit_vectors(200)
    many = large(dict(enumerate(vectors)), 100)
    assert isinstance(settled(many.replace(range(149), [], vectors[:0]), 100), BlockSnapshot)
    few = settled(many.replace(range(151), [300], vectors[:1]), 100)
    assert isinstance(few, VectorSnapshot)
    assert_same(few, {**dict(list(enumerate(vectors))[151:]), 300: vectors[0]})


@given(st.lists(st.tuples(st.sets(st.integers(0, 60), max_size=12), st.sets(st.integers(0, 60), max_size=12))))
@settings(max_examples=40, deadline=None)
def test_after_any_changes_it_has_what_it_was_given(changes: list[tuple[set[int], set[int]]]) -> None:
    model: Model = dict(enumerate(unit_vectors(30)))
    snapshot: AnyVectors = large(model)
    for seed, (removed, added) in enumerate(changes):
        vectors = unit_vectors(len(added), seed)
        snapshot = settled(snapshot.replace(removed, list(added), vectors), 20)
        model = {row: vector for row, vector in model.items() if row not in removed}
        model |= dict(zip(added, vectors, strict=True))
        assert_same(snapshot, model)


@pytest.mark.parametrize("faiss_from", [10, 1000])
def test_a_pile_becomes_a_snapshot_of_all_it_was_given(faiss_from: int) -> None:
    vectors, rows = unit_vectors(90), np.random.default_rng(3).permutation(90)
    pile = VectorPile(faiss_from)
    for at in range(0, 90, 30):
        pile.add(rows[at : at + 30].tolist(), vectors[at : at + 30])
    snapshot = pile.snapshot(WIDTH)
    assert isinstance(snapshot, VectorSnapshot) == (faiss_from == 1000)
    assert_same(snapshot, dict(zip(rows.tolist(), vectors, strict=True)))


def test_an_empty_pile_is_an_empty_snapshot() -> None:
    assert VectorPile().snapshot(4).size == 0


def test_searches_and_changes_may_run_at_the_same_time() -> None:
    vectors = unit_vectors(5000)
    snapshot = large(dict(enumerate(vectors)))
    wrong: list[int] = []

    def search() -> None:
        for row in range(0, 4000, 20):
            if nearest_rows(snapshot, vectors[row], 1) != [row]:
                wrong.append(row)

    searching = [threading.Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    changed: AnyVectors = snapshot
    for at in range(5):
        changed = settled(changed.replace(range(at * 300, at * 300 + 300), [9000 + at], unit_vectors(1, at)), 100)
    for thread in searching:
        thread.join()
    assert wrong == []
    assert changed.size == 3505

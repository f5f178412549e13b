"""BM25 on disk and in memory."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.lexical.lock import is_owned
from infrastructure.lexical.tantivy import MAX_QUERY_TERMS, LexicalDocument, LexicalIndex

BEES = LexicalDocument(1, "d-bees", "Bees", "Food > Honey", "Bees make honey from the nectar of flowers.")
WASPS = LexicalDocument(2, "d-wasps", "Wasps", "", "A wasp hunts other insects.")
FOLDER_FILE = Path("bm25") / "askgraph.json"


@pytest.fixture
def index() -> Iterator[LexicalIndex]:
    index = LexicalIndex(None)
    index.update([], [BEES, WASPS], generation=1)
    yield index
    index.close()


def rows(index: LexicalIndex, *terms: str) -> list[int]:
    found: list[int] = index.snapshot.search(terms, 10)[0].tolist()
    return found


def test_a_document_is_found_by_its_body_its_title_and_its_section(index: LexicalIndex) -> None:
    assert rows(index, "nectar") == rows(index, "bee") == rows(index, "food") == [1]


def test_the_best_match_comes_first_and_scores_fall(index: LexicalIndex) -> None:
    found, scores = index.snapshot.search(["honey", "insect", "flower"], 10)
    assert found.tolist() == [1, 2]
    assert scores[0] > scores[1] > 0


def test_no_terms_or_unknown_terms_find_nothing(index: LexicalIndex) -> None:
    assert rows(index) == rows(index, "zebra") == []
    assert LexicalIndex(None).snapshot.search(["bee"], 5)[0].tolist() == []


def test_query_syntax_in_a_term_is_only_text(index: LexicalIndex) -> None:
    assert rows(index, 'body:"bee" AND (', "*", "title:[a TO z]", "\x00") == []


def test_terms_beyond_the_bound_are_not_looked_at(index: LexicalIndex) -> None:
    fillers = [f"filler{n}" for n in range(MAX_QUERY_TERMS)]
    assert rows(index, *fillers, "honey") == []
    assert rows(index, "honey", *fillers) == [1]


def test_a_change_replaces_rows_and_leaves_older_snapshots_as_they_were(index: LexicalIndex) -> None:
    before = index.snapshot
    index.update([1], [LexicalDocument(3, "d-ants", "Ants", "", "Ants eat honey too.")], generation=2)
    assert rows(index, "honey") == [3]
    assert before.search(["honey"], 10)[0].tolist() == [1]
    assert (index.generation, index.snapshot.size) == (2, 2)


def test_document_frequency_is_that_of_the_field_that_has_the_term_most(index: LexicalIndex) -> None:
    assert index.snapshot.document_frequency("bee") == 1
    assert index.snapshot.document_frequency("zebra") == 0


def test_a_writer_that_is_left_without_a_commit_changes_nothing(index: LexicalIndex) -> None:
    with index.write() as writer:
        writer.remove_all()
    assert rows(index, "honey") == [1]
    assert index.generation == 1


def test_an_index_on_disk_is_there_again_with_its_generation(tmp_path: Path) -> None:
    first = LexicalIndex(tmp_path)
    assert first.generation is None
    first.update([], [BEES], generation=7)
    first.close()
    second = LexicalIndex(tmp_path)
    assert second.generation == 7
    assert rows(second, "honey") == [1]
    second.close()


def test_who_finds_the_folder_taken_has_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    first, second = LexicalIndex(folder), LexicalIndex(folder)
    first.update([], [BEES], generation=1)
    second.update([], [WASPS], generation=5)
    assert (rows(second, "wasp"), rows(first, "wasp")) == ([2], [])
    first.close()
    assert is_owned(folder), "by the second, beside it"
    again = LexicalIndex(folder)
    assert (again.generation, rows(again, "honey")) == (1, [1])
    second.close()
    after = LexicalIndex(folder)
    assert (after.generation, rows(after, "wasp")) == (5, [2])
    after.close()
    again.close()
    assert not is_owned(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "index-2"]


def test_there_are_so_many_folders_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.lexical.lock.MOST_FOLDERS", 2)
    indexes = [LexicalIndex(tmp_path / "index") for _ in range(3)]
    indexes[2].update([], [BEES], generation=1)
    assert rows(indexes[2], "honey") == [1]
    for index in indexes:
        index.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "index-2"]


def test_the_rows_of_documents_are_known(index: LexicalIndex) -> None:
    assert sorted(index.snapshot.rows_of(["d-bees", "d-wasps"]).tolist()) == [1, 2]
    assert index.snapshot.rows_of(["d-ants"]).tolist() == index.snapshot.rows_of([]).tolist() == []


def test_a_state_may_be_called_by_another_name(tmp_path: Path) -> None:
    first = LexicalIndex(tmp_path / "index")
    first.relabel(3)
    assert first.generation is None, "there is no state yet"
    first.update([], [BEES], generation=1)
    first.relabel(3)
    first.close()
    again = LexicalIndex(tmp_path / "index")
    assert (again.generation, rows(again, "honey")) == (3, [1])
    again.doubt()
    assert again.generation is None
    again.close()


@pytest.mark.parametrize("damage", ["state", "meta", "segment", "format", "count"])
def test_a_damaged_index_is_begun_anew(tmp_path: Path, damage: str) -> None:
    index = LexicalIndex(tmp_path)
    index.update([], [BEES], generation=3)
    index.close()
    state = tmp_path / FOLDER_FILE
    content = json.loads(state.read_bytes())
    match damage:
        case "state":
            state.write_text("{")
        case "meta":
            (state.parent / "meta.json").write_text("garbage")
        case "segment":
            for path in state.parent.glob("*.term"):
                path.unlink()
        case "format":
            state.write_text(json.dumps(content | {"format": -1}))
        case "count":
            state.write_text(json.dumps(content | {"documents": 9}))
    again = LexicalIndex(tmp_path)
    assert again.generation is None
    again.update([], [WASPS], generation=4)
    assert (rows(again, "wasp"), rows(again, "honey")) == ([2], [])
    again.close()


def test_a_folder_that_cannot_be_made_means_an_index_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    index = LexicalIndex(tmp_path / "file" / "below")
    index.update([], [BEES], generation=1)
    assert rows(index, "honey") == [1]
    index.close()


def test_a_search_keeps_to_the_documents_that_it_is_given() -> None:
    index = LexicalIndex(None)
    index.update([], [BEES, WASPS], generation=1)
    assert index.snapshot.search(["insect", "honey"], 10, documents=["d-wasps"])[0].tolist() == [2]
    assert index.snapshot.search(["insect", "honey"], 10, documents=["d-none"])[0].tolist() == []
    alone = index.snapshot.search(["insect"], 10)[1].tolist()
    assert index.snapshot.search(["insect"], 10, documents=["d-wasps"])[1].tolist() == pytest.approx(alone)


def test_a_boosted_term_counts_for_more() -> None:
    index = LexicalIndex(None)
    index.update([], [BEES, WASPS], generation=1)
    plain = index.snapshot.search(["insect"], 10)[1][0]
    assert index.snapshot.search(["insect"], 10, boosts=[2.0])[1][0] == pytest.approx(2 * plain)

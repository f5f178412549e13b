"""Which rows a document's chunks have."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge.document_rows import DocumentRows
from tests.services.knowledge.corpus import chunk

NAMES = "abcdef"


def rows_of(rows: DocumentRows, name: str) -> list[int]:
    return rows.rows([f"d-{name}"]).tolist()


def test_rows_are_those_of_the_documents_asked_for() -> None:
    rows = DocumentRows.of([chunk(1, "a", "x"), chunk(2, "b", "x"), chunk(3, "a", "x")])
    assert rows.rows(["d-a"]).tolist() == [1, 3]
    assert sorted(rows.rows(["d-a", "d-b", "d-none"]).tolist()) == [1, 2, 3]
    assert rows.among({"d-b", "d-none"}) == {"d-b"}
    assert rows.rows(["d-none"]).dtype == np.int64


def test_a_change_leaves_what_was_before_as_it_was() -> None:
    before = DocumentRows.of([chunk(1, "a", "x"), chunk(2, "a", "x")])
    after = before.replace([1], [chunk(3, "a", "x"), chunk(4, "b", "x")])
    assert rows_of(before, "a") == [1, 2]
    assert rows_of(after, "a") == [2, 3]
    assert rows_of(after, "b") == [4]


def test_rows_that_are_gone_are_dropped_when_they_are_many() -> None:
    many = [chunk(row, "a" if row < 1500 else "b", "x") for row in range(2000)]
    rows = DocumentRows.of(many).replace(range(900), [])
    assert rows.tidied(1100, lambda some: some >= 900) is rows
    rows = rows.replace(range(900, 1600), []).tidied(400, lambda some: some >= 1600)
    assert rows.among({"d-a", "d-b"}) == {"d-b"}
    assert rows_of(rows, "b") == list(range(1600, 2000))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.booleans()), max_size=40))
def test_after_any_changes_documents_have_the_rows_they_were_given(changes: list[tuple[int, int, bool]]) -> None:
    rows, model, next_row = DocumentRows(), dict.fromkeys(NAMES, frozenset[int]()), 1
    for document, count, again in changes:
        name = NAMES[document]
        fresh = list(range(next_row, next_row + count))
        next_row += count
        gone = sorted(model[name]) if again else []
        rows = rows.replace(gone, [chunk(row, name, "x") for row in fresh])
        model[name] = model[name] - set(gone) | set(fresh)
    for name in NAMES:
        assert rows_of(rows, name) == sorted(model[name])

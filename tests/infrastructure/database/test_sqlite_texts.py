"""One statement for many rows changes what one for each row would."""

import sqlite3
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.database.sqlite_texts import MOST_ROWS, for_keys, for_rows, pieces

INSERT = "INSERT INTO place (id, name, size) VALUES (?, ?, ?)"
UPSERT = f"{INSERT} ON CONFLICT (id) DO NOTHING"
UPDATE = "UPDATE place SET name=?, size=? WHERE place.id = ?"
SOME = [(f"p{number}", f"name {number}", number) for number in range(11)]


@pytest.fixture
def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE place (id TEXT PRIMARY KEY, name TEXT, size INTEGER)")
    return connection


def run(database: sqlite3.Connection, sql: str, rows: list[tuple[object, ...]]) -> None:
    for some in pieces(rows):
        text = for_rows(sql, len(some))
        assert text is not None
        database.execute(text, list(chain.from_iterable(some)))


def places(database: sqlite3.Connection) -> list[tuple[object, ...]]:
    return database.execute("SELECT id, name, size FROM place ORDER BY size").fetchall()


@given(st.integers(0, 300))
def test_pieces_are_all_the_rows_in_their_order_and_of_a_few_sizes(number: int) -> None:
    rows = [(one,) for one in range(number)]
    found = list(pieces(rows))
    assert list(chain.from_iterable(found)) == rows
    assert {len(some) for some in found} <= {1, 2, 4, 8, 16, MOST_ROWS}
    assert len(found) <= number // MOST_ROWS + 5


def test_rows_are_inserted(database: sqlite3.Connection) -> None:
    run(database, INSERT, list(SOME))
    assert places(database) == SOME


def test_rows_that_are_there_stay_as_they_are(database: sqlite3.Connection) -> None:
    run(database, INSERT, list(SOME[:3]))
    run(database, UPSERT, [(place, "other", 0) for place, *_ in SOME[:3]] + list(SOME[3:]))
    assert places(database) == SOME


def test_each_row_is_changed_as_its_own_values_say_by_its_key(database: sqlite3.Connection) -> None:
    run(database, INSERT, list(SOME))
    run(database, UPDATE, [(None if size == 5 else name.upper(), size, place) for place, name, size in SOME[:10]])
    assert places(database) == [
        (place, None if size == 5 else name if size == 10 else name.upper(), size) for place, name, size in SOME
    ]
    text = for_rows(UPDATE, 4)
    plan = " ".join(str(row) for row in database.execute(f"EXPLAIN QUERY PLAN {text}", [None] * 12))
    assert "SEARCH place USING" in plan


def test_rows_are_found_by_several_keys(database: sqlite3.Connection) -> None:
    run(database, INSERT, list(SOME))
    found = database.execute(for_keys("SELECT name FROM place WHERE place.id = ?", 3), ["p1", "none", "p7"]).fetchall()
    assert sorted(found) == [("name 1",), ("name 7",)]


@pytest.mark.parametrize(
    "sql", ["INSERT INTO place SELECT * FROM other", "UPDATE place SET size=0", "DELETE FROM place"]
)
def test_what_cannot_be_said_for_many_rows_is_not(sql: str) -> None:
    assert for_rows(sql, 2) is None
    assert for_rows(sql, 1) == sql

"""Statements of SQLite's for one row, made statements for many.

Each step of a statement lets another thread have the interpreter, and in a busy process it takes milliseconds to have
it back. A batch of 64 turns takes a dozen steps in this way in place of 400.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count

_GROUP = re.compile(r" VALUES (\((?:\?, )*\?\))")
MOST_ROWS = 32


def pieces(rows: Sequence[Sequence[object]]) -> Iterator[Sequence[Sequence[object]]]:
    """The rows in as few groups as there are ones in the binary form of their number: groups of a few sizes only, as
    each size is a text of its own."""
    begin = 0
    while left := len(rows) - begin:
        size = min(1 << (left.bit_length() - 1), MOST_ROWS)
        yield rows[begin : begin + size]
        begin += size


@lru_cache(256)
def for_rows(sql: str, number: int) -> str | None:
    """An insert or an update for so many rows, whose values follow one another; None where that cannot be said. The
    rows that an update changes are each another one."""
    if number == 1:
        return sql
    if sql.startswith("INSERT"):
        found = _GROUP.search(sql)
        return sql[: found.end(1)] + f", {found[1]}" * (number - 1) + sql[found.end(1) :] if found else None
    what, where, which = sql.partition(" WHERE ")
    if not where:
        return None
    group = f"({', '.join('?' * sql.count('?'))})"
    numbers = count(1)
    what, which = (re.sub(r"\?", lambda _: f"given.column{next(numbers)}", part) for part in (what, which))
    return f"{what} FROM (VALUES {', '.join([group] * number)}) AS given WHERE {which}"


@lru_cache(64)
def for_keys(sql: str, number: int) -> str:
    """A query, which has no order, for so many sets of values."""
    return " UNION ALL ".join([sql] * number)

"""Changes of several tables, each of many rows, as one statement: where each statement is a way to a server and back,
one way is enough for all.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ARRAY,
    Insert,
    Select,
    String,
    Text,
    Update,
    bindparam,
    column,
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors


class Together:
    """Changes in their order, each a statement for one row whose values are named by `bindparam`.

    On PostgreSQL all of them see the rows as they were before the first one, and take them in no order of their own:
    what others may change at the same time is to be locked before.
    """

    def __init__(self, *changes: Insert | Update) -> None:
        self.changes = changes

    @cached_property
    def statement(self) -> Select[Any]:
        """All for PostgreSQL (data-modifying statements in WITH, section 7.8.4 of its manual); each value of each
        change is an array."""
        whole: Select[Any] = select(literal_column("1"))
        for number, (change, kinds) in enumerate(zip(self.changes, self._kinds, strict=True)):
            whole = whole.add_cte(_of_arrays(change, kinds, number).cte(f"change_{number}"))
        return whole

    def arrays(self, rows: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
        """What `statement` takes for these rows, a sequence for each change."""
        return {
            _key(number, name): [row.get(name) for row in mine]
            for number, (kinds, mine) in enumerate(zip(self._kinds, rows, strict=True))
            for name in kinds
        }

    @cached_property
    def _kinds(self) -> list[dict[str, Any]]:
        """Of each change the names of its values, with their types. A cast to text of some length would cut longer
        text, where an insert refuses it."""
        dialect: Any = postgresql.asyncpg.dialect
        compiled: list[Any] = [change.compile(dialect=dialect()) for change in self.changes]
        kinds = [{name: one.binds[name].type for name in one.positiontup} for one in compiled]
        return [{name: Text() if isinstance(kind, String) else kind for name, kind in mine.items()} for mine in kinds]


def _key(number: int, name: str) -> str:
    return f"change_{number}_{name}"


def _of_arrays(change: Any, kinds: Mapping[str, Any], number: int) -> Any:
    """The change for as many rows as its arrays have elements."""
    arrays = [bindparam(_key(number, name), type_=ARRAY(kind, dimensions=1)) for name, kind in kinds.items()]
    columns = [column(name, kind) for name, kind in kinds.items()]
    given = func.unnest(*arrays).table_valued(*columns).render_derived()
    if isinstance(change, Insert):
        return insert(change.table).from_select(list(kinds), select(*given.c), include_defaults=False)

    def in_its_row(element: Any, **_: Any) -> Any:
        return given.c[element.key] if element.__visit_name__ == "bindparam" and element.key in kinds else None

    return visitors.replacement_traverse(change, {}, in_its_row)

"""Fixed statements run many times within one transaction, on whichever database.

What uses this is written once, as coroutines over `Rows`. On PostgreSQL they wait for the server
(`infrastructure.database.postgres_writer`). On SQLite the whole transaction runs in the writer's own thread
(`infrastructure.database.sqlite_writer`) and nothing in it ever waits: one change of threads for all of it, where the
async driver takes one for each statement.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import orjson
from sqlalchemy import ARRAY, JSON, ColumnElement, Delete, Dialect, Insert, Select, Update, any_, bindparam, insert

from infrastructure.database.together import Together

Values = Mapping[str, Any]
Change = Insert | Update | Delete
Statement = Select[Any] | Change
OfKind = TypeVar("OfKind", bound=Statement)
_FLOAT8 = 701  # PostgreSQL's number of the type: floats want to know how they are kept
Process = Callable[[Any], Any]


class Rows(Protocol):
    """A transaction. Statements are made once, at import, and name their values by `bindparam`."""

    alone: bool
    """Whether nobody else writes anywhere until the transaction ends."""

    def pick(self, of_kind: Mapping[str, OfKind]) -> OfKind:
        """The statement for this kind of database, `sqlite` or `postgresql`."""

    async def find(
        self, statement: Select[Any], keys: Sequence[Values], together: Select[Any] | None = None
    ) -> list[Sequence[Any]]:
        """The rows that a query finds for each set of values, one set after the other.

        `together` finds the same for all at once, in any order: it takes the list of their ids as `ids`. It is used
        where each statement is a way to a server and back.
        """

    async def change(self, statement: Change, rows: Sequence[Values]) -> int:
        """Run a statement for each row of values; how many rows the last one changed, where there is but one."""

    async def change_together(self, changes: Together, rows: Sequence[Sequence[Values]]) -> None:
        """Run several statements, each for rows of its own."""


class FixedStatement:
    """A statement as the text of one kind of database, with what turns values into those it keeps, and back."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        self._held = statement  # as long as this is here nothing else has its id
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        binds = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
        self._binds = [
            (name, bind.value, bind.type.dialect_impl(dialect).bind_processor(dialect)) for name, bind in binds
        ]
        columns = statement.selected_columns if isinstance(statement, Select) else ()
        self._results = [_result_processor(column.type, dialect) for column in columns]

    def parameters(self, values: Values) -> list[Any]:
        """The values by their places."""
        given = ((values.get(name, preset), process) for name, preset, process in self._binds)
        return [process(value) if process else value for value, process in given]

    def row(self, row: Sequence[Any]) -> Sequence[Any]:
        """What the driver has read, as the models have it."""
        return [process(value) if process else value for value, process in zip(row, self._results, strict=True)]


class FixedStatements:
    """Statements of one kind of database, each made with its first use."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._made: dict[int, FixedStatement] = {}

    def of(self, statement: Statement) -> FixedStatement:
        made = self._made.get(id(statement))
        if made is None:
            made = self._made[id(statement)] = FixedStatement(statement, self._dialect)
        return made


def _result_processor(kind: Any, dialect: Any) -> Process | None:
    process: Process | None = kind.dialect_impl(dialect).result_processor(dialect, _FLOAT8)
    if process is None and isinstance(kind, JSON):  # SQLAlchemy leaves that to a codec of its connections
        return _from_json
    return process


def _from_json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def to_json(value: Any) -> str:
    """A value as the text that both databases keep."""
    return orjson.dumps(value).decode()


def one_of(column: Any) -> ColumnElement[bool]:
    """Whether a column's value is among `ids`: PostgreSQL takes them as one value, so that the text stays the same."""
    found: ColumnElement[bool] = column == any_(bindparam("ids", type_=ARRAY(column.type, dimensions=1)))
    return found


def inserting(table: Any, *columns: str) -> Insert:
    """An insert into `table` whose values are named as its columns."""
    return insert(table).values({name: bindparam(name) for name in columns})

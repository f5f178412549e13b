"""Which request, connection or run a log line belongs to.

The ids are held by one object that the context points to, and not by the context itself: a task that is begun in the
midst of a request copies the context, and would say the request's ids for as long as it lives. An object that is over
is no more looked at, by nobody.
"""

from contextvars import ContextVar

from structlog.typing import EventDict, WrappedLogger


class LineIds:
    """The ids that lines carry while a piece of work goes on. `many`: it has several runs, as a socket has."""

    __slots__ = ("fields", "many", "over")

    def __init__(self, fields: dict[str, str], many: bool = False) -> None:
        self.fields = fields
        self.many = many
        self.over = False

    def end(self) -> None:
        """The work is done: whatever it has left running says its ids no longer."""
        self.over = True


_current: ContextVar[LineIds | None] = ContextVar("line_ids", default=None)


def current_ids() -> dict[str, str]:
    """What a line that is written here and now would carry."""
    ids = _current.get()
    return ids.fields if ids is not None and not ids.over else {}


def begin_ids(*, many: bool = False, **fields: str | None) -> LineIds:
    """From here on, in this task and those that it begins, lines carry `fields` and nothing of what was before."""
    return _set(_known(fields), many)


def continue_ids(**fields: str | None) -> LineIds:
    """The same with what lines carry here already: for work that outlives the one that begins it."""
    return _set({**current_ids(), **_known(fields)}, many=False)


def bind_ids(**fields: str | None) -> None:
    """Let all lines of the work that goes on here carry `fields` too. Nothing happens where there is none."""
    current_ids().update(_known(fields))


def bind_run(run_id: str, session_id: str | None) -> None:
    """The request here has begun, or joined, that run. A socket has many, and its own lines name none."""
    ids = _current.get()
    if ids is not None and not ids.many:
        bind_ids(run_id=run_id, session_id=session_id)


def add_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """structlog's processor. What a line says by itself goes first."""
    for name, value in current_ids().items():
        event.setdefault(name, value)
    return event


def _known(fields: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _set(fields: dict[str, str], many: bool) -> LineIds:
    ids = LineIds(fields, many)
    _current.set(ids)
    return ids

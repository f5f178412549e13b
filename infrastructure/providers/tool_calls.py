"""Tool calls, put together from the pieces in which models send them."""

from collections.abc import Mapping
from typing import Any

from infrastructure.errors import ProviderProtocolError
from infrastructure.providers.types import ToolCall

MAX_CALLS = 32
MAX_ARGUMENTS = 64 * 1024  # characters, for each call
MAX_NAME = 256


class _Draft:
    __slots__ = ("arguments", "id", "name", "size")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.size = 0


class ToolCallPieces:
    """Collects pieces by their index. Ids and names may come late; an id that never comes is made up.

    Some endpoints leave the index out: then a new id begins a new call, and no id belongs to the last one.
    """

    def __init__(self) -> None:
        self._drafts: dict[int, _Draft] = {}

    def __bool__(self) -> bool:
        return bool(self._drafts)

    def add_all(self, pieces: object) -> None:
        """Take the `tool_calls` of a delta or a message.

        Raises:
            ProviderProtocolError: not OpenAI's shape, or more than a reply may hold.
        """
        if not isinstance(pieces, list):
            raise _misshapen()
        for piece in pieces:
            function = piece.get("function") if isinstance(piece, Mapping) else None
            if not isinstance(function, Mapping):
                raise _misshapen()
            self.add(piece.get("index"), piece.get("id"), function.get("name"), function.get("arguments"))

    def add(self, index: Any, call_id: Any, name: Any, arguments: Any) -> None:
        """Take one piece; whatever it lacks is None."""
        if not all(part is None or isinstance(part, str) for part in (call_id, name, arguments)):
            raise _misshapen()
        draft = self._draft(index, call_id)
        draft.id = draft.id or call_id or ""
        draft.name = draft.name or name or ""
        if arguments:
            draft.size += len(arguments)
            draft.arguments.append(arguments)
        if draft.size > MAX_ARGUMENTS or max(len(draft.name), len(draft.id)) > MAX_NAME:
            raise ProviderProtocolError("The model sent a tool call that is too long.")

    def finish(self) -> tuple[ToolCall, ...]:
        """The calls in their order.

        Raises:
            ProviderProtocolError: a call names no tool.
        """
        calls = []
        for number, (_, draft) in enumerate(sorted(self._drafts.items()), 1):
            if not draft.name:
                raise ProviderProtocolError("The model called a tool without naming it.")
            calls.append(ToolCall(draft.id or f"call_{number}", draft.name, "".join(draft.arguments)))
        return tuple(calls)

    def _draft(self, index: Any, call_id: str | None) -> _Draft:
        if index is None:
            index = self._place(call_id)
        if type(index) is not int or not 0 <= index < MAX_CALLS:
            raise ProviderProtocolError("The model called too many tools at once, or numbered them wrongly.")
        return self._drafts.setdefault(index, _Draft())

    def _place(self, call_id: str | None) -> int:
        last = max(self._drafts, default=0)
        if not call_id or not self._drafts:
            return last
        for index, draft in self._drafts.items():
            if draft.id == call_id:
                return index
        return last if not self._drafts[last].id else last + 1


def _misshapen() -> ProviderProtocolError:
    return ProviderProtocolError("The model sent a tool call of the wrong shape.")

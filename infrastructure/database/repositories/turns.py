"""Turns of conversations: a user's message with its run, and what came of them. Many at once, in few statements."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from infrastructure.database.models import Chat, ChatFile, ChatMessage, Run
from infrastructure.database.repositories.turn_records import (
    BegunTurn,
    EndedTurn,
    KnownTurn,
    NewTurn,
    TakenOver,
    Turn,
    TurnResult,
)
from infrastructure.database.rows import Rows, inserting, one_of
from infrastructure.database.together import Together
from infrastructure.errors import Conflict, InvalidInput, NotFound, RateLimited

__all__ = [
    "NO_CHAT", "BegunTurn", "EndedTurn", "KnownTurn", "NewTurn", "TakenOver", "Turn", "TurnResult", "apply_turns",
    "title_of",
]  # fmt: skip

NO_CHAT = "No such chat."
NO_MESSAGE = "No such message."
BUSY = "A question is already being answered in this session."
TOO_MANY = "Too many questions are waiting in this session."
REQUEST_MEMORY = timedelta(hours=24)  # how long a request id is remembered, by the contract
TITLE_CHARS = 80

_chat: Any = Chat.__table__
_message: Any = ChatMessage.__table__
_run: Any = Run.__table__
_chat_file: Any = ChatFile.__table__
# Nearly no chat has files of its own: where this says so, nobody has to look for them. A row there is never without
# its file, so the table alone tells what `files_of_chat` would find.
_HAS_FILES = exists().where(_chat_file.c.chat_id == _chat.c.id).correlate(_chat)
_CHAT_COLUMNS = (
    _chat.c.id, _chat.c.user_id, _chat.c.title, _chat.c.last_position, _chat.c.message_count, _chat.c.agent_id,
    _HAS_FILES.label("has_files"),
)  # fmt: skip
_CHAT = select(*_CHAT_COLUMNS).where(_chat.c.id == bindparam("id")).with_for_update()
_CHATS = select(*_CHAT_COLUMNS).where(one_of(_chat.c.id)).order_by(_chat.c.id).with_for_update()
_NEW_CHAT_COLUMNS = (
    "id", "user_id", "title", "details", "is_archived", "message_count", "last_position", "created_at", "updated_at",
)  # fmt: skip
_ADD_CHAT = {
    kind: dialect.insert(_chat)
    .values({name: bindparam(name) for name in _NEW_CHAT_COLUMNS})
    .on_conflict_do_nothing(index_elements=["id"])
    for kind, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}
_TAKE_PLACES = (
    update(_chat)
    .where(_chat.c.id == bindparam("of_chat"))
    .values(last_position=bindparam("position"), message_count=bindparam("count"), updated_at=bindparam("at"))
)
_ADD_MESSAGE = inserting(
    _message, "id", "chat_id", "position", "parent_id", "role", "content", "status", "run_id", "created_at"
)
_ADD_RUN = inserting(
    _run, "id", "chat_id", "user_message_id", "answer_id", "answer_position", "request_id", "request_digest", "asked",
    "worker", "started_at",
)  # fmt: skip
_KNOWN_REQUEST = select(
    _run.c.id, _run.c.request_digest, _run.c.user_message_id, _run.c.answer_id, _run.c.started_at
).where(_run.c.chat_id == bindparam("chat_id"), _run.c.request_id == bindparam("request_id"))
_AHEAD = (
    select(_run.c.id)
    .where(_run.c.chat_id == bindparam("chat_id"), _run.c.outcome.is_(None))
    .order_by(_run.c.answer_position)
)
_HOLDER_COLUMNS = (_run.c.id, _run.c.worker, _run.c.fence)
_HOLDER = select(*_HOLDER_COLUMNS).where(_run.c.id == bindparam("id")).with_for_update()
_HOLDERS = select(*_HOLDER_COLUMNS).where(one_of(_run.c.id)).order_by(_run.c.id).with_for_update()
_FORGET_REQUEST = update(_run).where(_run.c.id == bindparam("of_run")).values(request_id=None)
_LAST_ANSWER = select(_run.c.answer_id).where(
    _run.c.chat_id == bindparam("chat_id"), _run.c.answer_position == bindparam("position")
)
_MESSAGE = select(
    _message.c.id, _message.c.position, _message.c.parent_id, _message.c.role, _message.c.content,
    _message.c.superseded_at,
).where(_message.c.id == bindparam("id"), _message.c.chat_id == bindparam("chat_id"))  # fmt: skip
_SUPERSEDE = (
    update(_message)
    .where(_message.c.chat_id == bindparam("of_chat"), _message.c.position >= bindparam("first"))
    .where(_message.c.superseded_at.is_(None))
    .values(superseded_at=bindparam("at"))
)
_GIVE_TITLE = (
    update(_chat).where(_chat.c.id == bindparam("of_chat"), _chat.c.title.is_(None)).values(title=bindparam("to_title"))
)
_RUN_ENDS = (
    "outcome", "model", "prompt_tokens", "completion_tokens", "confidence", "grounded", "citations", "finish_reason",
    "error_message", "last_seq", "finished_at", "first_token_ms", "duration_ms",
)  # fmt: skip
_END_RUN = (
    update(_run).where(_run.c.id == bindparam("of_run")).values({name: bindparam(f"to_{name}") for name in _RUN_ENDS})
)
_BEGIN = Together(_TAKE_PLACES, _ADD_MESSAGE, _ADD_RUN)
_END = Together(_ADD_MESSAGE, _END_RUN)

AnyTurn = TypeVar("AnyTurn", NewTurn, EndedTurn)


class _Chat(NamedTuple):
    id: str
    owner: str | None
    title: str | None
    last_position: int
    message_count: int
    agent_id: str | None
    has_files: bool


class _Message(NamedTuple):
    id: str
    position: int
    parent_id: str | None
    role: str
    content: str
    superseded_at: datetime | None


async def apply_turns(rows: Rows, turns: Sequence[Turn]) -> list[TurnResult | Exception]:
    """Begin and end turns, each of another chat: what came of each, in order. Those ended give None, or TakenOver."""
    begun = iter(await _Beginning(rows, [turn for turn in turns if isinstance(turn, NewTurn)]).apply())
    ended = iter(await _end(rows, [turn for turn in turns if isinstance(turn, EndedTurn)]))
    return [next(begun) if isinstance(turn, NewTurn) else next(ended) for turn in turns]


class _Beginning:
    """New turns of one batch. Rows of their chats are locked, in the order of their ids, before any is looked at."""

    def __init__(self, rows: Rows, turns: Sequence[NewTurn]) -> None:
        self._rows = rows
        self._turns = turns
        self._messages: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []
        self._places: list[dict[str, Any]] = []

    async def apply(self) -> list[TurnResult | Exception]:
        if not self._turns:
            return []
        chats = await self._chats([turn.chat_id for turn in self._turns])
        missing = [turn for turn in self._turns if turn.creates and turn.chat_id not in chats]
        if missing:
            rows = [_chat_row(turn) for turn in _ordered(missing)]
            await self._rows.change(self._rows.pick(_ADD_CHAT), rows)
            if self._rows.alone:
                chats |= {row["id"]: _Chat(row["id"], row["user_id"], row["title"], 0, 0, None, False) for row in rows}
            else:  # another process may have been quicker
                chats |= await self._chats([turn.chat_id for turn in missing])
        results: list[TurnResult | Exception] = []
        for turn in self._turns:
            try:
                chat = _reached(chats.get(turn.chat_id), turn)
                results.append(await self._known(turn) or await self._begin(turn, chat))
            except (NotFound, Conflict, InvalidInput, RateLimited) as error:
                results.append(error)
        await self._write()
        return results

    async def _chats(self, ids: Sequence[str]) -> dict[str, _Chat]:
        found = await self._rows.find(_CHAT, [{"id": chat_id} for chat_id in sorted(ids)], _CHATS)
        return {row[0]: _Chat(*row) for row in found}

    async def _known(self, turn: NewTurn) -> KnownTurn | None:
        """What its request id began before."""
        if turn.request_id is None:
            return None
        key = {"chat_id": turn.chat_id, "request_id": turn.request_id}
        for run_id, digest, message_id, answer_id, started_at in await self._rows.find(_KNOWN_REQUEST, [key]):
            if turn.at - started_at >= REQUEST_MEMORY:
                await self._rows.change(_FORGET_REQUEST, [{"of_run": run_id}])
            elif digest == turn.digest:
                return KnownTurn(run_id, message_id, answer_id)
            else:
                raise Conflict("This request id was used for another question.")
        return None

    async def _begin(self, turn: NewTurn, chat: _Chat) -> BegunTurn:
        ahead = await self._ahead(turn, chat)
        position, left = chat.last_position + 1, 0
        question, message_id, asked_at = turn.question, turn.message_id, position
        if target := turn.edits or turn.regenerates:
            message = await self._user_message(turn.chat_id, target)
            first = message.position + (0 if turn.edits else 1)
            left = await self._rows.change(_SUPERSEDE, [{"of_chat": turn.chat_id, "first": first, "at": turn.at}])
            parent = message.parent_id
            if turn.regenerates:
                question, message_id, asked_at = message.content, message.id, message.position
        else:
            parent = await self._last_answer(turn, chat.last_position)
        if not turn.regenerates:
            self._messages.append(_user_message(turn, position, parent))
        # The answer is counted beforehand, as every run gets one: a chat stands in two indexes, and is so written once.
        count = chat.message_count - left + (1 if turn.regenerates else 2)
        self._places.append({"of_chat": turn.chat_id, "position": position + 1, "count": count, "at": turn.at})
        self._runs.append(_run_row(turn, message_id, position + 1))
        return BegunTurn(
            position + 1, chat.last_position, asked_at, question, message_id, chat.title is not None, bool(target),
            turn.at, chat.agent_id, ahead, chat.has_files,
        )  # fmt: skip

    async def _ahead(self, turn: NewTurn, chat: _Chat) -> tuple[str, ...]:
        """What is under way in the chat. Its row is locked: nobody else begins anything there meanwhile."""
        if turn.most_ahead is None or not chat.last_position:
            return ()
        ahead = tuple(str(row[0]) for row in await self._rows.find(_AHEAD, [{"chat_id": turn.chat_id}]))
        if len(ahead) <= turn.most_ahead:
            return ahead
        raise RateLimited(TOO_MANY) if turn.most_ahead else Conflict(BUSY)

    async def _last_answer(self, turn: NewTurn, last_position: int) -> str | None:
        """The answer that stands, or will stand, before this turn: the newest turn is always of the current branch."""
        if not last_position:
            return None
        if turn.after is not None and turn.after[0] == last_position:
            return turn.after[1]
        found = await self._rows.find(_LAST_ANSWER, [{"chat_id": turn.chat_id, "position": last_position}])
        return found[0][0] if found else None

    async def _user_message(self, chat_id: str, message_id: str) -> _Message:
        found = await self._rows.find(_MESSAGE, [{"id": message_id, "chat_id": chat_id}])
        if not found:
            raise NotFound(NO_MESSAGE)
        message = _Message(*found[0])
        if message.role != "user":
            raise InvalidInput("Only a user's message can be edited or answered anew.")
        if message.superseded_at is not None:
            raise Conflict("This message belongs to an older branch of the conversation.")
        return message

    async def _write(self) -> None:
        await self._rows.change_together(_BEGIN, (self._places, self._messages, self._runs))


def _reached(chat: _Chat | None, turn: NewTurn) -> _Chat:
    """The chat, if it is there for the one who asks: before anything else of it is told, its requests too."""
    if chat is None or chat.owner not in (None, turn.owner):
        raise NotFound(NO_CHAT)
    return chat


async def _end(rows: Rows, turns: Sequence[EndedTurn]) -> list[TurnResult | Exception]:
    """Save answers of the runs that are still their workers'."""
    if not turns:
        return []
    lost = await _lost(rows, [turn for turn in turns if turn.worker is not None])
    await _save(rows, _ordered([turn for turn in turns if turn.run_id not in lost]))
    return [TakenOver() if turn.run_id in lost else None for turn in turns]


async def _lost(rows: Rows, turns: Sequence[EndedTurn]) -> set[str]:
    """The runs that are another worker's by now. The others' rows are locked: they stay who they are."""
    if not turns:
        return set()
    found = await rows.find(_HOLDER, [{"id": run_id} for run_id in sorted(turn.run_id for turn in turns)], _HOLDERS)
    holders = {str(row[0]): (row[1], row[2]) for row in found}
    held = {turn.run_id: (turn.worker, turn.fence) for turn in turns}
    return {run_id for run_id, holder in holders.items() if holder != held[run_id]}


async def _save(rows: Rows, turns: Sequence[EndedTurn]) -> None:
    if not turns:
        return
    ends = [{"of_run": turn.run_id} | {f"to_{name}": turn.run.get(name) for name in _RUN_ENDS} for turn in turns]
    await rows.change_together(_END, ([_answer_row(turn) for turn in turns], ends))
    if titles := [{"of_chat": turn.chat_id, "to_title": turn.title} for turn in turns if turn.title]:
        await rows.change(_GIVE_TITLE, titles)


def _ordered(turns: Sequence[AnyTurn]) -> list[AnyTurn]:
    """By chat: rows are locked in the same order by everyone."""
    return sorted(turns, key=lambda turn: turn.chat_id)


def _chat_row(turn: NewTurn) -> dict[str, Any]:
    return {
        "id": turn.chat_id,
        "user_id": turn.owner,
        "title": title_of(turn.question) if turn.owner is None else None,
        "details": {},
        "is_archived": False,
        "message_count": 0,
        "last_position": 0,
        "created_at": turn.at,
        "updated_at": turn.at,
    }


def _user_message(turn: NewTurn, position: int, parent: str | None) -> dict[str, Any]:
    return {
        "id": turn.message_id,
        "chat_id": turn.chat_id,
        "position": position,
        "parent_id": parent,
        "role": "user",
        "content": turn.question,
        "status": "complete",
        "run_id": None,
        "created_at": turn.at,
    }


def _answer_row(turn: EndedTurn) -> dict[str, Any]:
    return {
        "id": turn.answer_id,
        "chat_id": turn.chat_id,
        "position": turn.position,
        "parent_id": turn.message_id,
        "role": "assistant",
        "content": turn.answer,
        "status": turn.status,
        "run_id": turn.run_id,
        "created_at": turn.at,
    }


def _run_row(turn: NewTurn, message_id: str, answer_position: int) -> dict[str, Any]:
    return {
        "id": turn.run_id,
        "chat_id": turn.chat_id,
        "user_message_id": message_id,
        "answer_id": turn.answer_id,
        "answer_position": answer_position,
        "request_id": turn.request_id,
        "request_digest": turn.digest,
        "asked": turn.asked,
        "worker": turn.worker,
        "started_at": turn.at,
    }


def title_of(question: str) -> str:
    """A chat's title made from its first question: its first line, cut at a word."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS - 1].rsplit(" ", 1)[0].rstrip() + "…"

"""Turns of conversations: a user's message with its run, and what came of them. Many at once, in few statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, bindparam, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from infrastructure.database.models import Chat, ChatMessage, Run
from infrastructure.errors import Conflict, InvalidInput, NotFound

NO_CHAT = "No such chat."
NO_MESSAGE = "No such message."
REQUEST_MEMORY = timedelta(hours=24)  # how long a request id is remembered, by the contract
TITLE_CHARS = 80

_chat, _message, _run = Chat.__table__, ChatMessage.__table__, Run.__table__
_TAKE_PLACES = (
    update(_chat)  # type: ignore[arg-type]  # a declarative class's table is typed as any selectable
    .where(_chat.c.id == bindparam("of_chat"))
    .values(last_position=bindparam("position"), message_count=bindparam("count"), updated_at=bindparam("at"))
)
_COUNT_ANSWER = (
    update(_chat)  # type: ignore[arg-type]
    .where(_chat.c.id == bindparam("of_chat"))
    .values(message_count=_chat.c.message_count + 1, updated_at=bindparam("at"))
)
_GIVE_TITLE = (
    update(_chat)  # type: ignore[arg-type]
    .where(_chat.c.id == bindparam("of_chat"), _chat.c.title.is_(None))
    .values(title=bindparam("to_title"))
)
_RUN_ENDS = (
    "outcome", "model", "prompt_tokens", "completion_tokens", "confidence", "grounded", "citations", "finish_reason",
    "error_message", "last_seq", "finished_at", "first_token_ms", "duration_ms",
)  # fmt: skip
_END_RUN = (
    update(_run)  # type: ignore[arg-type]
    .where(_run.c.id == bindparam("of_run"))
    .values({name: bindparam(f"to_{name}") for name in _RUN_ENDS})
)


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A question that comes into a chat.

    `creates`: the chat is begun if there is none. `edits` is the user message that this one takes the place of;
    `regenerates` the one that is answered anew (there is no new message then).
    """

    chat_id: str
    owner: str | None
    question: str
    run_id: str
    message_id: str
    answer_id: str
    worker: str
    at: datetime
    creates: bool = True
    edits: str | None = None
    regenerates: str | None = None
    request_id: str | None = None
    after: tuple[int, str] | None = None  # the chat's last position and the answer there, as far as is known
    digest: str | None = None  # of the question: what tells whether a request id came with the same one again


@dataclass(frozen=True, slots=True)
class BegunTurn:
    """`position` is the answer's. `before` is the chat's last one till then, `asked_at` the user message's."""

    position: int
    before: int
    asked_at: int
    question: str
    message_id: str
    created_chat: bool
    titled: bool
    branched: bool  # an older branch was left: what was known of the conversation is not as it was


@dataclass(frozen=True, slots=True)
class KnownTurn:
    """The request id has been here before: the run that it started."""

    run_id: str
    message_id: str
    answer_id: str


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """What came of a turn. `run` holds the columns of `Run` that are known at the end."""

    chat_id: str
    run_id: str
    answer_id: str
    message_id: str
    position: int  # the answer's
    answer: str
    status: Literal["complete", "incomplete", "error"]
    at: datetime
    title: str | None
    run: Mapping[str, Any] = field(default_factory=dict)


Turn = NewTurn | EndedTurn
AnyRow = Row[*tuple[Any, ...]]
TurnResult = BegunTurn | KnownTurn | None


async def apply_turns(session: AsyncSession, turns: Sequence[Turn]) -> list[TurnResult | Exception]:
    """Begin and end turns, each of another chat: what came of each, in order. An ended turn gives None."""
    connection = await session.connection()
    begun = await _Beginning(connection, [turn for turn in turns if isinstance(turn, NewTurn)]).apply()
    await _end(connection, [turn for turn in turns if isinstance(turn, EndedTurn)])
    results = iter(begun)
    return [next(results) if isinstance(turn, NewTurn) else None for turn in turns]


class _Beginning:
    """New turns of one batch. Rows of their chats are locked, in the order of their ids, before any is looked at."""

    def __init__(self, connection: AsyncConnection, turns: Sequence[NewTurn]) -> None:
        self._connection = connection
        self._turns = turns
        self._messages: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []
        self._places: list[dict[str, Any]] = []

    async def apply(self) -> list[TurnResult | Exception]:
        if not self._turns:
            return []
        chats = await self._chats()
        missing = [turn for turn in self._turns if turn.creates and turn.chat_id not in chats]
        if missing:
            await self._create(missing)
            chats = await self._chats()
        created = {turn.chat_id for turn in missing}
        known = await self._known_requests()
        results: list[TurnResult | Exception] = []
        for turn in self._turns:
            try:
                results.append(known.get(turn.chat_id) or await self._begin(turn, chats.get(turn.chat_id), created))
            except (NotFound, Conflict, InvalidInput) as error:
                results.append(error)
        await self._write()
        return results

    async def _chats(self) -> dict[str, AnyRow]:
        ids = sorted(turn.chat_id for turn in self._turns)
        columns = (_chat.c.id, _chat.c.user_id, _chat.c.title, _chat.c.last_position, _chat.c.message_count)
        query = select(*columns).where(_chat.c.id.in_(ids)).order_by(_chat.c.id).with_for_update()
        return {row.id: row for row in await self._connection.execute(query)}

    async def _create(self, turns: Sequence[NewTurn]) -> None:
        rows: list[dict[str, Any]] = [
            {
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
            for turn in sorted(turns, key=lambda turn: turn.chat_id)
        ]
        await self._connection.execute(_or_nothing(self._connection, _chat), rows)

    async def _known_requests(self) -> dict[str, KnownTurn | Conflict]:
        """By chat: each batch has at most one turn of it."""
        asked = {(turn.chat_id, turn.request_id): turn for turn in self._turns if turn.request_id}
        if not asked:
            return {}
        columns = (
            _run.c.id, _run.c.chat_id, _run.c.request_id, _run.c.request_digest, _run.c.user_message_id,
            _run.c.answer_id, _run.c.started_at,
        )  # fmt: skip
        query = select(*columns).where(tuple_(_run.c.chat_id, _run.c.request_id).in_(list(asked)))
        found: dict[str, KnownTurn | Conflict] = {}
        for row in (await self._connection.execute(query)).all():
            turn = asked[row.chat_id, row.request_id]
            if turn.at - row.started_at >= REQUEST_MEMORY:
                forget = update(_run).where(_run.c.id == row.id).values(request_id=None)  # type: ignore[arg-type]
                await self._connection.execute(forget)
            elif row.request_digest == turn.digest:
                found[row.chat_id] = KnownTurn(row.id, row.user_message_id, row.answer_id)
            else:
                found[row.chat_id] = Conflict("This request id was used for another question.")
        return found

    async def _begin(self, turn: NewTurn, chat: AnyRow | None, created: set[str]) -> BegunTurn:
        if chat is None or chat.user_id not in (None, turn.owner):
            raise NotFound(NO_CHAT)
        position, left = chat.last_position + 1, 0
        question, message_id, asked_at = turn.question, turn.message_id, position
        if target := turn.edits or turn.regenerates:
            row = await self._user_message(turn.chat_id, target)
            left = await self._supersede(turn, row.position + (0 if turn.edits else 1))
            parent = row.parent_id
            if turn.regenerates:
                question, message_id, asked_at = row.content, row.id, row.position
        else:
            parent = await self._last_answer(turn, chat.last_position)
        if not turn.regenerates:
            self._messages.append(_user_message(turn, position, parent))
        count = chat.message_count - left + (not turn.regenerates)
        self._places.append({"of_chat": turn.chat_id, "position": position + 1, "count": count, "at": turn.at})
        self._runs.append(_run_row(turn, message_id, position + 1))
        return BegunTurn(
            position + 1, chat.last_position, asked_at, question, message_id, turn.chat_id in created,
            chat.title is not None, bool(target),
        )  # fmt: skip

    async def _last_answer(self, turn: NewTurn, last_position: int) -> str | None:
        """The answer that stands, or will stand, before this turn: the newest turn is always of the current branch."""
        if not last_position:
            return None
        if turn.after is not None and turn.after[0] == last_position:
            return turn.after[1]
        query = select(_run.c.answer_id).where(_run.c.chat_id == turn.chat_id, _run.c.answer_position == last_position)
        found: str | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def _user_message(self, chat_id: str, message_id: str) -> AnyRow:
        columns = (_message.c.id, _message.c.position, _message.c.parent_id, _message.c.role, _message.c.content)
        query = select(*columns, _message.c.superseded_at).where(
            _message.c.id == message_id, _message.c.chat_id == chat_id
        )
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            raise NotFound(NO_MESSAGE)
        if row.role != "user":
            raise InvalidInput("Only a user's message can be edited or answered anew.")
        if row.superseded_at is not None:
            raise Conflict("This message belongs to an older branch of the conversation.")
        return row

    async def _supersede(self, turn: NewTurn, from_position: int) -> int:
        """Leave the branch from a position on; how many messages that are."""
        change = (
            update(_message)  # type: ignore[arg-type]
            .where(_message.c.chat_id == turn.chat_id, _message.c.position >= from_position)
            .where(_message.c.superseded_at.is_(None))
            .values(superseded_at=turn.at)
        )
        return (await self._connection.execute(change)).rowcount

    async def _write(self) -> None:
        if self._places:
            await self._connection.execute(_TAKE_PLACES, self._places)
        if self._messages:
            await self._connection.execute(insert(_message), self._messages)  # type: ignore[arg-type]
        if self._runs:
            await self._connection.execute(insert(_run), self._runs)  # type: ignore[arg-type]


async def _end(connection: AsyncConnection, turns: Sequence[EndedTurn]) -> None:
    """Save answers."""
    if not turns:
        return
    turns = sorted(turns, key=lambda turn: turn.chat_id)  # rows are locked in the same order by everyone
    await connection.execute(_COUNT_ANSWER, [{"of_chat": turn.chat_id, "at": turn.at} for turn in turns])
    await connection.execute(insert(_message), [_answer_row(turn) for turn in turns])  # type: ignore[arg-type]
    ends = [{"of_run": turn.run_id} | {f"to_{name}": turn.run.get(name) for name in _RUN_ENDS} for turn in turns]
    await connection.execute(_END_RUN, ends)
    if titles := [{"of_chat": turn.chat_id, "to_title": turn.title} for turn in turns if turn.title]:
        await connection.execute(_GIVE_TITLE, titles)


def _or_nothing(connection: AsyncConnection, table: Any) -> Any:
    """An insert that leaves a row alone whose key is taken."""
    kind = sqlite if connection.dialect.name == "sqlite" else postgresql
    return kind.insert(table).on_conflict_do_nothing(index_elements=["id"])


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
        "worker": turn.worker,
        "started_at": turn.at,
    }


def title_of(question: str) -> str:
    """A chat's title made from its first question: its first line, cut at a word."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARS:
        return line
    return line[: TITLE_CHARS - 1].rsplit(" ", 1)[0].rstrip() + "…"

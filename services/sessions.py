"""The session manager: each conversation's own state, its place in line, and when it leaves.

A session is a chat's agent state: loaded from the store for a run, and saved there when the run ends. What this process
holds of it is bounded in number (`max_sessions`, least recently used leave first) and in idle time, and can be thrown
away; the conversation itself is in the store. The manager also remembers request ids.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Literal, Protocol, cast
from uuid import UUID

from infrastructure.database.patience import patiently
from infrastructure.database.repositories.conversations import ChatState, StoredTurn
from infrastructure.database.repositories.turns import NO_CHAT, BegunTurn, KnownTurn, NewTurn
from infrastructure.errors import Conflict, InvalidInput, NotFound, RateLimited
from infrastructure.providers.types import Message
from services.principals import may_reach

Concurrency = Literal["queue", "reject", "interrupt"]
TurnStatus = Literal["complete", "incomplete", "error"]
MAX_WAITING = 16  # questions that may stand in line in one session
REQUEST_MEMORY_SECONDS = 86_400.0  # how long a request id is remembered, by the contract
MAX_REQUESTS_REMEMBERED = 50_000
EXPIRE_AT_ONCE = 256  # sessions looked at in one go: the loop is not held up by many that are busy


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with what came of it."""

    question: str
    answer: str
    status: TurnStatus
    messages: tuple[Message, Message] = field(init=False, repr=False, compare=False)
    """The same for a model, made once: a long conversation is shown to it with each of its questions."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", (Message("user", self.question), Message("assistant", self.answer)))


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request id that has been here. `digest` is the question's."""

    run_id: str
    session_id: str | None
    digest: str
    at: float
    user_message_id: str | None = None
    answer_id: str | None = None


@dataclass(slots=True)
class Session:
    """One conversation in this process: what it needs to go on, and the runs that it has under way.

    `id` is the public session id, and the chat's; None for a question that keeps nothing. `position` is how far the
    chat had come when this process last wrote to it; `last_answer` the answer that stands there, or will.
    """

    id: str | None
    max_turns: int
    last_used: float
    owner: str | None = None
    position: int = 0
    last_answer: str | None = None
    stale: bool = False  # the turns held here are not (all) the conversation's: read them before they are used
    turns: deque[Turn] = field(init=False)
    active: dict[str, str] = field(default_factory=dict)  # runs under way or in line, oldest first, and their answers
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.turns = deque(maxlen=self.max_turns)

    @property
    def busy(self) -> bool:
        return bool(self.active)

    def history(self) -> tuple[Turn, ...]:
        """Turns that said something, oldest first."""
        return tuple(turn for turn in self.turns if turn.answer)

    def save(self, turn: Turn) -> None:
        if self.id is not None:
            self.turns.append(turn)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the session's one place; whoever waits gets it in the order of asking."""
        async with self._lock:
            yield

    @property
    def occupied(self) -> bool:
        return self._lock.locked()


class Store(Protocol):
    """Where conversations last."""

    async def begin(self, turn: NewTurn) -> BegunTurn | KnownTurn: ...

    async def state(self, chat_id: str) -> ChatState | None: ...

    async def turns(self, chat_id: str, before: int, limit: int) -> Sequence[StoredTurn]: ...


class SessionManager:
    """Finds sessions by id and lets the idle ones go; their conversations stay in the store."""

    def __init__(
        self,
        store: Store,
        *,
        max_turns: int = 50,
        max_sessions: int = 10_000,
        ttl_seconds: float = 30 * 86_400.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._requests: OrderedDict[tuple[str, str], SeenRequest] = OrderedDict()
        self._beginning: dict[tuple[str, str], asyncio.Event] = {}  # request ids whose first question is being kept
        self._max_turns = max_turns
        self._max_sessions = max_sessions
        self._ttl = ttl_seconds
        self._monotonic = monotonic

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def active(self) -> int:
        """Sessions with a run under way."""
        return sum(session.busy for session in self._sessions.values())

    def active_run(self, session_id: str) -> tuple[str, str] | None:
        """The run that is under way in a session, and the id of its answer."""
        session = self._sessions.get(session_id)
        return next(iter(session.active.items()), None) if session else None

    async def open(
        self, session_id: str | None, owner: str | None = None, *, must_exist: bool = False, fresh: bool = False
    ) -> Session:
        """The session of that id, begun if there is none; with None one that nobody else will find.

        A `fresh` id was made just now: there is no need to look for it.

        Raises:
            NotFound: it is somebody else's; or there is none and it `must_exist`.
        """
        now = self._monotonic()
        if session_id is None:
            return Session(None, self._max_turns, now, owner)
        session = self._sessions.get(session_id)
        if session is None:
            session = await self._load(session_id, owner, must_exist, fresh)
        if not may_reach(session.owner, owner):
            raise NotFound(NO_CHAT)
        session.last_used = now
        self._sessions.move_to_end(session_id)
        return session

    async def _load(self, session_id: str, owner: str | None, must_exist: bool, fresh: bool) -> Session:
        state = None if fresh else await self._store.state(session_id)
        if state is None and must_exist:
            raise NotFound(NO_CHAT)
        if (known := self._sessions.get(session_id)) is not None:  # somebody else was quicker
            return known
        session = Session(session_id, self._max_turns, self._monotonic(), owner)
        if state is not None:
            session.owner, session.position, session.stale = state.owner, state.last_position, state.last_position > 0
            if not may_reach(session.owner, owner):
                raise NotFound(NO_CHAT)
        self.expire()
        self._sessions[session_id] = session
        return session

    async def begin(self, session: Session, turn: NewTurn) -> BegunTurn | KnownTurn:
        """Keep a question in its conversation; it is committed when this returns."""
        known = (session.position, session.last_answer) if session.last_answer else None
        begun = await self._store.begin(replace(turn, after=known))
        if isinstance(begun, BegunTurn):
            if begun.before != session.position or begun.branched:
                session.stale = True
            session.position, session.last_answer = begun.position, turn.answer_id
        return begun

    async def refresh(self, session: Session, asked_at: int) -> None:
        """Bring the session's turns up to what stands before a position, where they are not."""
        if session.stale and session.id is not None:
            read = partial(self._store.turns, session.id, asked_at, self._max_turns)
            stored = await patiently(read)
            session.turns.clear()
            session.turns.extend(Turn(one.question, one.answer, cast(TurnStatus, one.status)) for one in stored)
            session.stale = False

    def forget(self, session_id: str) -> None:
        """Its chat is gone, or not as it was."""
        self._sessions.pop(session_id, None)

    def forget_owner(self, owner: str) -> list[Session]:
        """Their account is gone: the sessions that were theirs."""
        gone = [session for session in self._sessions.values() if session.owner == owner]
        for session in gone:
            if session.id is not None:
                del self._sessions[session.id]
        return gone

    def find(self, session_id: str) -> Session | None:
        """The session, if this process holds it."""
        return self._sessions.get(session_id)

    def admit(self, session: Session, policy: Concurrency) -> None:
        """Say whether one more question may come into `session`.

        Raises:
            Conflict: one is running and the policy is `reject`.
            RateLimited: too many are in line.
        """
        if session.busy and policy == "reject":
            raise Conflict("A question is already being answered in this session.")
        if len(session.active) > MAX_WAITING:
            raise RateLimited("Too many questions are waiting in this session.")

    @asynccontextmanager
    async def one_of(self, scope: str, request_id: str) -> AsyncIterator[None]:
        """Hold back others with the same request id, so that the first is known when they look."""
        key = (scope, request_id)
        while (earlier := self._beginning.get(key)) is not None:
            await earlier.wait()
        begun = self._beginning[key] = asyncio.Event()
        try:
            yield
        finally:
            del self._beginning[key]
            begun.set()

    def seen(self, scope: str, request_id: str, digest: str) -> SeenRequest | None:
        """The run that this request id started before in `scope` (a session, else a caller), if it did.

        Raises:
            Conflict: the same id came with another question.
        """
        entry = self._requests.get((scope, request_id))
        if entry is None or self._monotonic() - entry.at >= REQUEST_MEMORY_SECONDS:
            return None
        if entry.digest != digest:
            raise Conflict("This request id was used for another question.")
        return entry

    def remember(self, scope: str, request_id: str, seen: SeenRequest) -> None:
        self._requests[scope, request_id] = seen
        self._requests.move_to_end((scope, request_id))
        while len(self._requests) > MAX_REQUESTS_REMEMBERED:
            self._requests.popitem(last=False)

    def expire(self) -> None:
        """Let go of sessions that were idle for too long, and of the longest idle when there are too many."""
        now = self._monotonic()
        for session_id, session in list(islice(self._sessions.items(), EXPIRE_AT_ONCE)):
            if session.busy:
                continue
            if now - session.last_used < self._ttl and len(self._sessions) < self._max_sessions:
                return
            del self._sessions[session_id]


def parse_session_id(value: object) -> str | None:
    """A client's session id in its canonical form.

    Raises:
        InvalidInput: it is there, and no UUID.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 64:
        raise InvalidInput("session_id must be a UUID.")
    try:
        return str(UUID(value))
    except ValueError:
        raise InvalidInput("session_id must be a UUID.") from None


def is_uuid(value: str) -> bool:
    """Whether it is an id in the spelling that they are made in: any other names nothing."""
    try:
        return str(UUID(value)) == value
    except ValueError:
        return False

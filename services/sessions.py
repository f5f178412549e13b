"""The session manager: each conversation's own state, its place in line, and when it leaves.

A session is a chat's agent state: loaded from the store for a run, and saved there when the run ends. What this process
holds of it is bounded in number (`max_sessions`, least recently used leave first), in bytes and in idle time, and can
be thrown away; the conversation itself is in the store. The manager also remembers request ids.
"""

import asyncio
import sys
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
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
MAX_REQUESTS_REMEMBERED = 50_000  # of 0.5 KB
MAX_TURN_BYTES = 64 * 1024 * 1024  # of the turns of all sessions: their number alone would let them be gigabytes
TURN_OVERHEAD_BYTES = 500  # a turn, its two messages and their slots, as sys.getsizeof has them on CPython 3.11
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

    @property
    def bytes(self) -> int:
        """What it takes in memory, about."""
        return TURN_OVERHEAD_BYTES + sys.getsizeof(self.question) + sys.getsizeof(self.answer)


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request id that has been here. `digest` is the question's."""

    run_id: str
    session_id: str | None
    digest: str
    at: float
    user_message_id: str | None = None
    answer_id: str | None = None

    def packed(self) -> str:
        """The same in one string, which takes a third of the memory."""
        fields = (self.run_id, self.session_id, self.digest, self.user_message_id, self.answer_id)
        return "\0".join([repr(self.at), *(one or "" for one in fields)])


@dataclass(slots=True)
class Held:
    """Bytes that the turns of all sessions of a manager take, about."""

    bytes: int = 0


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
    bytes: int = 0  # that the turns take, about
    held: "Held | None" = None  # the sum that they count in
    active: dict[str, str] = field(default_factory=dict)  # runs under way or in line, oldest first, and their answers
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.turns = deque(maxlen=self.max_turns)

    @property
    def busy(self) -> bool:
        return bool(self.active)

    def history(self) -> tuple[Turn, ...]:
        """Turns that said something, oldest first."""
        return tuple([turn for turn in self.turns if turn.answer])

    def save(self, turn: Turn) -> None:
        if self.id is not None and self.max_turns:
            gone = self.turns[0].bytes if len(self.turns) == self.max_turns else 0
            self.turns.append(turn)
            self._weigh(turn.bytes - gone)

    def replace(self, turns: Sequence[Turn]) -> None:
        """Have these turns, and no others."""
        self.turns.clear()
        self.turns.extend(turns)
        self._weigh(sum(turn.bytes for turn in self.turns) - self.bytes)

    def _weigh(self, more: int) -> None:
        self.bytes += more
        if self.held is not None:
            self.held.bytes += more

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Hold the session's one place; whoever waits gets it in the order of asking."""
        return self._lock

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
        max_turn_bytes: int = MAX_TURN_BYTES,
        ttl_seconds: float = 30 * 86_400.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._requests: OrderedDict[bytes, str] = OrderedDict()
        self._beginning: dict[tuple[str, str], asyncio.Event] = {}  # request ids whose first question is being kept
        self._max_turns = max_turns
        self._max_sessions = max_sessions
        self._max_turn_bytes = max_turn_bytes
        self._held = Held()
        self._ttl = ttl_seconds
        self._monotonic = monotonic

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def turn_bytes(self) -> int:
        """What the turns of all sessions take, about."""
        return self._held.bytes

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
        if self._held.bytes > self._max_turn_bytes:
            self.expire(but=session)
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
        self._sessions[session_id], session.held = session, self._held
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
            session.replace([Turn(one.question, one.answer, cast(TurnStatus, one.status)) for one in stored])
            session.stale = False

    def forget(self, session_id: str) -> None:
        """Its chat is gone, or not as it was."""
        if (session := self._sessions.pop(session_id, None)) is not None:
            self._held.bytes -= session.bytes
            session.held = None

    def forget_owner(self, owner: str) -> list[Session]:
        """Their account is gone: the sessions that were theirs."""
        gone = [session for session in self._sessions.values() if session.owner == owner]
        for session in gone:
            if session.id is not None:
                self.forget(session.id)
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
        packed = self._requests.get(_request_key(scope, request_id))
        entry = None if packed is None else _unpacked(packed)
        if entry is None or self._monotonic() - entry.at >= REQUEST_MEMORY_SECONDS:
            return None
        if entry.digest != digest:
            raise Conflict("This request id was used for another question.")
        return entry

    def remember(self, scope: str, request_id: str, seen: SeenRequest) -> None:
        key = _request_key(scope, request_id)
        self._requests[key] = seen.packed()
        self._requests.move_to_end(key)
        while len(self._requests) > MAX_REQUESTS_REMEMBERED:
            self._requests.popitem(last=False)

    def expire(self, but: Session | None = None) -> None:
        """Let go of sessions that were idle for too long, and of the longest idle when there are too many, or their
        turns take too much; `but` one that is about to be used.
        """
        now = self._monotonic()
        for session_id, session in list(islice(self._sessions.items(), EXPIRE_AT_ONCE)):
            if session.busy or session is but:
                continue
            room = len(self._sessions) < self._max_sessions and self._held.bytes <= self._max_turn_bytes
            if room and now - session.last_used < self._ttl:
                return
            self.forget(session_id)


def _request_key(scope: str, request_id: str) -> bytes:
    return blake2b(f"{scope}\0{request_id}".encode(errors="surrogatepass"), digest_size=16).digest()


def _unpacked(packed: str) -> SeenRequest:
    at, run_id, session_id, digest, user_message_id, answer_id = packed.split("\0")
    return SeenRequest(run_id, session_id or None, digest, float(at), user_message_id or None, answer_id or None)


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

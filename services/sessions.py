"""The session manager: each conversation's own state, its place in line, and when it leaves.

A session holds its turns and the runs that it has under way; the manager remembers request ids. Sessions live in this
process's memory, bounded in number (`max_sessions`, least recently used leave first) and in idle time.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal
from uuid import UUID

from infrastructure.errors import Conflict, InvalidInput, RateLimited
from infrastructure.providers.types import Message

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
    run_id: str
    session_id: str | None
    question: str
    at: float


@dataclass(slots=True)
class Session:
    """One conversation. `id` is the public session id; None for a question that keeps nothing."""

    id: str | None
    max_turns: int
    last_used: float
    turns: deque[Turn] = field(init=False)
    active: list[str] = field(default_factory=list)  # run ids under way or in line, oldest first
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


class SessionManager:
    """Finds sessions by id and lets the idle ones go. All calls are made on the event loop's thread."""

    def __init__(
        self,
        *,
        max_turns: int = 50,
        max_sessions: int = 10_000,
        ttl_seconds: float = 30 * 86_400.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._requests: OrderedDict[tuple[str, str], SeenRequest] = OrderedDict()
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

    def open(self, session_id: str | None) -> Session:
        """The session of that id, begun if there is none; with None one that nobody else will find."""
        now = self._monotonic()
        if session_id is None:
            return Session(None, self._max_turns, now)
        session = self._sessions.get(session_id)
        if session is None:
            self.expire()
            session = self._sessions[session_id] = Session(session_id, self._max_turns, now)
        session.last_used = now
        self._sessions.move_to_end(session_id)
        return session

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

    def seen(self, scope: str, request_id: str, question: str) -> SeenRequest | None:
        """The run that this request id started before in `scope` (a session, else a caller), if it did.

        Raises:
            Conflict: the same id came with another question.
        """
        entry = self._requests.get((scope, request_id))
        if entry is None or self._monotonic() - entry.at >= REQUEST_MEMORY_SECONDS:
            return None
        if entry.question != question:
            raise Conflict("This request id was used for another question.")
        return entry

    def remember(self, scope: str, request_id: str, run_id: str, session_id: str | None, question: str) -> None:
        self._requests[scope, request_id] = SeenRequest(run_id, session_id, question, self._monotonic())
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

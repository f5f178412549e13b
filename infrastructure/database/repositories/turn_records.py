"""What is given to begin and to end a turn of a conversation, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


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
    asked: Mapping[str, Any] | None = None  # how it was asked, where not as usual: for whoever has to begin it anew
    most_ahead: int | None = None  # runs that may be under way in the chat, in any process; None: nobody looks


@dataclass(frozen=True, slots=True)
class BegunTurn:
    """`position` is the answer's. `before` is the chat's last one till then, `asked_at` the user message's."""

    position: int
    before: int
    asked_at: int
    question: str
    message_id: str
    titled: bool
    branched: bool  # an older branch was left: what was known of the conversation is not as it was
    at: datetime
    agent_id: str | None = None  # the chat's
    ahead: tuple[str, ...] = ()  # the chat's runs that were under way, oldest first, where somebody looked
    has_files: bool = True  # the chat, of its own, when the question was kept; True also where nobody looked


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
    worker: str | None = None  # whose the run has to be still, with `fence`; None: it is not looked at
    fence: int = 1


class TakenOver(Exception):
    """Another process has the run by now: what came of it here is not kept."""


Turn = NewTurn | EndedTurn
TurnResult = BegunTurn | KnownTurn | None

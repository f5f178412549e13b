"""Where a person is: the session that questions belong to, how they are answered, and what was answered last."""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from backend.terminal.fields import text_of
from backend.terminal.service import Service


@dataclass(slots=True)
class Conversation:
    """A session that was not asked anything yet is not known to the service, unless it was begun with an agent."""

    session_id: str = field(default_factory=lambda: str(uuid4()))
    known: bool = False
    model: str | None = None
    citations: list[dict[str, Any]] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)  # titles by id, of what was begun here
    files: dict[str, str] = field(default_factory=dict)  # names by id, of what was uploaded here

    def begin(self) -> None:
        """Go on in a new session."""
        self.session_id, self.known, self.citations = str(uuid4()), False, []

    def go_to(self, session_id: str) -> None:
        self.session_id, self.known, self.citations = session_id, True, []

    def asked(self, question: str) -> None:
        """The service knows the session from now on."""
        self.known = True
        self.own.setdefault(self.session_id, question)

    async def make_known(self, service: Service, **fields: Any) -> None:
        """Begin the session at the service, where that has not been done."""
        if not self.known:
            chat = await service.json("POST", "/chats", json=fields)
            self.go_to(text_of(chat, "id"))
            self.own[self.session_id] = text_of(chat, "title")

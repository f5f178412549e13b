"""Chats: making, finding, changing and leaving conversations, and what readers think of their answers.

Questions are asked through the runner; here is what stands around them. Whoever may not reach a chat is told the same
as for one that never was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from sqlalchemy.exc import IntegrityError

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.agents import AgentRepository
from infrastructure.database.repositories.chats import ChatRepository, ChatView
from infrastructure.database.repositories.messages import FeedbackView, MessageRepository, MessageView, two_messages
from infrastructure.database.repositories.turns import NO_CHAT, NO_MESSAGE
from infrastructure.errors import Conflict, InvalidInput, NotFound, Unauthorized
from services.agents import NO_AGENT
from services.chat_feed import CHAT_DELETED, CHAT_UPDATED
from services.chat_search import spellings

__all__ = ["UNSET", "ChatView", "Chats", "FeedbackView", "MessageView", "Page", "Publish", "Unset"]

Item = TypeVar("Item")
Publish = Callable[[str, str, dict[str, Any]], None]
"""Told a chat's id, an event's type and its data (JSON's own types), once the change is committed."""


class Unset(Enum):
    """Says of a field that it is to stay as it is, where None has a meaning of its own."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, counted from 1; `total` items on `pages` pages of `page_size`."""

    items: list[Item]
    total: int
    page: int
    page_size: int

    @property
    def pages(self) -> int:
        return -(-self.total // self.page_size)


class Chats:
    """The conversations of everyone. `owner` is always the one who asks: a user's id, or None for an anonymous one.

    Raises (every method with a `chat_id`):
        NotFound: no such chat, or another user's.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime], publish: Publish) -> None:
        self._database = database
        self._clock = clock
        self._publish = publish

    async def create(
        self,
        owner: str | None,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
        agent_id: str | None = None,
    ) -> ChatView:
        """Begin an empty chat.

        Raises:
            NotFound: no such agent, or another user's.
            Unauthorized: the owner's account is gone.
        """
        now = self._clock()
        values = {
            "id": new_id(),
            "user_id": owner,
            "agent_id": agent_id,
            "title": title,
            "details": metadata or {},
            "is_archived": False,
            "message_count": 0,
            "last_position": 0,
            "created_at": now,
            "updated_at": now,
        }
        try:
            async with self._database.write() as session:
                if agent_id is not None and not await AgentRepository(session).usable(agent_id, owner):
                    raise NotFound(NO_AGENT)
                return await ChatRepository(session).add(values)
        except IntegrityError:  # deleted between being recognised and here
            raise Unauthorized("Sign in first.") from None

    async def page(
        self, owner: str | None, page: int, page_size: int, query: str | None = None, archived: bool | None = None
    ) -> Page[ChatView]:
        """A page of a user's own chats, the last changed first: all, or those in which `query` occurs.

        Nobody's chats are in nobody's list: for an anonymous caller it is empty.
        """
        if owner is None:
            return Page([], 0, page, page_size)
        words, offset = spellings(query or ""), (page - 1) * page_size
        async with self._database.read() as session:
            chats = ChatRepository(session)
            if words:
                items, total = await chats.search(owner, words, offset, page_size, archived=archived)
            else:
                items, total = await chats.page(owner, offset, page_size, archived=archived)
        return Page(items, total, page, page_size)

    async def get(self, chat_id: str, owner: str | None) -> ChatView:
        async with self._database.read() as session:
            return _there(await ChatRepository(session).find(chat_id, owner))

    async def update(
        self,
        chat_id: str,
        owner: str | None,
        *,
        title: str | Unset | None = UNSET,
        metadata: dict[str, Any] | Unset = UNSET,
        is_archived: bool | Unset = UNSET,
    ) -> ChatView:
        """Change what is given of a chat and tell its readers; `title` None takes its title away."""
        given = {"title": title, "details": metadata, "is_archived": is_archived}
        values = {name: value for name, value in given.items() if value is not UNSET}
        if not values:
            return await self.get(chat_id, owner)
        async with self._database.write() as session:
            chat = _there(await ChatRepository(session).change(chat_id, owner, values | {"updated_at": self._clock()}))
        self._publish(chat_id, CHAT_UPDATED, _event_data(chat))
        return chat

    async def delete(self, chat_id: str, owner: str | None) -> None:
        """Delete a chat with its messages, their runs and feedback, and tell its readers."""
        async with self._database.write() as session:
            if not await ChatRepository(session).remove(chat_id, owner):
                raise NotFound(NO_CHAT)
        self._publish(chat_id, CHAT_DELETED, {"id": chat_id})

    async def delete_idle_anonymous(self, before: datetime, limit: int = 500) -> int:
        """Delete at most `limit` of nobody's chats that nothing has happened in since `before`; how many it were."""
        async with self._database.write() as session:
            return await ChatRepository(session).remove_idle_anonymous(before, limit)

    async def messages(self, chat_id: str, owner: str | None, *, superseded: bool = False) -> list[MessageView]:
        """The conversation as it stands, in order; with `superseded` the branches that were left, too."""
        async with self._database.read() as session:
            found = await MessageRepository(session).of_chat(chat_id, owner, superseded=superseded)
            if not found:
                _there(await ChatRepository(session).find(chat_id, owner))
            return found

    async def message(self, chat_id: str, message_id: str, owner: str | None) -> MessageView:
        """One message, of whichever branch.

        Raises:
            NotFound: no such chat, or no such message in it.
        """
        return (await self._messages(chat_id, owner, message_id))[0]

    async def exchange(
        self, chat_id: str, owner: str | None, user_message_id: str, answer_id: str
    ) -> tuple[MessageView, MessageView]:
        """A question and the answer to it.

        Raises:
            NotFound: no such chat, or one of them is not in it.
        """
        found = await self._database.look(lambda rows: two_messages(rows, chat_id, owner, user_message_id, answer_id))
        if found is None:
            _there(await self._find(chat_id, owner))
            raise NotFound(NO_MESSAGE)
        return found

    async def question_of(self, chat_id: str, message_id: str, owner: str | None) -> str:
        """The id of the user message that `message_id` is, or is the answer to.

        Raises:
            NotFound: no such chat, or no such message in it.
            InvalidInput: it is neither a question nor an answer.
        """
        message = await self.message(chat_id, message_id, owner)
        if message.role == "user":
            return message.id
        if message.role != "assistant":
            raise InvalidInput("Only a question or its answer can be answered anew.")
        if message.parent_id is None:
            raise Conflict("This answer has no question.")
        return message.parent_id

    async def give_feedback(
        self, chat_id: str, message_id: str, owner: str | None, is_positive: bool, feedback_text: str | None = None
    ) -> FeedbackView:
        """Keep what the reader thinks of an answer, in the place of what they thought before.

        Raises:
            NotFound: no such chat, or no such message in it.
            InvalidInput: it is not an answer.
        """
        async with self._database.write() as session:
            messages = MessageRepository(session)
            role = await messages.lock(chat_id, message_id, owner)
            if role is None:
                _there(await ChatRepository(session).find(chat_id, owner))
                raise NotFound(NO_MESSAGE)
            if role != "assistant":
                raise InvalidInput("Feedback is for answers.")
            return await messages.set_feedback(message_id, is_positive, feedback_text, self._clock())

    async def _find(self, chat_id: str, owner: str | None) -> ChatView | None:
        async with self._database.read() as session:
            return await ChatRepository(session).find(chat_id, owner)

    async def _messages(self, chat_id: str, owner: str | None, *ids: str) -> list[MessageView]:
        async with self._database.read() as session:
            found = await MessageRepository(session).find(chat_id, owner, *ids)
            if not found:
                _there(await ChatRepository(session).find(chat_id, owner))
        if not found.keys() >= set(ids):
            raise NotFound(NO_MESSAGE)
        return [found[message_id] for message_id in ids]


def _there(chat: ChatView | None) -> ChatView:
    if chat is None:
        raise NotFound(NO_CHAT)
    return chat


def _event_data(chat: ChatView) -> dict[str, Any]:
    """What readers of a chat are told of it: what clients see of a chat."""
    return {
        "id": chat.id,
        "title": chat.title,
        "metadata": chat.metadata,
        "created_at": _json_time(chat.created_at),
        "updated_at": _json_time(chat.updated_at),
        "agent_id": chat.agent_id,
        "is_archived": chat.is_archived,
        "message_count": chat.message_count,
    }


def _json_time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")

"""The chat feed as those above see it: what happens in chats is told to whoever listens at that moment."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from infrastructure.chat_feed.event import ChatEvent

MESSAGE_CREATED: Final = "message.created"
AGENT_PROCESSING: Final = "agent.processing"
MESSAGE_DELTA: Final = "message.delta"
MESSAGE_COMPLETED: Final = "message.completed"
CHAT_UPDATED: Final = "chat.updated"
CHAT_DELETED: Final = "chat.deleted"
PING: Final = "ping"


class Subscription(Protocol):
    """One listener's events. They end when the feed is closed, or when some of them are lost."""

    @property
    def behind(self) -> bool:
        """True when the events ended because some are lost: this listener took too long, or the way to the other
        workers broke. What is to be known is read anew.
        """

    @property
    def slow(self) -> bool:
        """True when they are lost because this listener took too long."""

    def __aiter__(self) -> AsyncIterator[ChatEvent]: ...


class ChatFeed(Protocol):
    """Tells what happens in chats. It remembers nothing."""

    def publish(self, chat_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell everyone who listens to a chat, without waiting; with no one there it costs a look-up."""

    def listened(self, chat_id: str) -> bool:
        """Whether anyone may listen, here or at another worker: whether it is worth making an event's data."""

    def subscribe(self, chat_id: str) -> AbstractAsyncContextManager[Subscription]:
        """What happens in a chat from now on.

        Raises:
            RateLimited: too many listen to this chat, or at all.
            ShuttingDown: the feed is closed.
        """

    def close(self) -> None:
        """End all subscriptions behind what was published before; new ones are refused."""

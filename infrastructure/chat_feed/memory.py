"""The chat feed of a single process: what happens in chats, handed to whoever listens at that moment.

It remembers nothing: what a chat holds is read from the database, what an answer's text is from the event log. Each
listener has a queue with a bound; one that falls behind it is let go, and costs the others nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from infrastructure.chat_feed.event import ChatEvent
from infrastructure.errors import RateLimited, ShuttingDown

RETRY_SECONDS = 5.0  # what those are told who find no room


class MemorySubscription:
    """One listener's events, in the order of their happening.

    They end when the feed is closed, or with `behind` set when some are lost: because too many were waiting (`slow`),
    or on their way here.
    """

    __slots__ = ("_events", "_limit", "_news", "_open", "behind", "slow")

    def __init__(self, limit: int) -> None:
        self.behind = False
        self.slow = False
        self._events: deque[ChatEvent] = deque()
        self._limit = limit
        self._news = asyncio.Event()
        self._open = True

    def put(self, event: ChatEvent) -> None:
        if not self._open:
            return
        if len(self._events) >= self._limit:
            self._events.clear()
            self.slow = True
            return self.lose()
        self._events.append(event)
        self._news.set()

    def end(self) -> None:
        """Nothing more comes; what is there is still given."""
        self._open = False
        self._news.set()

    def lose(self) -> None:
        """Nothing more comes, and something is missing."""
        self.behind = self.behind or self._open
        self.end()

    def __aiter__(self) -> AsyncIterator[ChatEvent]:
        return self

    async def __anext__(self) -> ChatEvent:
        while not self._events:
            if not self._open:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()


class MemoryChatFeed:
    """Fits the services' `ChatFeed` port. All calls are made on the event loop's thread."""

    def __init__(
        self, *, max_behind: int = 1000, max_per_chat: int = 64, max_listeners: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._chats: dict[str, list[MemorySubscription]] = {}
        self._listeners = 0
        self._max_behind = max_behind
        self._max_per_chat = max_per_chat
        self._max_listeners = max_listeners
        self._clock = clock
        self._closed = False

    def publish(self, chat_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        if chat_id in self._chats:
            self.tell(ChatEvent(event_type, chat_id, data, self._clock()))

    def tell(self, event: ChatEvent) -> None:
        """Give an event to those who listen here."""
        for listener in self._chats.get(event.chat_id, ()):
            listener.put(event)

    def let_go(self, chat_id: str | None = None) -> None:
        """End those who listen to a chat, or all, as `behind`: something happened that they will not hear of."""
        chats = self._chats.values() if chat_id is None else [self._chats.get(chat_id, [])]
        for listener in (listener for listeners in chats for listener in listeners):
            listener.lose()

    def listened(self, chat_id: str) -> bool:
        return chat_id in self._chats

    @asynccontextmanager
    async def subscribe(self, chat_id: str) -> AsyncIterator[MemorySubscription]:
        if self._closed:
            raise ShuttingDown("The service is restarting. Listen again in a moment.")
        listeners = self._chats.get(chat_id, [])
        if len(listeners) >= self._max_per_chat or self._listeners >= self._max_listeners:
            raise RateLimited("Too many are listening. Try again in a moment.", retry_after=RETRY_SECONDS)
        subscription = MemorySubscription(self._max_behind)
        listeners.append(subscription)
        self._chats[chat_id] = listeners
        self._listeners += 1
        try:
            yield subscription
        finally:
            self._listeners -= 1
            listeners.remove(subscription)
            if not listeners:
                del self._chats[chat_id]

    def close(self) -> None:
        self._closed = True
        for listeners in self._chats.values():
            for listener in listeners:
                listener.end()

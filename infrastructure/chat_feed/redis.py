"""The chat feed of many workers: what is published at one is heard at all, over Redis' channels.

Those who listen at the worker where something happens are told at once. Redis forgets a message that nobody hears, so
where one may have been missed those who listen are let go as `behind`, and read anew what happened.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import orjson
import structlog
from redis.asyncio import Redis

from infrastructure.chat_feed.event import ChatEvent
from infrastructure.chat_feed.memory import MemoryChatFeed, MemorySubscription
from infrastructure.redis.channels import Channels
from infrastructure.redis.link import RedisAway, RedisLink

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

MAX_WAITING = 1000  # events on their way to Redis; while it answers there is a handful
MAX_UNSAID = 1000  # chats of which events did not get there
AT_ONCE = 200  # events in one round trip
_LOST = b""  # in an event's place: something of this chat was not said


class RedisChatFeed:
    """Fits the services' `ChatFeed` port. All calls are made on the event loop's thread. `options` are `Channels`' own.

    A message is the name of the worker that says it, 32 bytes, then the event's type, time and data as JSON.
    """

    def __init__(
        self, link: RedisLink, local: MemoryChatFeed, *, clock: Callable[[], float] = time.time, **options: float
    ) -> None:
        self._link = link
        self._local = local
        self._clock = clock
        self._worker = uuid4().hex.encode()
        self._start = f"{link.prefix}chat:"
        self._all = f"{link.prefix}chats"
        self._channels = Channels(link, self._all, self._heard, self._missed, **options)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self._unsaid: set[str] = set()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    def open(self) -> None:
        """Hear and be heard from now on. Redis need not be there."""
        self._channels.open()
        self._link.listen(lambda available: self._news.set())
        self._sender = asyncio.create_task(self._send_what_comes(), name="chat feed")

    async def aclose(self) -> None:
        """What was published is sent, if Redis answers; then nothing more is heard."""
        self._local.close()
        self._closed = True
        self._news.set()
        if self._sender is not None:
            await self._sender  # a round trip, or what the link waits for one
        await self._channels.aclose()

    def close(self) -> None:
        """End those who listen here. What is published is heard elsewhere still."""
        self._local.close()

    def publish(self, chat_id: str, event_type: str, data: Mapping[str, Any]) -> None:
        event = ChatEvent(event_type, chat_id, data, self._clock())
        self._local.tell(event)
        channel = self._start + chat_id
        if len(self._waiting) >= MAX_WAITING or not self._link.available:
            return self._not_said([channel])
        body = orjson.dumps([event_type, event.at, data], option=orjson.OPT_UTC_Z)
        self._waiting.append((channel, self._worker + body))
        self._news.set()

    def listened(self, chat_id: str) -> bool:
        """True: nobody knows who listens at other workers."""
        return True

    @asynccontextmanager
    async def subscribe(self, chat_id: str) -> AsyncIterator[MemorySubscription]:
        attending = self._channels.attend(self._start + chat_id)
        async with self._local.subscribe(chat_id) as subscription, attending:
            yield subscription

    async def _send_what_comes(self) -> None:
        while not self._closed:
            await self._news.wait()
            self._news.clear()
            try:
                await self._send()
            except Exception:  # the edge of the task: the next event may get there
                log.exception("chat feed failed")

    async def _send(self) -> None:
        while self._link.available and (self._unsaid or self._waiting):
            batch = [(channel, self._worker + _LOST) for channel in self._unsaid]
            self._unsaid = set()
            batch += [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                await self._link.ask(partial(_publish, messages=batch))
            except RedisAway:  # some of it may have been said: who hears of the loss then reads anew in vain
                self._not_said(channel for channel, _ in batch)
        if self._waiting:
            self._not_said(channel for channel, _ in self._waiting)
            self._waiting.clear()

    def _not_said(self, channels: Iterable[str]) -> None:
        self._unsaid.update(channels)
        if len(self._unsaid) > MAX_UNSAID or self._all in self._unsaid:
            self._unsaid = {self._all}

    def _heard(self, channel: str, message: bytes) -> None:
        worker, body = message[:32], message[32:]
        if worker == self._worker:  # told already
            return
        if body == _LOST:
            return self._missed(channel)
        match _parsed(body):
            case [str(event_type), float(at), dict(data)]:
                self._local.tell(ChatEvent(event_type, channel.removeprefix(self._start), data, at))
            case _:
                log.warning("a message of the chat feed is none of ours")

    def _missed(self, channel: str) -> None:
        self._local.let_go(None if channel == self._all else channel.removeprefix(self._start))


async def _publish(client: Redis, messages: Sequence[tuple[str, bytes]]) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for channel, message in messages:
            pipeline.publish(channel, message)
        await pipeline.execute()


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except ValueError:
        return None

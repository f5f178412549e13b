"""What the workers of one service have in common, over Redis: frames, signals, what happens in chats, limits.

Without `REDIS_URL` there is one worker, and nothing of this is made.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.settings import Settings
from infrastructure.chat_feed.memory import MemoryChatFeed
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.monitoring import Metrics

if TYPE_CHECKING:  # the client of Redis takes a quarter of a second to import
    from backend.others import Others
    from infrastructure.chat_feed.redis import RedisChatFeed
    from infrastructure.event_log.redis import RedisEventLog
    from infrastructure.redis.link import RedisLink
    from infrastructure.redis.rate_windows import RateWindows

KNOWLEDGE = "knowledge"  # what is told when the shared knowledge has changed


@dataclass(frozen=True, slots=True)
class Sharing:
    """The parts that go through Redis, opened."""

    link: "RedisLink"
    event_log: "RedisEventLog"
    feed: "RedisChatFeed"
    windows: "RateWindows"
    others: "Others"


def log_bounds(settings: Settings) -> dict[str, Any]:
    return {"max_run_bytes": settings.run_log_max_bytes, "ttl_seconds": settings.run_log_seconds}


def open_event_log(settings: Settings, sharing: Sharing | None) -> "MemoryEventLog | RedisEventLog":
    return MemoryEventLog(**log_bounds(settings)) if sharing is None else sharing.event_log


def open_feed(sharing: Sharing | None) -> "MemoryChatFeed | RedisChatFeed":
    return MemoryChatFeed() if sharing is None else sharing.feed


async def open_sharing(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Sharing | None:
    """Redis need not be there: what it does for all is done for this worker alone until it is."""
    if settings.redis_url is None:
        return None
    from backend.others import Others
    from infrastructure.chat_feed.redis import RedisChatFeed
    from infrastructure.event_log.redis import RedisEventLog
    from infrastructure.redis.link import RedisLink
    from infrastructure.redis.rate_windows import RateWindows
    from infrastructure.redis.signals import Signals
    from infrastructure.redis.streams import Streams

    link = RedisLink(settings.redis_url.get_secret_value(), prefix=settings.redis_prefix)
    stack.push_async_callback(link.aclose)
    there = metrics.dependency.labels("redis")
    link.listen(lambda available: there.set(available))
    there.set(0)
    await link.open()
    streams = Streams(link)
    stack.push_async_callback(streams.aclose)
    event_log = RedisEventLog(link, streams, **log_bounds(settings))
    stack.push_async_callback(event_log.aclose)
    feed = RedisChatFeed(link, MemoryChatFeed())
    stack.push_async_callback(feed.aclose)
    others = Others(Signals(link, streams))
    stack.push_async_callback(others.aclose)
    await streams.open()
    event_log.start()
    feed.open()
    return Sharing(link, event_log, feed, RateWindows(link), others)


def apart(sharing: Sharing | None) -> Callable[[], bool]:
    """Tells whether frames are shown here that Redis does not have."""
    return (lambda: False) if sharing is None else (lambda: not sharing.link.available or sharing.event_log.behind)


Followed = Callable[[], list[str]]


def followed(sharing: Sharing | None) -> Followed:
    """Names the runs of others that are read here."""
    return (lambda: []) if sharing is None else (lambda: sharing.event_log.followed)

"""The chat feed of one process: who hears what, in which order, and who is let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from infrastructure.chat_feed.event import ChatEvent
from infrastructure.chat_feed.memory import MemoryChatFeed, MemorySubscription
from infrastructure.errors import RateLimited, ShuttingDown

CHAT, OTHER = "chat", "other"


async def rest(events: AsyncIterator[ChatEvent]) -> list[str]:
    """The types of the events until their end."""
    return [event.type async for event in events]


async def test_everyone_who_listens_hears_what_follows_in_order() -> None:
    feed = MemoryChatFeed(clock=lambda: 12.5)
    feed.publish(CHAT, "before", {})
    async with feed.subscribe(CHAT) as first, feed.subscribe(CHAT) as second:
        feed.publish(CHAT, "one", {"a": 1})
        feed.publish(CHAT, "two", {})
        for events in (first, second):
            assert await anext(events) == ChatEvent("one", CHAT, {"a": 1}, 12.5)
            assert (await anext(events)).type == "two"


async def test_what_happens_in_another_chat_is_not_heard() -> None:
    feed = MemoryChatFeed()
    async with feed.subscribe(CHAT) as events:
        feed.publish(OTHER, "foreign", {})
        feed.publish(CHAT, "own", {})
        assert (await anext(events)).type == "own"


async def test_a_listener_waits_for_what_is_to_come() -> None:
    feed = MemoryChatFeed()
    async with feed.subscribe(CHAT) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        feed.publish(CHAT, "late", {})
        assert (await asyncio.wait_for(waiting, 30)).type == "late"


async def test_one_knows_whether_anyone_listens() -> None:
    feed = MemoryChatFeed()
    async with feed.subscribe(CHAT):
        async with feed.subscribe(CHAT):
            pass
        assert feed.listened(CHAT)
        assert not feed.listened(OTHER)
    assert not feed.listened(CHAT)


async def test_a_listener_that_fails_leaves_too() -> None:
    feed = MemoryChatFeed()
    with pytest.raises(LookupError):
        async with feed.subscribe(CHAT):
            raise LookupError
    assert not feed.listened(CHAT)


async def test_one_who_falls_behind_is_let_go_and_the_others_are_not() -> None:
    feed = MemoryChatFeed(max_behind=3)
    async with feed.subscribe(CHAT) as slow, feed.subscribe(CHAT) as quick:
        for number in range(5):
            feed.publish(CHAT, str(number), {})
            assert (await anext(quick)).type == str(number)
        assert await rest(slow) == []
        assert (slow.behind, quick.behind) == (slow.slow, quick.slow) == (True, False)


async def test_exactly_as_many_as_allowed_may_wait() -> None:
    feed = MemoryChatFeed(max_behind=3)
    async with feed.subscribe(CHAT) as events:
        for number in range(3):
            feed.publish(CHAT, str(number), {})
        feed.close()
        assert await rest(events) == ["0", "1", "2"]
        assert not events.behind


async def test_those_who_miss_something_are_let_go_behind_what_they_have() -> None:
    feed = MemoryChatFeed()
    async with feed.subscribe(CHAT) as one, feed.subscribe(OTHER) as other:
        feed.publish(CHAT, "had", {})
        feed.let_go(CHAT)
        feed.publish(CHAT, "too late", {})
        assert await rest(one) == ["had"]
        assert (one.behind, one.slow, other.behind) == (True, False, False)
        feed.let_go()
        assert (await rest(other), other.behind) == ([], True)
        feed.let_go("nobody's")


async def test_a_closed_feed_ends_who_listens_behind_what_was_said() -> None:
    feed = MemoryChatFeed()
    async with feed.subscribe(CHAT) as idle, feed.subscribe(OTHER) as busy:
        waiting = asyncio.ensure_future(rest(idle))
        await asyncio.sleep(0)
        feed.publish(OTHER, "last", {})
        feed.close()
        feed.publish(OTHER, "too late", {})
        assert await asyncio.wait_for(waiting, 30) == []
        assert await rest(busy) == ["last"]


async def test_nobody_comes_into_a_closed_feed() -> None:
    feed = MemoryChatFeed()
    feed.close()
    with pytest.raises(ShuttingDown):
        await feed.subscribe(CHAT).__aenter__()


async def enter(stack: AsyncExitStack, feed: MemoryChatFeed, chat_id: str) -> MemorySubscription:
    return await stack.enter_async_context(feed.subscribe(chat_id))


async def test_a_chat_has_so_many_listeners_and_no_more() -> None:
    feed = MemoryChatFeed(max_per_chat=2)
    async with AsyncExitStack() as stack:
        await enter(stack, feed, CHAT)
        async with feed.subscribe(CHAT):
            with pytest.raises(RateLimited) as refused:
                await enter(stack, feed, CHAT)
            assert refused.value.retry_after is not None
            await enter(stack, feed, OTHER)
        await enter(stack, feed, CHAT)


async def test_there_are_so_many_listeners_in_all_and_no_more() -> None:
    feed = MemoryChatFeed(max_listeners=2)
    async with AsyncExitStack() as stack:
        await enter(stack, feed, CHAT)
        async with feed.subscribe(OTHER):
            with pytest.raises(RateLimited):
                await enter(stack, feed, "third")
        assert not feed.listened("third")
        await enter(stack, feed, "third")

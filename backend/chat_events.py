"""What happens in a chat, as server-sent events: the feed's events, with the answers' text between them as it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from agents.ports import EventLog
from backend.answer_text import answer_text
from backend.streaming import Stream
from infrastructure.errors import Interrupted, NotFound, StorageUnavailable
from services.chat_feed import (
    AGENT_PROCESSING,
    CHAT_DELETED,
    MESSAGE_COMPLETED,
    MESSAGE_DELTA,
    PING,
    ChatFeed,
    Subscription,
)

PING_SECONDS = 30.0  # by the contract
LOOK_PAUSES = (0.05, 0.2, 0.5)
LAST_WORDS_SECONDS = 2.0  # what an answer's text may be behind the news that it is complete


ActiveRun = Callable[[str], Awaitable[tuple[str, str] | None]]
Follow = Callable[[str], Awaitable[object]]


class ChatEventStream(Stream):
    """The events of a chat from now on, for whoever may read it.

    `active_run` tells the run that is under way in a chat and the id of its answer, `follow` has a run's frames in the
    event log, wherever it is. The text of a run's answer comes
    from the event log, between its `agent.processing` and its `message.completed`; who joins in the middle gets what
    follows. It ends after `seconds`, when the chat is deleted, when the feed is closed, or when the reader is too far
    behind; then it is read anew from the chat's messages.
    """

    def __init__(
        self, feed: ChatFeed, log: EventLog, chat_id: str, active_run: ActiveRun, follow: Follow, *,
        send_timeout: float, on_slow: Callable[[], None], silence: float = PING_SECONDS, seconds: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__(silence=silence, send_timeout=send_timeout, on_slow=on_slow)
        self._feed = feed
        self._log = log
        self._chat_id = chat_id
        self._active_run = active_run
        self._follow_run = follow
        self._seconds = seconds
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # followers and the feed write to one connection

    async def write(self) -> None:
        async with self._feed.subscribe(self._chat_id) as events:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await self._join()
                        await self._pass_on(events)
            finally:
                await self._end_followers()
        if events.slow:
            self._on_slow()

    def sign_of_life(self) -> bytes:
        return encode_event(self._chat_id, PING, {}, time.time())

    async def _join(self) -> None:
        """Begin, with the run that is under way. Nothing is awaited once the run's place is known."""
        active = await self._active_run(self._chat_id)
        if active and not await self._found(active[0]):
            active = None
        after = self._log.last_seq(active[0]) if active else 0
        had = len(self._log.answer(active[0])) if active and after else 0
        await self.begin()
        if active and after:  # one without frames is about to begin: the feed will tell
            await self._processing({"run_id": active[0], "message_id": active[1]}, time.time(), after, had)

    async def _pass_on(self, events: Subscription) -> None:
        async for event in events:
            if event.type == AGENT_PROCESSING:
                await self._processing(event.data, event.at)
                continue
            if event.type == MESSAGE_COMPLETED and (follower := self._followers.get(event.data["run_id"])):
                await self._last_words(event.data["run_id"], follower)
            await self._say(event.type, event.data, event.at)
            if event.type == CHAT_DELETED:
                return

    async def _last_words(self, run_id: str, follower: asyncio.Task[None]) -> None:
        """Let an answer's text come to its end, where that is on its way."""
        try:
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._log.terminal(run_id)
        except TimeoutError:
            follower.cancel()
        except NotFound:  # nor does the follower find it
            pass
        await asyncio.wait((follower,))

    async def _processing(self, data: Mapping[str, Any], at: float, after: int = 0, had: int = 0) -> None:
        run_id = data["run_id"]
        if run_id in self._followers:
            return
        await self._say(AGENT_PROCESSING, data, at)
        self._followers = {run: task for run, task in self._followers.items() if not task.done()}
        self._followers[run_id] = asyncio.create_task(self._follow(run_id, data["message_id"], after, had))

    async def _follow(self, run_id: str, message_id: str, after: int, had: int) -> None:
        with suppress(NotFound, Interrupted):  # over, or begun anew: `message.completed` has its text
            if not await self._found(run_id):
                return
            async with aclosing(answer_text(self._log, run_id, after, had)) as texts:
                async for text in texts:
                    delta = {"run_id": run_id, "message_id": message_id, "content": text}
                    await self._say(MESSAGE_DELTA, delta, time.time())

    async def _found(self, run_id: str) -> bool:
        """Whether its text can be followed. Where it cannot, `message.completed` has it all. Another process's run may
        be told of before its first frame is here.
        """
        for pause in (*LOOK_PAUSES, None):
            try:
                await self._follow_run(run_id)
            except (NotFound, StorageUnavailable):
                if pause is None:
                    return False
                await asyncio.sleep(pause)
            else:
                return True
        raise AssertionError("the last look returns")

    async def _say(self, event_type: str, data: Mapping[str, Any], at: float) -> None:
        async with self._turn:
            await self.put(encode_event(self._chat_id, event_type, data, at))

    async def _end_followers(self) -> None:
        for follower in self._followers.values():
            follower.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)


def encode_event(chat_id: str, event_type: str, data: Mapping[str, Any], at: float) -> bytes:
    """One event as it is sent. `at` is in Unix seconds."""
    moment = datetime.fromtimestamp(at, UTC)
    body = {"event_type": event_type, "chat_id": chat_id, "data": data, "timestamp": moment}
    return b"event: %b\ndata: %b\n\n" % (event_type.encode(), orjson.dumps(body, option=orjson.OPT_UTC_Z))

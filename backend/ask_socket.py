"""What one WebSocket at `/ws/ask` says and hears: frames in, runs followed, frames out."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import orjson
import structlog

from agents.approvals import NO_CALL
from backend.container import Container
from backend.schemas import frames
from backend.socket_auth import turn_away
from backend.socket_questions import asked
from backend.streaming import gap_frames
from infrastructure.errors import AskGraphError, InvalidInput, NotFound, RateLimited, ShuttingDown, Unauthorized
from infrastructure.event_log.entry import Batch, Entry
from infrastructure.websocket_manager import POLICY, RESTARTING, Connection, ConnectionClosed
from middleware.authentication import SIGN_IN, STORAGE_ERRORS, identify, no_storage
from middleware.rate_limit import counted_as
from services.principals import Principal

log = structlog.get_logger()
MAX_BAD_FRAMES = 10
MAX_FOLLOWED = 32  # runs that one connection may read at once
MAX_SEQ = 2**53
BEFORE_SIGN_IN = frozenset({"auth", "ping", "heartbeat_response"})  # frames that a stranger may send where none may ask


class AskSocket:
    """The conversation with one client. It reads runs from the event log and owns none of them."""

    def __init__(
        self, connection: Connection, parts: Container, address: str, principal: Principal, session_id: str
    ) -> None:
        self._connection = connection
        self._parts = parts
        self._address = address
        self._principal = principal
        self._session_id = session_id
        self._session_unused = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._following: dict[str, asyncio.Task[None]] = {}
        self._bad_frames = 0
        self._received = parts.metrics.ws_messages.labels
        connection.on_drain = self._leave_elsewhere
        self._handlers = {
            "question": self._question,
            "cancel": self._cancel,
            "approve": self._approve,
            "pause": self._pause,
            "resume": self._resume,
            "attach": self._attach,
            "auth": self._auth,
            "ping": self._ping,
            "heartbeat_response": self._heartbeat_response,
        }

    async def hear(self, text: str) -> None:
        """Take one message. A bad one is answered with an `error` frame; ten in a row close the connection."""
        try:
            frame = _parse(text)
            kind = frame.get("type")
            if self._principal.anonymous and self._parts.settings.auth_required and kind not in BEFORE_SIGN_IN:
                raise Unauthorized(SIGN_IN)
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            if handler is None:
                raise InvalidInput("Unknown frame type.")
            self._received("in", kind).inc()
            await handler(frame)
        except AskGraphError as error:
            await self._refuse(error)
        except STORAGE_ERRORS as error:
            log.warning("database does not answer", error=type(error).__name__)
            await self._refuse(no_storage())
        else:
            self._bad_frames = 0

    def leave(self) -> None:
        """The connection is over: stop reading. Runs go on."""
        for task in self._following.values():
            task.cancel()
        self._handlers.clear()  # they are this object's own: else all that a connection has waits for the collector

    async def _refuse(self, error: AskGraphError) -> None:
        self._parts.metrics.error(error.kind)
        self._received("in", "bad").inc()
        await self._connection.send((frames.failure(error),))
        if isinstance(error, InvalidInput):
            self._bad_frames += 1
            if self._bad_frames >= MAX_BAD_FRAMES:
                self._connection.close(POLICY, "too many bad frames")

    async def _question(self, frame: Mapping[str, Any]) -> None:
        if self._parts.websockets.draining:
            return self._turn_back()
        fields = frame.get("data", frame)
        if not isinstance(fields, dict):
            raise InvalidInput("data must be an object.")
        caller = counted_as(self._principal, self._address)
        ask = await asked(
            fields, self._parts, session_id=self._session_id, caller=caller, owner=self._principal.user_id,
            unused=self._session_unused,
        )  # fmt: skip
        await self._parts.limit.require(caller)
        self._make_room()
        self._parts.metrics.queries.inc()
        if ask.session_id == self._session_id:
            self._session_unused = False
        try:
            run = await self._parts.runner.start(ask)
        except ShuttingDown:
            return self._turn_back()
        if run.id not in self._following:
            self._follow(run.id, 0)
        return None

    async def _attach(self, frame: Mapping[str, Any]) -> None:
        run_id, after = frame.get("run_id"), frame.get("after", 0)
        if not isinstance(run_id, str):
            raise InvalidInput("run_id is missing.")
        if type(after) is not int or not 0 <= after <= MAX_SEQ:
            raise InvalidInput("after must be a whole number from 0.")
        await self._parts.runner.require(run_id, self._principal.user_id)
        self._parts.metrics.replays.inc()
        if (earlier := self._following.pop(run_id, None)) is not None:
            earlier.cancel()
        if self._parts.websockets.draining and run_id in self._parts.event_log.followed:
            return self._turn_back()
        self._make_room()
        self._follow(run_id, after)
        return None

    def _turn_back(self) -> None:
        """The process ends: what was asked for is not done, and no error either. Who is sent away without an answer
        asks again elsewhere, a question under its request id. What is being read here is read to its end first.
        """
        if not self._following:
            self._connection.close(RESTARTING, "restarting: reconnect")

    def _leave_elsewhere(self) -> None:
        """The process ends, and others do not: runs that they write can be read there."""
        for run_id in self._following.keys() & set(self._parts.event_log.followed):
            self._following.pop(run_id).cancel()
        self._connection.busy = bool(self._following)

    async def _cancel(self, frame: Mapping[str, Any]) -> None:
        run_id = frame.get("run_id")
        if run_id is None:
            run_id = next(reversed(self._following), None)
        if run_id is None:
            raise NotFound("There is no run to cancel.")
        if not isinstance(run_id, str):
            raise InvalidInput("run_id must be text.")
        await self._parts.runner.require(run_id, self._principal.user_id)
        await self._parts.runner.cancel(run_id)

    async def _approve(self, frame: Mapping[str, Any]) -> None:
        call_id, approved, run_id = frame.get("call_id"), frame.get("approved"), frame.get("run_id")
        if not isinstance(call_id, str):
            raise InvalidInput("call_id is missing.")
        if not isinstance(approved, bool):
            raise InvalidInput("approved must be true or false.")
        if run_id is None:
            run_id = await self._parts.approvals.find(tuple(reversed(self._following)), call_id)
        elif not isinstance(run_id, str):
            raise InvalidInput("run_id must be text.")
        if run_id is None:
            raise NotFound(NO_CALL)
        await self._parts.runner.require(run_id, self._principal.user_id)
        await self._parts.approvals.settle(run_id, call_id, approved)

    async def _pause(self, _: Mapping[str, Any]) -> None:
        self._flowing.clear()
        await self._connection.send((frames.status("paused"),))

    async def _resume(self, _: Mapping[str, Any]) -> None:
        self._flowing.set()
        if not self._following:
            await self._connection.send((frames.status("ready"),))

    async def _auth(self, frame: Mapping[str, Any]) -> None:
        token = frame.get("token")
        if not isinstance(token, str):
            raise InvalidInput("token is missing.")
        try:
            principal = await identify(self._parts.accounts, (token,))
        except Unauthorized as error:
            self._parts.metrics.error(error.kind)
            await self._parts.limit.hit(self._address)
            return turn_away(self._connection, error)
        self._connection.admit(principal.credential, principal.expires_at)
        await self._become(principal)
        await self._connection.send((frames.authenticated(principal),))

    async def _become(self, principal: Principal) -> None:
        """Go on for `principal`. What is somebody else's is left behind: the session, and the runs being read."""
        before, self._principal = self._principal, principal
        if principal.user_id == before.user_id:
            return
        if not before.anonymous and not self._session_unused:
            self._session_id, self._session_unused = self._parts.new_id(), True
        for run_id in tuple(self._following):
            try:
                await self._parts.runner.require(run_id, principal.user_id)
            except (AskGraphError, *STORAGE_ERRORS):
                if (task := self._following.pop(run_id, None)) is not None:
                    task.cancel()

    async def _ping(self, _: Mapping[str, Any]) -> None:
        await self._connection.send((frames.pong(),))

    async def _heartbeat_response(self, _: Mapping[str, Any]) -> None:
        """A sign of life; that it came is all it says."""

    def _make_room(self) -> None:
        if len(self._following) >= MAX_FOLLOWED:
            raise RateLimited("Too many runs are being read on this connection.")

    def _follow(self, run_id: str, after: int) -> None:
        task = asyncio.create_task(self._send_run(run_id, after), name=f"follow {run_id}")
        self._following[run_id] = task
        self._connection.busy = True
        task.add_done_callback(lambda done: self._followed(run_id, done))

    def _followed(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._following.get(run_id) is task:
            del self._following[run_id]
        self._connection.busy = bool(self._following)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, ConnectionClosed):
            log.error("following a run failed", run_id=run_id, error=type(error).__name__)
        if self._parts.websockets.draining and not self._following:
            self._connection.close(RESTARTING, "restarting: reconnect")

    async def _send_run(self, run_id: str, after: int) -> None:
        """Send the frames after `after` and, behind the terminal one, `ready`.

        What there is already is read in batches; once all of that is sent each frame leaves as it is appended.
        """
        while True:
            async with aclosing(self._parts.event_log.read(run_id, after)) as batches:
                async for batch in batches:
                    await self._flowing.wait()
                    await self._connection.send(_messages(run_id, batch))
                    self._parts.sent_frames.inc(len(batch.entries))
                    after = batch.entries[-1].seq
                    if batch.entries[-1].terminal:
                        return
                    if self._parts.event_log.last_seq(run_id) == after:
                        break
                else:  # there was nothing left to read
                    return await self._connection.send((frames.status("ready", run_id),))
            after, ended = await self._send_live(run_id, after)
            if ended:
                return

    async def _send_live(self, run_id: str, after: int) -> tuple[int, bool]:
        """Pass frames on as they are appended, while the peer reads and nothing is paused.

        Returns the last frame sent, and whether it was the terminal one.
        """
        first, over = after, asyncio.get_running_loop().create_future()

        def take(entry: Entry) -> None:
            nonlocal after
            if over.done():
                return
            follows = entry.seq == after + 1  # else there is a gap to be told of
            if not (follows and self._flowing.is_set() and self._connection.send_now(_message(run_id, entry))):
                over.set_result(False)
                return
            after = entry.seq
            if entry.terminal:
                over.set_result(True)

        stop = self._parts.event_log.tail(run_id, after, take)
        if stop is None:
            return after, False
        try:
            ended = await over
        finally:
            stop()
            self._parts.sent_frames.inc(after - first)
        return after, ended


def _message(run_id: str, entry: Entry) -> tuple[bytes, ...]:
    return (entry.data, frames.status("ready", run_id)) if entry.terminal else (entry.data,)


def _messages(run_id: str, batch: Batch) -> list[bytes]:
    messages = [entry.data for entry in batch.entries]
    if batch.gap is not None:
        messages[:0] = gap_frames(run_id, batch.gap)
    if batch.entries[-1].terminal:
        messages.append(frames.status("ready", run_id))
    return messages


def _parse(text: str) -> dict[str, Any]:
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput("The frame is not valid JSON.") from None
    if not isinstance(frame, dict):
        raise InvalidInput("A frame is a JSON object.")
    return frame

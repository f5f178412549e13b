"""Reads a question's run over a socket, or over as many as it takes."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from backend.terminal.failures import Refused, SignInNeeded, Unreachable
from backend.terminal.fields import Fields, text_of
from backend.terminal.question import Question
from backend.terminal.service import Service

_MAX_FRAME_BYTES = 16 * 1024 * 1024  # the last frame has the whole answer and its citations
_PING_SECONDS = 10.0  # a network that went away without a word is noticed after twice that
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 8.0
PATIENCE_SECONDS = 120.0
_AUTHENTICATION, _POLICY = 4401, 1008
_UNAUTHORIZED, _TOO_MANY, _SERVER_ERROR = 401, 429, 500
_NOT_FOUND = "not_found"
Frame = dict[str, Any]


class _NotNow(Exception):
    """The service cannot go on with the run at the moment."""


class RunReader:
    """`frames` gives each frame of the run once. `told` hears of what happens to the connection."""

    def __init__(
        self, service: Service, question: Question, told: Callable[[str], None], patience: float = PATIENCE_SECONDS
    ) -> None:
        self._service = service
        self._question = question
        self._told = told
        self._patience = patience
        self._socket: ClientConnection | None = None
        self._cancelled = False
        self._reached = bool(question.run_id)  # there was a connection
        self._heard = False  # anything of the run, over this socket
        self._unsent: list[Fields] = []  # for the next socket

    async def frames(self) -> AsyncGenerator[Frame]:
        """The frames that were not there yet, through the terminal one; and those of the connection that are errors.

        Raises:
            Refused: the question was not taken.
            SignInNeeded: go on with the same question after signing in.
            Unreachable: the service stayed away for `patience` seconds; the same.
        """
        loop = asyncio.get_running_loop()
        pause, since, said = _FIRST_PAUSE, loop.time(), False
        while not self._question.ended:
            seq = self._question.seq
            async with aclosing(self._over_one_socket()) as frames:
                async for frame in frames:
                    yield frame
            if self._question.ended or self._question.begins_again:
                continue
            if self._question.seq > seq:
                pause, since, said = _FIRST_PAUSE, loop.time(), False
            if loop.time() - since > self._patience:
                raise Unreachable(f"{self._service.address.http} has not come back.")
            if not said:
                self._told("connection lost, coming back …")
                said = True
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 # not a secret
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def cancel(self) -> bool:
        """Ask for a stop, now or as soon as the run is known. False: there is no connection to ask over."""
        self._cancelled = True
        if self._socket is None:
            return False
        return await self._send_cancel() if self._question.run_id else True

    async def approve(self, call_id: str, approved: bool) -> None:
        """Answer a call that waits, now or over the next connection."""
        frame = {"type": "approve", "call_id": call_id, "approved": approved, "run_id": self._question.run_id}
        if not await self._send(frame):
            self._unsent.append(frame)

    async def _over_one_socket(self) -> AsyncGenerator[Frame]:
        """What comes until the run ends or the socket does."""
        socket = await self._connected()
        if socket is None:
            return
        self._socket, self._reached, self._heard = socket, True, False
        try:
            unsent, self._unsent = self._unsent, []
            for opening in (self._question.opening(), *unsent):
                await socket.send(orjson.dumps(opening).decode())
            async for message in socket:
                frame = _parse(message)
                if self._takes(frame):
                    yield frame
                    if self._cancelled:
                        self._cancelled = not await self._send_cancel()
                if self._question.ended or self._question.begins_again:
                    return
            await self._look_at_close(socket)  # the service closed with 1000
        except ConnectionClosed:
            await self._look_at_close(socket)
        except _NotNow:
            pass
        finally:
            self._socket = None
            await socket.close()

    async def _connected(self) -> ClientConnection | None:
        """None: not now."""
        address = self._service.address
        try:
            return await connect(
                address.socket, additional_headers=await self._service.headers(), max_size=_MAX_FRAME_BYTES,
                ping_interval=_PING_SECONDS, ping_timeout=_PING_SECONDS, open_timeout=_PING_SECONDS, close_timeout=1,
                proxy=None if address.loopback else True, compression=None,
            )  # fmt: skip
        except InvalidStatus as error:
            status = error.response.status_code
            if status < _SERVER_ERROR and status != _TOO_MANY:
                raise Refused(f"The service refused the connection: {status}.", status) from None
        except (Unreachable, OSError, TimeoutError, WebSocketException):
            if not self._reached:
                raise Unreachable(f"{address.http} does not answer.") from None
        return None

    def _takes(self, frame: Frame) -> bool:
        """Whether the frame is for who reads.

        Raises:
            Refused, SignInNeeded: it says that the question was not taken.
        """
        if frame.get("type") in ("gap", "heartbeat", "pong"):
            return False
        if "seq" in frame:
            self._heard, before = True, self._question.run_id
            if not self._question.take(frame):
                return False
            frame["anew"] = bool(before) and before != self._question.run_id
            return True
        if frame.get("status") == "ready" and self._heard_nothing_of(frame):
            return self._or_refuse(self._question.misses_end())
        if frame.get("type") != "error":
            return False
        return self._takes_error(text_of(frame, "message"), text_of(frame, "code"), frame.get("retryable") is True)

    def _heard_nothing_of(self, frame: Frame) -> bool:
        return not self._heard and bool(self._question.run_id) and frame.get("run_id") == self._question.run_id

    def _takes_error(self, message: str, code: str, retryable: bool) -> bool:
        """Of an error that belongs to no run: True where it is about something else than the question."""
        if code == "unauthorized":
            if not self._service.signed_in:
                raise SignInNeeded
            return False  # and the socket is closed with 4401
        if not self._question.run_id:
            raise Refused(message or "The service refused the question.", kind=code)
        if self._heard:
            return True
        if code == _NOT_FOUND:
            return self._or_refuse(self._question.is_forgotten())
        if retryable:
            raise _NotNow
        raise Refused(message or "The service refused to go on with the answer.", kind=code)

    def _or_refuse(self, again: bool) -> bool:
        if not again:
            raise Refused("The service has kept nothing of that answer.")
        return False

    async def _look_at_close(self, socket: ClientConnection) -> None:
        """
        Raises:
            Refused, SignInNeeded: coming back the same way is of no use.
        """
        if socket.close_code == _AUTHENTICATION:
            await self._service.expired()
        elif socket.close_code == _POLICY:
            raise Refused(f"The service closed the connection: {socket.close_reason or 'policy'}.")

    async def _send_cancel(self) -> bool:
        return await self._send({"type": "cancel", "run_id": self._question.run_id})

    async def _send(self, frame: Fields) -> bool:
        if self._socket is None:
            return False
        try:
            await self._socket.send(orjson.dumps(frame).decode())
        except ConnectionClosed:
            return False
        return True


def _parse(message: str | bytes) -> Frame:
    """A frame; an empty one where it is not one."""
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return frame if isinstance(frame, dict) else {}

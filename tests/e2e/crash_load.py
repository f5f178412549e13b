"""Clients that ask without pause, and note what the service has acknowledged."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp

from tests.e2e.service import Service

CHATS = "/api/v1/chats"
GONE = (aiohttp.ClientError, ConnectionError, TimeoutError)


@dataclass
class Asked:
    """One question, unique by its text, with what its client was told of it."""

    chat_id: str
    text: str
    request_id: str = field(default_factory=lambda: uuid4().hex)
    run_id: str | None = None
    kept: bool = False  # the question is acknowledged
    answer: str | None = None  # the answer is acknowledged, with this text
    message_id: str | None = None
    answer_id: str | None = None


@dataclass
class Ledger:
    """What all clients asked, and what they were told."""

    asked: list[Asked] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)  # answers that nobody should get while the service runs

    def ask(self, chat_id: str) -> Asked:
        one = Asked(chat_id, f"What does a health factor below one mean? ({uuid4().hex})")
        self.asked.append(one)
        return one

    @property
    def questions(self) -> int:
        return sum(one.kept for one in self.asked)

    @property
    def answers(self) -> int:
        return sum(one.answer is not None for one in self.asked)

    @property
    def in_doubt(self) -> list[Asked]:
        return [one for one in self.asked if one.answer is None]


class Load:
    """Clients of one service, `posting` over HTTP and `talking` over sockets, each in a chat of its own."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        self._url = service.url
        self.ledger = ledger
        self._tasks: list[asyncio.Task[None]] = []
        self._answered = asyncio.Condition()

    async def __aenter__(self) -> "Load":
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def begin(self, posting: int, talking: int) -> None:
        """Have the clients ask from now on."""
        chats = [await self._new_chat() for _ in range(posting)]
        sockets = [await self._http.ws_connect(f"{self._url}/ws/ask") for _ in range(talking)]
        self._tasks = [asyncio.create_task(self._post(chat)) for chat in chats]
        self._tasks += [asyncio.create_task(self._talk(socket)) for socket in sockets]

    async def answers(self, count: int) -> None:
        """Wait until that many answers were acknowledged."""
        async with self._answered:
            await self._answered.wait_for(lambda: self.ledger.answers >= count)

    async def ended(self) -> None:
        """Wait until every client has lost the service."""
        await asyncio.gather(*self._tasks)

    async def resend(self, one: Asked) -> None:
        """Ask again what has no answer yet, under its own request id."""
        body, headers = {"content": one.text}, {"Idempotency-Key": one.request_id}
        url = f"{self._url}{CHATS}/{one.chat_id}/messages"
        async with self._http.post(url, json=body, headers=headers) as response:
            await self._note(one, response.status, await response.json())

    async def _new_chat(self) -> str:
        async with self._http.post(f"{self._url}{CHATS}", json={"title": "Asked without pause"}) as response:
            return str((await response.json())["id"])

    async def _post(self, chat: str) -> None:
        with suppress(*GONE):
            while not self.ledger.strange:
                await self.resend(self.ledger.ask(chat))

    async def _note(self, one: Asked, status: int, body: dict[str, Any]) -> None:
        if status != 201:
            return self.ledger.strange.append(f"{status} {body.get('type')}")
        one.kept = True
        one.message_id, one.answer_id = body["user_message"]["id"], body["assistant_message"]["id"]
        return await self._note_answer(one, body["assistant_message"]["content"])

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        with suppress(*GONE, _Closed):
            session = (await _frame(socket))["details"]["session_id"]
            while True:
                one = self.ledger.ask(session)
                await socket.send_json({"type": "question", "question": one.text, "request_id": one.request_id})
                while (frame := await _frame(socket)).get("status") != "ready":
                    await self._note_frame(one, frame)

    async def _note_frame(self, one: Asked, frame: dict[str, Any]) -> None:
        if frame.get("status") == "streaming":
            one.kept, one.run_id = True, frame["run_id"]
        elif frame["type"] == "complete":
            await self._note_answer(one, frame["answer"])
        elif frame["type"] == "error":
            self.ledger.strange.append(f"{frame['type']} {frame.get('code')}")

    async def _note_answer(self, one: Asked, answer: str) -> None:
        async with self._answered:
            one.answer = answer
            self._answered.notify_all()


class _Closed(Exception):
    """The service closed the socket, or is gone."""


async def _frame(socket: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    message = await socket.receive()
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise _Closed
    frame: dict[str, Any] = message.json()
    return frame

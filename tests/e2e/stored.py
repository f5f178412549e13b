"""What the store has of a run, next to what its reader was told."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.service import Service, Socket, answer_of, of_run, running

RUN = "SELECT outcome, model, finish_reason, error_message, completion_tokens FROM run WHERE id = ?"


@dataclass(frozen=True)
class Told:
    """A question's frames, the messages of its chat, and its row in the table of runs."""

    frames: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    run: dict[str, Any]

    @property
    def end(self) -> dict[str, Any]:
        return self.frames[-1]

    @property
    def text(self) -> str:
        return answer_of(self.frames)

    @property
    def models(self) -> list[str]:
        """The model that was announced, and those that stood in."""
        return [frame["model"] for frame in self.frames if frame["type"] == "metadata"]

    @property
    def kept(self) -> tuple[str, str, str | None]:
        """The newest answer that is kept: its status, its text, its model."""
        message = self.messages[-1]
        assert message["role"] == "assistant"
        return message["status"], message["content"], message["model"]


class House:
    """A running service and its data. `client` is one for all its tests: making one costs more than asking."""

    def __init__(self, service: Service, folder: Path, client: httpx.AsyncClient) -> None:
        self.service = service
        self.client = client
        self._database = folder / "data" / "askgraph.db"

    async def ask(self, question: str, **more: Any) -> Told:
        async with self.service.socket() as socket:
            session = (await socket.hello())["session_id"]
            return await self.ask_over(socket, question, session, **more)

    async def ask_over(self, socket: Socket, question: str, session: str, **more: Any) -> Told:
        """A run has dense numbers, one last frame and nothing behind it."""
        frames = of_run(await socket.ask(question, **more))
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        last = [f for f in frames if f["type"] in ("complete", "error") or f.get("status") == "cancelled"]
        assert last == frames[-1:]
        found = (await self.client.get(f"/api/v1/chats/{session}/messages")).json()["items"]
        return Told(frames, found, await asyncio.to_thread(self._run, frames[-1]["run_id"]))

    def _run(self, run_id: str) -> dict[str, Any]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(RUN, (run_id.replace("-", ""),)).fetchone()
            return dict(found or database.execute(RUN, (run_id,)).fetchone())


@asynccontextmanager
async def opened(folder: Path, settings: Mapping[str, Any]) -> AsyncIterator[House]:
    """A service with its data in `folder`."""
    async with running(folder, settings) as service, service.client() as client:
        yield House(service, folder, client)

"""A service with an owner of things, and strangers who ask for them."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.owners import People, User
from tests.e2e.service import Service
from tests.model_server import Gate, ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

TOKENS = ["It ", "is ", "a ", "value."]


@dataclass
class World:
    """A running service and who is there. `strangers` by how they come.

    `owner` has the things that strangers ask for; `busy` does what owners do, and has ever more of them.
    """

    service: Service
    people: People
    closed: bool  # sign-in is required
    owner: User
    busy: User
    strangers: dict[str, User]
    before: list[Any]  # all that the owner has

    @property
    def signed_in(self) -> list[User]:
        return [stranger for stranger in self.strangers.values() if stranger.headers]

    @property
    def who_may_come_in(self) -> list[User]:
        return self.signed_in if self.closed else list(self.strangers.values())


@contextlib.asynccontextmanager
async def held_back(model: ModelServer) -> AsyncIterator[Gate]:
    """Answers wait at the gate before each token; titles, which the model is asked for beside them, do not."""
    gate = model.gate()

    async def answer(exchange: Exchange) -> None:
        title = exchange.request.body["messages"][-1]["content"].startswith("User: ")
        await exchange.write(STREAM_HEAD)
        for token in TOKENS:
            if not title:
                await gate.wait()
            await exchange.event({"content": token})
        await exchange.end("stop")

    model.script(answer)
    try:
        yield gate
    finally:
        gate.open()
        model.clear()

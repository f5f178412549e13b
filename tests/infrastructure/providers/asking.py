"""What the tests of providers ask."""

import asyncio
from collections.abc import Callable
from typing import Any

from infrastructure.providers.types import Message, ModelRequest, ToolSpec

SEARCH = ToolSpec("search", "Search the knowledge.", {"type": "object", "properties": {"query": {"type": "string"}}})


def question(text: str = "What is a pool?", tools: tuple[ToolSpec, ...] = (), **fields: Any) -> ModelRequest:
    messages = (Message("system", "Answer from the sources."), Message("user", text))
    return ModelRequest(messages=messages, question=text, tools=tools, **fields)


class Heard(list[str]):
    """An `emit` that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.append(text)
        self._news.set()

    async def until(self, enough: Callable[["Heard"], bool]) -> None:
        """Wait until what was heard is enough."""
        async with asyncio.timeout(10):
            while not enough(self):
                self._news.clear()
                await self._news.wait()

    @property
    def text(self) -> str:
        return "".join(self)

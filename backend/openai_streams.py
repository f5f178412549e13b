"""A completion on its way to an OpenAI client, whole or in chunks. Whoever closes the connection stops the answer."""

from collections.abc import Callable
from contextlib import aclosing
from math import inf

from starlette.types import Receive, Scope, Send

from backend.openai_answers import Answer
from backend.openai_chunks import Chunks, error_event, whole
from backend.streaming import Stream
from infrastructure.errors import AskGraphError


class _Completion(Stream):
    """The head waits for the first words: what fails before is answered with its error's status."""

    def __init__(
        self, answer: Answer, created: int, model: str, *, silence: float, send_timeout: float,
        on_slow: Callable[[], None],
    ) -> None:  # fmt: skip
        headers = {"X-Run-ID": answer.id} if model == "askgraph" else {}
        super().__init__(silence=silence, send_timeout=send_timeout, on_slow=on_slow, headers=headers)
        self._answer = answer
        self._id = f"chatcmpl-{answer.id}"
        self._created = created
        self._model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._answer.leave()


class CompletionStream(_Completion):
    """`chat.completion.chunk` events: the role, words as they come, how it ended; then [DONE], or an error."""

    def __init__(
        self, answer: Answer, created: int, model: str, *, with_usage: bool, silence: float, send_timeout: float,
        on_slow: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(answer, created, model, silence=silence, send_timeout=send_timeout, on_slow=on_slow)
        self._chunks = Chunks(self._id, created, model, with_usage=with_usage)

    async def write(self) -> None:
        head = self._chunks.first()
        try:
            async with aclosing(self._answer.texts()) as texts:
                async for text in texts:
                    await self.put(head + self._chunks.text(text))
                    head = b""
            ending = await self._answer.end()
        except AskGraphError as error:
            if not self._begun:
                raise
            return await self.put(error_event(error))
        await self.put(head + self._chunks.last(ending))


class WholeCompletion(_Completion):
    """One `chat.completion`, when all of it is there."""

    content_type = "application/json"

    def __init__(
        self, answer: Answer, created: int, model: str, *, send_timeout: float, on_slow: Callable[[], None]
    ) -> None:
        super().__init__(answer, created, model, silence=inf, send_timeout=send_timeout, on_slow=on_slow)

    async def write(self) -> None:
        async with aclosing(self._answer.texts()) as texts:
            pieces = [text async for text in texts]
        body = whole(self._id, self._created, self._model, "".join(pieces), await self._answer.end())
        self.raw_headers.append((b"content-length", str(len(body)).encode()))
        await self.put(body)

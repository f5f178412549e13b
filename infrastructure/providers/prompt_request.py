"""Writing a request's body at once.

aiohttp writes a body in a task of its own. From Python 3.12 on that task begins to work where it is made; before, it
begins in the event loop's next turn, which is late where a turn has two hundred other answers' tokens to pass on.
"""

import sys
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any

from aiohttp import ClientRequest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

TASKS_BEGIN_AT_ONCE = sys.version_info >= (3, 12)


class PromptRequest(ClientRequest):
    """aiohttp's own request, whose body is written while it is sent."""

    def write_bytes(  # type: ignore[override]  # the coroutine comes from a plain function, and has begun
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None
    ) -> Coroutine[Any, Any, None]:
        writing = super().write_bytes(writer, conn, content_length)
        return writing if TASKS_BEGIN_AT_ONCE else _begun(writing)


def _begun(work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """The rest of `work`, whose first part, up to where it waits for something, is done when this returns."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        return _nothing()
    except Exception as fault:  # noqa: BLE001  it belongs to the task that is to write
        return _raising(fault)
    return _rest(work, waits_for)


async def _nothing() -> None:
    """All is written."""


async def _raising(fault: Exception) -> None:
    raise fault


async def _rest(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    await _going_on(work, waits_for)


@coroutine
def _going_on(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Step through a coroutine that has begun already, as `yield from` does with one that has not."""
    while True:
        thrown: BaseException | None = None
        sent = None
        try:
            sent = yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as fault:  # noqa: BLE001  a cancellation, say: it is the coroutine's to take
            thrown = fault
        try:
            waits_for = work.send(sent) if thrown is None else work.throw(thrown)
        except StopIteration:
            return

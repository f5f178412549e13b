"""Reading again what could not be read because the database was away for a moment: a restart, another primary."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from infrastructure.database.engine import is_unavailable

T = TypeVar("T")
PAUSES = (0.1, 0.3, 0.6, 1.0, 2.0)  # seconds: a restart fits in


async def patiently(read: Callable[[], Awaitable[T]], pauses: tuple[float, ...] = PAUSES) -> T:
    """What `read` comes to, which may be done several times.

    Raises:
        Exception: what it raised the last time; at once where the database is not what failed.
    """
    for pause in pauses:
        try:
            return await read()
        except Exception as error:
            if not is_unavailable(error):
                raise
            await asyncio.sleep(pause)
    return await read()

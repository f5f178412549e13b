"""Blocking work in a thread that is never left alone."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")


async def in_thread(call: Callable[[*Args], T], *args: *Args) -> T:
    """Run `call` in a thread and wait for its end, even when cancelled meanwhile: a thread cannot be stopped, and what
    comes next (closing or removing the file that it writes) must not happen beside it."""
    work = asyncio.ensure_future(asyncio.to_thread(call, *args))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({work})
        if not work.cancelled():
            work.exception()  # looked at, for nobody else will
        raise

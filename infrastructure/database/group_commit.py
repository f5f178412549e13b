"""Many small units of work in one transaction.

A commit costs the same for one row as for fifty, and SQLite takes one writer at a time. So what comes while a
transaction is under way waits for it and goes into the next one together (group commit, as databases' own logs do it).
Each caller learns of its own work alone: what fails takes no other with it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from infrastructure.database.engine import Database, is_unavailable
from infrastructure.database.rows import Rows
from infrastructure.errors import StorageUnavailable

log = structlog.get_logger()
Work = TypeVar("Work")
Done = TypeVar("Done")
MAX_BATCH = 64
MAX_WAITING = 10_000


class ShutDown(Exception):
    """The event loop ends while something waits to be written."""


class GroupCommit(Generic[Work, Done]):
    """`apply` does a batch of work within a transaction and says of each what came of it: a result, or an error.

    Work with the same `key` is never in one batch, and keeps its order. When a batch as a whole fails (a constraint,
    say), its parts are tried one by one.
    """

    def __init__(
        self,
        database: Database,
        apply: Callable[[Rows, Sequence[Work]], Coroutine[Any, Any, Sequence[Done | Exception]]],
        key: Callable[[Work], str],
    ) -> None:
        self._database = database
        self._apply = apply
        self._key = key
        self._waiting: deque[tuple[Work, asyncio.Future[Done]]] = deque()
        self._alone: deque[tuple[Work, asyncio.Future[Done]]] = deque()  # parts of a batch that failed as a whole
        self._resting = asyncio.Event()
        self._resting.set()

    async def submit(self, work: Work) -> Done:
        """Do `work`; returns when it is committed.

        The work is done also when the caller stops waiting.

        Raises:
            StorageUnavailable: the database does not answer, or too much is waiting for it. Nothing was kept, or it
                is not known whether it was.
            Exception: what `apply` said of this work.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise StorageUnavailable("The database does not keep up. Try again in a moment.", retry_after=1.0)
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        if self._resting.is_set():
            self._resting.clear()
            self._go_on()
        return await done

    async def aclose(self) -> None:
        """Wait until all that was submitted is done."""
        await self._resting.wait()

    def _go_on(self) -> None:
        """Begin the next transaction, if there is anything to do."""
        batch = [self._alone.popleft()] if self._alone else self._next_batch()
        if not batch:
            return self._resting.set()
        works = [work for work, _ in batch]
        self._database.transact_soon(lambda rows: self._apply(rows, works), partial(self._done, batch))

    def _next_batch(self) -> list[tuple[Work, asyncio.Future[Done]]]:
        batch: list[tuple[Work, asyncio.Future[Done]]] = []
        later: list[tuple[Work, asyncio.Future[Done]]] = []
        keys: set[str] = set()
        while self._waiting and len(batch) < MAX_BATCH:
            one = self._waiting.popleft()
            key = self._key(one[0])
            (later if key in keys else batch).append(one)
            keys.add(key)
        self._waiting.extendleft(reversed(later))
        return batch

    def _done(
        self, batch: list[tuple[Work, asyncio.Future[Done]]], results: Sequence[Done | Exception] | None,
        fault: BaseException | None,
    ) -> None:  # fmt: skip
        if results is not None:
            for (_, done), result in zip(batch, results, strict=True):
                _settle(done, result)
        elif isinstance(fault, Exception):
            self._failed(batch, fault)
        else:  # the event loop ends
            self._fail([*batch, *self._alone, *self._waiting], ShutDown())
            self._alone.clear()
            self._waiting.clear()
        self._go_on()

    def _failed(self, batch: list[tuple[Work, asyncio.Future[Done]]], fault: Exception) -> None:
        if is_unavailable(fault):
            self._fail(batch, fault)
        elif len(batch) == 1:
            _settle(batch[0][1], fault)
        else:
            self._alone.extend(batch)

    def _fail(self, batch: Collection[tuple[Work, asyncio.Future[Done]]], fault: Exception) -> None:
        if not batch:
            return
        log.error("database does not take a transaction", error=type(fault).__name__, waiting=len(batch))
        for _, done in batch:
            _settle(done, StorageUnavailable("The database does not answer. Try again in a moment.", retry_after=1.0))


def _settle(done: "asyncio.Future[Done]", result: Done | Exception) -> None:
    if done.done():  # its caller has gone
        return
    if isinstance(result, Exception):
        done.set_exception(result)
    else:
        done.set_result(result)

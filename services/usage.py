"""What answers use, kept by day: noted at once in memory, written together now and then."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.database.engine import Database, is_unavailable
from infrastructure.database.repositories.usage import UsageRepository, UsageRow
from infrastructure.providers.types import Usage

log = structlog.get_logger()
WRITE_SECONDS = 1.0  # the longest that something noted waits to be written
WRITE_NOTES = 50  # so many are written at once
MOST_ROWS = 10_000  # that wait while the database is away; more are lost, and that is logged
LAST_TRIES = (0.1, 0.5, 2.0)  # seconds between tries to write at the end
MODEL_CHARS = 200
MOST_TOKENS = 10**9  # of one answer: no model has as many
UNKNOWN_MODEL = "unknown"

_Key = tuple[str | None, date, str]  # user, day, model


@dataclass(slots=True)
class _Sum:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    questions: int = 0


class UsageLog:
    """Sums up what was used of each user, day and model, and adds that to the table beside everything else.

    What cannot be written stays and is tried again. A write whose commit is not known to have been is made again: it
    may count twice then, and never not at all.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[_Key, _Sum] = {}
        self._notes = 0
        self._enough = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._away = False

    def note(self, user_id: str | None, model: str, usage: Usage, questions: int = 1) -> None:
        """Count what was used; user None: an anonymous caller. The model's name and the figures are as the model's
        server gave them: what no column can hold is made to fit.
        """
        name = model.encode("utf-8", "replace").decode().replace("\0", "")[:MODEL_CHARS] or UNKNOWN_MODEL
        key = (user_id, self.today(), name)
        if key not in self._waiting and len(self._waiting) >= MOST_ROWS:
            log.error("usage is not counted: the database does not keep up", waiting=len(self._waiting))
            return
        self._add(key, _Sum(_fitting(usage.prompt_tokens), _fitting(usage.completion_tokens), questions))
        self._notes += 1
        if self._notes >= WRITE_NOTES:
            self._enough.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="write usage")

    def today(self) -> date:
        return self._clock().astimezone(UTC).date()

    async def flush(self) -> bool:
        """Write what waits; whether that could be done."""
        async with self._writing:
            return await self._write_waiting()

    async def tokens(self, user_id: str) -> tuple[date, int]:
        """Today, and all tokens that a user used on it: written by any process, or noted in this one.

        Raises:
            SQLAlchemyError: the database is away.
        """
        async with self._writing:  # nothing is on its way to the table: it is either there or waits
            day = self.today()
            async with self._database.read() as session:
                written = await UsageRepository(session).tokens(user_id, day)
            waiting = [one for key, one in self._waiting.items() if key[:2] == (user_id, day)]
            return day, written + sum(one.prompt_tokens + one.completion_tokens for one in waiting)

    async def aclose(self) -> None:
        """Write all that waits: before the database is closed."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for pause in (*LAST_TRIES, 0.0):
            if await self.flush():
                return
            await asyncio.sleep(pause)
        log.error("usage was not counted", rows=len(self._waiting))

    async def _work(self) -> None:
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITE_SECONDS):
                        await self._enough.wait()
                await asyncio.shield(self.flush())
        except Exception as error:
            log.exception("writing usage failed", error=type(error).__name__)
        finally:
            self._task = None

    async def _write_waiting(self) -> bool:
        waiting, self._waiting, self._notes = self._waiting, {}, 0
        self._enough.clear()
        done = False
        try:
            rows = [UsageRow(*key, one.prompt_tokens, one.completion_tokens, one.questions)
                    for key, one in waiting.items()]  # fmt: skip
            await self._write(rows)
            done = True
        except SQLAlchemyError as error:
            if not self._away:
                log.warning("usage cannot be written, and is tried again", error=type(error).__name__)
        finally:
            self._away = not done
            if not done:
                for key, one in waiting.items():
                    self._add(key, one)
        return done

    async def _write(self, rows: list[UsageRow]) -> None:
        """
        Raises:
            SQLAlchemyError: the database is away.
        """
        if not rows:
            return
        try:
            async with self._database.write() as session:
                await UsageRepository(session).add(rows)
        except SQLAlchemyError as error:
            if is_unavailable(error):
                raise
            if len(rows) == 1:  # it would stand in the way of all others for ever
                log.exception("usage is not counted: it cannot be kept", error=type(error).__name__)
                return
            for row in rows:
                await self._write([row])

    def _add(self, key: _Key, more: _Sum) -> None:
        known = self._waiting.get(key)
        if known is None:
            self._waiting[key] = more
        else:
            known.prompt_tokens += more.prompt_tokens
            known.completion_tokens += more.completion_tokens
            known.questions += more.questions


def _fitting(tokens: int) -> int:
    return max(0, min(tokens, MOST_TOKENS))

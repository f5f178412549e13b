"""Conversations in the database: turns begun and ended there, and what is read to go on with them."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

import structlog
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from infrastructure.database.engine import Database
from infrastructure.database.group_commit import GroupCommit
from infrastructure.database.repositories.conversations import (
    ChatState,
    ConversationRepository,
    StoredRun,
    StoredTurn,
)
from infrastructure.database.repositories.turns import (
    BegunTurn,
    EndedTurn,
    KnownTurn,
    NewTurn,
    Turn,
    TurnResult,
    apply_turns,
)
from infrastructure.errors import StorageUnavailable, Unauthorized
from services.storage_errors import as_storage_errors

log = structlog.get_logger()
END_PAUSES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between tries to save an answer: a restart fits in


class Conversations:
    """What is acknowledged is committed: `begin` and `end` return after that. Neither holds a connection meanwhile."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._turns: GroupCommit[Turn, TurnResult] = GroupCommit(database, apply_turns, lambda turn: turn.chat_id)

    async def begin(self, turn: NewTurn) -> BegunTurn | KnownTurn:
        """Keep a question and the run that answers it.

        Raises:
            NotFound: the chat is somebody else's, or has to be there and is not; or no such message.
            Conflict: the request id came with another question; or the message belongs to an older branch.
            Unauthorized: the account that asks is gone.
            StorageUnavailable: the database does not answer.
        """
        try:
            return cast(BegunTurn | KnownTurn, await self._turns.submit(turn))
        except IntegrityError:  # deleted between being recognised and here
            raise Unauthorized("Sign in first.") from None

    async def end(self, turn: EndedTurn) -> None:
        """Keep an answer and what came of its run. A chat that was deleted meanwhile keeps nothing.

        Raises:
            TakenOver: another process has the run by now.
            StorageUnavailable: the database did not answer for some 15 seconds.
        """
        for pause in (*END_PAUSES, None):
            try:
                await self._turns.submit(turn)
            except IntegrityError:  # or this answer is there already
                log.info("an answer's chat is gone", run_id=turn.run_id)
            except StorageUnavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
                if await self._is_kept(turn):
                    return
                continue
            return

    async def state(self, chat_id: str) -> ChatState | None:
        """Whose a chat is and how far it has come; None when there is none."""
        async with self._database.read() as session:
            return await ConversationRepository(session).state(chat_id)

    async def turns(self, chat_id: str, before: int, limit: int) -> list[StoredTurn]:
        """The newest turns of the current branch that stand before a position, oldest first."""
        async with self._database.read() as session:
            return await ConversationRepository(session).turns(chat_id, before, limit)

    async def run(self, run_id: str) -> StoredRun | None:
        async with self._database.read() as session:
            return await ConversationRepository(session).run(run_id)

    async def retitle(self, chat_id: str, title: str, instead_of: str) -> bool:
        """Give a chat another title, unless somebody was quicker."""
        async with self._database.write() as session:
            return await ConversationRepository(session).retitle(chat_id, title, instead_of, self._clock())

    async def ended_of(self, run_ids: Sequence[str]) -> set[str]:
        """Those of these runs that have ended, in whichever process, or are gone with their chat.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        with as_storage_errors():
            async with self._database.read() as session:
                return set(run_ids) - await ConversationRepository(session).unfinished_of(run_ids)

    async def under_way(self, chat_id: str) -> tuple[str, str] | None:
        """The run that a chat is at, in whichever process, and the id of its answer."""
        async with self._database.read() as session:
            return await ConversationRepository(session).unfinished(chat_id)

    async def aclose(self) -> None:
        """Wait until everything that was begun to be written is."""
        await self._turns.aclose()

    async def _is_kept(self, turn: EndedTurn) -> bool:
        """Whether a try that seemed to fail had worked after all."""
        try:
            async with self._database.read() as session:
                return await ConversationRepository(session).has_message(turn.answer_id)
        except (SQLAlchemyError, OSError):
            return False

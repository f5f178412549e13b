"""What is kept of runs, in the store and told to whoever follows the chat."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agents.chat_events import iso, message_fields
from agents.events import Failure, RunFrame, citation_fields
from agents.ports import Clock, EventLog
from agents.recall import terminal_entry
from agents.run import Ask, Run
from agents.state import Outcome
from infrastructure.database.repositories.turns import EndedTurn, NewTurn, title_of
from infrastructure.errors import NotFound, StorageUnavailable
from services.chat_feed import (
    AGENT_PROCESSING,
    CHAT_UPDATED,
    MESSAGE_COMPLETED,
    MESSAGE_CREATED,
    ChatFeed,
)
from services.conversations import Conversations
from services.principals import may_reach
from services.sessions import TurnStatus, is_uuid

NO_RUN = "No such run."


class Keeper:
    """Keeps questions before their runs begin, and answers before their last frames are said.

    `worker` is this process's name in what is kept; `fenced`: there are others, and only what comes of a run that is
    still its own is kept. `on_first_exchange` is told the chat, the question and the answer
    that a title can be made of.
    """

    def __init__(
        self,
        conversations: Conversations,
        feed: ChatFeed,
        *,
        new_id: Callable[[], str],
        clock: Clock,
        worker: str,
        fenced: bool = True,
        on_first_exchange: Callable[[str, str, str], None] = lambda chat_id, question, answer: None,
    ) -> None:
        self._conversations = conversations
        self._feed = feed
        self._new_id = new_id
        self._clock = clock
        self._worker = worker
        self._fenced = fenced
        self._on_first_exchange = on_first_exchange

    def new_turn(self, chat_id: str, ask: Ask, run_id: str, answer_id: str, most_ahead: int | None = None) -> NewTurn:
        """What is to be kept of a question. `most_ahead` is how many runs may be before it in its chat, counted over
        all processes; None where there is but this one.
        """
        return NewTurn(
            chat_id, ask.owner, ask.question, run_id, self._new_id(), answer_id, self._worker, self._now(),
            creates=not ask.must_exist, edits=ask.edits, regenerates=ask.regenerates, request_id=ask.request_id,
            digest=ask.digest if ask.request_id else None, asked=ask.manner, most_ahead=most_ahead,
        )  # fmt: skip

    async def keep(
        self, run: Run, frame: RunFrame, outcome: str, answer: str, status: TurnStatus, found: Outcome | None
    ) -> None:
        """Keep what came of a run; `frame` is the last one, which is yet to be said.

        Raises:
            TakenOver: another process has the run by now.
            StorageUnavailable: it cannot be kept.
        """
        if run.begun is None or run.session.id is None:
            return
        run.facts = self._facts(run, outcome, found, frame)
        title = None if run.begun.titled else title_of(run.question)
        await self._conversations.end(
            EndedTurn(
                run.session.id, run.id, run.answer_id, run.begun.message_id, run.begun.position, answer, status,
                self._now(), title, run.facts, self._worker if self._fenced else None, run.fence,
            )
        )  # fmt: skip

    def asked(self, run: Run) -> None:
        """Tell that a question has come."""
        chat_id = run.session.id
        if run.begun and chat_id and self._feed.listened(chat_id):
            message = message_fields(chat_id, run.begun.message_id, "user", run.question, self._now())
            self._feed.publish(chat_id, MESSAGE_CREATED, {"message": message})

    def working(self, run: Run) -> None:
        """Tell that an answer is being made."""
        if run.session.id is not None:
            self._feed.publish(run.session.id, AGENT_PROCESSING, {"run_id": run.id, "message_id": run.answer_id})

    def answered(self, run: Run, answer: str, status: TurnStatus) -> None:
        """Tell how it ended, and have a title made of a first exchange."""
        chat_id = run.session.id
        if run.begun is None or chat_id is None:
            return
        if self._feed.listened(chat_id):
            message = message_fields(chat_id, run.answer_id, "assistant", answer, self._now(), status, run.facts)
            self._feed.publish(chat_id, MESSAGE_COMPLETED, {"run_id": run.id, "message": message})
            title = {} if run.begun.titled else {"title": title_of(run.question)}
            self._feed.publish(chat_id, CHAT_UPDATED, {"id": chat_id, "updated_at": iso(run.begun.at), **title})
        if not run.begun.titled and status == "complete":
            self._on_first_exchange(chat_id, run.question, answer)

    async def ended(self, run_id: str) -> bool:
        """Whether a run has ended, in whichever process.

        Raises:
            StorageUnavailable: the store does not answer.
        """
        return bool(await self.ended_of([run_id]))

    async def ended_of(self, run_ids: Sequence[str]) -> set[str]:
        """Those of these runs that have ended, in whichever process.

        Raises:
            StorageUnavailable: the store does not answer.
        """
        return await self._conversations.ended_of([run_id for run_id in run_ids if is_uuid(run_id)])

    async def recall(self, run_id: str, log: EventLog, reader: str | None = None) -> str | None:
        """Fetch an ended run from the store into the log for `reader`; whose it is.

        Raises:
            NotFound: no such run, or somebody else's.
            StorageUnavailable: it is under way in another process, and its frames are not to be had.
        """
        stored = await self._conversations.run(run_id) if is_uuid(run_id) else None
        if stored is None or not may_reach(stored.owner, reader):
            raise NotFound(NO_RUN)
        if stored.outcome is None:
            raise StorageUnavailable("This run cannot be followed just now. Try again in a moment.", retry_after=1.0)
        log.restore(run_id, stored.owner, stored.answer, terminal_entry(stored, self._clock()))
        return stored.owner

    async def conclude(self, run_id: str, log: EventLog) -> None:
        """Give a run in the log its last frame, if the store says that it has ended.

        Raises:
            NotFound: the store does not know it.
        """
        stored = await self._conversations.run(run_id) if is_uuid(run_id) else None
        if stored is None:
            raise NotFound(NO_RUN)
        if stored.outcome is not None:
            log.restore(run_id, stored.owner, stored.answer, terminal_entry(stored, self._clock()))

    def _facts(self, run: Run, outcome: str, found: Outcome | None, frame: RunFrame) -> Mapping[str, Any]:
        """The columns of `Run` that are known when it ends."""
        first = run.writer.first_token
        facts: dict[str, Any] = {
            "outcome": outcome,
            "error_message": frame.message if isinstance(frame, Failure) else None,
            "last_seq": run.writer.seq + 1,
            "finished_at": self._now(),
            "first_token_ms": None if first is None else round(first * 1000, 1),
            "duration_ms": run.ms,
        }
        if found is not None:
            facts |= {
                "model": found.model,
                "prompt_tokens": found.usage.prompt_tokens,
                "completion_tokens": found.usage.completion_tokens,
                "confidence": found.confidence,
                "grounded": found.grounded,
                "citations": [citation_fields(citation) for citation in found.citations],
                "finish_reason": found.finish_reason,
            }
        return facts

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

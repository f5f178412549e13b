"""What is kept of a run beside its graph's state, and the run made of it again in another process."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import structlog

from agents.checkpoints import Unreadable
from agents.run import Ask, Run
from agents.saved_run import SavedRun, unpack
from infrastructure.database.repositories.checkpoints import WaitingRun
from infrastructure.database.repositories.turns import BegunTurn
from infrastructure.errors import Conflict, NotFound

log = structlog.get_logger()
ASK_FIELDS = (
    "caller", "session_id", "owner", "rag_mode", "temperature", "max_tokens", "instructions", "agent_id",
)  # fmt: skip


class Reviver(Protocol):
    """Who starts runs."""

    async def revive(self, saved: SavedRun) -> None:
        """Go on with a run that another process left waiting.

        Raises:
            Unreadable: what was kept of it cannot be used.
            NotFound: its chat is gone.
        """


class Waiting(Protocol):
    """Where such runs are kept."""

    async def take(self) -> list[tuple[WaitingRun, float]]: ...

    async def claim(self, run_id: str) -> bool: ...


async def revive_all(runner: Reviver, store: Waiting) -> int:
    """Go on with every run that is there to be taken up; how many. What cannot be used is not kept any longer."""
    revived = 0
    for row, seconds in await store.take():
        try:
            await runner.revive(unpack(row.run_id, row.state, seconds, row.fence))
        except (Unreadable, NotFound, Conflict) as error:
            log.warning("a run that waited cannot be gone on with", run_id=row.run_id, error=type(error).__name__)
            await store.claim(row.run_id)
        else:
            revived += 1
    return revived


def facts_of(run: Run) -> Mapping[str, Any] | None:
    """What `revived` needs; None for a run that does not outlast its process: one outside conversations, which keeps
    nothing. How it answers is kept beside this (`saved_run.Manner`).
    """
    if run.begun is None or run.session.id is None:
        return None
    asked = {name: getattr(run.ask, name) for name in ASK_FIELDS} | {"session_id": run.session.id}
    begun = asdict(run.begun) | {"at": run.begun.at.isoformat()}
    del begun["ahead"]  # it has its place, and keeps it
    del begun["has_files"]  # the chat may have been given some by then: it is looked at anew
    return {"ask": asked, "file_ids": list(run.ask.file_ids), "begun": begun, "answer_id": run.answer_id}


def revived(facts: Mapping[str, Any]) -> tuple[Ask, BegunTurn, str]:
    """The question, its turn, and the answer's id.

    Raises:
        Unreadable: it was kept by another version.
    """
    try:
        begun = BegunTurn(**{**facts["begun"], "at": datetime.fromisoformat(facts["begun"]["at"])})
        files = tuple(facts["file_ids"])
        ask = Ask(begun.question, keep=True, must_exist=True, file_ids=files, **facts["ask"])
        return ask, begun, facts["answer_id"]
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable from error

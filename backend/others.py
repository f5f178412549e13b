"""What processes that answer questions together tell each other."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from agents.approvals import APPROVE, Approvals
from agents.runner import ABANDON, ABANDON_OWNER, CANCEL, Runner
from backend.sharing import KNOWLEDGE
from infrastructure.errors import NotFound
from infrastructure.redis.link import RedisAway
from infrastructure.redis.signals import Signals

log = structlog.get_logger()


class Others:
    """Tells without waiting, and hears. What cannot be told is lost: who needs it tells again, or finds out later."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._telling: set[asyncio.Task[None]] = set()

    def tell(self, kind: str, data: Mapping[str, str]) -> None:
        task = asyncio.create_task(self._send(kind, data), name=f"tell {kind}")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def heed(self, runner: Runner, approvals: Approvals, on_knowledge: Callable[[], None]) -> None:
        """Do here what others ask for. Each process hears itself, too."""
        self._signals.on(CANCEL, lambda data: runner.stop(data["run_id"]))
        self._signals.on(ABANDON, lambda data: runner.forget(data["session_id"]))
        self._signals.on(ABANDON_OWNER, lambda data: runner.forget_owner(data["owner"]))
        self._signals.on(APPROVE, lambda data: _approve(approvals, data))
        self._signals.on(KNOWLEDGE, lambda data: on_knowledge())

    async def aclose(self) -> None:
        """Wait until all is told."""
        await asyncio.gather(*self._telling)

    async def _send(self, kind: str, data: Mapping[str, str]) -> None:
        try:
            await self._signals.send(kind, data)
        except RedisAway:
            log.warning("other workers could not be told", kind=kind)


def _approve(approvals: Approvals, data: Mapping[str, str]) -> None:
    with suppress(NotFound):  # it is another process's, or was answered meanwhile
        approvals.answer(data["run_id"], data["call_id"], bool(data["approved"]))

"""Agents, budgets and statistics, put together."""

from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from backend.assembly import Knowledge
from backend.models import Models
from backend.settings import Settings
from infrastructure.errors import InvalidInput
from services.agents import Agents
from services.budgets import Budgets
from services.stats import Stats


@dataclass(frozen=True, slots=True)
class AgentParts:
    agents: Agents
    budgets: Budgets
    stats: Stats


def open_agents(
    settings: Settings, knowledge: Knowledge, models: Models, stack: AsyncExitStack,
    tools: Callable[[], Collection[str]],
) -> AgentParts:  # fmt: skip
    """`tools` gives the names of the tools that there are. What was noted is written when `stack` is closed."""
    database, library = knowledge.database, knowledge.library
    budgets = Budgets(database, _now, settings.tokens_per_user_per_day)
    stack.push_async_callback(budgets.aclose)

    def may_choose(name: str) -> bool:
        provider, _, model = name.partition("/")
        try:
            models.book.choose(provider, model)
        except InvalidInput:
            return False
        return True

    async def shared_documents() -> list[str]:
        return [document.id for document in await library.list_documents()]

    agents = Agents(
        database, knowledge.scopes, clock=_now, tools=tools, may_choose=may_choose, shared_documents=shared_documents
    )
    return AgentParts(agents, budgets, Stats(database, budgets, clock=_now))


def _now() -> datetime:
    return datetime.now(UTC)

"""Queries of agents. Whose an agent is stands in the queries: what a caller may not reach is not found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.models import Agent


@dataclass(frozen=True, slots=True)
class AgentRow:
    """An agent. `owner_id` None: shared. `tools` None: all there are. `knowledge_scope`: `files` (ids) and `shared`."""

    id: str
    owner_id: str | None
    name: str
    description: str | None
    prompt: str
    model: str | None
    tools: list[str] | None
    knowledge_scope: dict[str, Any] | None
    answers: str
    starter_messages: list[dict[str, str]]
    is_visible: bool
    created_at: datetime
    updated_at: datetime


_ROW: tuple[Any, ...] = (
    Agent.id,
    Agent.owner_id,
    Agent.name,
    Agent.description,
    Agent.prompt,
    Agent.model,
    Agent.tools,
    Agent.knowledge_scope,
    Agent.answers,
    Agent.starter_messages,
    Agent.is_visible,
    Agent.created_at,
    Agent.updated_at,
)


def reachable(caller: str | None) -> ColumnElement[bool]:
    """Agents that `caller` may use when they know the id, as `services.principals.may_reach` has it."""
    return Agent.owner_id.is_(None) if caller is None else or_(Agent.owner_id.is_(None), Agent.owner_id == caller)


def _of(owner: str | None) -> ColumnElement[bool]:
    return Agent.owner_id.is_(None) if owner is None else Agent.owner_id == owner


class AgentRepository:
    """The agents as one session sees them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> AgentRow:
        """Add an agent; `values` are the table's columns.

        Raises:
            IntegrityError: its owner is gone.
        """
        return AgentRow(*(await self._session.execute(insert(Agent).values(**values).returning(*_ROW))).one())

    async def find(self, agent_id: str, caller: str | None) -> AgentRow | None:
        query = select(*_ROW).where(Agent.id == agent_id, reachable(caller))
        row = (await self._session.execute(query)).one_or_none()
        return None if row is None else AgentRow(*row)

    async def by_id(self, agent_id: str) -> AgentRow | None:
        """Whoever's it is."""
        row = (await self._session.execute(select(*_ROW).where(Agent.id == agent_id))).one_or_none()
        return None if row is None else AgentRow(*row)

    async def usable(self, agent_id: str, caller: str | None) -> bool:
        query = select(Agent.id).where(Agent.id == agent_id, reachable(caller))
        return (await self._session.execute(query)).one_or_none() is not None

    async def listed(self, caller: str | None, *, hidden: bool) -> list[AgentRow]:
        """The caller's own and the shared ones, those first that were made first; with `hidden` also shared ones that
        are not visible.
        """
        shared = Agent.owner_id.is_(None) if hidden else and_(Agent.owner_id.is_(None), Agent.is_visible)
        where = shared if caller is None else or_(shared, Agent.owner_id == caller)
        query = select(*_ROW).where(where).order_by(Agent.created_at, Agent.id)
        return [AgentRow(*row) for row in await self._session.execute(query)]

    async def count(self, owner: str | None) -> int:
        """How many are `owner`'s; None: shared."""
        query = select(func.count()).select_from(Agent).where(_of(owner))
        return int((await self._session.execute(query)).scalar_one())

    async def change(self, agent_id: str, owner: str | None, values: Mapping[str, Any]) -> AgentRow | None:
        """Set columns of an agent of `owner`'s (None: a shared one); how it is then."""
        change = update(Agent).where(Agent.id == agent_id, _of(owner)).values(**values).returning(*_ROW)
        row = (await self._session.execute(change)).one_or_none()
        return None if row is None else AgentRow(*row)

    async def remove(self, agent_id: str, owner: str | None) -> bool:
        """Remove an agent of `owner`'s (None: a shared one); whether there was one."""
        gone = delete(Agent).where(Agent.id == agent_id, _of(owner)).returning(Agent.id)
        return (await self._session.execute(gone)).one_or_none() is not None

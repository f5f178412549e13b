"""Agents: making, finding, changing and removing them, and the personas that runs get of them.

Everybody signed in makes their own; the shared ones are everybody's to use and the admins' to change. Another user's
agent is as one that never was.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, cast

from infrastructure.database.engine import Database
from infrastructure.database.models import new_id
from infrastructure.database.repositories.accounts import AccountsRepository
from infrastructure.database.repositories.agents import AgentRepository, AgentRow
from infrastructure.database.repositories.scopes import FileOwner, files_by_id
from infrastructure.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from services.knowledge.scopes import Scopes
from services.personas import DEFAULT_PERSONA, AgentScope, Answers, Persona, agent_scope
from services.principals import Principal, may_reach
from services.storage_errors import as_storage_errors

__all__ = ["DEFAULT_PERSONA", "NO_AGENT", "AgentRow", "Agents", "Persona"]

NO_AGENT = "No such agent."
MAX_AGENTS = 100
MAX_FILES = 50
PERSONA_SECONDS = 2.0  # that a persona is used again before it is read anew: another process may have changed it
MAX_PERSONAS = 1000
_NO_SCOPE: Mapping[str, Any] = {"files": [], "shared": True}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A persona as it was read, and whose agent it is; None: there is no such agent."""

    until: float
    owner: str | None
    persona: Persona | None


class Agents:
    """The agents of everyone.

    `tools` gives the names of the tools that there are, `may_choose` says whether a model (`provider/model`) may be
    chosen, `shared_documents` gives the ids of the shared knowledge's documents.

    Raises (every method with an `agent_id` but `persona`):
        NotFound: no such agent, or another user's.
    """

    def __init__(
        self, database: Database, scopes: Scopes, *, clock: Callable[[], datetime],
        tools: Callable[[], Collection[str]], may_choose: Callable[[str], bool],
        shared_documents: Callable[[], Awaitable[Collection[str]]], monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._database = database
        self._scopes = scopes
        self._clock = clock
        self._tools = tools
        self._may_choose = may_choose
        self._shared_documents = shared_documents
        self._monotonic = monotonic
        self._personas: OrderedDict[str, _Kept] = OrderedDict()

    async def listed(self, who: Principal) -> list[AgentRow]:
        """The caller's own and the shared ones that are visible (to admins: all shared ones)."""
        async with self._database.read() as session:
            found = await AgentRepository(session).listed(who.user_id, hidden=who.is_admin)
        return [self._shown(row) for row in found]

    async def get(self, agent_id: str, who: Principal) -> AgentRow:
        return self._shown(await self._find(agent_id, who))

    async def create(self, who: Principal, values: Mapping[str, Any], *, shared: bool = False) -> AgentRow:
        """Make an agent; `values` are its columns, but the owner and the times.

        Raises:
            Unauthorized: the caller has no account.
            Forbidden: `shared`, and the caller is no admin.
            InvalidInput: a tool or a model that there is not; the message begins with the field's name.
            NotFound: a file that the caller may not reach.
            Conflict: too many agents.
        """
        user_id = _signed_in(who)
        if shared and not who.is_admin:
            raise Forbidden("Only admins make shared agents.")
        await self._check(values, user_id)
        owner, now = None if shared else user_id, self._clock()
        row = {"id": new_id(), "owner_id": owner, **values, "created_at": now, "updated_at": now}
        async with self._database.write() as session:
            agents = AgentRepository(session)
            if await AccountsRepository(session).lock(user_id) is None:  # deleted between being recognised and here
                raise Unauthorized("Sign in first.")
            if await agents.count(owner) >= MAX_AGENTS:
                raise Conflict(f"There are {MAX_AGENTS} agents already. Delete one first.")
            return self._shown(await agents.add(row))

    async def change(self, agent_id: str, who: Principal, changes: Mapping[str, Any]) -> AgentRow:
        """Set columns of an agent.

        Raises:
            Unauthorized, Forbidden: it is a shared one, and the caller is no admin.
            InvalidInput: as `create`.
            NotFound: also for a file that the caller may not reach and that was not in the agent's scope before.
        """
        agent = _changeable(await self._find(agent_id, who), who)
        await self._check(changes, who.user_id, known=(agent.knowledge_scope or _NO_SCOPE)["files"])
        async with self._database.write() as session:
            values = {**changes, "updated_at": self._clock()}
            changed = await AgentRepository(session).change(agent_id, agent.owner_id, values)
        self._personas.pop(agent_id, None)
        if changed is None:
            raise NotFound(NO_AGENT)
        return self._shown(changed)

    async def remove(self, agent_id: str, who: Principal) -> None:
        """Remove an agent. Its chats stay, and go on without it.

        Raises:
            Unauthorized, Forbidden: as `change`.
        """
        agent = _changeable(await self._find(agent_id, who), who)
        async with self._database.write() as session:
            removed = await AgentRepository(session).remove(agent_id, agent.owner_id)
        self._personas.pop(agent_id, None)
        if not removed:
            raise NotFound(NO_AGENT)

    async def require(self, agent_id: str, caller: str | None) -> None:
        """Make sure that `caller` (a user's id or None) may use an agent."""
        if await self._persona(agent_id, caller) is None:
            raise NotFound(NO_AGENT)

    async def persona(self, agent_id: str | None, caller: str | None) -> Persona:
        """How a run of `caller`'s answers by this agent; the default where it is gone, or not the caller's to use.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        if agent_id is None:
            return DEFAULT_PERSONA
        return await self._persona(agent_id, caller) or DEFAULT_PERSONA

    async def _persona(self, agent_id: str, caller: str | None) -> Persona | None:
        kept = self._personas.get(agent_id)
        if kept is None or kept.until <= self._monotonic():
            with as_storage_errors():
                kept = await self._read(agent_id)
            self._personas[agent_id] = kept
            self._personas.move_to_end(agent_id)
            if len(self._personas) > MAX_PERSONAS:
                self._personas.popitem(last=False)
        return kept.persona if may_reach(kept.owner, caller) else None

    async def _read(self, agent_id: str) -> _Kept:
        until = self._monotonic() + PERSONA_SECONDS
        async with self._database.read() as session:
            row = await AgentRepository(session).by_id(agent_id)
        if row is None:
            return _Kept(until, None, None)
        scope = await self._scope(row.knowledge_scope)
        tools = None if row.tools is None else frozenset(row.tools)
        answers = cast(Answers, row.answers)  # the table's check has no others
        return _Kept(until, row.owner_id, Persona(row.id, row.prompt, row.model, tools, scope, answers))

    async def _scope(self, scope: Mapping[str, Any] | None) -> AgentScope | None:
        if scope is None:
            return None
        found: list[FileOwner] = []
        if scope["files"]:
            found = await self._database.look(partial(files_by_id, ids=list(scope["files"])))
        return agent_scope(found, await self._shared_documents() if scope["shared"] else None)

    async def _find(self, agent_id: str, who: Principal) -> AgentRow:
        async with self._database.read() as session:
            found = await AgentRepository(session).find(agent_id, who.user_id)
        if found is None:
            raise NotFound(NO_AGENT)
        return found

    async def _check(self, values: Mapping[str, Any], user_id: str | None, known: Collection[str] = ()) -> None:
        """Hold what a client sent against what there is. Files in `known` are in the agent's scope already."""
        there = self._tools()
        if not set(values.get("tools") or ()) <= set(there):
            raise InvalidInput(f"tools: There is no such tool. The tools are: {', '.join(sorted(there))}.")
        if (model := values.get("model")) is not None and not self._may_choose(model):
            raise InvalidInput("model: That model may not be chosen. /api/v1/models/list has those that there are.")
        scope = values.get("knowledge_scope") or _NO_SCOPE
        if not scope["files"] and not scope["shared"]:
            raise InvalidInput("knowledge_scope: Name files, or take in the shared knowledge.")
        if new := [file_id for file_id in scope["files"] if file_id not in known]:
            await self._scopes.check(user_id, new)

    def _shown(self, row: AgentRow) -> AgentRow:
        """With the names of its tools: an agent that has all shows those that there are now."""
        return row if row.tools is not None else replace(row, tools=sorted(self._tools()))


def _signed_in(who: Principal) -> str:
    if who.user_id is None:
        raise Unauthorized("Sign in first.")
    return who.user_id


def _changeable(agent: AgentRow, who: Principal) -> AgentRow:
    _signed_in(who)
    if agent.owner_id is None and not who.is_admin:
        raise Forbidden("Only admins change shared agents.")
    return agent

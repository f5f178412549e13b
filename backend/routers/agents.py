"""Agents: which there are, making them, changing and deleting them."""

from uuid import UUID

from fastapi import APIRouter

from backend.dependencies import Parts, UserId, Who
from backend.routers.strict_json import StrictJsonRoute
from backend.schemas.agents import AgentBody, AgentChange, AgentList, NewAgent, agent_body, agent_list
from backend.schemas.ask import error_responses

router = APIRouter(
    prefix="/api/v1/agents", tags=["agents"], route_class=StrictJsonRoute, responses=error_responses(401, 422, 429)
)


@router.get("")
async def list_agents(parts: Parts, who: Who) -> AgentList:
    """Your own agents, and the shared ones."""
    return agent_list(await parts.agents.listed(who))


@router.post("", status_code=201, responses=error_responses(403, 404, 409))
async def create_agent(body: NewAgent, parts: Parts, who: Who, _: UserId) -> AgentBody:
    """Make an agent of your own; admins also make shared ones. Begin a chat with its id to use it."""
    return agent_body(await parts.agents.create(who, body.values(), shared=body.shared))


@router.get("/{agent_id}", responses=error_responses(404))
async def get_agent(agent_id: UUID, parts: Parts, who: Who) -> AgentBody:
    """One agent: your own, or a shared one."""
    return agent_body(await parts.agents.get(str(agent_id), who))


@router.patch("/{agent_id}", responses=error_responses(403, 404))
async def change_agent(agent_id: UUID, body: AgentChange, parts: Parts, who: Who) -> AgentBody:
    """Change an agent. What is not sent stays. Its chats answer by it as it is then, from the next question on."""
    return agent_body(await parts.agents.change(str(agent_id), who, body.given()))


@router.delete("/{agent_id}", status_code=204, responses=error_responses(403, 404))
async def delete_agent(agent_id: UUID, parts: Parts, who: Who) -> None:
    """Delete an agent. Its chats stay, and go on without it."""
    await parts.agents.remove(str(agent_id), who)

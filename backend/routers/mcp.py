"""`/mcp`: the knowledge tools for MCP clients."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from agents.tools.list_knowledge_files import list_knowledge_files
from agents.tools.read_knowledge_file import read_knowledge_file
from agents.tools.search_knowledge_base import search_knowledge_base
from backend.container import Container
from backend.mcp_server import McpService
from backend.routers.ws import origin_allowed
from infrastructure.error_handlers import error_response, request_id_of
from services.knowledge.scope import Scope as Knowledge

PATH = "/mcp"


class McpDoor:
    """`/mcp` as a bare ASGI application. One serves one application: it keeps what it has loaded."""

    def __init__(self) -> None:
        self._service: McpService | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: Container = scope["app"].state.container
        if not origin_allowed(scope, parts.settings.allowed_origins):
            refused: Response = error_response(
                request_id_of(scope), "forbidden", "This origin may not send this request."
            )
            return await refused(scope, receive, send)
        body = await Request(scope, receive).body()  # within the limit, which the middleware keeps

        read = False

        async def replay() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        self._service = self._service or _service(parts)
        await self._service.handle(scope, replay, send, parts.settings.max_body_bytes)


def routes() -> Sequence[BaseRoute]:
    """The door, for one application. There is no stream to open (GET) and no session to end (DELETE): 405."""
    return [Route(PATH, McpDoor(), methods=["POST"], name="mcp")]


def _service(parts: Container) -> McpService:
    tools = (
        search_knowledge_base(parts.search.search, parts.settings.agent_max_results),
        list_knowledge_files(parts.library),
        read_knowledge_file(parts.library),
    )

    async def scope_of(request: Any) -> Knowledge:
        return await parts.scopes.of(request.scope["state"]["principal"].user_id)

    named = {tool.spec.name: tool for tool in tools}
    return McpService(named, scope_of, parts.version, seconds=parts.settings.tool_seconds)

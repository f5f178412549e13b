"""Tool: find passages by meaning and by words."""

from collections.abc import Awaitable, Callable

from pydantic import Field

from agents.tools.base import Arguments, Tool, ToolResult, make_tool
from services.knowledge.scope import Scope
from services.knowledge.search import Retrieval

Search = Callable[[str, int, Scope], Awaitable[Retrieval]]


class Query(Arguments):
    query: str = Field(min_length=1, max_length=500, description="What to look for, in a few words or a question.")


def search_knowledge_base(search: Search, limit: int) -> Tool:
    async def call(arguments: Query, scope: Scope) -> ToolResult:
        found = await search(arguments.query, limit, scope)
        if not found.passages:
            return ToolResult("Nothing was found.")
        return ToolResult(f"{len(found.passages)} passages, best first.", found.passages)

    return make_tool("search_knowledge_base", "Search the knowledge base for passages.", Query, call)

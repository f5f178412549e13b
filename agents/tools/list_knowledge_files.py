"""Tool: say which documents there are."""

from agents.tools.base import Arguments, Tool, ToolResult, make_tool
from services.knowledge.library import Library
from services.knowledge.scope import Scope

MAX_LISTED = 500


class Nothing(Arguments):
    """Takes no arguments."""


def list_knowledge_files(library: Library) -> Tool:
    async def call(_: Nothing, scope: Scope) -> ToolResult:
        documents = await library.documents_in(scope)
        lines = [f"{document.name} - {document.title}" for document in documents[:MAX_LISTED]]
        if len(documents) > MAX_LISTED:
            lines.append(f"… and {len(documents) - MAX_LISTED} more")
        return ToolResult("\n".join(lines) or "There are no documents.")

    return make_tool("list_knowledge_files", "List the documents of the knowledge base.", Nothing, call)

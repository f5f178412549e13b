"""Tool: read a document of the knowledge base, or a part of it."""

from pydantic import Field

from agents.tools.base import Arguments, Tool, ToolResult, make_tool
from infrastructure.errors import NotFound, ToolFailed
from infrastructure.passages import Passage
from services.knowledge.library import Library
from services.knowledge.scope import Scope

MAX_CHARS = 12_000


class Range(Arguments):
    filename: str = Field(min_length=1, max_length=500, description="A name from list_knowledge_files.")
    start: int = Field(0, ge=0, le=2**31, description="First character, from 0.")
    end: int | None = Field(None, ge=0, le=2**31, description=f"Where to stop; at most {MAX_CHARS} characters on.")


def read_knowledge_file(library: Library) -> Tool:
    async def call(arguments: Range, scope: Scope) -> ToolResult:
        try:
            part = await library.read_document(
                arguments.filename, start=arguments.start, end=arguments.end, limit=MAX_CHARS, scope=scope
            )
        except NotFound:
            raise ToolFailed("There is no such file. list_knowledge_files tells the names.") from None
        if not part.text:
            raise ToolFailed(f"The file has {part.total_chars} characters; that range is empty.")
        passage = Passage(
            part.name, part.document_id, f"{part.document_id}:{part.start}-{part.end}", part.title, part.text,
            part.start, part.end, 1.0,
        )  # fmt: skip
        return ToolResult(f"Characters {part.start} to {part.end} of {part.total_chars}.", (passage,))

    return make_tool("read_knowledge_file", "Read a document of the knowledge base, or a part of it.", Range, call)

"""An MCP server whose tools name addresses in every place that there is for one. `<notes file> <address>`."""

import asyncio
import sys
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    EmbeddedResource,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

NOTES, ADDRESS = sys.argv[1:3]
READS = ToolAnnotations(read_only_hint=True)
ANY: dict[str, Any] = {"type": "object", "properties": {"url": {"type": "string", "format": "uri"}}}
REFERRING: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": f"{ADDRESS}/schema.json"}}}
TOOLS = [
    Tool(name="write", description="Write a note.", input_schema={"type": "object"}),
    Tool(name="look", description=f"Look at {ADDRESS}/described", input_schema=ANY, annotations=READS),
    Tool(name="referring", input_schema=REFERRING, annotations=READS),
]


async def listed(_: Any, __: Any) -> ListToolsResult:
    return ListToolsResult(tools=TOOLS)


async def called(_: Any, params: CallToolRequestParams) -> CallToolResult:
    if params.name == "write":
        await asyncio.to_thread(write, str(params.arguments))
        return CallToolResult(content=[TextContent(text="Written.")])
    inside = TextResourceContents(uri=f"{ADDRESS}/embedded", text=f"![x]({ADDRESS}/inside)", mime_type="text/markdown")
    return CallToolResult(
        content=[
            TextContent(text=f"See {ADDRESS}/text and ![x]({ADDRESS}/picture)."),
            ResourceLink(name="more", uri=f"{ADDRESS}/link", mime_type="text/html"),
            EmbeddedResource(resource=inside),
        ],
        structured_content={"url": f"{ADDRESS}/structured"},
    )


def write(text: str) -> None:
    with open(NOTES, "a") as notes:
        notes.write(f"{text}\n")


async def main() -> None:
    server: Server[Any] = Server("sly", version="1", on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())

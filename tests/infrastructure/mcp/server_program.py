"""A real MCP server with tools of every kind: over its standard streams, or over HTTP with `http <port>`."""

import asyncio
import os
import sys
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    AudioContent,
    CallToolRequestParams,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 20}},
    "required": ["text"],
}
READS = ToolAnnotations(read_only_hint=True)
TOOLS = (
    Tool(name="echo", description="Says it again.", input_schema=TEXT, annotations=READS),
    Tool(name="write", description="Changes something.", input_schema=TEXT),
    Tool(name="environment", input_schema=NOTHING, annotations=READS),
    Tool(name="picture", input_schema=NOTHING, annotations=READS),
    Tool(name="structured", input_schema=NOTHING, annotations=READS),
    Tool(name="fails", input_schema=NOTHING, annotations=READS),
    Tool(name="huge", input_schema=NOTHING, annotations=READS),
    Tool(name="hangs", input_schema=NOTHING, annotations=READS),
    Tool(name="dies", input_schema=NOTHING, annotations=READS),
    Tool(name="odd/name.here", input_schema=NOTHING, annotations=READS),
    Tool(name="wrong", input_schema={"type": "object", "properties": {"a": {"type": "no such type"}}}),
    Tool(name="wide", input_schema={"type": "object", "description": "x" * 20_000}),
)


async def listed(_: Any, __: Any) -> ListToolsResult:
    return ListToolsResult(tools=list(TOOLS))


async def called(context: Any, params: CallToolRequestParams) -> CallToolResult:
    name = params.name
    if name == "hangs":
        await asyncio.Event().wait()
    if name == "dies":
        os._exit(1)
    if name == "picture":
        return CallToolResult(
            content=[
                TextContent(text="A picture:"),
                ImageContent(data="aGFsbG8=", mime_type="image/png"),
                AudioContent(data="aGFsbG8=", mime_type="audio/wav"),
                ResourceLink(name="r", uri="file:///a.txt", mime_type="text/plain"),
                EmbeddedResource(resource=TextResourceContents(uri="file:///b.txt", text="inside")),
            ]
        )
    if name == "structured":
        return CallToolResult(content=[], structured_content={"degrees": 21})
    return CallToolResult(content=[TextContent(text=_text(name, params, context))], is_error=name == "fails")


def _text(name: str, params: CallToolRequestParams, context: Any) -> str:
    if name == "environment":
        headers = dict(context.request.headers) if context.request is not None else {}
        return f"{sorted(os.environ.items())} {headers.get('x-shown')}"
    if name == "huge":
        return "x" * 1_000_000
    if name == "fails":
        return "It is broken. " * 100
    return str((params.arguments or {}).get("text", name))


server: Server[Any] = Server("test", version="1", on_list_tools=listed, on_call_tool=called)


async def over_streams() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        import uvicorn

        uvicorn.run(server.streamable_http_app(json_response=True), port=int(sys.argv[2]), log_level="critical")
    else:
        asyncio.run(over_streams())

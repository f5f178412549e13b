"""`/mcp` of the running service, with the SDK's own client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.people import signed_in
from tests.e2e.service import Service, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@asynccontextmanager
async def client(service: Service, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(f"{service.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as connected:
            yield connected


def text(result: Any) -> str:
    assert [block.type for block in result.content] == ["text"]
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_knowledge_is_searched_listed_and_read(embedded: Service, mode: str) -> None:
    async with client(embedded, mode) as mcp:
        tools = (await mcp.list_tools()).tools
        assert [tool.name for tool in tools] == ["search_knowledge_base", "list_knowledge_files", "read_knowledge_file"]
        assert {tool.annotations and tool.annotations.read_only_hint for tool in tools} == {True}
        found = await mcp.call_tool("search_knowledge_base", {"query": "What is impermanent loss?"})
        assert not found.is_error
        assert '<source number="1"' in text(found)
        name = text(await mcp.call_tool("list_knowledge_files", {})).split(" - ")[0]
        read = await mcp.call_tool("read_knowledge_file", {"filename": name, "start": 0, "end": 20})
        assert text(read).startswith("Characters 0 to 20 of ")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("read_knowledge_file", {"filename": "../../etc/passwd"}), ("search_knowledge_base", {"question": "canary"})],
)
async def test_what_a_tool_cannot_do_is_told_as_its_result(
    embedded: Service, name: str, arguments: dict[str, Any]
) -> None:
    async with client(embedded) as mcp:
        failed = await mcp.call_tool(name, arguments)
        assert failed.is_error
        assert "canary" not in text(failed)


async def test_each_caller_searches_the_shared_knowledge_and_their_own(embedded: Service) -> None:
    anna, ben = await signed_in(embedded), await signed_in(embedded)
    async with embedded.client(headers=anna) as http:
        files = {"file": ("secret plan.txt", b"The heron colony of Wexcombe breeds in the seventh oak.", "text/plain")}
        sent = (await http.post("/api/v1/files/upload", files=files)).json()["file"]["file_id"]
        while (await http.get(f"/api/v1/files/status/{sent}")).json()["status"] in ("uploaded", "processing"):
            pass
    seen = {}
    for name, headers in {"anna": anna, "ben": ben, "nobody": {}}.items():
        async with client(embedded, **headers) as mcp:
            listed = text(await mcp.call_tool("list_knowledge_files", {}))
            read = await mcp.call_tool("read_knowledge_file", {"filename": "secret plan.txt"})
            seen[name] = ("secret plan.txt" in listed, "seventh oak" in text(read))
    assert seen == {"anna": (True, True), "ben": (False, False), "nobody": (False, False)}


async def test_a_page_of_another_origin_is_refused(embedded: Service) -> None:
    async with embedded.client() as http:
        refused = await http.post("/mcp", json=LIST, headers={"Origin": "https://evil.example"})
        assert (refused.status_code, refused.json()["type"]) == (403, "forbidden")
        allowed = await http.post("/mcp", json=LIST, headers={"Origin": "http://localhost:3000"})
        assert allowed.status_code == 200
        assert len(allowed.json()["result"]["tools"]) == 3


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), (b"null", 400), (b'{"jsonrpc":"2.0","id":1}', 400), (b"\xff\xfe", 400),
        (b"[" * 100_000, 400), (b" " * 1_100_000, 413), (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}', 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_knowledge_files","arguments":5}}', 200),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search_knowledge_base",'
         b'"arguments":{"query":"\\ud800"}}}', 400),
    ],
)  # fmt: skip
async def test_what_no_honest_client_sends_is_refused(embedded: Service, content: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    async with embedded.client(headers=headers) as http:
        told = await http.post("/mcp", content=content)
    assert told.status_code == status, told.text
    assert "Traceback" not in told.text
    if status == 200:
        body = told.json()
        assert "error" in body or body["result"]["isError"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_there_is_no_stream_to_open_and_no_session_to_end(embedded: Service, method: str) -> None:
    async with embedded.client() as http:
        told = await http.request(method, "/mcp", headers={"Accept": "text/event-stream"})
    assert (told.status_code, told.json()["type"]) == (405, "method_not_allowed")


async def test_where_sign_in_is_required_it_is_required_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with running(tmp_path_factory.mktemp("closed"), {"AUTH_REQUIRED": "true"}) as service:
        async with service.client() as http:
            assert (await http.post("/mcp", json=LIST)).status_code == 401
        async with client(service, **await signed_in(service)) as mcp:
            assert len((await mcp.list_tools()).tools) == 3

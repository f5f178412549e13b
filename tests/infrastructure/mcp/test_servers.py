"""MCP servers, real ones in processes of their own: what they offer, what they answer, and how they go away."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from infrastructure.errors import ToolFailed
from infrastructure.mcp.config import McpServerConfig
from infrastructure.mcp.content import MAX_TEXT_CHARS, NOTHING, text_of
from infrastructure.mcp.server import McpTool, has_side_effects, tool_name
from infrastructure.mcp.servers import McpServers

PROGRAM = str(Path(__file__).with_name("server_program.py"))
SECRET = "sk-canary-1234567890"


def stdio(**fields: Any) -> McpServerConfig:
    return McpServerConfig(command=sys.executable, args=(PROGRAM,), **fields)


@asynccontextmanager
async def connected(**servers: McpServerConfig) -> AsyncIterator[McpServers]:
    """The servers, once any of them is there."""
    async with McpServers(servers, "1").running() as running:
        await there(running)
        yield running


async def there(servers: McpServers) -> None:
    async with asyncio.timeout(30):
        while not servers.tools():
            await servers.changed()


def find(servers: McpServers, name: str) -> McpTool:
    return next(tool for tool in servers.tools() if tool.name == name)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


@pytest.fixture
def logged() -> LogCapture:
    capture = LogCapture()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    return capture


async def test_its_tools_are_offered_under_its_name_and_what_cannot_be_used_is_left_out() -> None:
    async with connected(test=stdio()) as servers:
        names = [tool.name for tool in servers.tools()]
        assert names == [
            "test__echo", "test__write", "test__environment", "test__picture", "test__structured", "test__fails",
            "test__huge", "test__hangs", "test__dies", "test__odd_name_here",
        ]  # fmt: skip
        echo, write = servers.tools()[:2]
        assert echo.description == "Says it again."
        assert echo.parameters["properties"]["text"] == {"type": "string", "maxLength": 20}
        assert (echo.side_effects, write.side_effects) == (False, True)
        assert servers.tools() is servers.tools(), "the same until something changes"


async def test_a_call_is_answered_with_text_and_what_is_none_is_named() -> None:
    async with connected(test=stdio()) as servers:
        assert await find(servers, "test__echo").call({"text": "hello"}) == "hello"
        assert await find(servers, "test__odd_name_here").call({}) == "odd/name.here"
        assert await find(servers, "test__structured").call({}) == '{"degrees": 21}'
        assert len(await find(servers, "test__huge").call({})) == MAX_TEXT_CHARS
        shown = await find(servers, "test__picture").call({})
        assert shown.splitlines() == [
            "A picture:", "(A image: image/png)", "(A audio: audio/wav)", "(A file: file:///a.txt text/plain)",
            "inside",
        ]  # fmt: skip
        with pytest.raises(ToolFailed, match=r"^The tool reported an error: It is broken") as failed:
            await find(servers, "test__fails").call({})
        assert len(failed.value.message) < 600


@pytest.mark.parametrize("arguments", [{}, {"text": 5}, {"text": "canary" * 9}, {"text": None}])
async def test_arguments_are_held_against_its_schema_and_not_repeated(arguments: dict[str, Any]) -> None:
    async with connected(test=stdio(allow=["echo"])) as servers:
        with pytest.raises(ToolFailed, match="not valid: ") as refused:
            find(servers, "test__echo").check(arguments)
        assert "canary" not in refused.value.message


async def test_only_allowed_tools_are_offered_and_the_file_says_which_have_side_effects() -> None:
    allowed = frozenset({"echo", "write"})
    async with connected(test=stdio(allow=allowed, side_effects=frozenset({"echo"}))) as servers:
        assert {tool.name: tool.side_effects for tool in servers.tools()} == {"test__echo": True, "test__write": False}


async def test_its_process_sees_none_of_our_environment_but_what_the_file_gives_it() -> None:
    async with connected(test=stdio(env={"GIVEN": "yes"})) as servers:
        seen = await find(servers, "test__environment").call({})
        assert "('GIVEN', 'yes')" in seen
        assert SECRET not in seen
        assert "OPENAI" not in seen


async def test_a_server_that_dies_costs_a_call_and_comes_back() -> None:
    async with connected(test=stdio()) as servers:
        gone = asyncio.ensure_future(servers.changed())
        with pytest.raises(ToolFailed, match="server is away"):
            await find(servers, "test__dies").call({})
        await gone
        await there(servers)
        assert await find(servers, "test__echo").call({"text": "again"}) == "again"


async def test_a_server_that_hangs_holds_up_its_own_call_only() -> None:
    async with connected(test=stdio()) as servers:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await find(servers, "test__hangs").call({})
        assert await find(servers, "test__echo").call({"text": "still"}) == "still"


async def test_a_server_that_cannot_be_reached_costs_its_own_tools_only(logged: LogCapture) -> None:
    nowhere = McpServerConfig(url=f"http://127.0.0.1:9/{SECRET}", headers={"Authorization": f"Bearer {SECRET}"})
    missing = McpServerConfig(command="/nowhere/at/all", env={"KEY": SECRET})
    quits = McpServerConfig(command=sys.executable, args=("-c", "raise SystemExit(1)"))
    away = {"nowhere", "missing", "quits"}
    async with connected(nowhere=nowhere, missing=missing, quits=quits, test=stdio()) as servers:
        assert await find(servers, "test__echo").call({"text": "here"}) == "here"
        async with asyncio.timeout(30):
            # a log line is all that tells
            while {one["server"] for one in logged.entries if one["event"] == "mcp server is away"} != away:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert SECRET not in str(logged.entries)


async def test_over_http_headers_go_along_and_it_is_found_again_after_it_was_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    config = McpServerConfig(url=f"http://127.0.0.1:{port}/mcp", headers={"X-Shown": "to it"})
    async with McpServers({"far": config}, "1").running() as servers:
        assert servers.tools() == (), "it is not waited for"
        process = await asyncio.create_subprocess_exec(sys.executable, PROGRAM, "http", str(port))
        try:
            await there(servers)
            assert await find(servers, "far__echo").call({"text": "hello"}) == "hello"
            assert (await find(servers, "far__environment").call({})).endswith(" to it")
            process.kill()
            await process.wait()
            echo, gone = find(servers, "far__echo"), asyncio.ensure_future(servers.changed())
            with pytest.raises(ToolFailed, match="away"):
                await echo.call({"text": "anybody?"})
            await gone
            assert servers.tools() == ()
            with pytest.raises(ToolFailed, match="away"):
                await echo.call({"text": "anybody?"})
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def test_names_are_spelt_as_models_want_them_and_long_ones_stay_apart() -> None:
    assert tool_name("files", "read.file/it") == "files__read_file_it"
    long = {tool_name("s", "x" * 100 + last) for last in "ab"}
    assert len(long) == 2
    assert {len(name) for name in long} == {64}


def hints(read_only: bool | None = None, destructive: bool | None = None) -> SimpleNamespace:
    return SimpleNamespace(read_only_hint=read_only, destructive_hint=destructive)


@pytest.mark.parametrize(
    ("annotations", "configured", "asks"),
    [
        (None, None, True), (hints(), None, True), (hints(read_only=True), None, False),
        (hints(destructive=False), None, False), (hints(False, False), None, True),
        (hints(destructive=True), None, True), (hints(read_only=True), True, True),
        (hints(read_only=True), frozenset({"t"}), True), (None, False, False),
        (hints(destructive=True), frozenset({"other"}), False),
    ],
)  # fmt: skip
def test_a_tool_is_asked_about_unless_the_file_or_its_own_hints_say_otherwise(
    annotations: Any, configured: bool | frozenset[str] | None, asks: bool
) -> None:
    assert has_side_effects("t", annotations, configured) is asks


def test_a_result_without_content_says_so() -> None:
    assert text_of(SimpleNamespace(content=[], structured_content=None)) == NOTHING

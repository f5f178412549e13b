"""A tool with side effects asks first: over every transport, after a reconnect, and after a restart.

The tool is one of a real MCP server, which writes what it is told to a file.
"""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import scripted_model
from tests.e2e.people import signed_in
from tests.e2e.service import Service, Socket, answer_of, running
from tests.model_server import ModelServer

PROGRAM = '''
import asyncio, sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")


@server.tool()
def write(text: str) -> str:
    """Write a note."""
    with open(sys.argv[1], "a") as notes:
        notes.write(text + "\\n")
    return "Written."


asyncio.run(server.run_stdio_async())
'''
pytestmark = pytest.mark.asyncio(loop_scope="module")
ARGUMENTS = {"text": "buy milk"}


class Place:
    """Where the service lives, with its notes."""

    def __init__(self, folder: Path, model: ModelServer) -> None:
        self.folder = folder
        self.notes = folder / "notes.txt"
        program = folder / "notes_server.py"
        program.write_text(PROGRAM)
        config = folder / "mcp.json"
        config.write_text(
            json.dumps({"mcpServers": {"notes": {"command": sys.executable, "args": [str(program), str(self.notes)],
                                                 "env": {"PYTHONPATH": "${PYTHONPATH}"}}}})
        )  # fmt: skip
        self.settings = scripted_model(model) | {"MCP_CONFIG": str(config)}

    @property
    def written(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def service(self, **settings: Any) -> Any:
        return running(self.folder, self.settings | settings)


def script(model: ModelServer) -> None:
    model.clear()
    model.tool_call("notes__write", ARGUMENTS, text="One moment. ")
    model.tokens(["It ", "is ", "done."])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Service, Place]]:
    place = Place(tmp_path_factory.mktemp("house"), far_end)
    async with place.service() as service:
        await service.logged("mcp server connected")
        yield service, place


@pytest.fixture
def service(house: tuple[Service, Place], far_end: ModelServer) -> Service:
    script(far_end)
    return house[0]


@pytest.fixture
def place(house: tuple[Service, Place]) -> Place:
    house[1].notes.unlink(missing_ok=True)
    return house[1]


@pytest.fixture
def own(tmp_path: Path, far_end: ModelServer) -> Place:
    """A place for a service of the test's own."""
    script(far_end)
    return Place(tmp_path, far_end)


async def until_asked(socket: Socket, **fields: Any) -> dict[str, Any]:
    """Ask, and go on to where the person is asked."""
    await socket.hello()
    await socket.send(type="question", question="Note that I must buy milk.", **fields)
    return (await socket.until(type="step", state="approval_required"))[-1]


@pytest.mark.parametrize("approved", [True, False])
async def test_the_one_who_asks_says_whether_a_tool_runs(
    service: Service, place: Place, far_end: ModelServer, approved: bool
) -> None:
    async with service.socket() as socket:
        asked = await until_asked(socket)
        assert (asked["name"], json.loads(asked["detail"].split(" ", 1)[1])) == ("notes__write", ARGUMENTS)
        assert place.written == []
        await socket.send(type="approve", call_id=asked["call_id"], approved=approved)
        end = (await socket.until(type="complete"))[-1]
    assert end["answer"] == "One moment. It is done."
    assert place.written == (["buy milk"] if approved else [])
    told = far_end.requests[-1].body["messages"][-1]
    assert told["role"] == "tool"
    assert ("Written." if approved else "declined") in told["content"]


async def test_over_http_by_whoever_may_read_the_run_and_by_nobody_else(service: Service, place: Place) -> None:
    anna, ben = await signed_in(service), await signed_in(service)
    async with service.socket(additional_headers=anna) as socket:
        asked = await until_asked(socket)
        path, body = f"/runs/{asked['run_id']}/approve", {"call_id": asked["call_id"], "approved": True}
        async with service.client() as http:
            for headers in (ben, {}):
                refused = await http.post(path, json=body, headers=headers)
                assert (refused.status_code, refused.json()["detail"]) == (404, "No such run.")
            assert place.written == []
            unknown = await http.post(path, json=body | {"call_id": "another"}, headers=anna)
            assert (unknown.status_code, unknown.json()["type"]) == (404, "not_found")
            taken = await http.post(path, json=body, headers=anna)
            assert (taken.status_code, taken.json()) == (200, body | {"run_id": asked["run_id"]})
            await socket.until(type="complete")
            assert (await http.post(path, json=body, headers=anna)).status_code == 404
    assert place.written == ["buy milk"]


async def test_a_strangers_socket_cannot_approve(service: Service, place: Place) -> None:
    async with service.socket(additional_headers=await signed_in(service)) as socket, service.socket() as stranger:
        asked = await until_asked(socket)
        await stranger.hello()
        for frame in ({}, {"run_id": asked["run_id"]}):
            await stranger.send(type="approve", call_id=asked["call_id"], approved=True, **frame)
            assert (await stranger.next())["code"] == "not_found"
        for bad in ({}, {"call_id": 5, "approved": True}, {"call_id": "c", "approved": "yes"},
                    {"call_id": "c", "approved": True, "run_id": 5}):  # fmt: skip
            await socket.send(type="approve", **bad)
            assert (await socket.until(type="error"))[-1]["code"] == "validation_error"
        assert place.written == []


async def test_a_connection_that_comes_back_finds_the_call_that_waits(service: Service, place: Place) -> None:
    async with service.socket() as socket:
        asked = await until_asked(socket)
    async with service.socket() as again:
        await again.hello()
        await again.send(type="attach", run_id=asked["run_id"], after=asked["seq"] - 1)
        assert await again.next() == asked
        await again.send(type="approve", call_id=asked["call_id"], approved=True, run_id=asked["run_id"])
        await again.until(type="complete")
    assert place.written == ["buy milk"]


async def test_a_run_that_waits_can_be_stopped(service: Service, place: Place) -> None:
    async with service.socket() as socket:
        await until_asked(socket)
        await socket.send(type="cancel")
        await socket.until(type="status", status="ready")
        assert len(await socket.ask("And now?")) > 2, "the session goes on"
    assert place.written == []


@pytest.mark.parametrize("crash", [True, pytest.param(False, marks=pytest.mark.slow)])
async def test_after_a_restart_the_call_waits_again_and_the_answer_goes_on(own: Place, crash: bool) -> None:
    async with own.service() as before:
        await before.logged("mcp server connected")
        async with before.socket() as socket:
            session = (await socket.hello())["session_id"]
            await socket.send(type="question", question="Note that I must buy milk.")
            frames = await socket.until(type="step", state="approval_required")
        if crash:
            before.process.kill()
            await before.process.wait()
    said = answer_of(frames)
    async with own.service() as after, after.socket() as socket:
        await after.logged("mcp server connected")
        await socket.hello()
        asked = frames[-1]
        await socket.send(type="attach", run_id=asked["run_id"], after=asked["seq"] - 1)
        again = await socket.next()
        assert {**again, "timestamp": 0} == {**asked, "timestamp": 0}
        await socket.send(type="approve", call_id=again["call_id"], approved=True)
        rest = await socket.until(type="status", status="ready")
        assert said + answer_of(rest) == rest[-2]["answer"] == "One moment. It is done."
        assert own.written == ["buy milk"]
        async with after.client() as http:
            messages = (await http.get(f"/api/v1/chats/{session}/messages")).json()["items"]
            assert [(one["role"], one["status"]) for one in messages] == [
                ("user", "complete"),
                ("assistant", "complete"),
            ]
            assert messages[-1]["content"] == "One moment. It is done."
        fresh = {"type": "attach", "run_id": asked["run_id"], "after": 0}
        await socket.send(**fresh)
        gap, snapshot = await socket.next(), await socket.next()
        assert (gap["from"], gap["to"], snapshot["answer"]) == (1, asked["seq"] - 1, said)


async def test_after_a_restart_the_agent_goes_on_as_it_was_though_it_was_changed_and_is_gone(
    own: Place, far_end: ModelServer
) -> None:
    own.settings |= {"MODEL_CHOICES": "openai/*", "MODEL_FALLBACKS": "none"}
    persona = {"name": "Notes", "prompt": "Be the canary.", "tools": ["notes__write"], "model": "openai/special",
               "answers": "knowledge_only", "knowledge_scope": {"files": [], "shared": True}}  # fmt: skip
    async with own.service() as before:
        await before.logged("mcp server connected")
        anna = await signed_in(before)
        async with before.client(headers=anna) as http, before.socket(additional_headers=anna) as socket:
            agent = (await http.post("/api/v1/agents", json=persona)).json()
            chat = (await http.post("/api/v1/chats", json={"title": "Notes", "agent_id": agent["id"]})).json()
            await socket.hello()
            await socket.send(
                type="question", question="Which command starts the AskGraph server?", session_id=chat["id"]
            )
            asked = (await socket.until(type="step", state="approval_required"))[-1]
            path = f"/api/v1/agents/{agent['id']}"
            assert (await http.patch(path, json={"prompt": "Be another."})).status_code == 200
            assert (await http.delete(path)).status_code == 204
    first = far_end.requests[-1].body
    async with own.service() as after, after.client(headers=anna) as http:
        await after.logged("mcp server connected")
        approve = {"call_id": asked["call_id"], "approved": True}
        assert (await http.post(f"/runs/{asked['run_id']}/approve", json=approve)).status_code == 200
        events = await http.get(f"/runs/{asked['run_id']}/events")
        messages = (await http.get(f"/api/v1/chats/{chat['id']}/messages")).json()["items"]
    assert '"type":"complete"' in events.text.replace(" ", "")
    assert messages[-1]["content"] == "One moment. It is done."
    assert own.written == ["buy milk"]
    second = far_end.requests[-1].body
    assert second is not first
    assert [body["model"] for body in (first, second)] == ["special", "special"]
    assert second["messages"][0] == first["messages"][0]
    assert "Be the canary." in second["messages"][0]["content"]
    assert [[tool["function"]["name"] for tool in body["tools"]] for body in (first, second)] == [["notes__write"]] * 2


async def test_what_nobody_approves_in_time_is_declined(own: Place) -> None:
    async with own.service(APPROVAL_SECONDS=0.2) as service, service.socket() as socket:
        await service.logged("mcp server connected")
        await until_asked(socket)
        assert (await socket.until(type="complete"))[-1]["finish_reason"] == "stop"
    assert own.written == []


async def test_a_file_that_cannot_be_used_is_named_and_the_service_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="MCP_CONFIG: the file cannot be read") as failed:
        async with running(tmp_path, {"MCP_CONFIG": str(tmp_path / "canary.json")}):
            raise AssertionError("it starts")
    assert "Traceback" not in str(failed.value)

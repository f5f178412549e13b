"""The running service's log: whose each line is, what no line may say, and that nobody writes lines but the service."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.e2e.conftest import scripted_model
from tests.e2e.service import Service, running
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a liquidation threshold?"  # no curated one is close: the model is asked
AUTH = "/api/v1/auth"
PASSWORD = "canary-password-1234"
CANARIES = {
    "OPENAI_API_KEY": "canary.openai.0001",
    "AIHUB_PASSWORD": "canary.aihubpass.02",
    "AIHUB_CLIENT_SECRET": "canary.aihubsecret.03",
    "SECRET_KEY": "canary.secret.0004.0123456789abcdef0123456789",
    "OPERATIONS_TOKEN": "canary.operations.05",
    "LANGFUSE_PUBLIC_KEY": "canary.langfuse.public.06",
    "LANGFUSE_SECRET_KEY": "canary.langfuse.secret.07",
    "EMBEDDINGS_API_KEY": "canary.embeddings.08",
    "RERANKER_API_KEY": "canary.reranker.09",
}
MCP = {"mcpServers": {"away": {"url": "http://127.0.0.1:9/mcp", "headers": {"X-Mcp": "Token canary.mcp.header.10"}},
                      "gone": {"command": "/nowhere/server", "env": {"MCP_KEY": "canary.mcp.env.11"}}}}  # fmt: skip
Said = Callable[..., list[dict[str, Any]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loud(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service at DEBUG level with every secret that there is."""
    folder = tmp_path_factory.mktemp("loud")
    (folder / "mcp.json").write_text(json.dumps(MCP))
    more = {
        "LOG_LEVEL": "DEBUG", "MCP_CONFIG": str(folder / "mcp.json"), "LANGFUSE_HOST": "http://127.0.0.1:9",
        "AIHUB_URL": "http://127.0.0.1:9/v1", "AIHUB_KEYCLOAK_HOST": "http://127.0.0.1:9", "AIHUB_CLIENT_ID": "someone",
        "AIHUB_USERNAME": "someone", "PROVIDER_MAX_RETRIES": "1", "CIRCUIT_OPEN_SECONDS": "0.1",
        "LOG_DIR": str(folder / "logs"), "MODEL_PROVIDER": "openai",
    }  # fmt: skip
    async with running(folder, scripted_model(far_end) | more | CANARIES, anew=True) as service:
        yield service


async def account(service: Service, name: str | None = None) -> dict[str, str]:
    """A new user: id, name, access token, refresh token and API key."""
    name = name or f"user-{uuid4().hex[:12]}"
    async with service.client() as client:
        made = await client.post(
            f"{AUTH}/register", json={"username": name, "email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        )
        assert made.status_code == 201, made.text
        tokens = (await client.post(f"{AUTH}/login", json={"username": name, "password": PASSWORD})).json()
        signed = {"Authorization": f"Bearer {tokens['access_token']}"}
        key = (await client.post(f"{AUTH}/api-keys", json={"name": "k"}, headers=signed)).json()["key"]
    return {"id": made.json()["id"], "name": name, "access": tokens["access_token"],
            "refresh": tokens["refresh_token"], "key": key}  # fmt: skip


def of_run(service: Service, run_id: str) -> list[dict[str, Any]]:
    return [line for line in service.log if line.get("run_id") == run_id]


async def test_a_request_and_its_run_say_whose_they_are(loud: Service, scripted: ModelServer) -> None:
    scripted.tokens(["It ", "is ", "that."])
    user = await account(loud)
    request_id = f"mine-{uuid4().hex}"
    headers = {"Authorization": f"Bearer {user['access']}", "X-Request-ID": request_id}
    async with loud.client(headers=headers) as client:
        body = (await client.post("/v2/ask", json={"question": QUESTION})).json()
    run, request = [
        await loud.logged(event, request_id=request_id) for event in ("run finished", "request")
    ]  # fmt: skip
    for line in (run, request):
        assert (line["run_id"], line["session_id"]) == (body["run_id"], body["session_id"])
        assert (line["user_id"], line["level"]) == (user["id"], "info")
    assert (run["outcome"], run["model"], run["words"]) in {
        ("complete", "scripted", 3), ("no_relevant_answer", "scripted", 3)
    }  # fmt: skip
    assert 0 < run["first_token_ms"] <= run["ms"]
    assert run["prompt_tokens"] > 0
    assert run["completion_tokens"] > 0
    assert run["prompt"]
    assert run["agent"] is None
    assert request["status"] == 200


async def test_the_next_request_on_the_connection_has_nothing_of_the_one_before(loud: Service) -> None:
    user = await account(loud)
    async with loud.client() as client:
        await client.post("/v2/ask", json={"question": QUESTION}, headers={"X-API-Key": user["key"]})
        await client.get("/api/v1/nothing", headers={"X-Request-ID": f"next-{user['name']}"})
    line = await loud.logged("request", request_id=f"next-{user['name']}")
    assert not {"user_id", "run_id", "session_id"} & set(line)


async def test_a_sockets_lines_have_its_connection_and_whoever_signed_in(loud: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Yes."])
    user = await account(loud)
    async with loud.socket() as socket:
        await socket.hello()
        before = (await socket.ask(QUESTION))[-1]["run_id"]
        await socket.send(type="auth", token=user["access"])
        await socket.until(type="status")
        after = (await socket.ask(QUESTION))[-1]["run_id"]
    stranger, known = [await loud.logged("run finished", run_id=run) for run in (before, after)]
    over = await loud.logged("request", request_id=known["request_id"])
    assert stranger["connection_id"] == known["connection_id"] == over["connection_id"]
    assert "user_id" not in stranger
    assert known["user_id"] == over["user_id"] == user["id"]
    assert "run_id" not in over


HOSTILE = 'x\n{"event":"forged","level":"info"}\r\n\x1b[2J\u2028\u0085\x9b2J{}'
NOT_IN_A_LINE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


async def test_nobody_writes_lines_but_the_service(loud: Service, scripted: ModelServer) -> None:
    scripted.status(400, body={"error": {"message": HOSTILE, "code": HOSTILE}})
    user = await account(loud)
    signed = {"Authorization": f"Bearer {user['access']}"}
    async with loud.client(headers=signed) as client:
        for body in (
            {"username": HOSTILE, "password": PASSWORD, "email": "a@example.com"},
            {"username": "\ud800", "password": HOSTILE},
        ):
            data = json.dumps(body)
            for path in ("register", "login"):
                await client.post(f"{AUTH}/{path}", content=data, headers={"Content-Type": "application/json"})
        await client.get(f"/{quote(HOSTILE)}?q={quote(HOSTILE)}", headers={"X-Request-ID": "a\x1b[2Jb"})
        await client.post(
            "/v1/chat/completions", json={"model": HOSTILE, "messages": [{"role": "user", "content": "hi"}]}
        )
        await client.post("/ask", json={"question": QUESTION + HOSTILE})
        await client.post("/api/v1/files/upload", files={"file": (f"{HOSTILE}.txt", HOSTILE.encode(), "text/plain")})
    async with loud.socket() as socket:
        await socket.hello()
        await socket.send(type=HOSTILE, question=HOSTILE)
        await socket.until(type="error")
        await socket.ask(QUESTION + HOSTILE)
    await loud.logged("run finished")
    for line in loud.raw:
        parsed = json.loads(line)
        assert parsed["event"] != "forged"
        assert not NOT_IN_A_LINE.search(line), line


async def test_no_line_error_or_metric_holds_a_secret(loud: Service, scripted: ModelServer) -> None:
    user = await account(loud)
    leaks = {**CANARIES, **user, "PASSWORD": PASSWORD, "BASE": "canary.bearer.12"}
    del leaks["name"], leaks["id"]
    echo = json.dumps(leaks)  # a far end that says in its error all that it was sent
    told: list[str] = []
    for status in (400, 401, 403, 429, 500):
        scripted.status(status, body={"error": {"message": echo, "code": CANARIES["OPENAI_API_KEY"]}})
    async with loud.client() as client:

        async def call(method: str, path: str, **more: Any) -> None:
            told.append((await client.request(method, path, **more)).text)

        for shown in (user["access"], user["access"] + "x", user["key"], user["key"] + "x", leaks["BASE"]):
            headers = {"Authorization": f"Bearer {shown}"}
            for path in ("/ask", f"/ask?token={shown}", f"/{shown}"):
                await call("POST", path, json={"question": QUESTION}, headers=headers)
            await call("POST", "/ask", content=echo.encode(), headers=headers | {"Content-Type": "application/json"})
            await call("GET", "/metrics", headers=headers)
        await call("POST", f"{AUTH}/login", json={"username": user["name"], "password": PASSWORD + "x"})
        await call("POST", f"{AUTH}/register", json={"username": user["name"], "password": PASSWORD, "email": PASSWORD})
        await call("POST", f"{AUTH}/refresh", json={"refresh_token": user["refresh"] + "x"})
        await call("POST", f"{AUTH}/refresh", json={"token": user["refresh"]})
        operator = {"Authorization": f"Bearer {CANARIES['OPERATIONS_TOKEN']}"}
        for path in ("/metrics", "/health-status", "/performance-stats", "/agent-stats", "/health", "/health/ready"):
            await call("GET", path, headers=operator)
    async with loud.socket() as socket:
        await socket.hello()
        for token in (leaks["BASE"], user["refresh"]):
            await socket.send(type="ping", token=token, **{token: token})
        await socket.send(type="auth", token=user["access"])
        await socket.until(type="status")
        told.append(json.dumps(await socket.ask(QUESTION)))
        await socket.send(type="auth", token=user["access"] + "x")
        assert await socket.closed() == 4401
    await loud.logged("mcp server is away", server="away")
    everywhere = "".join((*loud.raw, *told))
    assert [name for name, secret in leaks.items() if secret in everywhere] == []
    assert "canary" not in everywhere.replace(PASSWORD, "")
    assert PASSWORD not in everywhere


async def test_the_servers_own_lines_are_like_all_others(loud: Service) -> None:
    line = next(line for line in loud.log if "running on" in line["event"])
    assert (line["logger"], line["level"]) == ("uvicorn.error", "info")
    assert all(json.loads(raw)["timestamp"].endswith("Z") for raw in loud.raw)
    file = Path(loud_folder(loud)) / "askgraph.log"
    kept = await asyncio.to_thread(file.read_text, "utf-8")
    assert kept.splitlines()[0] in [raw.strip() for raw in loud.raw]


def loud_folder(service: Service) -> str:
    return next(
        pair.partition("=")[2]
        for pair in Path(f"/proc/{service.pid}/environ").read_text().split("\0")
        if pair.startswith("LOG_DIR=")
    )


async def test_a_log_folder_that_cannot_be_written_is_one_line_and_no_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    async with running(tmp_path, {"LOG_DIR": tmp_path / "file" / "logs"}) as service, service.client() as client:
        assert (await client.get("/health")).status_code == 200
        (line,) = [line for line in service.log if line["level"] == "error"]
    assert line["event"] == "LOG_DIR cannot be written: lines go to stdout only"
    assert not any("Traceback" in raw for raw in service.raw)

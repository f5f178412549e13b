"""Signed in over a WebSocket: by the handshake or in a frame, for as long as what was shown is good."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import jsonschema
import pytest
import pytest_asyncio
import websockets

from tests.e2e.raw import HANDSHAKE, exchange, head
from tests.e2e.service import Service, running
from tests.model_server import Gate, ModelServer
from tests.model_wire import STREAM_HEAD, Exchange

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a liquidation threshold?"  # no curated one is close: the model is asked
TOKENS = [f"word{n} " for n in range(9)]
PASSWORD = "correct horse battery staple"
NO_TOKEN = "canary.canary.canary"
AUTH = "/api/v1/auth"
SETTINGS = {"AUTH_REQUIRED": "true"}  # of `shared`


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brief(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose access tokens are good for three seconds."""
    async with running(tmp_path_factory.mktemp("brief"), {"JWT_ACCESS_TOKEN_EXPIRE_MINUTES": 0.05}) as service:
        yield service


class User:
    """Somebody with an account, logged in."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = f"user-{uuid4().hex[:12]}"
        self.id = ""
        self.token = ""

    async def call(self, method: str, path: str, status: int, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.service.client(headers=headers) as client:
            response = await client.request(method, path, **options)
        assert response.status_code == status, response.text
        return response

    async def log_in(self) -> str:
        body = {"username": self.name, "password": PASSWORD}
        self.token = (await self.call("POST", f"{AUTH}/login", 200, json=body)).json()["access_token"]
        return self.token

    async def make_key(self) -> dict[str, str]:
        key: dict[str, str] = (await self.call("POST", f"{AUTH}/api-keys", 201, json={"name": "socket"})).json()
        return key


async def registered(service: Service) -> User:
    user = User(service)
    body = {"username": user.name, "email": f"{user.name}@example.com", "password": PASSWORD}
    user.id = (await user.call("POST", f"{AUTH}/register", 201, json=body)).json()["id"]
    await user.log_in()
    return user


def paced(model: ModelServer) -> Gate:
    """Have answers written at the gate's releases; what else the model is asked for, as titles, does not wait."""
    gate = model.gate()

    async def answer(exchange: Exchange) -> None:
        asked = exchange.request.body["messages"][-1]["content"].endswith(QUESTION)
        await exchange.write(STREAM_HEAD)
        for token in TOKENS:
            if asked:
                await gate.wait()
            await exchange.event({"content": token})
        await exchange.end()

    model.script(answer)
    return gate


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("way", ["header", "key header", "one subprotocol", "a pair of them", "frame"])
async def test_every_way_to_sign_in_is_as_good(way: str, shared: Service, scripted: ModelServer) -> None:
    user = await registered(shared)
    options: dict[str, Any] = {
        "header": {"additional_headers": bearer(user.token)},
        "key header": {"additional_headers": {"X-API-Key": (await user.make_key())["key"]}},
        "one subprotocol": {"subprotocols": ["askgraph", f"bearer.{user.token}"]},
        "a pair of them": {"subprotocols": ["bearer", user.token]},
        "frame": {},
    }[way]
    scripted.tokens(["Hello."])
    async with shared.socket(**options) as socket:
        await socket.hello()
        if way == "frame":
            await socket.send(type="auth", token=user.token)
            assert (await socket.next())["details"]["user_id"] == user.id
        frames = await socket.ask(QUESTION)
        selected = socket.connection.subprotocol
    assert frames[-2]["type"] == "complete"
    assert selected == {"one subprotocol": "askgraph", "a pair of them": "bearer"}.get(way)


async def test_a_token_alone_among_the_subprotocols_is_selected_for_the_browsers_sake(embedded: Service) -> None:
    user = await registered(embedded)
    async with embedded.socket(subprotocols=[f"bearer.{user.token}"]) as socket:
        await socket.hello()
        assert socket.connection.subprotocol == f"bearer.{user.token}"
    answer = await exchange(embedded.port, head("GET", "/ws/ask", "Sec-WebSocket-Protocol: chat, soap", **HANDSHAKE))
    assert answer.status == 101
    assert "sec-websocket-protocol" not in answer.headers


@pytest.mark.parametrize("path", ["/ws/ask", "/ws/test"])
async def test_a_bad_token_in_the_handshake_is_told_in_a_frame_and_closed_with_4401(
    path: str, embedded: Service
) -> None:
    async with embedded.socket(path, subprotocols=["askgraph", f"bearer.{NO_TOKEN}"]) as socket:
        frame = await socket.next()
        assert (frame["type"], frame["code"]) == ("error", "unauthorized")
        assert await socket.closed() == 4401
    assert NO_TOKEN not in "".join(embedded.raw)


async def test_a_bad_auth_frame_is_told_and_closed_with_4401(embedded: Service) -> None:
    async with embedded.socket() as socket:
        await socket.hello()
        await socket.send(type="auth", token=NO_TOKEN)
        await socket.send(type="ping")
        frame = await socket.next()
        assert (frame["type"], frame["code"], frame["retryable"]) == ("error", "unauthorized", False)
        with pytest.raises(websockets.ConnectionClosed):
            await socket.next()
        assert socket.connection.close_code == 4401


async def test_the_answer_to_an_auth_frame_fits_the_schema_and_says_until_when(embedded: Service) -> None:
    user = await registered(embedded)
    async with embedded.client() as client:
        schema = (await client.get("/ws/schema")).json()
    async with embedded.socket() as socket:
        await socket.hello()
        await socket.send(type="auth", token=user.token)
        by_token = await socket.next()
        await socket.send(type="auth", token=(await user.make_key())["key"])
        by_key = await socket.next()
    for frame in (by_token, by_key):
        jsonschema.validate(frame, schema)
        assert (frame["status"], frame["details"]["user_id"]) == ("authenticated", user.id)
    assert by_token["details"]["expires_at"].endswith("Z")
    assert datetime.fromisoformat(by_token["details"]["expires_at"]) > datetime.now(UTC)
    assert by_key["details"]["expires_at"] is None


async def test_where_sign_in_is_required_a_stranger_is_told_and_let_go_after_a_while(shared: Service) -> None:
    async with shared.socket() as socket:
        await socket.hello()
        for frame in ({"type": "question", "question": QUESTION}, {"type": "attach", "run_id": "x"}, {"type": "x"}):
            await socket.send(**frame)
            assert (await socket.next())["code"] == "unauthorized"
        await socket.send(type="ping")
        assert (await socket.next())["type"] == "pong"
        assert await socket.closed() == 4401
    async with shared.socket("/ws/test") as socket:
        assert (await socket.next())["code"] == "unauthorized"
        assert await socket.closed() == 4401


async def test_where_sign_in_is_required_http_is_closed_too(shared: Service) -> None:
    user = await registered(shared)
    async with shared.client() as client:
        for path, status in {
            "/": 200, "/docs": 200, "/openapi.json": 200, "/health": 200, "/static/page.js": 200, "/metrics": 200,
            "/ws/schema": 401, "/nowhere": 401, "/api/v1/chats": 401, "/static": 401, "/runs/x/events": 401,
        }.items():  # fmt: skip
            assert (await client.get(path)).status_code == status, path
        refused = await client.post("/ask", json={"question": QUESTION}, headers=bearer(NO_TOKEN))
        assert (refused.status_code, refused.json()["type"]) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "content-security-policy" in refused.headers
        assert (await client.get("/nowhere", headers=bearer(user.token))).status_code == 404
        assert (await client.get("/ws/schema", headers=bearer(user.token))).status_code == 200
    async with shared.socket(additional_headers=bearer(user.token)) as socket:
        await socket.hello()


@pytest.mark.parametrize("how", ["logout", "key deleted", "account deleted"])
async def test_what_ends_a_credential_ends_its_sockets_in_the_middle_of_an_answer(
    how: str, shared: Service, scripted: ModelServer
) -> None:
    gate = paced(scripted)
    user = await registered(shared)
    key = await user.make_key()
    shown = key["key"] if how == "key deleted" else user.token
    async with shared.socket(additional_headers=bearer(shown)) as socket:
        await socket.hello()
        await socket.send(type="question", question=QUESTION)
        gate.release(2)
        await socket.until(type="word")
        match how:
            case "logout":
                await user.call("POST", f"{AUTH}/logout", 204)
            case "key deleted":
                await user.call("DELETE", f"{AUTH}/api-keys/{key['id']}", 204)
            case _:
                await user.call("DELETE", f"{AUTH}/me", 204)
        assert await asyncio.wait_for(socket.closed(), 10) == 4401
        gate.open()
    async with shared.socket(additional_headers=bearer(shown)) as socket:
        assert await socket.closed() == 4401


async def test_a_token_that_runs_out_closes_with_4401_unless_a_new_one_comes(brief: Service) -> None:
    user = await registered(brief)
    async with (
        brief.socket(additional_headers=bearer(user.token)) as stays,
        brief.socket(additional_headers=bearer(user.token)) as ends,
    ):
        await stays.hello()
        await stays.send(type="auth", token=(await user.make_key())["key"])
        assert (await stays.next())["status"] == "authenticated"
        assert await asyncio.wait_for(ends.closed(), 10) == 4401
        await stays.send(type="ping")
        assert (await stays.next())["type"] == "pong"


async def test_a_foreign_run_is_not_found_as_one_that_never_was(shared: Service, scripted: ModelServer) -> None:
    gate = paced(scripted)
    alice, bob = await registered(shared), await registered(shared)
    async with (
        shared.socket(additional_headers=bearer(alice.token)) as hers,
        shared.socket(additional_headers=bearer(bob.token)) as his,
    ):
        session_id = (await hers.hello())["session_id"]
        await his.hello()
        await hers.send(type="question", question=QUESTION)
        run_id = (await hers.until(type="status", status="streaming"))[-1]["run_id"]
        answers = []
        for kind in ("attach", "cancel"):
            for one in (run_id, str(uuid4())):
                await his.send(type=kind, run_id=one)
                answers.append({**await his.next(), "timestamp": 0})
        await his.send(type="question", question=QUESTION, session_id=session_id)
        assert (await his.next())["code"] == "not_found"
        gate.open()
        assert (await hers.until(status="ready"))[-2]["type"] == "complete"
    assert all(json.dumps(answer) == json.dumps(answers[0]) for answer in answers)
    assert answers[0]["code"] == "not_found"


async def test_another_user_on_the_same_socket_does_not_read_on(shared: Service, scripted: ModelServer) -> None:
    gate = paced(scripted)
    alice, bob = await registered(shared), await registered(shared)
    async with (
        shared.socket(additional_headers=bearer(alice.token)) as socket,
        shared.socket(additional_headers=bearer(alice.token)) as hers,
    ):
        await socket.hello()
        await hers.hello()
        await socket.send(type="question", question=QUESTION)
        gate.release(2)
        run_id = (await socket.until(type="word"))[-1]["run_id"]
        await socket.send(type="auth", token=bob.token)
        assert (await socket.until(status="authenticated"))[-1]["details"]["user_id"] == bob.id
        gate.open()
        await hers.send(type="attach", run_id=run_id)
        await hers.until(status="ready")  # it has ended, and the other socket got nothing of it
        await socket.send(type="ping")
        assert (await socket.next())["type"] == "pong"
        scripted.clear()
        scripted.tokens(["His."])
        frames = await socket.ask(QUESTION)
    assert frames[-2]["answer"] == "His."


async def test_questions_over_a_socket_count_for_the_user(embedded: Service) -> None:
    user = await registered(embedded)
    async with embedded.client(headers=bearer(user.token)) as client:
        before = int((await client.get("/api/v1/auth/me")).headers["x-ratelimit-remaining"])
        async with embedded.socket(additional_headers=bearer(user.token)) as socket:
            await socket.hello()
            await socket.ask(QUESTION)
        after = int((await client.get("/api/v1/auth/me")).headers["x-ratelimit-remaining"])
    assert before - after == 2

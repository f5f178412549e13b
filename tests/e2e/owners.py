"""Users of a running service with things of their own, and what they are told when they ask for each other's."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx

from tests.e2e.route_table import AGENTS, AUTH, CHATS, FILES, PASSWORD, QUESTION, Row, filled_in
from tests.e2e.service import ROOT, Service

CANARY = "canary7f3a"  # in all that an owner has: no stranger is ever shown it
ENDLESS = (CHATS, "/dashboard")  # streams below these
PASSING = {"x-request-id", "date", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@dataclass(frozen=True)
class Told:
    """An answer without what differs from request to request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request_id: str = field(compare=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class User:
    """Somebody, with a client of their own. `ids` names what they have; who is anonymous has no `headers`."""

    name: str
    headers: dict[str, str]
    client: httpx.AsyncClient
    ids: dict[str, str] = field(default_factory=dict)


class People:
    """Those who use a service, until the end of the block."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._clients: list[httpx.AsyncClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()

    def who_shows(self, headers: dict[str, str], name: str = "", **ids: str) -> User:
        client = self.service.client(headers=headers, verify=False)  # it is plain HTTP: nothing to set up for TLS
        self._clients.append(client)
        return User(name, headers, client, ids)

    def nobody(self) -> User:
        """An anonymous caller."""
        return self.who_shows({})

    async def registered(self) -> User:
        name = f"user-{uuid4().hex[:12]}"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        made = await self.nobody().client.post(f"{AUTH}/register", json=body)
        assert made.status_code == 201, made.text
        return await self.logged_in(name)

    async def logged_in(self, name: str) -> User:
        body = {"username": name, "password": PASSWORD}
        response = await self.nobody().client.post(f"{AUTH}/login", json=body)
        assert response.status_code == 200, response.text
        tokens = response.json()
        shown = {"Authorization": f"Bearer {tokens['access_token']}"}
        return self.who_shows(shown, name, user=name, refresh_token=tokens["refresh_token"])

    async def admin(self, database_url: str, folder: Path) -> User:
        """An admin, made as admins are: at the command line, beside the running service."""
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": database_url}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("COV")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "backend.cli", "create-admin", "--username", "root", "--email", "root@example.com",
            "--password-stdin", cwd=folder, env=environment, stdin=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await process.communicate(PASSWORD.encode())
        assert process.returncode == 0
        user = await self.logged_in("root")
        assert (await user.client.get(f"{AUTH}/me")).json()["is_admin"] is True
        return user


async def things_of(user: User) -> dict[str, str]:
    """A new chat of the user's in which a question was answered, and its run: their ids, beside those there were."""
    client, ids = user.client, dict(user.ids)
    new = {"title": f"Title {CANARY}", "metadata": {"topic": CANARY}}  # with a title: no model is asked for one
    chat = await client.post(CHATS, json=new)
    assert chat.status_code == 201, chat.text
    ids["chat_id"] = ids["conversation_id"] = chat.json()["id"]
    asked = await client.post("/v2/ask", json={"question": f"{QUESTION} {CANARY}", "session_id": ids["chat_id"]})
    assert asked.status_code == 200, asked.text
    ids["run_id"] = asked.json()["run_id"]
    question, answer = (await client.get(f"{CHATS}/{ids['chat_id']}/messages")).json()["items"]
    return ids | {"message_id": question["id"], "answer_id": answer["id"]}


async def things_for(user: User, row: Row) -> dict[str, str]:
    """New things of the user's that the row names, and no more than it needs."""
    named = f"{row.path}{row.body}"
    if "{agent_id}" in named:
        return user.ids | await agent_of(user)
    if "{file_id}" not in named:
        return await things_of(user)
    chat = (await user.client.post(CHATS, json={"title": CANARY})).json()
    return user.ids | {"chat_id": chat["id"]} | await file_of(user)


async def file_of(user: User) -> dict[str, str]:
    """A new file of the user's that has been read."""
    sent = {"file": (f"{CANARY}.txt", f"The {CANARY} of {uuid4()} is a word.".encode())}
    brought = await user.client.post(f"{FILES}/upload", files=sent)
    assert brought.status_code == 202, brought.text
    file_id: str = brought.json()["file"]["file_id"]
    async with asyncio.timeout(20):
        while await _status(user, file_id) != "ready":  # noqa: ASYNC110  another process reads it
            await asyncio.sleep(0.02)
    return {"file_id": file_id}


async def agent_of(user: User) -> dict[str, str]:
    """A new agent of the user's."""
    made = await user.client.post(AGENTS, json={"name": f"Desk {CANARY}", "prompt": CANARY})
    assert made.status_code == 201, made.text
    return {"agent_id": made.json()["id"]}


async def _status(user: User, file_id: str) -> str:
    return str((await user.client.get(f"{FILES}/status/{file_id}")).json()["status"])


async def with_things(user: User) -> User:
    """The same user, with a chat, an agent, a file and an API key."""
    key = (await user.client.post(f"{AUTH}/api-keys", json={"name": f"key {CANARY}"})).json()
    user.ids = await things_of(user) | await file_of(user) | await agent_of(user)
    user.ids |= {"key_id": key["id"], "key": key["key"]}
    return user


async def all_of(user: User) -> list[Any]:
    """Everything that the user has, to see that it stays as it is."""
    chat = f"{CHATS}/{user.ids['chat_id']}"
    paths = (f"{chat}/export?format=json", f"{chat}/messages?superseded=true", f"{CHATS}?page_size=100")
    paths += (FILES, f"{FILES}/{user.ids['file_id']}/text", f"{FILES}/quota", AGENTS)
    keys = (await user.client.get(f"{AUTH}/api-keys")).json()["items"]
    return [*[(await user.client.get(path)).json() for path in paths], [(key["id"], key["name"]) for key in keys]]


async def call(user: User, row: Row, ids: Mapping[str, str], method: str | None = None, **headers: str) -> Told:
    """Send the row's request for those things. Of a stream that does not end, only the head is read."""
    ids = {"name": f"user-{uuid4().hex[:12]}", **ids}
    body: dict[str, Any] = {}
    if row.body is not None and method is None:
        fields = filled_in(row.body, ids)
        body = {"data": fields} if row.form or row.upload else {"json": fields}
        if row.upload:
            body["files"] = {"file": ("notes.txt", b"The same for all.")}
    return await send(user, method or row.method, row.target(ids), headers=headers, **body)


async def send(user: User, method: str, path: str, **options: Any) -> Told:
    async with user.client.stream(method, path, **options) as response:
        endless = path.endswith("/events") and path.startswith(ENDLESS) and response.status_code == 200
        body = b"" if endless else await response.aread()
    request_id = response.headers.get("x-request-id", "")
    headers = {name: value for name, value in response.headers.items() if name not in PASSING}
    return Told(response.status_code, headers, body.replace(request_id.encode(), b"-"), request_id)


def never() -> dict[str, str]:
    """Ids of things that never were."""
    names = ("chat", "conversation", "run", "message", "answer", "model", "key", "file", "agent")
    ids = {f"{name}_id": str(uuid4()) for name in names}
    return ids | {"conversation_id": ids["chat_id"]}

"""Users of a running service with things of their own, and what they are told when they ask for each other's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.route_table import AUTH, CHATS, PASSWORD, QUESTION, Row, filled
from tests.e2e.service import ROOT, Service

CANARY = "canary7f3a"  # in all that an owner has: no stranger is ever shown it
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
    """Somebody with an account, logged in. `ids` names what they have; `headers` is what they show."""

    service: Service
    name: str
    headers: dict[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def client(self) -> httpx.AsyncClient:
        return self.service.client(headers=self.headers)


async def registered(service: Service) -> User:
    name = f"user-{uuid4().hex[:12]}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    async with service.client() as client:
        made = await client.post(f"{AUTH}/register", json=body)
        assert made.status_code == 201, made.text
    return await logged_in(service, name)


async def logged_in(service: Service, name: str) -> User:
    async with service.client() as client:
        response = await client.post(f"{AUTH}/login", json={"username": name, "password": PASSWORD})
    assert response.status_code == 200, response.text
    tokens = response.json()
    user = User(service, name, {"Authorization": f"Bearer {tokens['access_token']}"})
    user.ids = {"user": name, "refresh_token": tokens["refresh_token"]}
    return user


async def admin(service: Service, folder: Path) -> User:
    """An admin, made as one is made: at the command line."""
    from tests.e2e.test_settings_at_start import askgraph_with_input

    raise NotImplementedError(askgraph_with_input, ROOT, folder)


def nobody(service: Service) -> User:
    """An anonymous caller."""
    return User(service, "", {})


async def with_things(user: User) -> User:
    """The user, with a chat in which a question was answered, its run, and an API key."""
    async with user.client() as client:
        new = {"title": f"Title {CANARY}", "metadata": {"topic": CANARY}}  # with a title: no model is asked for one
        chat = await client.post(CHATS, json=new)
        assert chat.status_code == 201, chat.text
        user.ids["chat_id"] = user.ids["conversation_id"] = chat.json()["id"]
        asked = await client.post("/v2/ask", json={"question": f"{QUESTION} {CANARY}", "session_id": chat.json()["id"]})
        assert asked.status_code == 200, asked.text
        user.ids["run_id"] = asked.json()["run_id"]
        question, answer = (await client.get(f"{CHATS}/{user.ids['chat_id']}/messages")).json()["items"]
        user.ids |= {"message_id": question["id"], "answer_id": answer["id"]}
        if user.headers:
            key = (await client.post(f"{AUTH}/api-keys", json={"name": f"key {CANARY}"})).json()
            user.ids |= {"key_id": key["id"], "key": key["key"]}
    return user


async def all_of(user: User) -> list[Any]:
    """Everything that the user has, to see that it stays as it is."""
    async with user.client() as client:
        paths = [f"{CHATS}/{user.ids['chat_id']}/export?format=json", f"{CHATS}?page_size=100"]
        paths += [f"{CHATS}/{user.ids['chat_id']}/messages?superseded=true"]
        chat = [(await client.get(path)).json() for path in paths]
        keys = (await client.get(f"{AUTH}/api-keys")).json()["items"] if user.headers else []
    return [*chat, [(key["id"], key["name"]) for key in keys]]


async def call(
    client: httpx.AsyncClient, row: Row, ids: Mapping[str, str], method: str | None = None, **headers: str
) -> Told:
    """Send the row's request for those things. Of a stream that does not end, only the head is read."""
    ids = {"name": f"user-{uuid4().hex[:12]}", **ids}
    body: dict[str, Any] = {}
    if row.body is not None and method is None:
        fields = {name: filled(value, ids) if isinstance(value, str) else value for name, value in row.body.items()}
        body = {"data": fields} if row.form else {"json": fields}
    path = row.target(ids)
    if "{answer_id}" in row.query:  # feedback is for answers: their id stands in the path
        path = filled(row.path, ids | {"message_id": ids["answer_id"]})
    return await send(client, method or row.method, path, headers=headers, **body)


async def send(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Told:
    async with client.stream(method, path, **options) as response:
        endless = path.endswith("/events") and "/chats/" in path and response.status_code == 200
        body = b"" if endless else await response.aread()
    request_id = response.headers.get("x-request-id", "")
    headers = {name: value for name, value in response.headers.items() if name not in PASSING}
    return Told(response.status_code, headers, body.replace(request_id.encode(), b"-"), request_id)


def never() -> dict[str, str]:
    """Ids of things that never were."""
    names = ("chat_id", "conversation_id", "run_id", "message_id", "answer_id", "key_id")
    ids = {name: str(uuid4()) for name in names}
    return ids | {"conversation_id": ids["chat_id"]}

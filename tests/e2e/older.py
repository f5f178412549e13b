"""Requests as older clients send them."""

from typing import Any

import httpx

from tests.e2e.service import Service

CHAT = "/api/v1/chat"


async def post(service: Service, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
    async with service.client() as client:
        return await client.post(path, json=body, headers=headers)


async def get(service: Service, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async with service.client() as client:
        return await client.get(path, headers=headers)


async def kept(service: Service, chat_id: str, headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """A conversation's messages: role and text."""
    body = (await get(service, f"/api/v1/conversations/{chat_id}/messages", headers)).json()
    assert body["total"] == len(body["items"])
    return [(message["role"], message["content"]) for message in body["items"]]

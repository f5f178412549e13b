"""Raw ASGI: what a server would send, and what an application answered."""

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


def scope_of(
    path: str = "/", *, kind: str = "http", method: str = "GET", headers: Iterable[tuple[str, str]] = (),
    query: str = "", client: str | None = "203.0.113.7", scheme: str = "http", **state: Any,
) -> Scope:  # fmt: skip
    pairs = [("host", "service.test"), *headers]
    scope: Scope = {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "scheme": scheme,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": (client, 1234) if client else None,
        "server": ("127.0.0.1", 8000),
        "http_version": "1.1",
        "state": state,
    }
    return scope | ({"method": method} if kind == "http" else {"subprotocols": []})


class Answer:
    """What an application sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode("latin-1") for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)


async def ask(app: ASGIApp, scope: Scope | None = None, body: Sequence[bytes] = (b"",)) -> Answer:
    """Send one request, with its body in the given chunks, and collect the answer."""
    answer = Answer()
    chunks = [{"type": "http.request", "body": chunk, "more_body": n < len(body)} for n, chunk in enumerate(body, 1)]

    async def receive() -> Message:
        return chunks.pop(0) if chunks else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await app(scope or scope_of(), receive, send)
    return answer


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """An application of the barest kind: it does not even send the optional list of headers."""
    if scope["type"] == "websocket":
        return await send({"type": "websocket.accept"})
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"fine"})


class Seen:
    """An application that notes what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] != "lifespan":
            await plain(scope, receive, send)

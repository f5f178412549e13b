"""A scripted OpenID provider, and an AI hub behind it, over real HTTP on a real port."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

from tests.model_wire import sse

PATH = "/realms/hub/protocol/openid-connect/token"
PIECE = {"choices": [{"delta": {"content": "Hello from the hub."}, "finish_reason": "stop"}]}
ANSWER = sse(PIECE) + b"data: [DONE]\n\n"
Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SignIn:
    """Gives tokens t1, t2, …; `good` are those that the hub takes."""

    def __init__(self, certificate: ssl.SSLContext | None = None) -> None:
        self._certificate = certificate
        self.forms: list[dict[str, str]] = []
        self.basics: list[str | None] = []
        self.used: list[str] = []  # tokens that the hub was shown
        self.good: set[str] = set()
        self.answers: list[tuple[int, Any] | Answering] = []  # instead of tokens, each once
        self.heads: list[dict[str, str]] = []
        self.life: Any = 300
        self.refresh = False
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post(PATH, self._token)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._certificate)
        await site.start()
        self.url = f"{'https' if self._certificate else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def token_url(self) -> str:
        return self.url + PATH

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.heads.append(dict(request.headers))
        self.asked.set()
        header = request.headers.get("Authorization")
        self.basics.append(base64.b64decode(header.removeprefix("Basic ")).decode() if header else None)
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            answer = self.answers.pop(0)
            if callable(answer):
                return await answer(request)
            status, body = answer
            return web.json_response(body, status=status)
        token = f"t{len(self.forms)}"
        self.good.add(token)
        found: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": self.life}
        if self.refresh:
            found["refresh_token"] = f"r{len(self.forms)}"
        return web.json_response(found)

    def _taken(self, request: web.Request) -> bool:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.used.append(token)
        return token in self.good

    async def _chat(self, request: web.Request) -> web.Response:
        await request.read()
        if not self._taken(request):
            return web.json_response({"error": {"code": "invalid_token"}}, status=401)
        return web.Response(body=ANSWER, content_type="text/event-stream")

    async def _models(self, request: web.Request) -> web.Response:
        if not self._taken(request):
            return web.json_response({}, status=401)
        return web.json_response({"data": [{"id": "vikhr"}, {"id": "arctic-embed"}]})

"""A scripted OpenID provider, and an AI hub behind it, over real HTTP on a real port."""

import asyncio
import base64
from typing import Any, Self

from aiohttp import web

from tests.model_wire import sse

PATH = "/realms/hub/protocol/openid-connect/token"
PIECE = {"choices": [{"delta": {"content": "Hello from the hub."}, "finish_reason": "stop"}]}
ANSWER = sse(PIECE) + b"data: [DONE]\n\n"


class SignIn:
    """Gives tokens t1, t2, …; `good` are those that the hub takes."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.basics: list[str | None] = []
        self.used: list[str] = []  # tokens that the hub was shown
        self.good: set[str] = set()
        self.answers: list[tuple[int, Any]] = []  # instead of tokens, each once
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
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def token_url(self) -> str:
        return self.url + PATH

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        self.asked.set()
        header = request.headers.get("Authorization")
        self.basics.append(base64.b64decode(header.removeprefix("Basic ")).decode() if header else None)
        if self.hold is not None:
            await self.hold.wait()
        if self.answers:
            status, body = self.answers.pop(0)
            return web.json_response(body, status=status)
        token = f"t{len(self.forms)}"
        self.good.add(token)
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": self.life}
        if self.refresh:
            answer["refresh_token"] = f"r{len(self.forms)}"
        return web.json_response(answer)

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

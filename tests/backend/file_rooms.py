"""The file routes in a small application: the real service over a database and a folder, without what reads files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.routers import files
from backend.routers.files import UPLOAD_PATH
from backend.uploads import UploadReader
from infrastructure.database.engine import Database
from infrastructure.error_handlers import install_error_handlers
from middleware.body_limit import BodyLimit
from middleware.catch_all import CatchAll
from services.principals import Principal
from tests.services.file_parts import FileSetup

FILES = "/api/v1/files"
MB = 1024 * 1024
FORM_LIMIT = 3 * MB


class FileRooms:
    """What the routes take from the container. A file may have 1 MB, an owner 2."""

    def __init__(self, database: Database, folder: Path, **reader: Any) -> None:
        self.setup = FileSetup(database, folder, quota=2 * MB)
        self.files = self.setup.files
        self.incoming = folder / "incoming"
        self.uploads = UploadReader(self.incoming, MB, **reader)
        self.errors: list[str] = []

    def app(self, user: str | None = None, admin: bool = False) -> ASGIApp:
        """The application as `user` meets it."""
        limits = Middleware(BodyLimit, MB, self.errors.append, {UPLOAD_PATH: FORM_LIMIT})
        app = FastAPI(middleware=[limits, Middleware(CatchAll, self.errors.append)])
        app.state.container = self
        install_error_handlers(app, self.errors.append)
        app.include_router(files.router)
        return _AsUser(app, Principal(user, admin))

    @asynccontextmanager
    async def client(self, user: str | None = None, admin: bool = False) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(self.app(user, admin))
        async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
            yield client

    def left(self) -> list[Path]:
        """Temporary files."""
        return list(self.incoming.iterdir()) if self.incoming.exists() else []


class _AsUser:
    """Where the real service has its middleware."""

    def __init__(self, app: ASGIApp, principal: Principal) -> None:
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"caller": "203.0.113.7", "principal": self._principal, "request_id": uuid4().hex}
        await self._app(scope, receive, send)


async def uploaded(client: httpx.AsyncClient, data: bytes = b"Some text.", name: str = "notes.txt") -> dict[str, Any]:
    """The file of a new upload."""
    response = await client.post(f"{FILES}/upload", files={"file": (name, data)})
    assert response.status_code == 202, response.text
    return dict(response.json()["file"])

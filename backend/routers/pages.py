"""What a person sees: the page at `/`, and the API's documentation, all from this host."""

import asyncio
import hashlib
import json
from html import escape
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from backend.dependencies import Parts
from backend.schemas.ask import error_responses
from backend.schemas.pages import ModelOffer, ModelOffers
from backend.settings import Settings

router = APIRouter()
STATIC = Path(__file__).parent.parent / "static"
FACTS = b'content="{}"'
"""Where the page has a place for what it must know before it can ask anything; see `page_facts`."""
MODULES = b"<!-- modules -->"
"""Where the page names its scripts: who learns of each from the one that imports it asks six times in turn."""
REVALIDATE = {"Cache-Control": "no-cache"}


@router.get("/", response_class=Response, include_in_schema=False)
async def root(request: Request, parts: Parts) -> Response:
    """The chat page for a browser; where to look next for a program."""
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(
            {"message": "AskGraph answers questions from your knowledge.", "docs": "/docs", "health": "/health"}
        )
    page = await asyncio.to_thread(_page, json.dumps(page_facts(parts.settings)))
    tag = f'"{hashlib.sha256(page).hexdigest()[:32]}"'
    headers = REVALIDATE | {"ETag": tag, "Vary": "Accept"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(page, headers=headers)


@router.get("/docs", response_class=Response, include_in_schema=False)
async def docs() -> FileResponse:
    """Swagger UI over /openapi.json."""
    return FileResponse(STATIC / "docs.html", headers=REVALIDATE)


@router.get("/api/v1/models/choices", tags=["models"], responses=error_responses(401, 429))
async def model_choices(parts: Parts) -> ModelOffers:
    """The named models that a request may choose, the default one first. MODEL_CHOICES may allow more by patterns."""
    offers = parts.models.book.catalogue()
    items = [ModelOffer(source=offer.provider, name=offer.model, default=offer.default) for offer in offers]
    return ModelOffers(items=items, total=len(items))


def _page(facts: str) -> bytes:
    scripts = sorted(path.relative_to(STATIC).as_posix() for path in (STATIC / "chat").rglob("*.js"))
    named = "\n  ".join(f'<link rel="modulepreload" href="/static/{escape(script)}">' for script in scripts)
    page = (STATIC / "index.html").read_bytes().replace(MODULES, named.encode(), 1)
    return page.replace(FACTS, f'content="{escape(facts, quote=True)}"'.encode(), 1)


def page_facts(settings: Settings) -> dict[str, Any]:
    """What everybody may know, and the page must: whether it has to ask for a sign-in first, and its limits."""
    return {
        "auth_required": settings.auth_required,
        "question_max_chars": settings.question_max_chars,
        "max_filesize_mb": settings.max_filesize_mb,
    }


class PageFiles(StaticFiles):
    """A page's files. A browser keeps them, and asks each time whether they are still so (`ETag`): a page is never
    made of files of two versions.
    """

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(REVALIDATE)
        return response


def static_mounts() -> list[Mount]:
    """The pages' own files, and Swagger UI's from the package that ships them."""
    with as_file(files("fastapi_swagger") / "resources") as swagger:
        return [
            Mount("/static/swagger", PageFiles(directory=swagger), name="swagger"),
            Mount("/static", PageFiles(directory=STATIC), name="static"),
        ]

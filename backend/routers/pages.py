"""What a person sees: the page at `/`, and the API's documentation, all from this host."""

from importlib.resources import as_file, files
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).parent.parent / "static"


@router.get("/", response_class=Response)
async def root(request: Request) -> Response:
    """The chat page for a browser; where to look next for a program."""
    if "text/html" in request.headers.get("accept", ""):
        return FileResponse(STATIC / "index.html")
    return JSONResponse(
        {"message": "AskGraph answers questions from your knowledge.", "docs": "/docs", "health": "/health"}
    )


@router.get("/docs", response_class=Response)
async def docs() -> FileResponse:
    """Swagger UI over /openapi.json."""
    return FileResponse(STATIC / "docs.html")


def static_mounts() -> list[Mount]:
    """The pages' own files, and Swagger UI's from the package that ships them."""
    with as_file(files("fastapi_swagger") / "resources") as swagger:
        return [
            Mount("/static/swagger", StaticFiles(directory=swagger), name="swagger"),
            Mount("/static", StaticFiles(directory=STATIC), name="static"),
        ]

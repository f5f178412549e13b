"""The command line: `askgraph serve`, `askgraph ask "…"`, `askgraph migrate`."""

import asyncio
import sys
from typing import Annotated

import typer
from pydantic import ValidationError

from backend.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Answers questions from your knowledge.",
)


@app.command()
def serve() -> None:
    """Bring the database up to date, then serve until a signal comes."""
    settings = _settings()
    if settings.reload:
        import uvicorn

        return uvicorn.run(
            "backend.asgi:app", host=settings.host, port=settings.port, reload=True, ws="websockets-sansio",
            ws_max_size=64 * 1024, ws_per_message_deflate=False, log_config=None,
        )  # fmt: skip
    from backend.main import create_app
    from backend.server import serve as serve_app

    application = create_app(settings)

    async def drain() -> None:
        await application.state.container.drain()

    serve_app(application, settings, drain)
    return None


@app.command()
def ask(question: Annotated[str, typer.Argument(help="What you want to know.")]) -> None:
    """Answer one question here and now, without a server."""
    from backend.ask_once import ask_once

    raise typer.Exit(asyncio.run(ask_once(_settings(), question)))


@app.command()
def migrate() -> None:
    """Bring the database's tables to the newest revision."""
    from infrastructure.database.migrate import upgrade

    asyncio.run(upgrade(_settings().database_url))


def _settings() -> Settings:
    """The settings; when they make no sense, one line for each that does not, and exit status 2."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
            print(f"askgraph: {name}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise typer.Exit(2) from None


def main() -> None:
    app()


if __name__ == "__main__":
    main()

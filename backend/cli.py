"""The command line: `askgraph serve`, `ask "…"`, `chat`, `index`, `migrate`, `create-admin`."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:  # `chat` has none, and is not to wait for them
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
    _look_before(settings)
    if settings.reload:
        import uvicorn

        return uvicorn.run(
            "backend.asgi:app", host=settings.host, port=settings.port, reload=True, ws="websockets-sansio",
            ws_max_size=64 * 1024, ws_per_message_deflate=False, log_config=None,
        )  # fmt: skip
    if settings.web_concurrency > 1:
        _serve_with_workers(settings)
    from backend.main import create_app
    from backend.server import serve as serve_app

    serve_app(create_app(settings), settings)
    return None


def _serve_with_workers(settings: "Settings") -> NoReturn:
    from backend.serving import serve_with_workers

    try:
        status = serve_with_workers(settings)
    except OSError as error:
        _end(f"{settings.host}:{settings.port} cannot be served: {error.strerror or type(error).__name__}")
    raise typer.Exit(status)


@app.command()
def ask(question: Annotated[str, typer.Argument(help="What you want to know.")]) -> None:
    """Answer one question here and now, without a server."""
    from backend.ask_once import ask_once

    raise typer.Exit(asyncio.run(ask_once(_settings(), question)))


@app.command()
def chat(
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
    session: Annotated[str | None, typer.Option(help="The id of a session to go on with.")] = None,
    username: Annotated[
        str | None, typer.Option(help="Sign in; the password is asked for. Or set ASKGRAPH_API_KEY.")
    ] = None,
) -> None:
    """Ask a running service, at a prompt or in a pipe."""
    from backend.terminal.chat import chat

    raise typer.Exit(chat(url, session, username))


@app.command()
def index(
    path: Annotated[
        Path | None, typer.Argument(help="A file or folder: of KNOWLEDGE_DIR (the default), or with --owner anywhere.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="The user whose own files these become.")] = None,
) -> None:
    """Take in knowledge now, and see how far it is: shared, or a user's own files."""
    from backend.index_command import index
    from infrastructure.logging import configure_logging

    settings = _settings()
    configure_logging("ERROR", "console")
    _look_before(settings)
    raise typer.Exit(asyncio.run(index(settings, path, owner)))


@app.command()
def migrate() -> None:
    """Bring the database's tables to the newest revision."""
    from infrastructure.database.migrate import upgrade

    asyncio.run(upgrade(_settings().database_url))


@app.command()
def create_admin(
    username: Annotated[str, typer.Option(help="3 to 50 letters, digits, dots, underscores, hyphens.")],
    email: Annotated[str, typer.Option(help="The admin's address.")],
    password_stdin: Annotated[bool, typer.Option(help="Read the password from a line of standard input.")] = False,
) -> None:
    """Make an admin. The password is asked for, twice, unless it comes on standard input."""
    from backend.create_admin import create_admin, password_from

    settings = _settings()
    if password_stdin:
        try:
            password = password_from(sys.stdin.buffer.readline(4096))
        except ValueError:
            print("askgraph: the password is not UTF-8", file=sys.stderr)
            raise typer.Exit(1) from None
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    raise typer.Exit(asyncio.run(create_admin(settings, username, email, password)))


def _look_before(settings: "Settings") -> None:
    """What would end the start is said in one line here, and not as a traceback from within it."""
    from sqlalchemy.exc import SQLAlchemyError

    from backend.embedders import check_models
    from backend.mcp_servers import McpSettingsError, configured
    from backend.models import check_chat_model
    from backend.secret_key import BadSecretKey, load_secret_key
    from infrastructure.database.migrate import bring_up_to_date
    from infrastructure.errors import ProviderError
    from infrastructure.providers.langchain_loading import NoChatModel
    from infrastructure.shared_values import FOLDER_VARIABLE, check_shared_folder

    try:
        check_shared_folder()
    except OSError as error:
        _end(f"{FOLDER_VARIABLE} cannot be used: {type(error).__name__}")
    try:
        load_secret_key(settings, warn=False)
        check_models(settings)
        check_chat_model(settings)
        configured(settings)
        asyncio.run(bring_up_to_date(settings.database_url))
    except (BadSecretKey, McpSettingsError, NoChatModel, ProviderError) as error:
        _end(str(error))
    except (SQLAlchemyError, OSError) as error:
        _end(f"the database or the data folder cannot be used: {type(error).__name__}")


def _end(problem: str) -> NoReturn:
    print(f"askgraph: {problem}", file=sys.stderr)
    raise typer.Exit(1)


def _settings() -> "Settings":
    """The settings; when they make no sense, one line for each that does not, and exit status 2."""
    from pydantic import ValidationError

    from backend.settings import Settings

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

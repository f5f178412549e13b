"""The first admin, made at the command line."""

from datetime import UTC, datetime

import typer
from pydantic import ValidationError

from backend.schemas.auth import RegisterRequest
from backend.settings import Settings
from infrastructure.database.engine import Database, open_engine
from infrastructure.database.migrate import upgrade
from infrastructure.errors import Conflict
from services.passwords import Passwords
from services.users import add_user


async def create_admin(settings: Settings, username: str, email: str, password: str) -> int:
    """Make an admin, after the tables; the exit status is 0, or 1 with what is wrong on stderr."""
    try:
        asked = RegisterRequest(username=username, email=email, password=password)
    except ValidationError as error:
        for problem in error.errors(include_input=False):
            typer.echo(f"askgraph: {'.'.join(map(str, problem['loc']))}: {problem['msg']}", err=True)
        return 1
    await upgrade(settings.database_url)
    database = Database(open_engine(settings.database_url))
    try:
        await add_user(database, Passwords(), asked.new_user(), datetime.now(UTC), is_admin=True)
    except Conflict as error:
        typer.echo(f"askgraph: {error.message}", err=True)
        return 1
    finally:
        await database.close()
    typer.echo(f"{asked.username} is an admin now.")
    return 0


def password_from(line: bytes) -> str:
    """The password in a line of standard input, without the line's end.

    Raises:
        ValueError: it is not UTF-8.
    """
    return line.decode("utf-8").removesuffix("\n").removesuffix("\r")

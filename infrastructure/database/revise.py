"""Begins a migration: the next number, and what the models have that the newest revision has not.

`python -m infrastructure.database.revise "what it brings"`. What it writes is a draft: docs/upgrading.md says what is
left to do by hand.
"""

import asyncio
import io
import re
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Connection

from infrastructure.database.engine import open_engine
from infrastructure.database.migrate import MIGRATIONS, newest_revision, upgrade


async def revise(message: str, migrations: Path = MIGRATIONS) -> Path:
    """The new file below `migrations`. It is compared with a SQLite database that has all revisions so far.

    Raises:
        ValueError: `message` has no word to name the file after.
    """
    if not re.search(r"[A-Za-z0-9]", message):
        raise ValueError("say what the migration brings")
    number = f"{int(newest_revision()) + 1:04}"
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/newest.db"
        await upgrade(url)
        engine = open_engine(url)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(partial(_write, message=message, number=number, migrations=migrations))
        finally:
            await engine.dispose()


def _write(connection: Connection, message: str, number: str, migrations: Path) -> Path:
    from alembic import command
    from alembic.config import Config

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.revision(config, message=message, rev_id=number, autogenerate=True)
    (made,) = (migrations / "versions").glob(f"{number}_*.py")
    return made


def main() -> None:
    try:
        made = asyncio.run(revise(" ".join(sys.argv[1:])))
    except ValueError as fault:
        sys.exit(f"revise: {fault}")
    sys.stdout.write(f"{made}\n")


if __name__ == "__main__":
    main()

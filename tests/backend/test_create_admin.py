"""`create-admin`, as it is typed: the real command in a process of its own, over real databases."""

import asyncio
import os
import pty
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import select

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import User
from tests.services.account_parts import ADDRESS, Setup

ROOT = Path(__file__).parents[2]
PASSWORD = "canary battery staple"


def environment(url: str) -> Mapping[str, str]:
    covered = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "DATABASE_URL": url, **covered}


async def create(
    folder: Path, url: str, username: str = "root", email: str = "root@example.com", said: bytes = PASSWORD.encode()
) -> tuple[int, str, str]:
    """Exit status, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", "create-admin", "--username", username, "--email", email,
        "--password-stdin", cwd=folder, env=environment(url), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(said), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def users(url: str) -> list[tuple[str, bool]]:
    database = Database(open_engine(url))
    async with database.read() as session:
        rows = await session.execute(select(User.username, User.is_admin))
        found = [(row[0], row[1]) for row in rows]
    await database.close()
    return found


async def test_an_admin_is_made_in_a_database_without_tables(tmp_path: Path, empty_database_url: str) -> None:
    status, out, err = await create(tmp_path, empty_database_url, said=f"{PASSWORD}\r\n".encode())
    assert (status, out, err) == (0, "root is an admin now.\n", "")
    database = Database(open_engine(empty_database_url))
    it = Setup(database)
    grant = await it.accounts.login("root", PASSWORD, ADDRESS)
    assert (await it.accounts.authenticate(grant.access_token)).is_admin
    await database.close()
    assert os.listdir(tmp_path) in ([], ["sub folder"])


async def test_a_name_that_is_taken_is_said_and_nothing_changed(tmp_path: Path, database_url: str) -> None:
    database = Database(open_engine(database_url))
    await Setup(database).ada("root")
    await database.close()
    status, out, err = await create(tmp_path, database_url, "ROOT", "other@example.com")
    assert (status, out, err) == (1, "", "askgraph: This user name or email address is taken.\n")
    assert await users(database_url) == [("root", False)]


@pytest.mark.parametrize(
    ("username", "email", "said", "named"),
    [
        ("a b", "root@example.com", PASSWORD.encode(), "username"),
        ("root", "canary", PASSWORD.encode(), "email"),
        ("root", "root@example.com", b"canary\n", "password"),
        ("root", "root@example.com", b"", "password"),
        ("root", "root@example.com", b"\xff" * 20, "password"),
    ],
)
async def test_what_cannot_be_an_account_is_named_in_a_line(
    tmp_path: Path, username: str, email: str, said: bytes, named: str
) -> None:
    status, out, err = await create(tmp_path, f"sqlite:///{tmp_path}/a.db", username, email, said)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert named in err
    assert "canary" not in err
    assert not (tmp_path / "a.db").exists()


async def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", "create-admin", "--username", "root", "--email", "root@example.com",
        cwd=tmp_path, env={**environment(url), "TERM": "dumb"}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = ""
    for prompt in ("Password: ", "Repeat for confirmation: "):
        while not shown.endswith(prompt):
            shown += (await asyncio.to_thread(os.read, ours, 1024)).decode()
        await asyncio.to_thread(os.write, ours, f"{PASSWORD}\n".encode())
    while "root is an admin now." not in shown:
        shown += (await asyncio.to_thread(os.read, ours, 1024)).decode()
    assert await asyncio.wait_for(process.wait(), 30) == 0
    os.close(ours)
    assert PASSWORD not in shown
    assert await users(url) == [("root", True)]

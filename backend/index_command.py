"""`askgraph index`: knowledge taken in at the command line, with a bar that shows how far it is."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import typer
from sqlalchemy.exc import SQLAlchemyError

from backend.assembly import Knowledge, open_knowledge
from backend.filing import open_files, open_storage
from backend.index_bar import IndexBar
from backend.indexing import open_indexing
from backend.settings import Settings
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.accounts import AccountsRepository
from infrastructure.database.repositories.files import FileRepository, FileState
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.errors import AskGraphError
from infrastructure.lexical.lock import is_owned
from infrastructure.monitoring import Metrics
from services.files import Files, NewFile
from services.knowledge.folder import FoundFile, scan
from services.knowledge.index import is_within
from services.usernames import username_key

_POLL_SECONDS = 0.2
_STATES_AT_ONCE = 500  # below SQLite's oldest limit of 999 variables
Failures = list[tuple[str, str]]
"""Names of files, and why each is not there."""


async def index(settings: Settings, path: Path | None, owner: str | None) -> int:
    """Take in a file or a folder: of the shared knowledge, or as uploads of the user named `owner`.

    The exit status is 0, or 1 when something could not be taken in, which is said on stderr.
    """
    within = None if path is None else _name_within(path, settings.knowledge_dir)
    if problem := _problem(settings, path, owner, within):
        typer.echo(f"askgraph: {problem}", err=True)
        return 1
    served = _is_served(settings)
    if served and owner is None:
        typer.echo("The service is running over this data, and takes in its knowledge folder by itself.", err=True)
        return 0
    try:
        async with AsyncExitStack() as stack:
            knowledge = await open_knowledge(settings, Metrics(""), stack)
            if owner is not None and path is not None:
                return await _index_uploads(settings, knowledge, stack, path, owner, served)
            return await _index_folder(knowledge, within or "")
    except AskGraphError as error:
        typer.echo(f"askgraph: {error.message}", err=True)
    except SQLAlchemyError as error:  # its text shows values
        typer.echo(f"askgraph: the database cannot be used: {type(error).__name__}", err=True)
    return 1


def _problem(settings: Settings, path: Path | None, owner: str | None, within: str | None) -> str | None:
    if path is None:
        if owner is not None:
            return "say which file or folder, for --owner"
        return None if settings.knowledge_dir.is_dir() else "KNOWLEDGE_DIR is no folder"
    if not path.exists():
        return "there is no such file or folder"
    if owner is None and within is None:
        return (
            "shared knowledge is what is in KNOWLEDGE_DIR, and this is elsewhere. Put it there, or index it as a "
            "user's own files with --owner USERNAME"
        )
    return None


def _name_within(path: Path, folder: Path) -> str | None:
    """The name of `path` as documents have it: "" for the folder itself, None for what is elsewhere."""
    for real in (os.path.abspath, os.path.realpath):
        with suppress(ValueError):
            name = Path(real(path)).relative_to(real(folder)).as_posix()
            return "" if name == "." else name
    return None


def _is_served(settings: Settings) -> bool:
    """Whether a process holds the index of this data folder."""
    return is_owned(settings.data_dir / "index")


async def _index_folder(knowledge: Knowledge, within: str) -> int:
    with IndexBar() as bar:
        report = await knowledge.indexer.sync(within=within, on_progress=bar.show)
    if report.elsewhere:
        typer.echo("Another process takes in the knowledge folder by itself.", err=True)
        return 0
    async with knowledge.database.read() as session:
        documents = await KnowledgeRepository(session).documents(SHARED)
    of_these = [one for one in documents if is_within(one.name, within)]
    failures = [(one.name, one.error_message or "") for one in of_these if one.status == "failed"]
    if within and not of_these:
        failures = [(within, "there is nothing in it that is read")]
    return bar.sum_up(len(of_these) - len(failures), report.unchanged, failures)


async def _index_uploads(
    settings: Settings, knowledge: Knowledge, stack: AsyncExitStack, path: Path, owner: str, served: bool
) -> int:
    """Upload, and index where no service does. What is done already is not done again."""
    async with knowledge.database.read() as session:
        secret = await AccountsRepository(session).secret_by_name(username_key(owner))
    if secret is None:
        typer.echo("askgraph: there is no such user", err=True)
        return 1
    storage = await open_storage(settings, stack)
    indexing = open_indexing(settings, knowledge, storage, stack, sole=False)
    files = open_files(settings, knowledge, storage, indexing.wake)
    with IndexBar() as bar:
        found = await asyncio.to_thread(_found, path)
        working = None if served else asyncio.create_task(indexing.run())
        try:
            uploaded, failures = await _upload(files, secret.user_id, found)
            failures += await _until_done(knowledge, secret.user_id, uploaded, len(found), bar)
        finally:
            if working is not None:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
    unchanged = sum(state.status == "ready" for state, _ in uploaded.values())
    return bar.sum_up(len(found) - len(failures), unchanged, failures)


def _found(path: Path) -> list[FoundFile]:
    if path.is_dir():
        return scan(path)
    about = path.stat()
    return [FoundFile(path.name, path, about.st_size, about.st_mtime_ns)]


async def _upload(
    files: Files, owner: str, found: Sequence[FoundFile]
) -> tuple[dict[str, tuple[FileState, str]], Failures]:
    """States and names of what was taken in, by id, and what was not."""
    uploaded: dict[str, tuple[FileState, str]] = {}
    failures: Failures = []
    for file in found:
        try:
            checksum = await asyncio.to_thread(_checksum, file.path)
            (state,) = await files.upload(owner, [NewFile(file.path, file.path.name, file.size, checksum)])
            uploaded[state.id] = state, file.name
        except AskGraphError as error:
            failures.append((file.name, error.message))
        except OSError as error:
            failures.append((file.name, f"it cannot be read: {type(error).__name__}"))
    return uploaded, failures


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _until_done(
    knowledge: Knowledge, owner: str, uploaded: dict[str, tuple[FileState, str]], total: int, bar: IndexBar
) -> Failures:
    """Show how far the files are until each is ready or has failed; those that have."""
    states: dict[str, FileState] = {}
    waiting = {file_id for file_id, (state, _) in uploaded.items() if state.status != "ready"}
    while True:
        for some in _some(sorted(waiting)):
            async with knowledge.database.read() as session:
                states |= await FileRepository(session).views(some, owner)
            waiting -= {one for one in some if one not in states or states[one].status in ("ready", "failed")}
        bar.show(total - len(waiting), total, sum(state.chunks_processed for state in states.values()))
        if not waiting:
            break
        await asyncio.sleep(_POLL_SECONDS)
    failed = [(uploaded[file_id][1], state) for file_id, state in states.items() if state.status == "failed"]
    return [(name, state.error_message or "") for name, state in failed]


def _some(ids: list[str]) -> list[list[str]]:
    return [ids[at : at + _STATES_AT_ONCE] for at in range(0, len(ids), _STATES_AT_ONCE)]

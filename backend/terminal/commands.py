"""What begins with a slash at the prompt."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from backend.terminal.choices import Choices
from backend.terminal.citations import citation_line, passage_of
from backend.terminal.conversation import Conversation
from backend.terminal.failures import Refused
from backend.terminal.fields import objects_of, text_of, whole_of
from backend.terminal.screen import Screen
from backend.terminal.service import Service
from backend.terminal.sessions import Sessions
from backend.terminal.uploads import upload

Command = Callable[[str], Awaitable[None]]
HELP = (
    ("/sessions [PAGE|WORD]", "your sessions"),
    ("/new", "begin another"),
    ("/pick N", "go on in one of those that were listed, or one by its id"),
    ("/rename TITLE", "call this one so"),
    ("/upload PATH", "a file to be asked about"),
    ("/files", "your files"),
    ("/sources [N]", "what the last answer rests on; the passage of one"),
    ("/model [NAME]", "the models; choose one"),
    ("/agent [NAME]", "the agents; begin a session with one"),
    ("/export FILE", "this session, as .md or .json"),
    ("/resume", "go on with a question that was cut off"),
    ("/login [NAME]", "sign in"),
    ("/logout", "sign out"),
    ("/quit", "leave, as Ctrl-D does"),
)


class Commands:
    """Those that need the service or the screen. Signing in, resuming and leaving are the loop's own."""

    def __init__(self, service: Service, screen: Screen, conversation: Conversation) -> None:
        self._service = service
        self._screen = screen
        self._conversation = conversation
        sessions = Sessions(service, screen, conversation)
        choices = Choices(service, screen, conversation)
        self._known: dict[str, Command] = {
            "help": self._help, "new": self._new, "upload": self._upload, "files": self._files,
            "sources": self._sources, "sessions": sessions.show, "pick": sessions.pick, "rename": sessions.rename,
            "export": sessions.export, "model": choices.model, "agent": choices.agent,
        }  # fmt: skip

    async def do(self, name: str, rest: str) -> None:
        """
        Raises:
            Failure: it cannot be done.
        """
        command = self._known.get(name)
        if command is None:
            raise Refused("There is no such command; /help shows them.")
        try:
            await command(rest)
        except OSError as error:
            raise Refused(f"The file cannot be used: {error.strerror or type(error).__name__}") from None

    async def _help(self, _: str) -> None:
        self._screen.rows(HELP)
        self._screen.aside("Everything else is a question. Ctrl-C stops an answer.")

    async def _new(self, _: str) -> None:
        self._conversation.begin()
        self._screen.aside("A new session.")

    async def _upload(self, name: str) -> None:
        path = await asyncio.to_thread(_file, name)
        if path is None:
            raise Refused("There is no such file.")
        await self._conversation.make_known(self._service)
        file_id, how = await upload(self._service, path, self._conversation.session_id, self._screen.console)
        self._conversation.files[file_id] = path.name
        self._screen.aside(f"{path.name} can be asked about: {how}.")

    async def _files(self, _: str) -> None:
        if not self._service.signed_in:
            self._screen.rows((name, file_id) for file_id, name in self._conversation.files.items())
            return self._screen.aside("Without a login the service lists none; these were uploaded here.")
        answer = await self._service.json("GET", "/files", params={"page_size": 100})
        files = objects_of(answer, "items")
        self._screen.rows((text_of(one, "original_filename"), _about_file(one)) for one in files)
        return self._screen.aside(f"{len(files)} of {whole_of(answer, 'total')} files.")

    async def _sources(self, wanted: str) -> None:
        citations = self._conversation.citations
        if not citations:
            raise Refused("The last answer has no sources.")
        if not wanted:
            return self._screen.rows((citation_line(one), text_of(one, "quote")) for one in citations)
        number = int(wanted) if wanted.isascii() and wanted.isdigit() else 0
        citation = next((one for one in citations if whole_of(one, "id") == number), None)
        if citation is None:
            raise Refused("There is no source of that number; /sources shows them.")
        return self._screen.passage(citation_line(citation), await passage_of(self._service, citation))


def _file(name: str) -> Path | None:
    path = Path(_unquoted(name)).expanduser()
    return path if name and path.is_file() else None


def _about_file(file: dict[str, object]) -> str:
    return f"{text_of(file, 'status')}, {whole_of(file, 'chunks_count')} chunks, {whole_of(file, 'size_bytes')} bytes"


def _unquoted(path: str) -> str:
    """A path as a file manager drops it on a terminal."""
    quoted = len(path) > 1 and path[0] == path[-1] and path[0] in "'\""
    return path[1:-1] if quoted else path.replace("\\ ", " ")

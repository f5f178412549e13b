"""A pseudo-terminal with a program in it, and what a person would see there."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEQUENCE = re.compile(r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[=>78cM])")


class Picture:
    """The lines of a terminal that only scrolls: enough of one to read what rich and readline write."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._lines = [""]
        self._row = self._column = 0
        self._waiting = ""

    def write(self, text: str) -> None:
        text, at = self._waiting + text, 0
        self._waiting = ""
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if match is None:  # the rest of it comes with the next read
                    self._waiting = text[at:]
                    return
                self._command(match[1] or "", match[2] or "")
                at = match.end()
            else:
                self._put(text[at])
                at += 1

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines).rstrip()

    def _put(self, one: str) -> None:
        if one == "\r":
            self._column = 0
        elif one == "\n":
            self._down()
        elif one == "\b":
            self._column = max(0, self._column - 1)
        elif one == "\x07":
            pass
        else:
            assert one.isprintable(), f"{one!r} reached the terminal"
            if self._column == self._columns:
                self._column = 0
                self._down()
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + one + line[self._column + 1 :]
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")

    def _command(self, arguments: str, command: str) -> None:
        count = int(arguments) if arguments.isdigit() else 0
        if command == "A":
            self._row = max(0, self._row - (count or 1))
        elif command == "C":
            self._column += count or 1
        elif command == "D":
            self._column = max(0, self._column - (count or 1))
        elif command == "K":
            line = self._lines[self._row]
            self._lines[self._row] = "" if count == 2 else line[: self._column]
        elif command == "J":
            del self._lines[self._row + 1 :]
            self._lines[self._row] = self._lines[self._row][: self._column]


class Terminal:
    """`raw` is all that the program wrote."""

    def __init__(self, process: asyncio.subprocess.Process, fd: int, columns: int) -> None:
        self.process = process
        self.raw = ""
        self._fd = fd
        self._picture = Picture(columns)
        self._changed = asyncio.Event()
        self._bytes = b""
        asyncio.get_running_loop().add_reader(fd, self._read)

    @property
    def text(self) -> str:
        return self._picture.text

    async def see(self, wanted: str, times: int = 1, seconds: float = 40) -> str:
        """Wait until it stands on the screen so often; the screen."""
        try:
            async with asyncio.timeout(seconds):
                while self.text.count(wanted) < times:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"{wanted!r} is not to be seen:\n{self.text}") from None
        return self.text

    async def prompt(self, times: int = 1) -> str:
        """Wait until the program waits behind an empty prompt, that many of them having been shown; the screen."""
        try:
            async with asyncio.timeout(40):
                while not self.text.endswith("\n>") or self.text.count("\n>") < times:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no prompt:\n{self.text}") from None
        return self.text

    async def do(self, line: str) -> str:
        """Type a line at the prompt, and wait for the next one; what was shown in between."""
        before = await self.prompt()
        self.type(f"{line}\r")
        return (await self.prompt(before.count("\n>") + 1))[len(before) :]

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def press_ctrl_c(self) -> None:
        """Once the program waits: Python's readline misses a signal between the prompt's last letter and its wait."""
        while not self._waits():  # noqa: ASYNC110 # another process's state is no event
            await asyncio.sleep(0.01)
        self.type("\x03")

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 40)

    def _waits(self) -> bool:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].startswith("S")

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the program is gone
            asyncio.get_running_loop().remove_reader(self._fd)
            return
        self._bytes += data
        try:
            text, self._bytes = self._bytes.decode(), b""
        except UnicodeDecodeError:
            return
        self.raw += text
        self._picture.write(text)
        self._changed.set()


@contextlib.asynccontextmanager
async def terminal(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None, columns: int = 100, rows: int = 40
) -> AsyncIterator[Terminal]:
    """`askgraph` with these arguments, as it is typed at a terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    covered = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", *arguments, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=_own_terminal,
        env={
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder), "TERM": "xterm-256color",
            "LANG": "C.UTF-8", **covered, **(environment or {}),
        },
    )  # fmt: skip
    os.close(theirs)
    shown = Terminal(process, ours, columns)
    try:
        yield shown
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        shown.close()


def _own_terminal() -> None:
    """Make the pseudo-terminal the controlling one, so that Ctrl-C is a signal."""
    os.setsid()
    ioctl(0, termios.TIOCSCTTY, 0)

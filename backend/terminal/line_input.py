"""What a person types: questions at a prompt, a password that is not shown, and answers while a run goes on."""

import asyncio
import contextlib
import getpass
import os
import readline
import sys
import termios
from collections.abc import AsyncIterator, Iterator

PROMPT = "> "
_MOST_BYTES = 4096


class LineInput:
    """Standard input is a terminal. Lines are remembered for the arrow keys, and only while the client runs."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno()
        readline.set_auto_history(False)

    def line(self) -> str:
        """
        Raises:
            EOFError: Ctrl-D.
            KeyboardInterrupt: Ctrl-C.
        """
        line = input(PROMPT).encode("utf-8", "replace").decode()  # bytes that are no UTF-8 come as lone surrogates
        if line.strip():
            readline.add_history(line)
        return line.strip()

    def name(self, asked: str) -> str:
        return input(asked).strip()

    def password(self) -> str:
        return getpass.getpass("Password: ")

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """What is typed meanwhile does not show between the words; it is there for the next prompt."""
        with self._echo(on=False):
            yield

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """A person is asked in the midst of a run: what was typed before is no answer."""
        with self._echo(on=True):
            termios.tcflush(self._fd, termios.TCIFLUSH)
            yield

    async def answer(self) -> str:
        """The next line, without holding up the loop; "" at its end. Can be cancelled."""
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[bytes] = loop.create_future()

        def take() -> None:
            if not typed.done():
                typed.set_result(os.read(self._fd, _MOST_BYTES))

        loop.add_reader(self._fd, take)
        try:
            return (await typed).decode("utf-8", "replace").strip()
        finally:
            loop.remove_reader(self._fd)

    @contextlib.contextmanager
    def _echo(self, *, on: bool) -> Iterator[None]:
        before = termios.tcgetattr(self._fd)
        changed = termios.tcgetattr(self._fd)
        changed[3] = changed[3] | termios.ECHO if on else changed[3] & ~termios.ECHO
        termios.tcsetattr(self._fd, termios.TCSANOW, changed)
        try:
            yield
        finally:
            termios.tcsetattr(self._fd, termios.TCSANOW, before)

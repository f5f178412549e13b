"""`askgraph chat`: what is typed behind it, and which of the two clients that means."""

import asyncio
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from uuid import UUID

from backend.terminal.address import parse_address
from backend.terminal.conversation import Conversation
from backend.terminal.failures import Failure, Refused
from backend.terminal.service import Service

KEY_VARIABLE = "ASKGRAPH_API_KEY"


def chat(url: str, session: str | None, username: str | None) -> int:
    """The exit status: 0 well, 1 not, 2 where what was typed makes no sense."""
    try:
        address, key = parse_address(url), _key()
        conversation = _conversation(session)
    except Failure as failure:
        sys.stderr.write(f"askgraph: {failure.message}\n")
        return 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # of a terminal that knows few letters
    with asyncio.Runner() as runner:
        service = Service(address, None if username else key)
        try:
            return _run(runner, service, conversation, username)
        except BrokenPipeError:  # whoever read has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            with suppress(KeyboardInterrupt):
                runner.run(service.aclose())


def _run(runner: asyncio.Runner, service: Service, conversation: Conversation, username: str | None) -> int:
    if sys.stdin.isatty() and sys.stdout.isatty():
        from backend.terminal.interactive import Interactive

        return Interactive(runner, service, conversation, username).run()
    from backend.terminal.piped import ask_from_pipe

    return runner.run(ask_from_pipe(service, conversation))


def _key() -> str | None:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable():
        raise Refused(f"{KEY_VARIABLE} is no API key")
    return key or None


def _conversation(session: str | None) -> Conversation:
    if session is None:
        return Conversation()
    try:
        return Conversation(str(UUID(session)), known=True)
    except ValueError:
        raise Refused("--session must be a session's id") from None

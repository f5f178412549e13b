"""The client at a person's terminal: a prompt, and what comes of each line."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from backend.terminal.answering import Answering
from backend.terminal.commands import Commands
from backend.terminal.conversation import Conversation
from backend.terminal.failures import Failure, Refused, SignInNeeded, Unreachable
from backend.terminal.fields import Fields, text_of
from backend.terminal.line_input import LineInput
from backend.terminal.printable import one_line
from backend.terminal.question import Question
from backend.terminal.screen import Screen
from backend.terminal.screen_view import ScreenView
from backend.terminal.service import Service

_TRIES = 3
_UNAUTHORIZED = 401


class Interactive:
    """The loop runs between prompts only: while a person thinks there is no connection and nothing to keep alive."""

    def __init__(
        self, runner: asyncio.Runner, service: Service, conversation: Conversation, username: str | None
    ) -> None:
        self._runner = runner
        self._service = service
        self._conversation = conversation
        self._username = username
        self._screen = Screen()
        self._input = LineInput()
        self._commands = Commands(service, self._screen, conversation)
        self._cut_off: Answering | None = None

    def run(self) -> int:
        """Until Ctrl-D, `/quit`, or Ctrl-C twice at the prompt; the exit status."""
        if not self._begin():
            return 1
        interrupted = False
        while True:
            try:
                line = self._input.line()
            except EOFError:
                self._screen.say("")
                return 0
            except KeyboardInterrupt:
                self._screen.say("")
                if interrupted:
                    return 0
                interrupted = True
                self._screen.aside("Ctrl-C again, or Ctrl-D, leaves.")
                continue
            interrupted = False
            if line in ("/quit", "/exit"):
                return 0
            if line:
                self._attempt(line)

    def _begin(self) -> bool:
        """Find the service, and sign in where that is wanted. Whether there is any use in a prompt."""
        try:
            if self._username:
                self._sign_in(self._username)
            try:
                self._await(self._service.call("GET", "/chats", params={"page_size": 1}))
            except SignInNeeded as needed:
                if self._service.signed_in:
                    raise Refused("The service does not know that API key.") from None
                self._screen.say(needed.message)
                self._sign_in(self._username or "")
        except (EOFError, KeyboardInterrupt):
            self._screen.say("")
            return False
        except Failure as failure:
            self._screen.problem(f"askgraph: {failure.message}")
            return False
        who = f" as {self._service.username}" if self._service.username else ""
        self._screen.aside(f"{self._service.address.http}{who}. Ask, or /help.")
        return True

    def _attempt(self, line: str) -> None:
        try:
            if line.startswith("/"):
                name, _, rest = line[1:].partition(" ")
                self._command(name, rest.strip())
            else:
                self._ask(line)
        except (EOFError, KeyboardInterrupt):
            self._screen.say("")
            self._screen.aside("stopped")
        except Failure as failure:
            self._screen.problem(failure.message)

    def _command(self, name: str, rest: str) -> None:
        if name == "login":
            self._sign_in(rest)
            self._conversation.begin()
            self._screen.aside(f"You are {self._service.username}, in a new session.")
        elif name == "logout":
            self._await(self._service.log_out())
            self._conversation.begin()
            self._conversation.own.clear()
            self._screen.aside("You are signed out, in a new session.")
        elif name == "resume":
            if self._cut_off is None:
                raise Refused("There is nothing to go on with.")
            self._read(self._cut_off)
        else:
            self._signed(lambda: self._commands.do(name, rest))

    def _ask(self, line: str) -> None:
        question = Question(line, self._conversation.session_id, self._conversation.model)
        self._read(Answering(self._service, question, ScreenView(self._screen), self._approves))

    def _read(self, answering: Answering) -> None:
        self._cut_off = answering
        self._screen.say("")
        try:
            with self._input.unseen():
                self._signed(answering.read)
        except Unreachable as error:
            raise Unreachable(f"{error.message} /resume goes on with the answer.") from None
        finally:
            if answering.question.run_id:
                self._conversation.asked(answering.question.text)
        if answering.question.ended:
            self._cut_off = None
        self._conversation.citations = answering.citations
        self._screen.say("")

    async def _approves(self, frame: Fields) -> bool:
        """Ask whether a tool may do what it wants; anything but y or yes is a no."""
        wanted = one_line(text_of(frame, "detail") or text_of(frame, "name"), 2000)
        async with self._input.answering():
            self._screen.say(f"{wanted}\nMay it? [y/N]")
            return (await self._input.answer()).lower() in ("y", "yes")

    def _signed(self, action: Any) -> None:
        """Do it; where the service wants a sign-in first, once more after that."""
        try:
            self._await(action())
        except SignInNeeded as needed:
            self._screen.say(needed.message)
            self._sign_in(self._service.username)
            self._await(action())

    def _sign_in(self, username: str) -> None:
        """
        Raises:
            Failure: not by that name and password.
        """
        username = username or self._input.name("User name: ")
        for left in reversed(range(_TRIES)):
            try:
                self._await(self._service.log_in(username, self._input.password()))
                return
            except Refused as error:
                if error.status != _UNAUTHORIZED or not left:
                    raise
                self._screen.problem(error.message)

    def _await(self, action: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(action)

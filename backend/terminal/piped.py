"""The client in a pipe: one question from standard input, the plain answer and its sources."""

import sys

from backend.terminal.answering import Answering
from backend.terminal.conversation import Conversation
from backend.terminal.failures import Failure, SignInNeeded
from backend.terminal.fields import Fields
from backend.terminal.plain_view import PlainView
from backend.terminal.question import Question
from backend.terminal.service import Service

_MOST_BYTES = 64 * 1024  # more than a question may have


async def ask_from_pipe(service: Service, conversation: Conversation) -> int:
    """The exit status: 0 for an answer, 1 for anything else, which is said on stderr."""
    view = PlainView()
    text = sys.stdin.buffer.read(_MOST_BYTES).decode("utf-8", "replace").strip()
    if not text:
        view.problem("there is no question on standard input")
        return 1

    async def decline(_: Fields) -> bool:
        view.aside("a tool wanted to be approved, and there is nobody to ask: declined")
        return False

    answering = Answering(service, Question(text, conversation.session_id, conversation.model), view, decline)
    try:
        await answering.read()
    except SignInNeeded as needed:
        view.problem(f"{needed.message} Without a terminal that is done by ASKGRAPH_API_KEY.")
    except Failure as failure:
        view.problem(failure.message)
    return 0 if answering.ended_well else 1

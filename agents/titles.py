"""A chat's title, by the model, from its first exchange. Until it comes, and where none comes, the question serves."""

import asyncio
from collections.abc import Callable

import structlog

from agents.ports import Model
from agents.prompts import render
from infrastructure.database.repositories.turns import TITLE_CHARS, title_of
from infrastructure.errors import AskGraphError, ProviderError
from infrastructure.providers.types import Message, ModelRequest
from services.chat_feed import CHAT_UPDATED, ChatFeed
from services.conversations import Conversations

log = structlog.get_logger()
SECONDS = 20.0
AT_ONCE = 2  # calls of the model for titles: answers go first
MOST_WAITING = 100  # chats; more keep their question as their title
SHOWN_CHARS = 1000  # of the question and of the answer
MAX_TOKENS = 24


class Titles:
    """Makes titles beside everything else; what fails leaves the question as the title."""

    def __init__(
        self, model: Model, conversations: Conversations, feed: ChatFeed, on_call: Callable[[str, str], None]
    ) -> None:
        self._model = model
        self._conversations = conversations
        self._feed = feed
        self._on_call = on_call
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(self, chat_id: str, question: str, answer: str) -> None:
        """Have a title made for a chat whose first exchange this is, if there is a model to make one."""
        if self._model.name == "extractive" or len(self._tasks) >= MOST_WAITING:
            return
        task = asyncio.create_task(self._make(chat_id, question, answer), name=f"title {chat_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make(self, chat_id: str, question: str, answer: str) -> None:
        try:
            async with self._gate, asyncio.timeout(SECONDS):
                reply = await self._model.stream(_request(question, answer), lambda text: None)
            self._on_call(self._model.name, "ok")
            title = clean_title(reply.text)
            if title and await self._conversations.retitle(chat_id, title, title_of(question)):
                self._feed.publish(chat_id, CHAT_UPDATED, {"id": chat_id, "title": title})
        except ProviderError as error:
            self._on_call(self._model.name, error.kind)
        except TimeoutError:
            self._on_call(self._model.name, "timeout")
        except AskGraphError as error:
            log.warning("a title could not be kept", kind=error.kind)
        except Exception as error:
            log.exception("making a title failed", error=type(error).__name__)


def _request(question: str, answer: str) -> ModelRequest:
    shown = f"User: {question[:SHOWN_CHARS]}\n\nAssistant: {answer[:SHOWN_CHARS]}"
    return ModelRequest(
        messages=(Message("system", render("title")), Message("user", shown)), question=question, max_tokens=MAX_TOKENS
    )


def clean_title(text: str) -> str:
    """The first line of what a model said, without quotation marks and the like, cut at a word."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = line.replace("\0", "").strip().strip("\"'`*#“”„«»").strip().rstrip(".")
    return title_of(line)[:TITLE_CHARS]

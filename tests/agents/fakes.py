"""Far ends that do as they are told: a model with scripted turns, a search with one result, metrics that are lists."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from agents.approvals import Tell
from agents.cached import CachedAnswers
from agents.finding import Finder
from agents.generation import Generation
from agents.graph import AnswerGraph, GraphSettings
from agents.keeping import Keeper
from agents.ports import EventLog, Model
from agents.preparing import Preparation
from agents.runner import Ask, RunHandle, RunLimits, Runner
from agents.toolbox import Toolbox
from agents.tools.base import Tool
from agents.tracing import Traces
from infrastructure.chat_feed.memory import MemoryChatFeed
from infrastructure.database.engine import Database, open_engine
from infrastructure.errors import AskGraphError
from infrastructure.event_log.memory import MemoryEventLog
from infrastructure.passages import Passage
from infrastructure.providers.extractive import ExtractiveProvider
from infrastructure.providers.types import Emit, ModelReply, ModelRequest, ToolCall, Usage
from services.answer_cache import AnswerCache
from services.conversations import Conversations
from services.knowledge.citation_check import CitationCheck
from services.knowledge.confidence import Signals
from services.knowledge.curated import CuratedMatch
from services.knowledge.grounding import Grounder
from services.knowledge.scope import Scope
from services.knowledge.scopes import Scopes
from services.knowledge.search import Retrieval
from services.knowledge.text import TextAnalysis
from services.sessions import Concurrency, SessionManager

USAGE = Usage(10, 5)
Turn = Callable[[ModelRequest, Emit], Awaitable[ModelReply]]


def passage(text: str = "Paris is the capital of France.", number: int = 1, **fields: Any) -> Passage:
    known = {
        "document": f"doc{number}.md", "document_id": f"d{number}", "chunk_id": f"c{number}", "title": f"Doc {number}",
        "text": text, "start": 0, "end": len(text), "score": 0.9,
    }  # fmt: skip
    return Passage(**(known | fields))


def found(*passages: Passage, confidence: float = 0.9, curated: CuratedMatch | None = None) -> Retrieval:
    return Retrieval(passages, confidence, curated, 0.1, Signals(*[confidence] * 5))


def match(question: str, answer: str, similarity: float) -> CuratedMatch:
    text = f"{question}\n{answer}"
    start = len(question) + 1
    return CuratedMatch(question, answer, similarity, passage(text), start, len(text))


def says(*pieces: str, finish: str = "stop", usage: Usage = USAGE) -> Turn:
    """A turn that is text, a piece a read."""

    async def turn(_: ModelRequest, emit: Emit) -> ModelReply:
        for piece in pieces:
            emit(piece)
            await asyncio.sleep(0)
        return ModelReply("".join(pieces), "scripted-1", finish, usage=usage)

    return turn


def calls(*wanted: ToolCall, saying: str = "", usage: Usage = USAGE) -> Turn:
    """A turn that asks for tools, maybe after some text."""

    async def turn(_: ModelRequest, emit: Emit) -> ModelReply:
        if saying:
            emit(saying)
        return ModelReply(saying, "scripted-1", "tool_calls", wanted, usage)

    return turn


def call(name: str, call_id: str = "call_1", **arguments: Any) -> ToolCall:
    return ToolCall(call_id, name, json.dumps(arguments))


def fails(error: Exception, *pieces: str) -> Turn:
    """A turn that breaks, maybe after some text."""

    async def turn(_: ModelRequest, emit: Emit) -> ModelReply:
        for piece in pieces:
            emit(piece)
        raise error

    return turn


class Endless:
    """A turn that says `pieces` and then nothing more; its upstream takes `closing` to be closed."""

    def __init__(self, *pieces: str, closing: Callable[[], Awaitable[None]] | None = None) -> None:
        self._pieces = pieces
        self._closing = closing
        self.streaming = asyncio.Event()
        self.closed = False

    async def __call__(self, _: ModelRequest, emit: Emit) -> ModelReply:
        try:
            for piece in self._pieces:
                emit(piece)
            self.streaming.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")
        finally:
            if self._closing:
                await self._closing()
            self.closed = True


class ScriptedModel:
    """Takes its turns in order; the last one again and again."""

    name = "openai"
    model = "scripted-1"

    def __init__(self, *turns: Turn) -> None:
        self._turns = list(turns)
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        self.requests.append(request)
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        return await turn(request, emit)

    async def aclose(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class _Sentence:
    source: int
    start: int
    text: str


def _first_sentence(_: str, passages: Sequence[Passage]) -> list[_Sentence]:
    return [_Sentence(1, passages[0].start, passages[0].text)] if passages else []


def extractive() -> ExtractiveProvider:
    """The real one, choosing the best passage's whole text."""
    return ExtractiveProvider(_first_sentence)


@dataclass
class Counted:
    """What a runner told its metrics."""

    outcomes: list[str] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    rejected: int = 0
    taken_over: list[str] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)

    def run_finished(self, outcome: str, seconds: float, confidence: float | None, model: str, usage: Usage) -> None:
        self.outcomes.append(outcome)
        self.usage += usage

    def stopped(self, seconds: float) -> None:
        self.stops.append(seconds)

    def run_taken_over(self, outcome: str) -> None:
        self.taken_over.append(outcome)

    def citations_dropped(self, count: int) -> None:
        self.rejected += count

    def first_token(self, seconds: float) -> None:
        self.first.append(seconds)

    def next_token(self, seconds: float) -> None:
        self.gaps.append(seconds)


SESSION = "00000000-0000-7000-8000-00000000000a"
OTHER_SESSION = "00000000-0000-7000-8000-00000000000b"
TEMPLATE = Path()  # set for each test by the fixture of `conftest`
FOLDER = Path()
OPENED: list["Service"] = []  # which the fixture closes


def new_database() -> str:
    """The URL of a new SQLite file with all tables."""
    path = FOLDER / f"{uuid4().hex}.db"
    shutil.copy(TEMPLATE, path)
    return f"sqlite:///{path}"


class Service:
    """A runner with all that it needs, and a reader of its runs."""

    def __init__(
        self, model: Model, knowledge: Retrieval | Exception, *, tools: Sequence[Tool] = (), fall_back: bool = True,
        concurrency: Concurrency = "queue", tool_seconds: float = 5.0, history_tokens: int = 2000,
        traces: Traces | None = None, cache: AnswerCache | None = None, url: str | None = None, worker: str = "test",
        tell_others: Tell | None = None, log: EventLog | None = None, ids: Iterator[int] | None = None, **limits: Any,
    ) -> None:  # fmt: skip
        self.log = log or MemoryEventLog()
        self.url = url or new_database()
        self.database = Database(open_engine(self.url))
        self.conversations = Conversations(self.database, clock=lambda: datetime.now(UTC))
        self.feed = MemoryChatFeed()
        self.sessions = SessionManager(self.conversations)
        self.first_exchanges: list[tuple[str, str, str]] = []
        self.counted = Counted()
        self.asked: list[str] = []
        self.searching = asyncio.Event()
        self.searching_waits: asyncio.Event | None = None  # when given, the search does not end before it is set
        self._knowledge = knowledge
        steps = limits.get("tool_steps", 5)
        generation = Generation(model, extractive(), Toolbox(tools, seconds=tool_seconds), fall_back)
        settings = GraphSettings(0.8, 0.5, history_tokens=history_tokens, max_steps=steps)
        self.scopes_asked: list[Scope] = []
        self.changes = 0  # of the knowledge
        finder = Finder(self.search, self.whole, 6, 10_000, reads_whole=True)
        check = CitationCheck(self.database, self)
        self.version: Hashable | None = 1  # of the knowledge
        known = None
        if cache is not None:
            known = CachedAnswers(cache, self.version_of, lambda: "words", generation, check)
        self.graph = AnswerGraph(
            finder.find, generation, Grounder(TextAnalysis()).ground, check, settings,
            traced=traces is not None, known=known,
        )  # fmt: skip
        ids = ids or count(1)
        new_id: Callable[[], str] = lambda: f"00000000-0000-7000-8000-{next(ids):012}"  # noqa: E731  two take it
        clock = lambda: 1_700_000_000.5  # noqa: E731
        keeper = Keeper(
            self.conversations, self.feed, new_id=new_id, clock=clock, worker=worker,
            on_first_exchange=lambda *exchange: self.first_exchanges.append(exchange),
        )  # fmt: skip
        self.runner = Runner(
            self.graph, self.log, self.sessions, keeper, Preparation(Scopes(self.database)), self.counted,
            limits=RunLimits(**limits), concurrency=concurrency, new_id=new_id, clock=clock, traces=traces,
            tell_others=tell_others,
        )  # fmt: skip
        OPENED.append(self)

    async def close(self) -> None:
        await self.runner.drain(0)
        await self.conversations.aclose()
        await self.database.close()

    async def version_of(self, partitions: Sequence[str]) -> Hashable | None:
        return self.version

    async def whole(self, documents: Collection[str], max_chars: int) -> tuple[tuple[Passage, ...], bool]:
        return (), True

    async def search(self, query: str, limit: int, scope: Scope) -> Retrieval:
        self.asked.append(query)
        self.scopes_asked.append(scope)
        self.searching.set()
        if self.searching_waits:
            await self.searching_waits.wait()
        if isinstance(self._knowledge, Exception):
            raise self._knowledge
        return self._knowledge

    async def start(self, question: str = "What is the capital of France?", session: str | None = SESSION) -> RunHandle:
        return await self.runner.start(Ask(question, "caller", session, session is not None))

    async def ask(self, question: str = "What is the capital of France?", session: str | None = SESSION) -> "Told":
        return await self.told(await self.start(question, session))

    async def told(self, run: RunHandle) -> "Told":
        """All frames of a run, once it has ended; checked for what holds of every run."""
        frames = [json.loads(e.data) async for batch in self.log.read(run.id) for e in batch.entries]
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        assert {frame["run_id"] for frame in frames} == {run.id}
        ends = [frame for frame in frames if _ends(frame)]
        assert ends == frames[-1:], "one terminal frame, and nothing behind it"
        assert self.log.answer(run.id) == "".join(f["content"] for f in frames if f["type"] == "word")
        return Told(frames)


def _ends(frame: dict[str, Any]) -> bool:
    return frame["type"] in ("complete", "error") or frame.get("status") == "cancelled"


@dataclass(frozen=True)
class Told:
    """The frames of a run that has ended."""

    frames: list[dict[str, Any]]

    @property
    def end(self) -> dict[str, Any]:
        return self.frames[-1]

    @property
    def text(self) -> str:
        return "".join(frame["content"] for frame in self.of("word"))

    @property
    def statuses(self) -> list[str]:
        return [frame["status"] for frame in self.of("status")]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]


class Away(AskGraphError):
    """An error of a kind of its own."""

    kind = "away"

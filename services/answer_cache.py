"""Answers that were given before, for the same question over the same knowledge. Kept in memory: an answer lives no
longer than the process, so what only a restart changes (settings, prompts) is in no key.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from services.knowledge.grounding import Citation
from services.same_question import LEAST_COSINE, Question, said_alike, worded_alike

MAX_ENTRIES = 2000
MAX_BYTES = 32 * 1024 * 1024
_OVERHEAD = 2000  # bytes of an entry besides its texts, about
_CITATION = 600  # bytes of a citation besides its quote, about

Likeness = Callable[[str, str], Awaitable[float]]
"""The cosine of two texts' vectors; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """An answer as it was said. `sources`: names and scores of the documents that it was made from. `mark`: how far the
    knowledge had come when these were looked for, as the check of its citations wants it.
    """

    answer: str
    confidence: float
    found: float  # the confidence that was said before the first word
    citations: tuple[Citation, ...]
    sources: tuple[tuple[str, float], ...]
    model: str
    mark: int

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        quotes = sum(_CITATION + 2 * len(citation.quote) for citation in self.citations)
        return _OVERHEAD + 2 * len(self.answer) + quotes + 100 * len(self.sources)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer holds. `space`: for whom, by whom and about which knowledge; answers of different spaces never
    meet. `version`: of that knowledge, as it was before it was looked into.
    """

    space: bytes
    question: Question
    version: Hashable


@dataclass(frozen=True, slots=True)
class _Entry:
    place: Place
    answer: KnownAnswer
    size: int
    until: float


class AnswerCache:
    """Bounded in entries and bytes: those that were of no use for longest leave first.

    An answer is good for `seconds` of `clock`, and until the knowledge has another version. `on_operation` is told
    `answer_get` with `hit`, `miss` or `stale`, and `answer_put` with `ok` or `too_large`.
    """

    def __init__(
        self, seconds: float, likeness: Likeness, clock: Callable[[], float],
        on_operation: Callable[[str, str], None] = lambda operation, result: None,
        *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self._seconds = seconds
        self._likeness = likeness
        self._clock = clock
        self._on_operation = on_operation
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[tuple[bytes, tuple[str, ...]], _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """What all answers take in memory, about."""
        return self._bytes

    async def get(self, place: Place) -> KnownAnswer | None:
        """What was answered to the same question there."""
        key = (place.space, place.question.shape)
        entry, found = self._entries.get(key), "miss"
        if entry is not None and (entry.place.version != place.version or entry.until <= self._clock()):
            self._remove(key)
            entry, found = None, "stale"
        if entry is not None and not await self._is_same(place.question, entry.place.question):
            entry = None
        if entry is not None and self._entries.get(key) is entry:  # nothing else came while vectors were made
            self._entries.move_to_end(key)
        self._on_operation("answer_get", found if entry is None else "hit")
        return entry.answer if entry is not None else None

    def put(self, place: Place, answer: KnownAnswer) -> None:
        """Keep an answer, in place of what was known of the question."""
        size = answer.size + 4 * len(place.question.text)
        key = (place.space, place.question.shape)
        self._remove(key)
        if size > self._max_bytes:
            self._on_operation("answer_put", "too_large")
            return
        self._entries[key] = _Entry(place, answer, size, self._clock() + self._seconds)
        self._bytes += size
        while self._bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._remove(next(iter(self._entries)))
        self._on_operation("answer_put", "ok")

    def drop(self, place: Place) -> None:
        """Forget what is known of a question there: it does not hold."""
        self._remove((place.space, place.question.shape))

    async def _is_same(self, asked: Question, kept: Question) -> bool:
        if not worded_alike(asked, kept):
            return False
        return said_alike(asked, kept) or await self._likeness(asked.plain, kept.plain) >= LEAST_COSINE

    def _remove(self, key: tuple[bytes, tuple[str, ...]]) -> None:
        if (entry := self._entries.pop(key, None)) is not None:
            self._bytes -= entry.size

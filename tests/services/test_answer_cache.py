"""The cache of answers: what it gives back, what makes it forget, and what bounds it."""

import pytest

from services.answer_cache import AnswerCache, KnownAnswer, Place
from services.knowledge.grounding import Citation
from services.same_question import LEAST_COSINE, read_question

QUESTION = "What is a flash loan?"
OTHER_WORDS = "What are flash loans?"


class Rig:
    """A cache with a clock, and with likenesses that are as they are told to be."""

    def __init__(self, **bounds: int) -> None:
        self.now = 0.0
        self.cosine = 1.0
        self.compared: list[tuple[str, str]] = []
        self.told: list[tuple[str, str]] = []
        self.cache = AnswerCache(
            60, self.likeness, lambda: self.now, lambda *told: self.told.append(told), **bounds
        )  # fmt: skip

    async def likeness(self, left: str, right: str) -> float:
        self.compared.append((left, right))
        return self.cosine

    async def get(self, question: str = QUESTION, space: bytes = b"s", version: int | None = 1) -> str | None:
        found = await self.cache.get(place(question, space, version))
        return found.answer if found else None

    def put(self, answer: str = "yes", question: str = QUESTION, space: bytes = b"s", version: int = 1) -> None:
        self.cache.put(place(question, space, version), known(answer))


def place(question: str = QUESTION, space: bytes = b"s", version: int | None = 1) -> Place:
    return Place(space, read_question(question), version)


def known(answer: str, *quotes: str) -> KnownAnswer:
    citations = tuple(Citation(1, "a", "d", "c", None, None, 0, len(quote), quote, 1.0) for quote in quotes)
    return KnownAnswer(answer, 0.9, 0.9, citations, (("a", 0.9),), "m", 0)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_the_same_words_are_answered_without_a_look_at_vectors(rig: Rig) -> None:
    assert await rig.get() is None
    rig.put()
    assert await rig.get("what is  a flash loan") == "yes"
    assert rig.compared == []
    assert rig.told == [("answer_get", "miss"), ("answer_put", "ok"), ("answer_get", "hit")]


async def test_other_words_are_answered_where_their_vectors_are_near_too(rig: Rig) -> None:
    rig.put()
    assert await rig.get(OTHER_WORDS) == "yes"
    assert rig.compared == [("what are flash loans", "what is a flash loan")]
    rig.cosine = LEAST_COSINE - 0.01
    assert await rig.get(OTHER_WORDS) is None
    assert await rig.get() == "yes"


async def test_another_question_space_or_version_is_not_answered(rig: Rig) -> None:
    rig.put()
    assert await rig.get("What is a bank loan?") is None
    assert await rig.get(space=b"t") is None
    assert await rig.get() == "yes"
    assert await rig.get(version=2) is None
    assert await rig.get() is None, "a version that is gone does not come back"
    assert rig.told[-2:] == [("answer_get", "stale"), ("answer_get", "miss")]


async def test_an_answer_lives_only_so_long(rig: Rig) -> None:
    rig.put()
    rig.now = 59.9
    assert await rig.get() == "yes"
    rig.now = 60.0
    assert await rig.get() is None
    assert (len(rig.cache), rig.cache.size) == (0, 0)


async def test_a_newer_answer_takes_the_place_of_an_older_one(rig: Rig) -> None:
    rig.put("old")
    size = rig.cache.size
    rig.put("new", OTHER_WORDS)
    assert await rig.get() == "new"
    assert (len(rig.cache), rig.cache.size) == (1, size)


async def test_what_does_not_hold_is_dropped(rig: Rig) -> None:
    rig.put()
    rig.cache.drop(place())
    rig.cache.drop(place())
    assert await rig.get() is None
    assert rig.cache.size == 0


async def test_the_least_recently_used_leave_first() -> None:
    rig = Rig(max_entries=2)
    rig.put(space=b"1")
    rig.put(space=b"2")
    assert await rig.get(space=b"1") == "yes"
    rig.put(space=b"3")
    assert [await rig.get(space=space) for space in (b"1", b"2", b"3")] == ["yes", None, "yes"]


async def test_bytes_are_bounded() -> None:
    rig = Rig(max_bytes=10_000)
    for number in range(10):
        rig.put("x" * 1000, space=b"%d" % number)
    assert 0 < rig.cache.size <= 10_000
    assert await rig.get(space=b"9") == "x" * 1000
    before = len(rig.cache)
    rig.put("x" * 10_000)
    assert rig.told[-1] == ("answer_put", "too_large")
    assert (await rig.get(), len(rig.cache)) == (None, before)


def test_an_answers_quotes_count_too() -> None:
    assert known("a", "q" * 1000).size >= known("a").size + 2000


async def test_an_entry_that_left_while_vectors_were_made_is_not_touched(rig: Rig) -> None:
    rig.put()
    likeness = rig.likeness

    async def slow(left: str, right: str) -> float:
        rig.cache.drop(place())
        return await likeness(left, right)

    rig.cache._likeness = slow
    assert await rig.get(OTHER_WORDS) == "yes"
    assert len(rig.cache) == 0

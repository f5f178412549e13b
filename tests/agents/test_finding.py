"""Finding: follow-ups, whole files, and the scope that every search keeps to."""

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from agents.finding import Finder
from agents.policies import standalone_question
from infrastructure.passages import Passage
from services.knowledge.scope import SHARED_SCOPE, Scope
from services.knowledge.search import Retrieval
from services.sessions import Turn
from tests.agents.fakes import found, match, passage

FILES = Scope(("anna",), only=frozenset({"f1"}))
ATTACHED = Scope(("", "anna"), first=frozenset({"f1"}))
PARTS = (passage("One.", 11), passage("Two.", 12))
EARLIER = (Turn("How are flash loans repaid?", "At once.", "complete"),)


class Searched:
    """A search that knows a few questions, and whole files that fit or do not."""

    def __init__(self, known: dict[str, Retrieval] | None = None, complete: bool = True) -> None:
        self.known = known or {}
        self.complete = complete
        self.asked: list[tuple[str, Scope]] = []
        self.read: list[frozenset[str]] = []

    async def search(self, query: str, limit: int, scope: Scope) -> Retrieval:
        self.asked.append((query, scope))
        return self.known.get(query, found(passage("Found.", 1), confidence=0.2))

    async def whole(self, documents: Collection[str], max_chars: int) -> tuple[tuple[Passage, ...], bool]:
        self.read.append(frozenset(documents))
        return PARTS, self.complete

    async def find(
        self, question: str = "What is a flash loan?", scope: Scope = SHARED_SCOPE, *,
        rag_mode: str = "auto", turns: Sequence[Turn] = (), reads_whole: bool = True,
    ) -> Retrieval:  # fmt: skip
        finder = Finder(self.search, self.whole, 6, 1000, reads_whole)
        context: Any = SimpleNamespace(question=question, turns=turns, scope=scope, rag_mode=rag_mode)
        return await finder.find(context)


async def test_a_question_that_stands_by_itself_is_searched_once_in_its_scope() -> None:
    it = Searched()
    await it.find(scope=ATTACHED, turns=EARLIER)
    assert it.asked == [("What is a flash loan?", ATTACHED)]


async def test_a_follow_up_is_searched_with_what_it_follows_and_the_better_one_counts() -> None:
    question = "And how are they repaid?"
    both = f"{EARLIER[0].question} {question}"
    better = found(passage("Repaid at once.", 5), confidence=0.9)
    it = Searched({both: better})
    assert await it.find(question, turns=EARLIER) is better
    assert [query for query, _ in it.asked] == [question, both]
    worse = Searched({question: found(passage("Direct.", 6), confidence=0.5)})
    assert (await worse.find(question, turns=EARLIER)).passages[0].text == "Direct."


async def test_a_curated_answer_to_the_follow_up_itself_stands() -> None:
    question = "And what is it?"
    direct = found(passage(), confidence=0.1, curated=match("What is it?", "It.", 0.9))
    it = Searched({question: direct, f"{EARLIER[0].question} {question}": found(passage(), confidence=0.9)})
    assert await it.find(question, turns=EARLIER) is direct


@pytest.mark.parametrize(
    ("question", "follows"),
    [
        ("And of Italy?", True),
        ("What about its fees?", True),
        ("Why?", True),
        ("Who wrote it?", True),
        ("How do they differ from stablecoins?", True),
        ("What is the collateral factor of Aave?", False),
        ("Which protocols offer flash loans?", False),
    ],
)
def test_what_a_follow_up_is(question: str, follows: bool) -> None:
    assert standalone_question(question, ()) is None
    assert (standalone_question(question, EARLIER) is not None) is follows


def test_a_follow_up_of_a_follow_up_goes_back_to_what_stands_by_itself() -> None:
    turns = (*EARLIER, Turn("And why?", "Because.", "complete"))
    assert standalone_question("Who says so?", turns) == "How are flash loans repaid? Who says so?"


@pytest.mark.parametrize(
    ("scope", "mode", "reads_whole", "whole"),
    [
        (FILES, "auto", True, True),
        (FILES, "auto", False, False),
        (FILES, "hybrid", True, False),
        (FILES, "full_file", False, True),
        (ATTACHED, "auto", True, False),
        (ATTACHED, "full_file", True, True),
        (SHARED_SCOPE, "full_file", True, False),
    ],
)
async def test_when_files_are_read_whole(scope: Scope, mode: str, reads_whole: bool, whole: bool) -> None:
    it = Searched()
    retrieval = await it.find(scope=scope, rag_mode=mode, reads_whole=reads_whole)
    assert ([one.text for one in retrieval.passages][:2] == ["One.", "Two."]) is whole
    assert it.read == ([frozenset({"f1"})] if whole else [])
    assert retrieval.whole is whole


async def test_files_that_do_not_fit_are_read_whole_only_where_that_was_asked_for() -> None:
    left_out = await Searched(complete=False).find(scope=FILES)
    assert (left_out.passages[0].text, left_out.whole) == ("Found.", False)
    asked_for = await Searched(complete=False).find(scope=FILES, rag_mode="full_file")
    assert [one.text for one in asked_for.passages] == ["One.", "Two.", "Found."]
    assert asked_for.whole

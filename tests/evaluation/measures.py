"""What is measured of one data set, on a service that has read its documents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.events import NO_RELEVANT_ANSWER
from infrastructure.passages import Passage
from services.knowledge.text import TextAnalysis
from tests.evaluation.figures import (
    Bin,
    auroc,
    expected_calibration_error,
    rank_figures,
    recall_by_rank,
    reliability,
)
from tests.evaluation.folders import DataSet, Question, contains
from tests.evaluation.service import Service

_DOCUMENT_PASSAGES = 30  # passages to rank ten documents by: one may have several
_MARKER = re.compile(r"\s*\[\d+\]")
_ANALYSIS = TextAnalysis()


@dataclass(slots=True)
class Measured:
    """The figures of a set, and what its plots are drawn from."""

    name: str
    questions: int
    figures: dict[str, float]
    recall: list[float] = field(default_factory=list)
    reliability: list[Bin] = field(default_factory=list)


async def measure(data: DataSet, service: Service) -> Measured:
    """All figures that the set's questions allow."""
    answerable = [question for question in data.questions if question.answerable]
    hits, relevant = await _hits(service, answerable, by_document=not data.has_answers)
    found = Measured(data.name, len(data.questions), rank_figures(hits, relevant), recall_by_rank(hits, relevant))
    if data.has_answers:
        others = [question for question in data.questions if not question.answerable]
        await _measure_answers(service, answerable, others, found)
    return found


async def _hits(
    service: Service, questions: Sequence[Question], by_document: bool
) -> tuple[list[list[bool]], list[int]]:
    """Whether each of the first ten is right, and how many right ones there are."""
    hits = []
    for question in questions:
        passages = (await service.search(question.text, _DOCUMENT_PASSAGES if by_document else 10)).passages
        if by_document:
            passages = _best_of_each_document(passages)
        right = [question.is_met_by(passage) for passage in passages]
        hits.append(right if by_document else _first_alone(right))
    return hits, [len(question.relevant) if by_document else 1 for question in questions]


def _first_alone(right: Sequence[bool]) -> list[bool]:
    """A long paragraph is two passages: either will do, and finding both is no more."""
    return [hit and not any(right[:place]) for place, hit in enumerate(right)]


def _best_of_each_document(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    best: dict[str, Passage] = {}
    for passage in passages:
        best.setdefault(passage.document, passage)
    return tuple(best.values())


async def _measure_answers(
    service: Service, answerable: Sequence[Question], others: Sequence[Question], found: Measured
) -> None:
    replies = [await service.ask(question.text) for question in answerable]
    refusals = [await service.ask(question.text) for question in others]
    right = [
        contains(_MARKER.sub("", reply["answer"]), question.answers)
        for question, reply in zip(answerable, replies, strict=True)
    ]
    given = [not is_refused(reply) for reply in replies]
    found.figures["answer in reply"] = float(np.mean(right))
    found.figures["answer in reply, of those answered"] = float(np.mean(np.array(right)[given]))
    found.figures["lost"] = 1 - float(np.mean(given))
    found.figures["quotes exact"] = await exact_quotes(service, replies)
    if not others:
        return
    yes, no = (np.array([reply["confidence"] for reply in some]) for some in (replies, refusals))
    both, true = np.concatenate([yes, no]), np.r_[np.ones(len(yes)), np.zeros(len(no))]
    found.figures["refused"] = float(np.mean([is_refused(reply) for reply in refusals]))
    found.figures["refused, short"] = await _refused_when_short(service, others)
    found.figures["auroc"] = auroc(yes, no)
    found.figures["ece"] = expected_calibration_error(both, true)
    found.reliability = reliability(both, true)


async def exact_quotes(service: Service, replies: Sequence[dict[str, Any]]) -> float:
    """The share of quotes that stand in their document at their offsets, letter by letter; 1 where none is."""
    same = [
        (await service.text(citation["document"]))[citation["start"] : citation["end"]] == citation["quote"]
        for reply in replies
        for citation in reply["citations"]
    ]
    return float(np.mean(same)) if same else 1.0


async def _refused_when_short(service: Service, questions: Sequence[Question]) -> float:
    """The share refused of short questions made of the rarest one, two and three words of `questions`."""
    made = dict.fromkeys(short(service, question.text, words) for question in questions for words in (1, 2, 3))
    return float(np.mean([is_refused(await service.ask(question)) for question in made if question]))


def short(service: Service, question: str, count: int) -> str:
    """The `count` words of a question that are rarest in the knowledge, as "What is …?"; "" where it has none."""
    rarity = {
        word: max(map(service.idf, terms))
        for word in re.findall(r"[\w'-]+", question)
        if (terms := _ANALYSIS.terms(word))
    }
    kept = sorted(rarity, key=lambda word: -rarity[word])[:count]
    return f"What is {' '.join(word for word in rarity if word in kept)}?" if kept else ""


def is_refused(reply: dict[str, Any]) -> bool:
    return bool(reply["processing_stage"] == NO_RELEVANT_ANSWER)

"""Questions with the signals that a service found for them, to fit the confidence on.

Positive are the answerable questions of a set. Negative are its unanswerable ones, its answerable ones with the
document that answers them taken away, and the same asked over documents of another field. All of them come in short
too, made of their two and three rarest words: a short question has less to go by, which a fit on whole sentences does
not know. A short positive counts only where the right passage is found first, since its words may mean anything else
as well.
"""

import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.evaluation.folders import DataSet, Question
from tests.evaluation.measures import short
from tests.evaluation.service import Service, service

SHORT_WORDS = (2, 3)


@dataclass(frozen=True, slots=True)
class Sample:
    """`kind`: "own" for the set as it is, "left out", "foreign"; with ", short" for a question made shorter."""

    kind: str
    group: str
    positive: bool
    signals: tuple[float, ...]


async def all_samples(data: DataSet, foreign: DataSet, embedding: str | None = None) -> list[Sample]:
    """Every sample of `data`; `foreign` gives documents of another field."""
    with TemporaryDirectory() as home:
        documents = data.lay_out(Path(home) / "own")
        samples = await _ask("own", documents, data.questions, embedding)
        for name in sorted({question.group for question in data.questions if question.answerable}):
            asked = [question for question in data.questions if question.group == name]
            with _without(documents, name) as rest:
                samples += await _ask("left out", rest, asked, embedding)
        return samples + await _ask("foreign", foreign.lay_out(Path(home) / "foreign"), data.questions, embedding)


async def _ask(kind: str, documents: Path, questions: Iterable[Question], embedding: str | None) -> list[Sample]:
    samples: list[Sample] = []
    async with service(documents, embedding) as running:
        for question in questions:
            positive = kind == "own" and question.answerable
            found = await running.search(question.text)
            samples.append(Sample(kind, question.group, positive, astuple(found.signals)))
            samples.extend([one async for one in _shorter(kind, running, question, positive)])
    return samples


async def _shorter(kind: str, running: Service, question: Question, positive: bool) -> AsyncIterator[Sample]:
    for words in SHORT_WORDS:
        if not (text := short(running, question.text, words)):
            continue
        found = await running.search(text)
        if not positive or (found.passages and question.is_met_by(found.passages[0])):
            yield Sample(f"{kind}, short", question.group, positive, astuple(found.signals))


@contextmanager
def _without(documents: Path, name: str) -> Iterator[Path]:
    """A copy of a folder without one file."""
    with TemporaryDirectory() as home:
        rest = Path(home) / "documents"
        shutil.copytree(documents, rest, ignore=lambda _, names: [one for one in names if one == name])
        yield rest

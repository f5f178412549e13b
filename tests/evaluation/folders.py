"""Evaluation data as it lies in folders: documents, and what is asked of them.

Documents are `documents/` (any files that the service reads) or `documents.jsonl` (`{"id", "title", "text"}`).
Questions are either `questions.jsonl` (`{"question", "answers", "document", "paragraph", "answerable"}`) or
`queries.jsonl` (`{"id", "text"}`) with `qrels.tsv` (a header, then `query document grade`; every line is relevant).
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.passages import Passage


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what is right: `relevant` documents (and the heading above the place, where one is told)."""

    text: str
    relevant: frozenset[str]
    section: str | None = None
    answers: tuple[str, ...] = ()
    answerable: bool = True

    def is_met_by(self, passage: Passage) -> bool:
        if passage.document not in self.relevant:
            return False
        return self.section is None or self.section in (passage.section or "").split(" > ")

    @property
    def group(self) -> str:
        """What questions have in common that are not to be on both sides of a cross-validation."""
        return min(self.relevant, default=self.text)


@dataclass(frozen=True, slots=True)
class DataSet:
    """`folder` as a set. `has_answers`: its questions tell answers, or that there is none; else documents only."""

    name: str
    folder: Path
    questions: tuple[Question, ...]
    has_answers: bool

    def lay_out(self, target: Path) -> Path:
        """The folder of documents for a service to read; documents that are lines become files below `target`."""
        if (self.folder / "documents").is_dir():
            return self.folder / "documents"
        target.mkdir(parents=True)
        for number, document in enumerate(lines(self.folder / "documents.jsonl")):
            text = f"# {document.get('title', '')}\n\n{document['text']}\n"
            (target / file_name(number)).write_text(text, "utf-8")
        return target


def find_sets(root: Path) -> Iterator[DataSet]:
    """Every folder at or below `root` that holds documents and questions of one of the two kinds.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted({path.parent for name in ("questions.jsonl", "qrels.tsv") for path in root.rglob(name)})
    if not found:
        raise FileNotFoundError(f"{root} has no questions.jsonl, and no queries.jsonl with qrels.tsv")
    for folder in found:
        name = folder.parent.name if folder.name in ("dev", "test", "held-out", "heldout") else folder.name
        if (folder / "questions.jsonl").is_file():
            yield DataSet(name, folder, tuple(_questions(folder)), has_answers=True)
        else:
            yield DataSet(name, folder, tuple(_queries(folder)), has_answers=False)


def _questions(folder: Path) -> Iterator[Question]:
    files = _file_names(folder)
    for row in lines(folder / "questions.jsonl"):
        answerable = bool(row.get("answerable", True))
        paragraph = row.get("paragraph")
        yield Question(
            row["question"],
            frozenset([files.get(row["document"], row["document"])] if answerable else []),
            None if paragraph is None else str(paragraph),
            tuple(row.get("answers", ())),
            answerable,
        )


def _queries(folder: Path) -> Iterator[Question]:
    files = _file_names(folder)
    relevant: dict[str, set[str]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        relevant.setdefault(query, set()).add(files.get(document, document))
    for row in lines(folder / "queries.jsonl"):
        if row["id"] in relevant:  # what nobody judged cannot be scored
            yield Question(row["text"], frozenset(relevant[row["id"]]))


def _file_names(folder: Path) -> dict[str, str]:
    """The file that a document's id becomes, where documents are lines."""
    path = folder / "documents.jsonl"
    if (folder / "documents").is_dir() or not path.is_file():
        return {}
    return {document["id"]: file_name(number) for number, document in enumerate(lines(path))}


def file_name(number: int) -> str:
    return f"{number:06}.md"


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether `text` holds an answer, apart from case, punctuation, articles and white space (as SQuAD scores)."""
    plain = _plain(text)
    return any(_plain(answer) in plain for answer in answers)


def _plain(text: str) -> str:
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]
    return " ".join(["", *words, ""])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]

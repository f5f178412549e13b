"""The evaluation data as the search index takes it: chunks, questions and what is right."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.knowledge.records import ChunkRecord

_SECTION = re.compile(r"^## (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the rows of the chunks that answer it (none where nothing does), and the answers as they stand."""

    text: str
    relevant: frozenset[int]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    name: str
    chunks: list[ChunkRecord]
    questions: list[Question]


def read_question_answering(folder: Path) -> Corpus:
    """`documents/*.md` and `questions.jsonl`: a chunk is the text under a heading `## n`."""
    chunks: list[ChunkRecord] = []
    places: dict[tuple[str, int], int] = {}
    for path in sorted((folder / "documents").glob("*.md")):
        text = path.read_text("utf-8")
        headings = list(_SECTION.finditer(text))
        for heading, following in zip(headings, [*headings[1:], None], strict=True):
            start, end = _trim(text, heading.end(), following.start() if following else len(text))
            places[path.name, int(heading[1])] = len(chunks)
            title = text.partition("\n")[0].removeprefix("# ")
            chunks.append(chunk(len(chunks), path.name, title, text[start:end], heading[1], start))
    rows = _lines(folder / "questions.jsonl")
    questions = [
        Question(
            row["question"],
            frozenset([places[row["document"], row["paragraph"]]] if row["answerable"] else []),
            tuple(row["answers"]),
        )
        for row in rows
    ]
    return Corpus(folder.parent.name, chunks, questions)


def read_ranking(folder: Path) -> Corpus:
    """`documents.jsonl`, `queries.jsonl` and `qrels.tsv`: a chunk is a document."""
    documents = _lines(folder / "documents.jsonl")
    places = {document["id"]: row for row, document in enumerate(documents)}
    chunks = [chunk(row, one["id"], one["title"], one["text"]) for row, one in enumerate(documents)]
    relevant: dict[str, set[int]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        relevant.setdefault(query, set()).add(places[document])
    questions = [
        Question(query["text"], frozenset(relevant.get(query["id"], ()))) for query in _lines(folder / "queries.jsonl")
    ]
    return Corpus(folder.parent.name, chunks, questions)


def read_curated(path: Path, first_row: int = 0) -> list[ChunkRecord]:
    """A list of `{question, answer}` as chunks of kind "qa"."""
    records = []
    for row, one in enumerate(json.loads(path.read_text("utf-8")), first_row):
        text = f"{one['question']}\n{one['answer']}"
        record = chunk(row, path.name, path.stem, text)
        start = len(text) - len(one["answer"])
        records.append(replace(record, kind="qa", question=one["question"], answer_start=start, answer_end=len(text)))
    return records


def chunk(row: int, document: str, title: str, text: str, section: str | None = None, start: int = 0) -> ChunkRecord:
    return ChunkRecord(row, f"chunk-{row}", document, document, title, section, None, start, start + len(text), text)


def contains(text: str, answers: Sequence[str]) -> bool:
    """Whether `text` holds an answer, apart from case, punctuation, articles and white space (as SQuAD scores)."""
    plain = _plain(text)
    return any(_plain(answer) in plain for answer in answers)


def _plain(text: str) -> str:
    words = [word for word in re.findall(r"\w+", text.lower()) if word not in ("a", "an", "the")]
    return " ".join(["", *words, ""])


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    body = text[start:end]
    return start + len(body) - len(body.lstrip()), start + len(body.rstrip())


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]

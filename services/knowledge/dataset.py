"""Curated sets: questions whose answers somebody wrote, to be given as they stand."""

from dataclasses import dataclass

from services.knowledge.extracted import Block, TextBuilder, storable
from services.knowledge.structured import Mapping, Node, Unquoted


@dataclass(frozen=True, slots=True)
class CuratedEntry:
    question: str
    answer: str


def curated_entries(node: Node) -> list[CuratedEntry] | None:
    """The entries of a list of `{id?, question, answer}` objects; None when it is anything else.

    Further keys are let be and not read. Questions lose their line breaks, answers only the white space around them.
    """
    if not isinstance(node, list) or not node:
        return None
    entries = [_entry(item) for item in node]
    return [entry for entry in entries if entry] if all(entries) else None


def _entry(item: Node) -> CuratedEntry | None:
    if not isinstance(item, Mapping):
        return None
    question, answer = item.get("question"), item.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    if isinstance(question, Unquoted) or isinstance(answer, Unquoted) or not question.strip() or not answer.strip():
        return None
    return CuratedEntry(" ".join(storable(question).split()), storable(answer).strip())


def dataset_text(entries: list[CuratedEntry]) -> TextBuilder:
    """The entries as text, `question\\nanswer\\n\\n` each, one `qa` block an entry."""
    out = TextBuilder()
    for entry in entries:
        start, _ = out.add(entry.question)
        out.add("\n")
        answer_start, answer_end = out.add(entry.answer)
        out.blocks.append(Block("qa", start, answer_end, 0, "", entry.question, answer_start, answer_end))
        out.add("\n\n")
    return out

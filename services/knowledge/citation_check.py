"""Holds citations against the documents: each quote is the exact text at its place, or it is no citation."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from infrastructure.database.engine import Database
from infrastructure.database.patience import patiently
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from services.knowledge.grounding import Citation


class Changes(Protocol):
    """Who counts changes of the knowledge in this process."""

    @property
    def changes(self) -> int: ...


class CitationCheck:
    """Passages are cut from the documents, so a citation made from them holds as long as its document is the same.

    Where this process alone changes documents (SQLite) only what changed since the passages were found is read again;
    else all are.
    """

    def __init__(self, database: Database, knowledge: Changes) -> None:
        self._database = database
        self._knowledge = knowledge

    def mark(self) -> int:
        """How far the knowledge has come."""
        return self._knowledge.changes

    async def check(self, citations: Sequence[Citation], since: int) -> list[Citation]:
        """The citations that hold; one whose text has moved gets its new place."""
        if self._database.is_sqlite and self._knowledge.changes == since:
            return list(citations)
        texts = await patiently(partial(self._texts, citations))
        held = [verified(one, texts[one.document_id]) for one in citations if one.document_id in texts]
        return [one for one in held if one is not None]

    async def _texts(self, citations: Sequence[Citation]) -> dict[str, str]:
        async with self._database.read() as session:
            return await KnowledgeRepository(session).texts(list({one.document_id for one in citations}))


def verified(citation: Citation, text: str) -> Citation | None:
    """The citation, where its quote stands in `text`: at its place, else elsewhere, else but for its white space; None
    where it does not. Its quote is exactly `[start, end)` of `text` afterwards.
    """
    if text[citation.start : citation.end] == citation.quote:
        return citation
    at = text.find(citation.quote) if citation.quote else -1
    if at >= 0:
        return replace(citation, start=at, end=at + len(citation.quote))
    words = citation.quote.split()
    if not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text)
    if found is None:
        return None
    return replace(citation, start=found.start(), end=found.end(), quote=found[0])

"""The library: which documents there are, and what stands in them.

A name is looked up among the documents that were read. It is never a path: whatever it is made of, no file is opened.
"""

from dataclasses import dataclass

from infrastructure.database.engine import Database
from infrastructure.database.models import SHARED
from infrastructure.database.repositories.knowledge import DocumentState, KnowledgeRepository
from infrastructure.errors import NotFound
from services.knowledge.scope import SHARED_SCOPE, Scope

DocumentInfo = DocumentState


@dataclass(frozen=True, slots=True)
class DocumentText:
    """`[start, end)` of a document's text of `total_chars` characters."""

    name: str
    document_id: str
    title: str
    text: str
    start: int
    end: int
    total_chars: int


@dataclass(frozen=True, slots=True)
class KnowledgeStatus:
    """How many documents and chunks can be found; name and reason of each file that could not be read."""

    documents: int
    chunks: int
    failed: tuple[tuple[str, str], ...]
    generation: int


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The documents as they were at one generation."""

    documents: dict[str, DocumentInfo]
    status: KnowledgeStatus


class Library:
    """Keeps the list of documents in memory until `forget` is called; texts are read when asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shelf: _Shelf | None = None
        self._changes = 0

    def forget(self) -> None:
        """The documents have changed: read the list anew when it is next asked for."""
        self._shelf = None
        self._changes += 1

    def follow(self, generation: int) -> None:
        """Forget the list if it is of another generation of the shared knowledge than this one."""
        if self._shelf is not None and self._shelf.status.generation != generation:
            self.forget()

    async def list_documents(self, *, failed: bool = False) -> list[DocumentInfo]:
        """The documents by name; with `failed` also the files that could not be read."""
        documents = (await self._current()).documents.values()
        return [document for document in documents if failed or document.status == "ready"]

    async def documents_in(self, scope: Scope) -> list[DocumentInfo]:
        """The documents that a scope has, those looked at first before the others, else by name."""
        found = list((await self._current()).documents.values()) if SHARED in scope.partitions else []
        if owned := [name for name in scope.partitions if name != SHARED]:
            async with self._database.read() as session:
                repository = KnowledgeRepository(session)
                found += [one for partition in owned for one in await repository.documents(partition)]
        ready = [one for one in found if one.status == "ready" and (scope.only is None or one.id in scope.only)]
        return sorted(ready, key=lambda one: (one.id not in scope.first, one.name))

    async def read_document(
        self,
        name: str,
        start: int = 0,
        end: int | None = None,
        limit: int | None = None,
        scope: Scope = SHARED_SCOPE,
    ) -> DocumentText:
        """Characters `[start, end)` of a document, at most `limit` of them; a range beyond its end is empty.

        Of several of one name it is the one that the scope looks at first, else the owner's own.

        Raises:
            NotFound: the scope has no document of this name, or its file could not be read.
        """
        info = await self._find(name, scope)
        if info is None or info.status != "ready":
            raise NotFound("There is no such document.")
        start = max(start, 0)
        # No document is longer than this, and both databases take it as a length.
        length = max((end if end is not None else 2**31) - start, 0)
        length = min(length, 2**31 - 1, length if limit is None else max(limit, 0))
        async with self._database.read() as session:
            found = await KnowledgeRepository(session).text_range(info.id, min(start, 2**30), length)
        if found is None:
            raise NotFound("There is no such document.")
        text, total = found
        start = min(start, total)
        return DocumentText(info.name, info.id, info.title, text, start, start + len(text), total)

    async def status(self) -> KnowledgeStatus:
        return (await self._current()).status

    async def _find(self, name: str, scope: Scope) -> DocumentInfo | None:
        if scope is SHARED_SCOPE:
            return (await self._current()).documents.get(name)
        named = [one for one in await self.documents_in(scope) if one.name == name]
        return min(named, key=lambda one: (one.id not in scope.first, one.partition == SHARED), default=None)

    async def _current(self) -> _Shelf:
        if self._shelf is not None:
            return self._shelf
        changes = self._changes
        async with self._database.read() as session:
            repository = KnowledgeRepository(session)
            await repository.freeze()
            shelf = _shelf(await repository.documents(), await repository.generation())
        if changes == self._changes:  # else it changed while it was read: true for this caller, stale for the next
            self._shelf = shelf
        return shelf


def _shelf(documents: list[DocumentInfo], generation: int) -> _Shelf:
    ready = [document for document in documents if document.status == "ready"]
    failed = tuple((d.name, d.error_message or "") for d in documents if d.status == "failed")
    status = KnowledgeStatus(len(ready), sum(document.chunks_count for document in ready), failed, generation)
    return _Shelf({document.name: document for document in documents}, status)

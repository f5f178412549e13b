"""Deleting uploads: the rows first, then what search, caches and storage have of them.

When it returns, no search finds the file, its text is nowhere, and its bytes are gone. A crash in between leaves an
index that is older than the database says, which is built anew, and bytes without a row, which the sweep finds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from infrastructure.database.engine import Database
from infrastructure.database.repositories.files import FileRepository, IndexedTexts
from infrastructure.database.repositories.knowledge import KnowledgeRepository
from infrastructure.database.repositories.partitions import PartitionRepository
from services.file_storage import FileStorage
from services.file_uploads import storage_key
from services.knowledge.records import index_text
from services.knowledge.scope import partition_of

AT_ONCE = 20  # files that one transaction removes: their texts are in memory until it ends

ForgetTexts = Callable[[Sequence[str]], Awaitable[None]]
"""Drops what caches keep of texts."""


class Index(Protocol):
    """What search looks into."""

    async def withdraw(self, partition: str, rows: Sequence[int], *, generation: int) -> None:
        """Have no search find these chunks from now on; `generation` is the partition's, of the commit that removed
        them. Rows that are not there are no fault."""


@dataclass(slots=True)
class _Removed:
    """What is gone from the database, and has to go elsewhere."""

    keys: list[str] = field(default_factory=list)
    rows: dict[str, list[int]] = field(default_factory=dict)  # by partition
    generations: dict[str, int] = field(default_factory=dict)
    texts: list[IndexedTexts] = field(default_factory=list)


class Removal:
    """Removes files from everywhere. `on_removed` is told after the commit, before anything else is done."""

    def __init__(
        self, database: Database, storage: FileStorage, index: Index, forget: ForgetTexts, *,
        on_removed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._database = database
        self._storage = storage
        self._index = index
        self._forget = forget
        self._on_removed = on_removed

    async def remove(self, file_ids: Sequence[str], owner: str | None) -> int:
        """Delete those of the files that `owner` may reach; how many it were.

        Raises:
            StorageUnavailable: the bytes could not be removed; everything else is gone, and the sweep will try again.
        """
        count = 0
        for at in range(0, len(file_ids), AT_ONCE):
            async with self._database.write() as session:
                removed = await _remove_rows(session, file_ids[at : at + AT_ONCE], owner)
            count += len(removed.keys)
            self._on_removed()
            await asyncio.shield(self._clear(removed))  # half of it would leave what can still be found
        return count

    async def _clear(self, removed: _Removed) -> None:
        for partition, rows in removed.rows.items():
            await self._index.withdraw(partition, rows, generation=removed.generations[partition])
        for texts in removed.texts:
            await self._forget(_pieces(texts))
        for key in removed.keys:
            await self._storage.delete(key)


async def _remove_rows(session: AsyncSession, file_ids: Sequence[str], owner: str | None) -> _Removed:
    files, knowledge, removed = FileRepository(session), KnowledgeRepository(session), _Removed()
    documents: dict[str, list[str]] = {}
    locked = await files.lock(file_ids, owner)
    for file_id, of_owner in locked:
        removed.keys.append(storage_key(file_id))
        texts = await files.indexed_texts(file_id)
        if texts is None:
            continue
        removed.texts.append(texts)
        rows = await knowledge.remove(file_id)
        partition = partition_of(file_id, of_owner)
        removed.rows.setdefault(partition, []).extend(rows)
        documents.setdefault(partition, []).append(file_id)
    for partition, gone in documents.items():
        removed.generations[partition] = await knowledge.next_generation(partition, gone)
    if ended := [partition_of(file_id, None) for file_id, of_owner in locked if of_owner is None]:
        await PartitionRepository(session).forget(ended)
    await files.remove([file_id for file_id, _ in locked])
    return removed


def _pieces(texts: IndexedTexts) -> list[str]:
    """The texts that were embedded: of each chunk, and the question that it answers."""
    found = [index_text(texts.title, section, texts.text[start:end]) for section, start, end, _ in texts.pieces]
    return found + [question for *_, question in texts.pieces if question]

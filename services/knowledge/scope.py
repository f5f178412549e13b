"""What a search may see."""

from dataclasses import dataclass

from infrastructure.database.models import SHARED

NO_DOCUMENTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """The partitions that a search looks into; it never meets what is in another.

    `only`: ids of documents that it keeps to within these; None for all of them. `first`: ids of documents whose
    passages come before others', where they have an answer.
    """

    partitions: tuple[str, ...]
    only: frozenset[str] | None = None
    first: frozenset[str] = NO_DOCUMENTS


SHARED_SCOPE = Scope((SHARED,))


def partition_of(file_id: str, owner: str | None) -> str:
    """The partition that an upload is in: its owner's, or one of its own."""
    return owner if owner is not None else file_id

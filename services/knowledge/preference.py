"""What is found where one looks first, before what is found elsewhere."""

from dataclasses import replace

from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.retrieval import Retrieval

_SURE_OF_CURATED = 0.95  # a curated question as close as this is the one asked, whatever else there is


def prefer(first: Retrieval, everywhere: Retrieval, limit: int) -> Retrieval:
    """`first`'s passages, then the others of `everywhere`, where `first` supports an answer; else `everywhere`.

    A curated answer from elsewhere gives way to what was looked at first, unless it is to the very same question.
    """
    if first.confidence < ANSWER_THRESHOLD:
        return everywhere
    known = {passage.chunk_id for passage in first.passages}
    others = tuple(passage for passage in everywhere.passages if passage.chunk_id not in known)
    curated = everywhere.curated
    if first.curated or (curated and curated.similarity < _SURE_OF_CURATED):
        curated = first.curated
    return replace(
        first, passages=(first.passages + others)[:limit], curated=curated, took_ms=first.took_ms + everywhere.took_ms
    )

"""Texts in the groups in which a server takes them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`texts` and `chars` (code points) are for one request; what is longer than `text_chars` is cut there."""

    texts: int = 64
    chars: int = 200_000  # OpenAI takes 300,000 tokens a request; a character is hardly ever more than one
    text_chars: int = 20_000


def batches(texts: Sequence[str], limits: BatchLimits) -> Iterator[list[str]]:
    """All of `texts` in their order, in groups within `limits`."""
    group: list[str] = []
    size = 0
    for text in texts:
        if group and (len(group) == limits.texts or size + len(text) > limits.chars):
            yield group
            group, size = [], 0
        group.append(text)
        size += len(text)
    if group:
        yield group

"""The readers of markup and of structured text, in one form."""

from services.knowledge.dataset import curated_entries, dataset_text
from services.knowledge.extracted import Reading
from services.knowledge.markdown import markdown_blocks
from services.knowledge.markup import html_blocks
from services.knowledge.readers.limits import ReadingLimits
from services.knowledge.readers.plain import read_source
from services.knowledge.structured import Node, flatten, title_of
from services.knowledge.structured import read_json as json_node
from services.knowledge.structured import read_yaml as yaml_nodes

MANY_NODES = 2_000_000
"""A node takes some 250 bytes; so many, with a copy of them, half of the memory that a reader has."""


def read_markdown(text: str, limits: ReadingLimits) -> Reading:
    return Reading(text, *markdown_blocks(text))


def read_html(text: str, limits: ReadingLimits) -> Reading:
    out, title = html_blocks(text, limits.text_chars)
    return out.reading(title)


def read_json(text: str, limits: ReadingLimits) -> Reading:
    if _has_many_nodes(text):
        return read_source(text, limits)
    node = json_node(text)
    entries = curated_entries(node)
    return dataset_text(entries).reading() if entries else _nodes([node], text, limits)


def read_yaml(text: str, limits: ReadingLimits) -> Reading:
    if _has_many_nodes(text):
        return read_source(text, limits)
    return _nodes(yaml_nodes(text), text, limits)


def _has_many_nodes(text: str) -> bool:
    """Whether a tree of it would be too large; then the text stays as it is written."""
    return text.count(",") + text.count(":") > MANY_NODES


def _nodes(nodes: list[Node], text: str, limits: ReadingLimits) -> Reading:
    # Paths are repeated on every line, which makes a text several times longer; aliases make it endlessly so.
    out = flatten(nodes, min(100_000 + 10 * len(text), limits.text_chars))
    return out.reading(title_of(nodes[0]) if nodes else None)

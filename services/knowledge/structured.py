"""JSON and YAML: read without making objects of them, and written out as lines that can be read alone.

    servers:
      - name: web          servers > name: web
        port: 8000    ->   servers > port: 8000

Scalars stay as they are written (`1.10`, `yes`, `2026-11-21`), keys keep their order, and doubled keys stay doubled.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import yaml

from infrastructure.errors import KnowledgeError
from services.knowledge.extracted import TextBuilder

MAX_DEPTH = 64
_LONGEST_INLINE_LIST = 200  # characters


class Unquoted(str):
    """A number, true, false or null: its spelling."""

    __slots__ = ()


@dataclass(slots=True)
class Mapping:
    pairs: "list[tuple[str, Node]]" = field(default_factory=list)

    def get(self, key: str) -> "Node | None":
        return next((value for name, value in self.pairs if name == key), None)


Node = str | list["Node"] | Mapping


def read_json(text: str) -> Node:
    """A JSON text as nodes.

    Raises:
        KnowledgeError: not valid JSON, or nested too deep.
    """
    try:
        loaded = json.loads(
            text,
            object_pairs_hook=lambda pairs: Mapping(pairs),
            parse_int=Unquoted,
            parse_float=Unquoted,
            parse_constant=Unquoted,
        )
    except json.JSONDecodeError as error:
        raise KnowledgeError(f"not valid JSON (line {error.lineno})") from error
    except RecursionError:
        raise KnowledgeError("nested too deep") from None
    return _without_constants(loaded, 0)


def _without_constants(node: object, depth: int) -> Node:
    """`node` with true, false and null as words, for json has no hook for these three."""
    _check_depth(depth)
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return [_without_constants(item, depth + 1) for item in node]
    if isinstance(node, Mapping):
        return Mapping([(key, _without_constants(value, depth + 1)) for key, value in node.pairs])
    return Unquoted(json.dumps(node))


def read_yaml(text: str) -> list[Node]:
    """The documents of a YAML text as nodes. Tags mean nothing here; an alias is the node that it names.

    Raises:
        KnowledgeError: not valid YAML, nested too deep, or an alias within what it names.
    """
    documents: list[Node] = []
    builder = _YamlTree(documents)
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise KnowledgeError("not valid YAML" + (f" (line {mark.line + 1})" if mark else "")) from error
    except RecursionError:
        raise KnowledgeError("nested too deep") from None
    return documents


class _YamlTree:
    """Builds nodes from the parser's events: nothing here recurses, so no nesting can exhaust the stack."""

    def __init__(self, documents: list[Node]) -> None:
        self._documents = documents
        self._open: list[tuple[list[Node] | Mapping, str | None]] = []  # containers and the names that anchor them
        self._keys: list[str | None] = []  # of each open container: the key that waits for its value
        self._anchors: dict[str, Node] = {}

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
        elif isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style else Unquoted(event.value)
            if event.anchor:
                self._anchors[event.anchor] = value
            self._place(value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise KnowledgeError("a YAML alias names nothing before it")
            self._place(self._anchors[event.anchor])
        elif isinstance(event, yaml.CollectionStartEvent):
            _check_depth(len(self._open))
            self._anchors.pop(event.anchor or "", None)
            self._open.append(([] if isinstance(event, yaml.SequenceStartEvent) else Mapping(), event.anchor))
            self._keys.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            node, anchor = self._open.pop()
            self._keys.pop()
            if anchor:
                self._anchors[anchor] = node
            self._place(node)

    def _place(self, node: Node) -> None:
        if not self._open:
            self._documents.append(node)
            return
        parent = self._open[-1][0]
        if isinstance(parent, list):
            parent.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = node if isinstance(node, str) else "…"  # a key that is no scalar has no short name
        else:
            parent.pairs.append((self._keys[-1], node))
            self._keys[-1] = None


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise KnowledgeError(f"nested more than {MAX_DEPTH} deep")


def title_of(node: Node) -> str | None:
    """The value of a key `title` or `name` at the top."""
    if not isinstance(node, Mapping):
        return None
    found = (node.get(key) for key in ("title", "name"))
    return next((" ".join(value.split()) for value in found if isinstance(value, str) and value.strip()), None)


def flatten(nodes: list[Node], max_chars: int) -> TextBuilder:
    """Nodes as lines `path > key: value`; what is one entry is one block.

    Raises:
        KnowledgeError: more than `max_chars` would come out, as of aliases that name aliases ("billion laughs").
    """
    out = TextBuilder()
    lines: list[str] = []
    spent = 0
    for line in chain.from_iterable(chain(_lines(node, "", 0), ("",)) for node in nodes):
        spent += len(line) + 1
        if spent > max_chars:
            raise KnowledgeError("its entries repeat each other too often, or their keys are too long")
        if line:
            lines.append(line)
        elif lines:
            out.block("lines", "\n".join(lines))
            lines = []
    return out


def _lines(node: Node, path: str, depth: int) -> Iterator[str]:
    """The lines of a node; an empty one ends a block. Every node gives at least one, so that each is counted."""
    _check_depth(depth)
    if isinstance(node, str):
        yield _line(path, node)
    elif isinstance(node, Mapping):
        for key, value in node.pairs:
            apart = depth == 0 and not isinstance(value, str)
            if apart:
                yield ""
            yield from _lines(value, _join(path, "" if key == "<<" else " ".join(key.split())), depth + 1)
            if apart:
                yield ""
        yield from () if node.pairs else ("",)
    elif _is_inline(node):
        yield _line(path, ", ".join(" ".join(str(item).split()) for item in node))
    else:
        for item in node:
            if not isinstance(item, str):
                yield ""
            yield from _lines(item, path, depth + 1)
        yield ""


def _is_inline(items: list[Node]) -> bool:
    """Whether a list is short enough for one line."""
    if not items or not all(isinstance(item, str) for item in items):
        return False
    return sum(len(str(item)) + 2 for item in items) <= _LONGEST_INLINE_LIST


def _line(path: str, value: str) -> str:
    value = value.strip()
    return f"{path}: {value}".rstrip() if path else value


def _join(path: str, key: str) -> str:
    return f"{path} > {key}" if path and key else path or key

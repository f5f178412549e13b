"""What a tool gave back, as text for a model: bounded, with pictures and files named and not inlined."""

import json
from collections.abc import Iterable
from typing import Any

MAX_TEXT_CHARS = 24_000
MAX_NAME_CHARS = 200
NOTHING = "(The tool gave nothing back.)"


def text_of(result: Any) -> str:
    """The text of a `CallToolResult`. Structured content stands for the rest where there is no other."""
    parts = list(_parts(result.content))
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)[:MAX_TEXT_CHARS]]
    return "\n".join(parts)[:MAX_TEXT_CHARS].strip() or NOTHING


def _parts(content: Iterable[Any]) -> Iterable[str]:
    left = MAX_TEXT_CHARS
    for block in content:
        if left <= 0:
            return
        part = _part(block)[:left]
        left -= len(part)
        yield part


def _part(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return text if isinstance(text, str) else f"(A file: {_name(block.resource.uri, block.resource.mime_type)})"
    if block.type == "resource_link":
        return f"(A file: {_name(block.uri, block.mime_type)})"
    return f"(A {block.type}: {_name('', block.mime_type)})"


def _name(uri: object, mime_type: str | None) -> str:
    return " ".join(f"{uri} {mime_type or ''}".split())[:MAX_NAME_CHARS]

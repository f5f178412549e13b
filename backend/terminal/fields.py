"""Fields of what a service sent, by type. What is missing, or is not of that type, is as if it were empty."""

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]


def text_of(fields: Fields, name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def whole_of(fields: Fields, name: str) -> int:
    value = fields.get(name)
    return value if type(value) is int else 0


def number_of(fields: Fields, name: str) -> float | None:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def objects_of(fields: Fields, name: str) -> list[dict[str, Any]]:
    value = fields.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []

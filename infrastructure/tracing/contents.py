"""Prompts and answers as attributes: only where an operator asked for them, cut, and without what looks like a key."""

from collections.abc import Iterable

import orjson

from infrastructure.logging import HIDDEN, SECRET_TEXT
from infrastructure.providers.types import Message

MAX_TEXT = 8192
"""Characters of one text."""
MAX_MESSAGES = 40
"""The newest ones are told."""


def told(text: str) -> str:
    """`text` as it may leave."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…"
    return SECRET_TEXT.sub(HIDDEN, text).encode("utf-8", "replace").decode()


def plain_messages(messages: Iterable[Message]) -> str:
    """As chat endpoints take them, in JSON."""
    return orjson.dumps([{"role": each.role, "content": told(each.content)} for each in _newest(messages)]).decode()


def gen_ai_messages(messages: Iterable[Message]) -> str:
    """As OpenTelemetry's GenAI conventions have `gen_ai.input.messages`, in JSON."""
    return orjson.dumps(
        [{"role": each.role, "parts": [{"type": "text", "content": told(each.content)}]} for each in _newest(messages)]
    ).decode()


def _newest(messages: Iterable[Message]) -> list[Message]:
    return list(messages)[-MAX_MESSAGES:]

"""A chat as a Markdown document.

Texts stay in their place: what a user wrote is a block of plain text, exactly as it was sent; an answer, which is
Markdown itself, is a quotation. An answer that could reach out of its quotation is shown as plain text too.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from markdown_it import MarkdownIt

from infrastructure.database.repositories.chats import ChatView
from infrastructure.database.repositories.messages import MessageView

MAX_PARSED_CHARS = 20_000  # of one answer: 0.25 s for Markdown at its worst ("![" again and again)
MAX_PARSED_CHARS_IN_ALL = 400_000  # what is longer, or comes behind so much, is shown as plain text
UNTITLED = "Conversation"
_WHO = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # each may have a backslash before it, by CommonMark
_BACKTICKS = re.compile("`+")


def to_markdown(chat: ChatView, messages: Sequence[MessageView]) -> str:
    """The document: the title, then each message under a heading with its time, and below an answer its sources."""
    check = _Check()
    parts = [f"# {_line(chat.title or '') or UNTITLED}", f"Begun {_time(chat.created_at)}."]
    for message in messages:
        parts.extend(_message(message, check))
    return "\n\n".join(parts) + "\n"


class _Check:
    """Tells which quotations stay inside themselves, by parsing them."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark").enable("table")
        self._left = MAX_PARSED_CHARS_IN_ALL

    def stays_inside(self, quoted: str) -> bool:
        """Whether it has neither HTML, which knows no quotations, nor link definitions, which hold everywhere."""
        if len(quoted) > min(MAX_PARSED_CHARS, self._left):
            return False
        self._left -= len(quoted)
        env: dict[str, Any] = {}
        tokens = self._parser.parse(quoted, env)
        kinds = {child.type for token in tokens for child in (token, *(token.children or ()))}
        return not env.get("references") and not kinds & {"html_block", "html_inline"}


def _message(message: MessageView, check: _Check) -> Iterator[str]:
    yield f"## {_WHO.get(message.role, 'Message')}, {_time(message.created_at)}"
    if message.status != "complete":
        yield "*This answer was not finished.*" if message.status == "incomplete" else "*This answer failed.*"
    if message.content.strip():
        quoted = _quoted(message.content)
        yield quoted if message.role == "assistant" and check.stays_inside(quoted) else _plain(message.content)
    if message.citations:
        yield "Sources:"
        yield "\n".join(_source(citation) for citation in message.citations)


def _source(citation: dict[str, Any]) -> str:
    """One source under the number that the answer's markers have. (A list's own numbers have no gaps.)"""
    place = _line(str(citation.get("document", "")))
    if citation.get("section"):
        place += f", {_line(str(citation['section']))}"
    if citation.get("page"):
        place += f", page {citation['page']}"
    return f"- \\[{citation.get('id', '')}\\] {place}: “{_line(str(citation.get('quote', '')))}”"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line.strip() else ">" for line in text.splitlines())


def _plain(text: str) -> str:
    """A fenced block, whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _line(text: str) -> str:
    """`text` on one line, meaning nothing but itself."""
    return _PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

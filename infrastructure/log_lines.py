"""How an event becomes a line: JSON, or text for people. No value can begin a line, move the cursor or break either."""

import json
import re
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What ends a line, speaks to a terminal (ESC and the C1 controls), turns the writing direction, or is no character."""
LEFT_BY_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TRACEBACK_MARK = "  | "  # before each line of a traceback, so that none passes for an event's


def json_line() -> Processor:
    return structlog.processors.JSONRenderer(_json)


def console_line() -> tuple[Processor, ...]:
    """Coloured text; a traceback's lines are marked, and without local variables."""
    return _shown, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def escaped(text: str) -> str:
    """`text` on one line, with whatever could do harm written out."""
    return HARMFUL.sub(_written_out, text) if not text.isprintable() else text


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def _shown(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in event.items():
        if name in ("exception", "stack") and isinstance(value, str):
            event[name] = "\n".join(f"{TRACEBACK_MARK}{escaped(line)}" for line in value.split("\n"))
        elif isinstance(value, str):
            event[name] = escaped(value)
        elif value is not None and not isinstance(value, int | float):
            event[name] = escaped(repr(value))
    return event


def _json(event: dict[str, Any], **_: Any) -> str:
    try:
        line = orjson.dumps(event, default=repr).decode()
    except TypeError:  # what JSON has no word for: a lone surrogate, a number of more than 64 bits, a key that is none
        return json.dumps(event, default=repr, skipkeys=True)
    return line if line.isascii() else LEFT_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", line)

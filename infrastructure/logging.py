"""structlog: JSON lines in production and wherever nobody looks, colours at a terminal. One line an event.

Loggers of libraries (uvicorn, asyncio, alembic …) go through the same formatter.
"""

import json
import logging
import logging.handlers
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LOG_FILE_BYTES = 10 * 1024 * 1024
LOG_FILES = 5
SECRET_NAME = re.compile(r"(authorization|api[_-]?key|token|secret|password|cookie)$", re.IGNORECASE)
SECRET_TEXT = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|ask)[-_][A-Za-z0-9_-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*)|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
NOISY = ("uvicorn.access", "watchfiles", "httpx", "httpcore", "alembic", "aiosqlite", "markdown_it", "websocket")
MAX_DEPTH = 6  # of values inside values
HIDDEN = "[hidden]"


def configure_logging(
    level: str = "INFO", format: Literal["json", "console"] | None = None, folder: Path | None = None
) -> None:
    """Set up structlog and the standard library's root logger, once a process.

    `format` None means console where stdout is a terminal, else JSON. With `folder` lines go to
    `folder/askgraph.log` as well, rotated at 10 MiB, five files kept.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    # What no line says need not be found out (the standard library's own advice): a line costs a third less so.
    logging._srcfile = None  # documented there, though its name is private
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    console = format == "console" or (format is None and sys.stdout.isatty())
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    handlers[0].setFormatter(_formatter(shared, console))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            folder / "askgraph.log", maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8"
        )
        file.setFormatter(_formatter(shared, console=False))
        handlers.append(file)
    logging.basicConfig(handlers=handlers, level=level, force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_without_handshakes)


def _without_handshakes(record: logging.LogRecord) -> bool:
    """uvicorn's own lines on WebSocket handshakes show query strings; the access log has a line for each already."""
    return not str(record.msg).startswith('%s - "WebSocket')


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace values that are secrets by their name, and keys and bearer tokens inside texts."""
    for name, value in event.items():
        event[name] = _hidden(name, value, MAX_DEPTH)
    return event


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _hidden(name: object, value: Any, depth: int) -> Any:
    if isinstance(name, str) and _is_secret(name):
        return HIDDEN
    if isinstance(value, str):
        return SECRET_TEXT.sub(HIDDEN, value)
    if isinstance(value, dict) and depth:
        return {key: _hidden(key, inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_hidden(None, inner, depth - 1) for inner in value]
    return value


def _formatter(shared: Sequence[Processor], console: bool) -> logging.Formatter:
    last: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)  # no local variables
        if console
        else structlog.processors.JSONRenderer(_json)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=list(shared),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            hide_secrets,
            last,
        ],
    )


def _json(event: dict[str, Any], **_: Any) -> str:
    try:
        return orjson.dumps(event, default=repr).decode()
    except TypeError:  # what JSON has no word for: a lone surrogate, a number of more than 64 bits, a key that is none
        return json.dumps(event, default=repr, skipkeys=True)

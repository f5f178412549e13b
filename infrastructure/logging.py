"""structlog: JSON lines in production and wherever nobody looks, colours at a terminal. One line an event.

Loggers of libraries (uvicorn, asyncio, alembic …) go through the same formatter.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import structlog
from structlog.typing import Processor

from infrastructure.log_files import LogFile, Stdout
from infrastructure.log_ids import add_ids
from infrastructure.log_lines import console_line, json_line
from infrastructure.log_secrets import HIDDEN, SECRET_TEXT, hide_secrets, hider
from infrastructure.log_warnings import log_warnings

__all__ = ["HIDDEN", "SECRET_TEXT", "configure_logging", "hide_secrets"]

OURS = ("access", "agents", "backend", "infrastructure", "middleware", "services")
NOISY = ("uvicorn.access", "watchfiles", "httpx", "httpcore", "alembic", "aiosqlite", "markdown_it", "websocket")

log = structlog.get_logger(__name__)


def configure_logging(
    level: str = "INFO",
    format: Literal["json", "console"] | None = None,
    folder: Path | None = None,
    secrets: Iterable[str] = (),
) -> None:
    """Set up structlog and the standard library's root logger, once a process.

    `format` None means console where stdout is a terminal, else JSON. With `folder` lines go to
    `folder/askgraph.log` as well, rotated at 10 MiB, five files kept; where that cannot be written, an error line says
    so and stdout has them alone. `secrets` are hidden wherever they stand, besides what looks like one. DEBUG is for
    the service's own loggers: libraries say there what they send and get, which is people's.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_ids,
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
    hide = hider(secrets)
    for former in [handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile)]:
        former.close()  # it would keep the file's name to itself
    console = format == "console" or (format is None and sys.stdout.isatty())
    handlers: list[logging.Handler] = [Stdout()]
    handlers[0].setFormatter(_formatter(shared, hide, console))
    fault = _add_file(handlers, folder, _formatter(shared, hide, console=False)) if folder is not None else None
    logging.basicConfig(handlers=handlers, level="INFO" if level == "DEBUG" else level, force=True)
    for ours in OURS:
        logging.getLogger(ours).setLevel(level)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_without_handshakes)
    log_warnings()
    if fault is not None:
        log.error("LOG_DIR cannot be written: lines go to stdout only", error=type(fault).__name__)


def _add_file(handlers: list[logging.Handler], folder: Path, formatter: logging.Formatter) -> OSError | None:
    try:
        file = LogFile(folder)
    except OSError as error:
        return error
    file.setFormatter(formatter)
    handlers.append(file)
    return None


def _without_handshakes(record: logging.LogRecord) -> bool:
    """uvicorn's own lines on WebSocket handshakes show query strings; the access log has a line for each already."""
    return not str(record.msg).startswith('%s - "WebSocket')


def _formatter(shared: Sequence[Processor], hide: Processor, console: bool) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=list(shared),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            hide,
            *(console_line() if console else (json_line(),)),
        ],
    )

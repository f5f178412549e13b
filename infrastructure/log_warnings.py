"""Python's warnings as log lines. Libraries show in them the values that they wonder at, which may be anybody's."""

import warnings
from pathlib import Path
from typing import TextIO

import structlog

log = structlog.get_logger(__name__)


def log_warnings() -> None:
    """From now on a warning is a line that says its kind and its place, not its text."""
    warnings.showwarning = _say


def _say(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    log.warning("a library warns", kind=category.__name__, module=Path(filename).stem, line=lineno)

"""Numbers behind metrics: in memory, or in files that all workers of a service share.

Which of the two is prometheus_client's choice: files where PROMETHEUS_MULTIPROC_DIR was in the environment when the
library was first imported.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from prometheus_client import values

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Value(Protocol):
    """One number, of this process."""

    def inc(self, amount: float) -> None: ...

    def get(self) -> float: ...


def shared_folder() -> Path | None:
    """Where the workers' files are; None: there is one process, and its numbers are in memory."""
    kinds = cast(Any, values)
    return Path(os.environ[FOLDER_VARIABLE]) if kinds.ValueClass._multiprocess else None  # all that says which it is


def new_value(
    kind: str, family: str, name: str, labels: Sequence[str], label_values: Sequence[str], documentation: str
) -> Value:
    """A number of the metric `family` (`kind` is counter or histogram), exposed as `name` with those labels."""
    make = cast(Any, values).ValueClass
    return cast(Value, make(kind, family, name, tuple(labels), tuple(label_values), documentation))


def check_shared_folder() -> None:
    """
    Raises:
        OSError: the folder that the workers share cannot be made or written.
    """
    if name := os.environ.get(FOLDER_VARIABLE):
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError

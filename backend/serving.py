"""`askgraph serve` with several workers: what is to be there before the first of them starts."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog

from backend.accepting import BACKLOG
from backend.log_secrets import secret_values
from backend.settings import Settings
from backend.workers import EXTRA_SECONDS, Workers
from infrastructure.logging import configure_logging
from infrastructure.shared_values import FOLDER_VARIABLE
from infrastructure.worker_files import WorkerFiles

log = structlog.get_logger()
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a host's second address, say, where there is no IPv6


def serve_with_workers(settings: Settings) -> int:
    """Serve with WEB_CONCURRENCY workers until a signal ends it; the exit status.

    Raises:
        OSError: HOST and PORT cannot be listened on, or there is no folder for the workers' metrics.
    """
    configure_logging(settings.log_level, settings.log_style, None, secret_values(settings))  # LOG_DIR is the workers'
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen(settings.host, settings.port)]
        folder = stack.enter_context(_metrics_folder())
        environment = {**os.environ, FOLDER_VARIABLE: str(folder)}
        host, port = listeners[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        log.info(f"running on http://{shown}:{port}", workers=settings.web_concurrency)
        seconds = settings.shutdown_grace_seconds + EXTRA_SECONDS
        return Workers(settings.web_concurrency, listeners, environment, seconds).run()


def listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket on each address that `host` names; on all there are where it is empty.

    Raises:
        OSError: there is no such address, or somebody else listens there.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    with ExitStack() as stack:
        for family, address in dict.fromkeys((info[0], info[4]) for info in found):
            try:
                listeners.append(stack.enter_context(_listener(family, address)))
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error
        if missing is not None and not listeners:
            raise missing
        stack.pop_all()
    return listeners


def _listener(family: int, address: Any) -> socket.socket:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        stack.pop_all()
    return listener


@contextmanager
def _metrics_folder() -> Iterator[Path]:
    """Where the workers share their numbers; the parent's part in it, so that sums outlive the last worker."""
    with ExitStack() as stack:
        named = os.environ.get(FOLDER_VARIABLE)
        folder = Path(named or stack.enter_context(tempfile.TemporaryDirectory(prefix="askgraph-")))
        files = WorkerFiles(folder)
        stack.callback(files.close)
        yield folder

"""One of several workers that share a port: started by `backend.workers`, and ended when that is gone."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import NoReturn

from backend.worker_table import WorkerTable

IGNORED = (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU)  # orders to the parent, which a terminal sends to all


def main(arguments: Sequence[str]) -> None:
    """Serve on inherited descriptors until told to end.

    Args:
        arguments: the row in the table, the table's descriptor, a pipe's that ends with the parent, the most seconds
            that ending may take; then the listening sockets'.
    """
    row, table, parent, seconds, *listeners = arguments
    for order in IGNORED:
        signal.signal(order, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(int(parent), float(seconds)), name="parent", daemon=True).start()

    import structlog

    from backend.accepting import Seat
    from backend.main import create_app
    from backend.server import Life, Server, server_config
    from backend.settings import Settings

    structlog.contextvars.bind_contextvars(worker=os.getpid())
    settings = Settings()
    app = create_app(settings)
    seat = Seat(WorkerTable(int(table)), int(row))
    Server(server_config(app, settings), Life(app), seat).run([socket.socket(fileno=int(each)) for each in listeners])


def end_with(parent: int, seconds: float) -> NoReturn:
    """Wait until nobody holds the pipe's other end, then end as on SIGTERM, in so many seconds at most."""
    while os.read(parent, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])

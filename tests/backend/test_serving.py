"""What there is before the first of several workers starts, and what a worker makes of what it inherits."""

import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from backend import serving, worker
from backend.server import Server
from backend.settings import Settings
from backend.worker_table import Stage, WorkerTable
from infrastructure.shared_values import FOLDER_VARIABLE


class Parent:
    """Takes what `Workers` is given, and looks at it while it is there."""

    given: tuple[Any, ...]
    connected = False
    files: list[str]

    def __init__(self, *given: Any) -> None:
        Parent.given = given

    def run(self) -> int:
        _, listeners, environment, _ = self.given
        with socket.create_connection(listeners[0].getsockname()[:2]):
            Parent.connected = True
        Parent.files = [file.name for file in Path(environment[FOLDER_VARIABLE]).iterdir()]
        return 7


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, port=0, data_dir=tmp_path, shutdown_grace_seconds=3, log_format="json")


@pytest.fixture(autouse=True)
def _parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "Workers", Parent)
    monkeypatch.setattr(serving, "configure_logging", lambda *given: None)


def environment_given() -> Mapping[str, str]:
    return dict(Parent.given[2])


def test_workers_get_a_port_and_a_folder_of_their_own(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    assert serving.serve_with_workers(settings) == 7
    assert Parent.connected
    assert f"{os.getpid()}.alive" in Parent.files
    assert not Path(environment_given()[FOLDER_VARIABLE]).exists()
    assert Parent.given[0] == settings.web_concurrency
    assert Parent.given[3] > settings.shutdown_grace_seconds


def test_a_folder_that_is_named_stays(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "numbers"))
    serving.serve_with_workers(settings)
    assert environment_given()[FOLDER_VARIABLE] == str(tmp_path / "numbers")
    assert (tmp_path / "numbers").is_dir()


def test_a_worker_serves_on_what_it_inherits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    begun: list[tuple[Any, ...]] = []
    served: list[tuple[str, int]] = []
    ignored: list[int] = []

    class Thread:
        def __init__(self, *, target: Any, args: tuple[Any, ...], **more: Any) -> None:
            begun.append(args)

        def start(self) -> None: ...

    def run(server: Server, sockets: Sequence[socket.socket]) -> None:
        for each in sockets:
            served.append(each.getsockname()[:2])
            each.close()
        assert server._seat is not None
        server._seat.ready()

    monkeypatch.setattr(threading, "Thread", Thread)
    monkeypatch.setattr(Server, "run", run)
    monkeypatch.setattr(signal, "signal", lambda number, handler: ignored.append(number))
    table = WorkerTable()
    (listener,) = serving.listen("127.0.0.1", 0)
    row = table.claim()
    with listener:
        given = [str(row), str(table.file), "99", "2.5", str(os.dup(listener.fileno()))]
        copy_context().run(worker.main, given)  # from then on it says its number in every line
        assert served == [listener.getsockname()]
    assert begun == [(99, 2.5)]
    assert set(ignored) == set(worker.IGNORED)
    assert table.stage(row) is Stage.READY


def test_a_worker_ends_when_nobody_holds_the_pipe_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, ...]] = []

    class Ended(BaseException):
        """The process is no more."""

    def leave(status: int) -> None:
        told.append(("exit", status))
        raise Ended

    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: told.append(("sleep", seconds)))
    monkeypatch.setattr(os, "_exit", leave)
    end, held = os.pipe()
    os.write(held, b"x")
    os.close(held)
    with pytest.raises(Ended):
        worker.end_with(end, 2.5)
    os.close(end)
    assert told == [(os.getpid(), signal.SIGTERM), ("sleep", 2.5), ("exit", 1)]

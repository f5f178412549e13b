"""Log lines: one an event, without secrets, and not to be forged."""

import io
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from infrastructure import log_files
from infrastructure.log_ids import begin_ids
from infrastructure.logging import HIDDEN, configure_logging, hide_secrets

Lines = Callable[[], list[dict[str, Any]]]


class Output:
    """Sets logging up, and has what goes to stdout from then on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.stream = io.StringIO()

    def configure(self, *args: Any, **options: Any) -> None:
        self._monkeypatch.setattr(sys, "stdout", self.stream)
        configure_logging(*args, **options)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    """Afterwards logging is as it was."""
    root, saved = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield Output(monkeypatch)
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**saved)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(output: Output) -> Lines:
    """Logging as JSON, and the lines that were written."""
    output.configure(format="json")
    return output.lines


def test_a_line_says_what_when_and_who(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(request_id="r1")
    structlog.get_logger("here").info("something happened", count=3)
    [line] = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "something happened", "count": 3, "level": "info", "logger": "here", "request_id": "r1"}


CANARY = "canary0123456789"
SECRETS: dict[str, dict[str, Any]] = {
    "by name": {"password": CANARY, "API_KEY": CANARY, "apikey": CANARY, "Authorization": f"Basic {CANARY}"},
    "by the end of its name": {"refresh_token": CANARY, "client_secret": CANARY, "set_cookie": CANARY},
    "a header": {"headers": {"X-API-Key": CANARY, "cookie": CANARY, "accept": "*/*"}},
    "deep inside": {"a": [{"b": ({"token": CANARY},)}]},
    "of any type": {"secret": {"inner": CANARY}, "token": [CANARY], "password": CANARY.encode()},
    "a bearer token in a text": {"detail": f"sent 'Authorization: Bearer {CANARY}' upstream"},
    "keys in a text": {"detail": f"keys sk-proj-{CANARY} and ask_{CANARY}, SK-{CANARY}"},
    "a signed token in a text": {"detail": f"got eyJhbGciOiJIUzI1NiJ9.eyJ{CANARY}.{CANARY}-x"},
    "an address with a password": {"url": f"postgresql+asyncpg://user:{CANARY}@host/db"},
    "in a list of texts": {"lines": [f"bearer {CANARY}"]},
    "beside its name in a text": {"detail": f"input was {{'password': '{CANARY}', 'x': 1}}"},
    "in a query": {"url": f"https://host/path?a=1&api_key={CANARY}&b=2"},
    "in an error that is a value": {"fault": ValueError(f"Bearer {CANARY}")},
    "as a name": {"headers": {f"ask_{CANARY}": 1}},
    "deeper than anybody looks": {"a": [[[[[[[[CANARY]]]]]]]]},
    "sent as Basic": {"detail": f"authorization: Basic {'Y2FuYXJ5' * 4} {HIDDEN}", "password": CANARY},
    "given to a statement": {"detail": f"failed\n[SQL: SELECT 1]\n[parameters: ('{CANARY}', 1)]"},
    "told by PostgreSQL": {"detail": f"duplicate key\nDETAIL:  Key (email)=({CANARY}) already exists."},
}


@pytest.mark.parametrize("fields", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_in_no_line(lines: Lines, fields: dict[str, Any]) -> None:
    structlog.get_logger().warning("upstream failed", **fields)
    [line] = lines()
    text = json.dumps(line)
    assert CANARY not in text
    assert HIDDEN in text


def test_a_secret_in_a_librarys_message_is_hidden_too(lines: Lines) -> None:
    logging.getLogger("library").error("refused: %s", f"Bearer {CANARY}")
    [line] = lines()
    assert line["event"] == f"refused: {HIDDEN}"
    assert (line["logger"], line["level"]) == ("library", "error")


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_secret_in_an_errors_text_is_hidden_and_local_variables_are_not_told(output: Output, format: Any) -> None:
    output.configure(format=format)
    api_key = f"plain-{CANARY}"
    try:
        raise ValueError(f"bad key sk-{CANARY}")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")
    assert output.text.count("ValueError: bad key [hidden]") == 2
    assert CANARY not in output.text
    assert api_key not in output.text


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_the_service_was_told_is_hidden_wherever_it_stands(output: Output, format: Any) -> None:
    secrets = ("pass", 'plain words (with) a \\ and a "', CANARY)
    output.configure(level="DEBUG", format=format, secrets=secrets)

    def fails() -> None:
        try:
            raise OSError(f"cannot log in with {CANARY}")
        except OSError as error:
            raise KeyError(secrets[1]) from error

    try:
        fails()
    except KeyError:
        structlog.get_logger("backend.x").exception("failed", path=f"/{CANARY}/x", place={CANARY: secrets[1]})
        logging.getLogger("library").exception("failed with %s", secrets[1])
    structlog.get_logger("backend.x").debug(f"passed {CANARY}")
    assert "cannot log in with [hidden]" in output.text
    assert CANARY not in output.text
    assert "plain words" not in output.text
    assert "passed [hidden]" in output.text  # four characters are in half of all words


PIECES = ("a-", "eyJ", "-eyJ", "sk-", "://", "x:", "password=", "basic ", "bearer\t", "[parameters: ")


@pytest.mark.parametrize("piece", PIECES)
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    began = time.perf_counter()
    hide_secrets(None, "info", {"text": piece * 30_000})
    assert time.perf_counter() - began < 2  # by the square of its length it would be half a minute


def test_libraries_do_not_tell_at_debug_what_they_send(output: Output) -> None:
    output.configure("DEBUG", "json")
    logging.getLogger("library").debug("sending %s", CANARY)
    structlog.get_logger("agents.x").debug("ours")
    assert [line["event"] for line in output.lines()] == ["ours"]


def test_what_only_looks_like_a_secret_stays() -> None:
    event = {
        "event": "task_0123456789 risk-assessment_1 asks",
        "tokens": 5,
        "keyword": "basic",
        "url": "http://h:80/a@b",
    }
    assert hide_secrets(None, "info", dict(event)) == event


def test_a_value_that_goes_in_circles_ends() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert hide_secrets(None, "info", {"circle": circle})


@pytest.mark.parametrize("text", ['x\n{"event":"forged"}', "x\r\nforged", "x\u2028forged", "\u0085", "\x1b[2Jx", "\0"])
def test_a_value_cannot_begin_a_line_of_its_own(lines: Lines, output: Output, text: str) -> None:
    structlog.get_logger().info("asked", question=text)
    logging.getLogger("library").warning(text)
    written = output.text
    assert written.count("\n") == 2
    assert "\x1b" not in written
    assert "\r" not in written
    first, second = (json.loads(line) for line in written.split("\n")[:2])
    assert (first["question"], second["event"]) == (text, text)


HOSTILE = (
    "x\n2026-01-01T00:00:00Z [info] forged", "x\r\nforged", "\x1b[2J\x1b[1;1Hforged", "\x9b2Jforged", "\u2028forged",
    "\u0085forged", "\0forged", "\udcffforged", "\u202eforged",
)  # fmt: skip


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_is_logged_can_look_like_a_line_or_move_the_cursor(output: Output, text: str, format: Any) -> None:
    output.configure(format=format)
    structlog.get_logger().info(text, question=text, inside=[text], fault=ValueError(text))
    logging.getLogger("library").warning("said %s", text)
    plain = re.sub("\x1b\\[[0-9;]*m", "", output.text) if format == "console" else output.text
    assert plain.count("\n") == 2
    assert plain.encode().decode().isprintable() is False  # the two line ends
    assert plain.replace("\n", "").isprintable(), plain


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_errors_text_can_look_like_a_line(output: Output, text: str, format: Any) -> None:
    output.configure(format=format)
    try:
        raise ValueError(text)
    except ValueError:
        structlog.get_logger().exception("failed")
    first, *traceback = re.sub("\x1b\\[[0-9;]*m", "", output.text).splitlines()
    assert "failed" in first
    assert "forged" in output.text
    assert all(line.startswith("  | ") and line.isprintable() for line in traceback)
    assert bool(traceback) is (format == "console")


@pytest.mark.parametrize("value", ["\udcff.md", 2**70, {1: "a"}, {("a",): 1}, float("nan"), object(), b"bytes", {1, 2}])
def test_whatever_a_value_is_its_line_is_not_lost(lines: Lines, value: object) -> None:
    structlog.get_logger().info("found", value=value)
    [line] = lines()
    assert line["event"] == "found"


def test_lines_below_the_level_are_not_written(output: Output) -> None:
    output.configure("WARNING", "json")
    structlog.get_logger().info("quiet")
    logging.getLogger("library").info("quiet")
    logging.getLogger("uvicorn.access").info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in output.text.splitlines()] == ["loud"]


def test_without_a_terminal_lines_are_json_and_with_one_they_are_for_people(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.configure()
    structlog.get_logger().info("first")
    assert json.loads(output.text)["event"] == "first"
    monkeypatch.setattr(output.stream, "isatty", lambda: True)
    output.configure()
    structlog.get_logger().info("second")
    assert "second" in output.text.splitlines()[-1]
    assert not output.text.splitlines()[-1].startswith("{")


def test_lines_go_to_a_file_as_well_where_a_folder_is_named(output: Output, tmp_path: Path) -> None:
    output.configure(format="console", folder=tmp_path / "logs")
    structlog.get_logger().info("kept", token="secret")
    line = json.loads((tmp_path / "logs" / "askgraph.log").read_text())
    assert (line["event"], line["token"]) == ("kept", HIDDEN)
    assert "kept" in output.text


def test_the_file_is_rotated_and_five_older_ones_are_kept(output: Output, tmp_path: Path) -> None:
    output.configure(format="json", folder=tmp_path)
    text = "x" * 900_000
    for number in range(80):
        structlog.get_logger().info("long", number=number, text=text)
    found = sorted(tmp_path.glob("askgraph.log*"))
    assert [file.name for file in found] == ["askgraph.log", *(f"askgraph.log.{n}" for n in range(1, 6))]
    assert all(file.stat().st_size <= 10 * 1024 * 1024 for file in found)
    newest = json.loads((tmp_path / "askgraph.log").read_text().splitlines()[-1])
    assert newest["number"] == 79


def test_two_processes_do_not_rotate_one_file(output: Output, tmp_path: Path) -> None:
    other = log_files.LogFile(tmp_path)
    output.configure(format="json", folder=tmp_path)
    structlog.get_logger().info("second")
    assert "second" in (tmp_path / "askgraph-1.log").read_text()
    other.close()
    output.configure(format="json", folder=tmp_path)
    structlog.get_logger().info("alone")
    assert "alone" in (tmp_path / "askgraph.log").read_text()


def test_a_folder_that_cannot_be_written_is_one_line(output: Output, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    output.configure(format="json", folder=tmp_path / "file" / "logs")
    structlog.get_logger().info("goes on")
    first, second = output.lines()
    assert (first["event"], first["error"]) == (
        "LOG_DIR cannot be written: lines go to stdout only",
        "NotADirectoryError",
    )
    assert second["event"] == "goes on"


def test_a_line_that_cannot_be_written_is_told_once_and_not_shown(
    output: Output, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output.configure(format="json")
    monkeypatch.setattr(log_files._Careful, "_told_at", float("-inf"))
    output.stream.close()
    for _ in range(3):
        logging.getLogger("library").warning("secret %s", CANARY)
    assert capsys.readouterr().err == "askgraph: log lines are lost: ValueError\n"


def test_a_line_has_the_ids_of_the_work_that_it_belongs_to(lines: Lines) -> None:
    ids = begin_ids(request_id="r1", user_id=None)
    structlog.get_logger().info("ours")
    logging.getLogger("library").warning("a library's")
    ids.end()
    structlog.get_logger().info("afterwards")
    assert [line.get("request_id") for line in lines()] == ["r1", "r1", None]
    assert all("user_id" not in line for line in lines())

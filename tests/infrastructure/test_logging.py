"""Log lines: one an event, without secrets, and not to be forged."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

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

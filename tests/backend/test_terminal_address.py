"""Where the client goes: an http(s) URL and nothing else, and one clear line where it is none."""

import subprocess
import sys
from pathlib import Path

import pytest

from backend.terminal.address import parse_address
from backend.terminal.failures import BadAddress

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("url", "http", "socket", "loopback"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "ws://127.0.0.1:8000/ws/ask", True),
        ("http://localhost/", "http://localhost", "ws://localhost/ws/ask", True),
        ("https://ask.example.com/base/", "https://ask.example.com/base", "wss://ask.example.com/base/ws/ask", False),
        ("http://[::1]:8000", "http://[::1]:8000", "ws://[::1]:8000/ws/ask", True),
        (" HTTP://Example.com ", "http://example.com", "ws://example.com/ws/ask", False),
    ],
)
def test_both_addresses_are_made_of_one_url(url: str, http: str, socket: str, loopback: bool) -> None:
    address = parse_address(url)
    assert (address.http, address.socket, address.loopback) == (http, socket, loopback)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "http://user@example.com",
        "http://user:secret-word@example.com", "http://example.com:port", "http://example.com:99999", "http://[::1",
        "http://a b", "http://example.com/?token=secret-word", "http://example.com/#x", "ws://example.com",
        "http://exa\x1bmple.com",
    ],
)  # fmt: skip
def test_anything_else_is_one_clear_line(url: str) -> None:
    with pytest.raises(BadAddress) as error:
        parse_address(url)
    assert error.value.message.startswith("--url ")
    assert error.value.message.isprintable()
    assert "secret-word" not in error.value.message


def run(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend.cli", "chat", *arguments], cwd=ROOT, input="", capture_output=True, text=True,
        env={"PATH": "", "ASKGRAPH_API_KEY": key}, timeout=30,
    )  # fmt: skip


def test_what_makes_no_sense_ends_with_status_2_and_one_line() -> None:
    for done in (
        run("--url", "http://me:secret-word@host"),
        run("--session", "../x"),
        run(key="ask_\nsecret-word"),
    ):
        assert done.returncode == 2
        assert done.stderr.startswith("askgraph: ")
        assert done.stderr.count("\n") == 1
        assert "secret-word" not in done.stderr + done.stdout


def test_a_pipe_without_a_question_is_told_so() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "askgraph: there is no question on standard input\n"


def test_a_key_is_no_argument() -> None:
    assert run("--api-key", "ask_x").returncode == 2


def test_the_client_starts_without_what_answers() -> None:
    """That is what makes it quick."""
    script = """
import sys
import backend.cli, backend.terminal.chat, backend.terminal.interactive, backend.terminal.piped
rooms = ("agents", "services", "infrastructure", "middleware", "fastapi", "sqlalchemy", "pydantic", "langgraph")
print([name for name in sys.modules if name.split(".")[0] in rooms or name == "backend.settings"])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr

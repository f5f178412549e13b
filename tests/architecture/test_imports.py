"""The rules of who may import whom, as `pyproject.toml` has them, and that importing does nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("backend", "agents", "services", "infrastructure", "middleware")


def test_the_import_contracts_are_kept() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def modules() -> list[str]:
    files = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files)
    return sorted(name for name in names if name != "backend.asgi" and "migrations" not in name)


def test_importing_everything_reads_and_writes_nothing(tmp_path: Path) -> None:
    """In an empty folder and with no environment: no settings are read, no file made, no thread or loop begun."""
    script = f"""
import importlib, os, sys, threading
sys.path.insert(0, {str(ROOT)!r})
sys.dont_write_bytecode = True
opened = []
def hook(event, args):
    if event in ("socket.connect", "os.mkdir", "subprocess.Popen"):
        opened.append((event, str(args[-1])))
    if event == "open" and isinstance(args[0], str) and os.path.basename(args[0]) == ".env":
        opened.append((event, args[0]))
sys.addaudithook(hook)
for name in {modules()!r}:
    importlib.import_module(name)
assert not opened, opened
assert threading.active_count() == 1, threading.enumerate()
assert not os.listdir(), os.listdir()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["agents.runner", "services.sessions", "infrastructure.event_log.memory"])
def test_what_is_dear_to_import_is_imported_where_it_is_used(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & {"openai", "langchain_openai", "fastapi", "starlette", "uvicorn"}


def test_files_are_of_a_size_that_can_be_read() -> None:
    lengths = {path: len(path.read_text().splitlines()) for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert {str(path) for path, lines in lengths.items() if lines > 400} == set()

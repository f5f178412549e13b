"""The command line: what it says, and with which exit status it ends."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.service import ROOT

SHORT_SECRET = "short-canary"
BASE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "KNOWLEDGE_DIR": str(ROOT / "knowledge")}


async def askgraph(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", *arguments, cwd=folder, env={**coverage, **BASE, **(settings or {})},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_question_is_answered_with_its_sources(tmp_path: Path) -> None:
    status, out, _ = await askgraph(tmp_path, "ask", "Which command starts the AskGraph server?")
    assert status == 0
    assert "make run" in out
    assert "[1] handbook/getting-started.md:" in out
    assert "extractive" in out


async def test_a_question_that_is_none_is_refused(tmp_path: Path) -> None:
    status, _, err = await askgraph(tmp_path, "ask", "?")
    assert status == 1
    assert err == "askgraph: question must have at least 3 characters.\n"


async def test_migrating_makes_the_database_and_can_be_done_again(tmp_path: Path) -> None:
    for _ in range(2):
        status, _, err = await askgraph(tmp_path, "migrate")
        assert (status, err) == (0, "")
        assert (tmp_path / "data" / "askgraph.db").exists()


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"ENVIRONMENT": "production", "SECRET_KEY": SHORT_SECRET}, "SECRET_KEY"),
        ({"PORT": "eighty"}, "PORT"),
        ({"CHUNK_SIZE": "300", "CHUNK_OVERLAP": "300"}, "CHUNK_OVERLAP"),
        ({"MODEL_FALLBACKS": "magic"}, "fallback"),
        ({"SESSION_CONCURRENCY": "perhaps"}, "SESSION_CONCURRENCY"),
    ],
)
async def test_settings_that_make_no_sense_refuse_to_start_in_one_line(
    tmp_path: Path, settings: dict[str, str], names: str
) -> None:
    status, out, err = await askgraph(tmp_path, "serve", settings=settings)
    assert status != 0
    assert out == ""
    assert len(err.splitlines()) == 1
    assert names.lower() in err.lower()
    assert SHORT_SECRET not in err
    assert "Traceback" not in err

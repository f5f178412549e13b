"""What the service does with its settings: sound ones start, others are named on stderr, and no value is shown."""

import asyncio
import importlib.util
import os
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.service import ROOT, running

LONG_SECRET = "b7e1f0c2-4d5a-4c7e-9c58-1f2e3d4c5b6a"


async def askgraph(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end: exit status, stdout, stderr."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "KNOWLEDGE_DIR": str(ROOT / "knowledge"),
        **{name: value for name, value in os.environ.items() if name.startswith("COV")},
        **(settings or {}),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend.cli", *arguments, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("secret", ["short-canary", "x" * 31, "please-change-this-secret-key-in-production"])
async def test_production_refuses_a_secret_that_is_none(secret: str, tmp_path: Path) -> None:
    status, out, err = await askgraph(tmp_path, "serve", settings={"ENVIRONMENT": "production", "SECRET_KEY": secret})
    assert status != 0
    assert err.count("\n") == 1
    assert "SECRET_KEY" in err
    assert "Traceback" not in err
    assert secret not in out + err


NONSENSE = {
    "PORT": "70000", "LOG_LEVEL": "canary", "ENVIRONMENT": "canary", "MODEL_PROVIDER": "canary",
    "MODEL_FALLBACKS": "canary", "SESSION_CONCURRENCY": "canary", "RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
    "WS_HEARTBEAT_SECONDS": "-1", "CHUNK_SIZE": "canary", "TRUSTED_PROXIES": "canary", "DEBUG": "canary",
    "OPENAI_BASE_URL": "canary", "DATABASE_URL": "mysql://canary:canary@host/x", "WS_SEND_TIMEOUT_SECONDS": "nan",
    "RUN_MAX_SECONDS": "inf", "LOG_FORMAT": "canary", "AGENT_EMBEDDING_MODEL": "minilm:canary", "RERANKER": "canary",
    "EMBEDDINGS_BASE_URL": "canary", "OLLAMA_BASE_URL": "canary",
}  # fmt: skip


async def test_a_folder_for_shared_numbers_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "file" / "numbers")}
    status, _, err = await askgraph(tmp_path, "serve", settings=settings)
    assert (status, err) == (1, "askgraph: PROMETHEUS_MULTIPROC_DIR cannot be used: NotADirectoryError\n")


@pytest.mark.parametrize(
    ("settings", "lines"), [(NONSENSE, len(NONSENSE)), ({"CHUNK_SIZE": "200", "CHUNK_OVERLAP": "200"}, 1)]
)
async def test_settings_that_make_no_sense_are_named_and_no_value_is_shown(
    settings: dict[str, str], lines: int, tmp_path: Path
) -> None:
    status, out, err = await askgraph(tmp_path, "serve", settings=settings)
    assert status != 0
    assert all(name in err for name in settings)
    assert err.count("\n") == lines
    assert "canary" not in out + err
    assert "Traceback" not in out + err


@pytest.mark.skipif(importlib.util.find_spec("fastembed") is not None, reason="fastembed is installed here")
async def test_a_model_whose_package_is_missing_is_told_in_one_line(tmp_path: Path) -> None:
    settings = {"AGENT_EMBEDDING_MODEL": "fastembed:BAAI/bge-small-en-v1.5"}
    status, out, err = await askgraph(tmp_path, "serve", settings=settings)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert "fastembed" in err
    assert "requirements-local.txt" in err


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("langchain_nowhere:Chat", "Install it: pip install langchain-nowhere"),
        ("langchain_community.chat_models:ChatBaichuan", "BAICHUAN_API_KEY"),
        ("json:JSONDecoder", "no LangChain chat model"),
    ],
)
async def test_a_chat_model_that_cannot_be_had_is_told_in_one_line(named: str, said: str, tmp_path: Path) -> None:
    settings = {"MODEL_PROVIDER": "langchain", "LANGCHAIN_MODEL_CLASS": named, "OPENAI_BASE_URL": "http://canary/v1"}
    status, out, err = await askgraph(tmp_path, "serve", settings=settings)
    assert (status, out) == (1, "")
    assert [line for line in err.splitlines() if line.startswith("askgraph: ")] == err.splitlines()[-1:]
    assert said in err
    assert "canary" not in err
    assert "Traceback" not in err


async def test_production_starts_with_a_secret_worth_the_name(tmp_path: Path) -> None:
    settings = {"ENVIRONMENT": "production", "SECRET_KEY": LONG_SECRET, "TRUSTED_PROXIES": "127.0.0.0/8"}
    async with running(tmp_path, settings, anew=True) as service, service.client() as client:
        assert (await client.get("/health/ready")).status_code == 200
        near = {None: 200, "10.1.2.3": 200, "192.168.0.9": 200, "::1": 200, "fd00::1": 200, "::ffff:10.0.0.1": 200}
        far = {"8.8.8.8": 403, "100.200.1.1": 403, "2a00:1450::1": 403, "::ffff:8.8.8.8": 403, "10.0.0.1, 8.8.8.8": 403}
        for address, status in (near | far).items():
            headers = {} if address is None else {"X-Forwarded-For": address}
            assert (await client.get("/metrics", headers=headers)).status_code == status, address
        (tmp_path / "other").mkdir()
        status, out, err = await askgraph(tmp_path / "other", "serve", settings={"PORT": str(service.port)})
    assert status != 0
    assert "address already in use" in (out + err).lower()
    assert service.process.returncode == 0
    assert LONG_SECRET not in "".join(service.raw)


async def test_a_question_at_the_terminal_is_answered_with_its_sources(tmp_path: Path) -> None:
    status, out, err = await askgraph(tmp_path, "ask", "Which command starts the AskGraph server?")
    assert (status, err) == (0, "")
    assert "make run" in out
    assert "[1] handbook/getting-started.md:" in out
    assert "extractive" in out


async def test_a_question_at_the_terminal_that_is_none_is_refused(tmp_path: Path) -> None:
    status, out, err = await askgraph(tmp_path, "ask", "?")
    assert (status, out) == (1, "")
    assert err == "askgraph: question must have at least 3 characters.\n"


async def test_migrating_makes_the_tables_and_can_be_done_again(tmp_path: Path) -> None:
    for _ in range(2):
        status, _, err = await askgraph(tmp_path, "migrate")
        assert (status, err) == (0, "")
    with closing(sqlite3.connect(tmp_path / "data" / "askgraph.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "alembic_version" in tables
    assert len(tables) > 2

"""The key that tokens are signed with: the setting, else a file that is made once."""

import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from backend.secret_key import BadSecretKey, load_secret_key
from backend.settings import Settings

ROOT = Path(__file__).parents[2]
KEY = "s" * 40


def settings(folder: Path, **other: Any) -> Settings:
    return Settings(_env_file=None, data_dir=folder, **other)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "JWT_SECRET_KEY", "ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)


def test_the_setting_is_the_key_and_no_file_is_made(tmp_path: Path) -> None:
    assert load_secret_key(settings(tmp_path / "data", SECRET_KEY=KEY)) == KEY
    assert not (tmp_path / "data").exists()


def test_without_it_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key = load_secret_key(settings(folder))
    assert len(key) == 64
    assert load_secret_key(settings(folder)) == key
    assert os.listdir(folder) == ["secret_key"]
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600
    assert load_secret_key(settings(tmp_path / "other")) != key


def test_a_key_that_somebody_put_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text(f"{KEY}\r\n")
    assert load_secret_key(settings(tmp_path)) == KEY


@pytest.mark.parametrize("held", [b"", b"\n", b"short-canary", b"\xff" * 64])
def test_a_file_without_a_sound_key_is_named_and_left_alone(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "secret_key"
    file.write_bytes(held)
    with pytest.raises(BadSecretKey) as refused:
        load_secret_key(settings(tmp_path))
    assert str(file) in str(refused.value)
    assert "canary" not in str(refused.value)
    assert file.read_bytes() == held


@pytest.mark.parametrize(("environment", "lines"), [("production", 1), ("development", 0)])
def test_in_production_one_line_warns_of_it(tmp_path: Path, environment: str, lines: int) -> None:
    with capture_logs() as logged:
        key = load_secret_key(settings(tmp_path, environment=environment))
    assert [line["log_level"] for line in logged] == ["warning"] * lines
    assert key not in str(logged)


async def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from backend.secret_key import load_secret_key
from backend.settings import Settings
settings = Settings(_env_file=None, data_dir=Path(sys.argv[1]))
print("here", flush=True)
sys.stdin.readline()
print(load_secret_key(settings))
"""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path / "data"), cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"here\n"
    keys = {(await one)[0] for one in [asyncio.create_task(process.communicate(b"\n")) for process in processes]}
    assert len(keys) == 1
    assert len(keys.pop().strip()) == 64
    assert os.listdir(tmp_path / "data") == ["secret_key"]

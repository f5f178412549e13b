"""The programs that `make test-deploy` installs beside the project's own, and the skip where they are not there."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy.promtool import ROOT

BIN = ROOT / ".venv-deploy" / "bin"


def tool(name: str) -> Path:
    """Where the program is. Skips the test where it is not, but under `make test-deploy`, which installs it."""
    if not (BIN / name).exists():
        missing = pytest.fail if os.environ.get("DEPLOY_TOOLS") == "required" else pytest.skip
        missing(f"{name} is not there: run `make test-deploy`")
    return BIN / name


def machines_own(name: str, how: str) -> str:
    """Where a program is that no package of ours brings; `how` says what to install where it is not."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not there: {how}")
    return found


def said(
    *command: str | Path, cwd: Path = ROOT, status: int = 0, env: Mapping[str, str] | None = None, given: str = ""
) -> str:
    """What a command says, on both streams, when it ends with `status`."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, input=given, capture_output=True, text=True, timeout=110,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr

"""The programs that `make test-deploy` installs beside the project's own, and the skip where they are not there."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.deploy.promtool import ROOT

BIN = ROOT / ".venv-deploy" / "bin"


def tool(name: str, *, elsewhere: bool = False) -> Path:
    """Where the program is. Skips the test where it is not; `elsewhere`: the machine's own will do as well."""
    if (BIN / name).exists():
        return BIN / name
    if elsewhere and (found := shutil.which(name)):
        return Path(found)
    pytest.skip(f"{name} is not there: run `make test-deploy`" + (", or install it" if elsewhere else ""))


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

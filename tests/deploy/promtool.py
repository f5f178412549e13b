"""Prometheus' own checker, which `make test` unpacks from Debian's package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ABSENT = "promtool is not there: install Prometheus (Debian: apt-get install prometheus) and run `make test` again"


def promtool(*arguments: str | Path) -> str:
    """What it says, where all is well. Skips the test where it could not be installed, and fails it in CI."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("promtool", path=os.pathsep.join([os.environ["PATH"], beside]))
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(ABSENT)
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

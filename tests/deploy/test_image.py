"""The image: what the Dockerfile says, what its linter says of it, and its own steps replayed in a clean root."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backend.settings import Settings
from tests.deploy.dockerfile import Ignored, context, parse
from tests.deploy.installed import said, tool
from tests.deploy.promtool import ROOT

TEXT = (ROOT / "Dockerfile").read_text("utf-8")
STAGES = parse(TEXT)
LAST = STAGES[-1]
IGNORED = Ignored((ROOT / ".dockerignore").read_text("utf-8"))
SOURCES = [
    source
    for stage in STAGES
    for one in stage.all("COPY")
    if "from" not in one.options
    for source in one.rest.split()[:-1]
]
REPLAY_SECONDS = 1500


def test_the_base_is_one_and_the_same_for_all_time() -> None:
    assert {stage.base for stage in STAGES} == {STAGES[0].base}
    assert re.fullmatch(r"python:3\.12\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", LAST.base)


def test_what_is_installed_is_locked_by_hashes_and_built_nowhere_else() -> None:
    (install,) = (one.rest for one in STAGES[0].all("RUN") if "requirements.txt" in one.rest)
    assert "--require-hashes" in install
    assert "--only-binary :all:" in install
    assert all(
        "--no-deps" in one.rest for one in STAGES[0].all("RUN") if "pip install" in one.rest and one.rest != install
    )


def test_it_runs_as_the_user_that_kubernetes_is_told_of() -> None:
    assert LAST.last("USER").rest == "10001:10001"
    before = LAST.instructions[: LAST.instructions.index(LAST.last("USER"))]
    assert {one.word for one in LAST.instructions if one not in before} <= {
        "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"
    }  # fmt: skip


def test_a_signal_reaches_the_service() -> None:
    assert LAST.last("ENTRYPOINT").array == ["/usr/bin/tini", "--"]
    assert LAST.last("CMD").array == ["askgraph", "serve"]
    assert LAST.last("STOPSIGNAL").rest == "SIGTERM"


def test_it_says_how_it_is_and_writes_below_its_volume_only() -> None:
    assert "/health/ready" in LAST.last("HEALTHCHECK").rest
    settings = {name: value for one in LAST.all("ENV") for name, value in one.assignments.items()}
    assert {settings[name].startswith(LAST.last("VOLUME").rest + "/") for name in ("DATA_DIR", "CACHE_DIR")} == {True}


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_copied_is_not_ignored(source: str) -> None:
    assert context(ROOT, IGNORED, source), source


@pytest.mark.parametrize(
    "path",
    [".env", ".git/config", "data/secret_key", "cache/cache.db", "tests/conftest.py", ".venv/bin/python",
     "docs/files.md", "backend/__pycache__/cli.cpython-312.pyc", "knowledge/.env", "deploy/compose/secrets/app.env"],
)  # fmt: skip
def test_nothing_else_goes_into_the_build(path: str) -> None:
    assert path in IGNORED


def test_every_package_of_the_service_is_copied() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    (include,) = re.findall(r"^include = \[(.*)\]$", pyproject, re.MULTILINE)
    assert {name.rstrip("*") for name in re.findall(r'"([^"]+)"', include)} <= set(SOURCES)


@pytest.mark.deploy
def test_its_linter_has_nothing_to_say() -> None:
    assert said(tool("hadolint"), "--no-color", ROOT / "Dockerfile") == ""


@pytest.mark.deploy
@pytest.mark.timeout(REPLAY_SECONDS + 60)
def test_its_steps_make_a_service_that_runs_locked_up(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a clean root is made and entered by root only")
    if not (ROOT / ".venv-deploy" / "debootstrap" / "program").exists():
        pytest.skip("debootstrap could not be unpacked: this is for Debian and Ubuntu")
    script = ROOT / "tests" / "deploy" / "replay_image.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out")], capture_output=True, text=True, timeout=REPLAY_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    seen = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert seen["ready"] is not None, done.stderr[-6000:]
    status, answer = seen["answer"]
    assert (status, answer["grounded"]) == (200, True)
    assert answer["citations"]
    assert seen["upload"]["status"] == "ready"
    assert {(user, capabilities) for _, user, capabilities in seen["owners"]} == {(10001, 0)}
    assert {name for name, _, _ in seen["owners"]} >= {"tini", "askgraph"}
    assert seen["writable"] == []
    assert seen["written"]
    assert seen["exit"] == 0
    bills(tmp_path / "out" / "venv", tmp_path / "bills")


def bills(venv: Path, out: Path) -> None:
    """What lies in the venv is what is locked, and a bill of materials says so, without any network."""
    if not (ROOT / ".venv-deploy" / "sbom" / "bin" / "cyclonedx-py").exists():
        pytest.skip("cyclonedx-py is not in .venv-deploy/sbom: run `make test-deploy`")
    printed = said("unshare", "--net", ROOT / "deploy" / "sbom.sh", out, venv)
    assert "parts in the venv" in printed
    bill = json.loads((out / "venv.cdx.json").read_text("utf-8"))
    names = {one["name"].lower() for one in bill["components"]} | {bill["metadata"]["component"]["name"]}
    assert {"askgraph", "fastapi", "langgraph"} <= names
    locked = json.loads((out / "requirements.cdx.json").read_text("utf-8"))["components"]
    assert all(one["externalReferences"][0]["hashes"] for one in locked)


def test_the_grace_fits_the_default_of_an_engine_that_is_told() -> None:
    """`docker stop` gives 10 s where nothing says more: the guide says to give it more."""
    grace = Settings.model_fields["shutdown_grace_seconds"].default
    guide = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    stops = re.findall(r"--(?:stop-timeout|time)[ =](\d+)", guide)
    assert stops
    assert all(int(stop) > grace for stop in stops)

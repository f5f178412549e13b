"""What `make test` does about the tools that are not Python's: fetched where missing, told where they cannot be had."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
NEEDED = ("sh", "dirname", "id", "cmp", "mktemp", "cp", "rm")
FETCHERS = ("apt-get", "npm", "dpkg-deb")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script and the pinned packages by themselves, and a PATH of the plainest programs."""
    (tmp_path / "tests" / "browser").mkdir(parents=True)
    shutil.copy(ROOT / "install_tools.sh", tmp_path / "tests")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "browser" / name, tmp_path / "tests" / "browser")
    (tmp_path / "venv").mkdir()
    (tmp_path / "path").mkdir()
    for name in NEEDED:
        (tmp_path / "path" / name).symlink_to(shutil.which(name) or "")
    return tmp_path


def program(checkout: Path, name: str, does: str) -> None:
    file = checkout / "path" / name
    file.write_text(f"#!/bin/sh\n{does}\n", "utf-8")
    file.chmod(0o755)


def install(checkout: Path) -> subprocess.CompletedProcess[str]:
    path = {name: value for name, value in os.environ.items() if name != "CHROMIUM"} | {"PATH": str(checkout / "path")}
    command = ["sh", str(checkout / "tests" / "install_tools.sh"), str(checkout / "venv")]
    return subprocess.run(command, env=path, capture_output=True, text=True, timeout=30, check=False)


def test_what_cannot_be_had_is_a_line_each_that_says_what_to_install(checkout: Path) -> None:
    done = install(checkout)
    said = done.stderr.splitlines()
    assert [line.split(",")[0] for line in said] == ["tests: no Chromium", "tests: no promtool", "tests: no axe-core"]
    assert all("are skipped: install" in line for line in said)
    assert done.returncode == 1


def test_where_all_is_there_nothing_is_fetched(checkout: Path) -> None:
    for name in ("chromium", "promtool"):
        program(checkout, name, "exit 1")
    for name in FETCHERS:
        program(checkout, name, f"echo {name} was called >&2; exit 1")
    browser = checkout / "tests" / "browser"
    (browser / "node_modules").mkdir()
    shutil.copy(browser / "package-lock.json", browser / "node_modules" / ".locked")
    done = install(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_pin_is_installed_anew(checkout: Path) -> None:
    for name in ("chromium", "promtool"):
        program(checkout, name, "exit 1")
    program(checkout, "npm", '[ "$1" = ci ] && [ "$2" = --ignore-scripts ] || exit 1')
    browser = checkout / "tests" / "browser"
    (browser / "node_modules").mkdir()
    (browser / "node_modules" / ".locked").write_text("an older one", "utf-8")
    assert install(checkout).returncode == 0
    assert (browser / "node_modules" / ".locked").read_text("utf-8") == (browser / "package-lock.json").read_text(
        "utf-8"
    )


def test_packages_of_the_page_tests_are_pinned_by_their_hash_and_by_no_address() -> None:
    text = (ROOT / "browser" / "package-lock.json").read_text("utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text

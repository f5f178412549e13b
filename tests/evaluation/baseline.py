"""The baseline's figures: the data's own script, run by an interpreter that has its packages."""

import asyncio
import re
from pathlib import Path

_FIGURE = re.compile(r"(\S+@?\S*) (\d\.\d+)")
_NAMES = {"ans@2": "answer in reply"}
Figures = dict[str, tuple[float, str]]
"""By figure: the value, and which of the script's methods has it."""


async def run_baseline(script: Path, python: Path, data: Path) -> dict[Path, Figures]:
    """The best figure of any method, by folder; nothing where it is not there or cannot read the data.

    A best of three is more than any one of its methods reaches in all: a high bar.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            python, script, "--data", data, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except FileNotFoundError:
        return {}
    said, _ = await process.communicate()
    return parse(said.decode()) if process.returncode == 0 else {}


def parse(said: str) -> dict[Path, Figures]:
    """The script's lines: a folder, then a line of `name value` pairs for each method."""
    found: dict[Path, Figures] = {}
    best: Figures = {}
    for line in said.splitlines():
        if not line.startswith(" "):
            best = found.setdefault(Path(line).resolve(), {})
            continue
        method, _, rest = line.strip().partition(" ")
        for name, value in _FIGURE.findall(rest):
            name = _NAMES.get(name, name)
            if name not in best or float(value) > best[name][0]:
                best[name] = float(value), method
    return found

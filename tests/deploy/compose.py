"""The compose files, with what each takes from deploy/compose/parts.yml put in."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.promtool import ROOT

FILES = tuple(sorted(ROOT.glob("docker-compose*.yml")))
PROD = ROOT / "docker-compose.prod.yml"


@cache
def loaded(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return found


def services(file: Path) -> dict[str, dict[str, Any]]:
    """Each service with all that it extends. Lists are put together, mappings too, the file itself goes first."""
    return {name: _whole(file, one) for name, one in loaded(file)["services"].items()}


def _whole(file: Path, service: dict[str, Any]) -> dict[str, Any]:
    further = service.get("extends")
    if not further:
        return service
    other = file.parent / further["file"]
    merged = dict(_whole(other, loaded(other)["services"][further["service"]]))
    for name, value in service.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = before | value
        elif isinstance(before, list) and isinstance(value, list):
            merged[name] = before + value
        else:
            merged[name] = value
    return merged

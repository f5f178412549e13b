"""Terraform's files as data: parsed by the library that checkov brings, and asked what they declare and use."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.deploy.installed import said, tool
from tests.deploy.promtool import ROOT

TERRAFORM = ROOT / "deploy" / "terraform"
MODULES = {"hetzner": TERRAFORM / "modules" / "hetzner", "kubernetes": TERRAFORM / "modules" / "kubernetes"}
FOLDERS = {"root": TERRAFORM, **MODULES}
PARSE = "import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))))"


@cache
def parsed(file: Path) -> dict[str, Any]:
    """Blocks by their kind, each a list of {label: body}."""
    found: dict[str, Any] = json.loads(said(tool("python"), "-c", PARSE, file))
    return found


def _body(raw: dict[str, Any]) -> dict[str, Any]:
    """A block's arguments and the blocks in it. The library wraps each value in a list, and notes lines."""
    return {name: _value(value) for name, value in raw.items() if not name.startswith("__")}


def _value(raw: list[Any]) -> Any:
    if all(isinstance(each, dict) and all(isinstance(inner, list) for inner in each.values()) for each in raw):
        return [_body(each) for each in raw]
    (value,) = raw
    return value


def plain_blocks(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The bodies of blocks without a label."""
    return [_body(block) for file in sorted(folder.glob("*.tf")) for block in parsed(file).get(kind, [])]


def blocks(folder: Path, kind: str) -> dict[str, Any]:
    """The bodies of blocks with one label, by that label."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.tf")):
        for block in parsed(file).get(kind, []):
            for label, body in block.items():
                assert label not in found, f"{kind} {label} is declared twice"
                found[label] = _body(body)
    return found


def resources(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The bodies of resources by type and name."""
    every = [block for file in sorted(folder.glob("*.tf")) for block in parsed(file).get("resource", [])]
    return {
        (kind, name): _body(body) for block in every for kind, named in block.items() for name, body in named.items()
    }


def text(folder: Path) -> str:
    """The source, without comments."""
    every = "\n".join(file.read_text("utf-8") for file in sorted(folder.glob("*.tf")))
    return re.sub(r"^\s*#.*$", "", every, flags=re.MULTILINE)


def used(folder: Path, kind: str) -> set[str]:
    """The names that stand behind `kind.`, as in var.name."""
    return set(re.findall(rf"\b{kind}\.(\w+)", text(folder)))

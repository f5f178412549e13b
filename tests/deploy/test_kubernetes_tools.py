"""The manifests for Kubernetes, judged by kustomize itself, by Kubernetes' own schemas, by checkov and shellcheck."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.checkov import unexplained
from tests.deploy.cluster import K8S, OVERLAYS, overlay
from tests.deploy.installed import said, tool
from tests.deploy.kustomizing import Object, documents

pytestmark = pytest.mark.deploy
VERSIONS = ("1.30.0", "1.34.0", "1.37.0")
"""The oldest that has all that is used (a pause by `sleep`), the one that k3s is pinned at, the newest known."""
everywhere = pytest.mark.parametrize("name", OVERLAYS)


def built(name: str) -> str:
    return said(tool("kubectl"), "kustomize", K8S / "overlays" / name)


def by_name(objects: list[Object]) -> dict[str, Object]:
    found = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}
    assert len(found) == len(objects)
    return found


@everywhere
def test_kustomize_builds_what_the_other_tests_looked_at(name: str) -> None:
    assert by_name(list(yaml.safe_load_all(built(name)))) == by_name(overlay(name))


def test_this_kustomize_is_the_one_that_the_release_pins() -> None:
    assert "Kustomize Version: v5." in said(tool("kubectl"), "version", "--client")


@pytest.mark.parametrize("version", VERSIONS)
@everywhere
def test_every_object_is_one_that_kubernetes_knows(name: str, version: str, tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text(built(name), "utf-8")
    told = said(tool("kubernetes-validate"), "--strict", "-k", version, file)
    assert len(re.findall(r"passed for resource", told)) == len(overlay(name))


@pytest.mark.parametrize("file", ["secret.example.yaml", "restore.yaml"])
def test_what_is_applied_by_hand_is_known_too(file: str, tmp_path: Path) -> None:
    copy = tmp_path / file
    text = (K8S / file).read_text("utf-8")
    copy.write_text(text.replace("generateName: restore-", "name: restore"), "utf-8")  # the tool wants names
    told = said(tool("kubernetes-validate"), "--strict", "-k", VERSIONS[1], copy)
    assert len(re.findall(r"passed for resource", told)) == len(documents(K8S / file))


def test_checkov_finds_nothing_but_what_has_its_reason(tmp_path: Path) -> None:
    for name in OVERLAYS:
        (tmp_path / f"{name}.yaml").write_text(built(name), "utf-8")
    assert unexplained("kubernetes", tmp_path) == []


@pytest.mark.parametrize("script", sorted(K8S.rglob("*.sh")), ids=lambda path: path.name)
def test_the_scripts_are_sound(script: Path) -> None:
    said(tool("shellcheck"), script)


def test_commands_within_manifests_are_sound(tmp_path: Path) -> None:
    texts = [text for each in overlay("production") for text in _commands(each)]
    assert len(texts) >= 3
    for number, text in enumerate(texts):
        script = tmp_path / f"{number}.sh"
        script.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
        said(tool("shellcheck"), script)


def _commands(value: Any) -> list[str]:
    if isinstance(value, dict):
        command = value.get("command", [])
        here = [command[2]] if command[:2] == ["sh", "-c"] else []
        return here + [found for inner in value.values() for found in _commands(inner)]
    return [found for inner in value for found in _commands(inner)] if isinstance(value, list) else []

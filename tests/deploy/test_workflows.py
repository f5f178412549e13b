"""The workflows: they run what people run, with no more rights than they need, and actions that cannot change."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.installed import said, tool
from tests.deploy.promtool import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def workflow(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text("utf-8"))
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in workflow(file)["jobs"].values() for step in job["steps"]]


def test_there_are_checks_an_image_and_a_deployment() -> None:
    assert [file.stem for file in FILES] == ["checks", "deploy", "image"]


@each
def test_an_action_is_pinned_by_its_commit(file: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", file.read_text("utf-8"))
    assert used
    for action, remark in used:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", remark), action


@each
def test_rights_are_given_by_name(file: Path) -> None:
    rights = [workflow(file)["permissions"], *(job.get("permissions", {}) for job in workflow(file)["jobs"].values())]
    granted = {(name, way) for one in rights for name, way in one.items()}
    assert granted <= {("contents", "read"), *({("packages", "write")} if file.stem == "image" else ())}
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@each
def test_a_job_ends_and_runs_on_a_system_that_is_named(file: Path) -> None:
    for job in workflow(file)["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert re.fullmatch(r"ubuntu-\d\d\.04", job["runs-on"])


@each
def test_no_input_is_put_into_a_script(file: Path) -> None:
    for step in steps(file):
        assert "${{" not in step.get("run", ""), step


def test_checks_run_what_the_project_runs() -> None:
    ran = [step.get("run", "") for step in steps(FILES[0])]
    assert "bash .ci/run" in ran
    assert any("make test-deploy" in one for one in ran)


def test_an_image_is_tried_and_listed_before_it_is_pushed() -> None:
    (file,) = (file for file in FILES if file.stem == "image")
    ran = "\n".join(step.get("run", "") for step in steps(file))
    places = [
        ran.index(what)
        for what in ("docker build", "/health/ready", '"grounded":true', "deploy/sbom.sh", "docker push")
    ]
    assert places == sorted(places)
    assert workflow(file)[True] == {"push": {"tags": ["v[0-9]+.[0-9]+.[0-9]+*"]}}


def test_a_deployment_is_asked_for_by_hand_in_an_environment() -> None:
    (file,) = (file for file in FILES if file.stem == "deploy")
    it = workflow(file)
    assert set(it[True]) == {"workflow_dispatch"}
    assert it["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"
    for overlay in it[True]["workflow_dispatch"]["inputs"]["environment"]["options"]:
        assert (ROOT / "deploy/k8s/overlays" / overlay / "kustomization.yaml").is_file()
    assert steps(file)[-1]["if"] == "always()"


@pytest.mark.deploy
@each
def test_actionlint_has_nothing_to_say(file: Path) -> None:
    assert said(tool("actionlint"), "-no-color", "-shellcheck", tool("shellcheck"), file) == ""


@pytest.mark.deploy
@each
def test_a_workflow_fits_its_schema_and_is_safe(file: Path) -> None:
    said(tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", file)
    said(tool("zizmor"), "--offline", "--no-progress", "--persona=regular", file)

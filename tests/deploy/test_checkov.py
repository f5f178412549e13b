"""What checkov says of the image and of GitHub's workflows."""

import shutil
from pathlib import Path

import pytest

from tests.deploy.checkov import unexplained
from tests.deploy.promtool import ROOT

pytestmark = pytest.mark.deploy


def test_the_image_is_built_as_it_should_be(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    assert unexplained("dockerfile", tmp_path) == []


def test_the_workflows_may_do_no_more_than_they_must(tmp_path: Path) -> None:
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    assert unexplained("github_actions", tmp_path) == []

"""checkov's findings, without its network: and why some of them stand."""

import json
import os
from pathlib import Path

from tests.deploy.installed import said, tool

REASONS = {
    "kubernetes": {
        "CKV_K8S_43": "digests change with each rebuild of a version; docs/kubernetes.md says how to pin them",
        "CKV_K8S_35": "every setting is a variable, secrets among them; nothing but the service's process sees them",
        "CKV_K8S_15": "images are pinned by version: pulling them each time only adds a registry that may be away",
        "CKV_K8S_40": "999 is the user of PostgreSQL's image, and owns what is on its volume",
    },
    "terraform": {},
    "dockerfile": {
        "CKV_DOCKER_7": "the base image is an argument, one for both stages; its default names a version",
    },
    "github_actions": {
        "CKV_GHA_7": "nothing is built from inputs: deploy.yml asks where to put which version, and checks its form",
    },
}
"""By framework: each check that is not met, and why."""
NOWHERE = "http://127.0.0.1:9"
OFFLINE = {
    "BC_SKIP_MAPPING": "TRUE",
    "LOG_LEVEL": "WARNING",
    "HTTP_PROXY": NOWHERE,
    "HTTPS_PROXY": NOWHERE,
    "NO_PROXY": "",
}


def findings(framework: str, target: Path) -> list[tuple[str, str]]:
    """What it finds in a folder: checks with the things that fail them. No host is asked anything: guidelines
    are not fetched (--skip-download), no platform is told, no module of Terraform is loaded; and what it might ask all
    the same would go to a proxy that is not there."""
    command = (
        tool("checkov"), "--framework", framework, "--directory", target, "--output", "json", "--quiet", "--compact",
        "--skip-download", "--download-external-modules", "false", "--soft-fail",
    )  # fmt: skip
    told = json.loads(said(*command, env={**os.environ, **OFFLINE}))
    assert told.get("summary", {"passed": 0})["passed"] > 0, told
    assert told["summary"]["parsing_errors"] == 0
    return sorted({(each["check_id"], each["resource"]) for each in told["results"]["failed_checks"]})


def unexplained(framework: str, target: Path) -> list[str]:
    """What has no reason to stand, and reasons for what is not found."""
    found, reasons = findings(framework, target), REASONS[framework]
    open_ones = [f"{check} {where}" for check, where in found if check not in reasons]
    return open_ones + [
        f"{check}: met, and needs no reason" for check in sorted(set(reasons) - {one for one, _ in found})
    ]

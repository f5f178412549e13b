"""What Terraform itself says without a provider: the files' form, what variables refuse, what templates become."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.cluster import K8S
from tests.deploy.hcl import TERRAFORM, blocks
from tests.deploy.installed import said, tool
from tests.deploy.kustomizing import Object
from tests.deploy.terraforming import GIVEN, Workspace, template

pytestmark = pytest.mark.deploy
CLOUD_INIT = {
    "first": True, "alone": False, "network": "10.10.0.0/16", "private_ip": "10.10.1.10", "first_ip": "10.10.1.10",
    "k3s_version": "v1.34.1+k3s1", "cluster_token": GIVEN["cluster_token"], "acme_email": "ada@example.org",
}  # fmt: skip
REFUSED: list[tuple[str, Any]] = [
    ("admin_ips", []),
    ("admin_ips", ["0.0.0.0/0"]),
    ("admin_ips", ["203.0.113.7/32", "::/0"]),
    ("admin_ips", ["0.0.0.0/1", "128.0.0.0/1"]),
    ("admin_ips", ["203.0.113.7"]),
    ("admin_ips", ["everybody"]),
    ("server_count", 2),
    ("server_count", 0),
    ("name", "Ask Graph"),
    ("ssh_public_keys", {}),
    ("ssh_public_keys", {"ada": "-----BEGIN OPENSSH PRIVATE KEY-----"}),
    ("k3s_version", "latest"),
    ("cluster_token", "short"),
    ("acme_email", "ada"),
    ("host", "https://askgraph.example.org"),
    ("image", "ghcr.io/OWNER/askgraph"),
    ("image", "ghcr.io/example/askgraph:0.1.0"),
    ("image_tag", "latest"),
    ("storage_url", "/var/uploads"),
    ("secret_key", "short"),
    ("postgres_password", "p@ss/word-that-is-long-enough-for-all"),
    ("postgres_admin_password", "short"),
    ("redis_password", "short"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "terraform"
    folder.mkdir()
    return Workspace(folder)


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The root's variables and nothing else: they are judged without a provider."""
    made = Workspace(tmp_path_factory.mktemp("variables"))
    made.write("variables.tf", (TERRAFORM / "variables.tf").read_text("utf-8"))
    made.write("outputs.tf", 'output "used" {\n  value = var.admin_ips\n}\n')
    made.run("init", "-input=false", "-no-color")
    return made


def test_terraform_would_format_nothing_otherwise(workspace: Workspace) -> None:
    assert workspace.run("fmt", "-check", "-recursive", "-diff", str(TERRAFORM)) == ""


def test_the_values_that_the_other_cases_change_are_taken(variables: Workspace) -> None:
    assert set(GIVEN) == {name for name, body in blocks(TERRAFORM, "variable").items() if "default" not in body}
    variables.plan(GIVEN)


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_value_that_makes_no_sense_is_refused(variables: Workspace, name: str, value: Any) -> None:
    told = variables.plan(GIVEN | {name: value}, status=1)
    assert "Invalid value for variable" in told
    assert f'variable "{name}"' in told
    if blocks(TERRAFORM, "variable")[name].get("ephemeral"):  # of others Terraform shows what it refuses
        assert str(value) not in told


def cloud_init(workspace: Workspace, **values: Any) -> Object:
    text = workspace.outputs(template("hetzner/cloud-init.yaml.tftpl", **{**CLOUD_INIT, **values}))["text"]
    assert text.startswith("#cloud-config\n")
    found: Object = yaml.safe_load(text)
    return found


def written(machine: Object) -> dict[str, list[Object]]:
    """The YAML files that it writes, by path."""
    files = {each["path"]: each["content"] for each in machine["write_files"]}
    return {path: list(yaml.safe_load_all(text)) for path, text in files.items() if path.endswith(".yaml")}


@pytest.mark.parametrize(
    ("first", "alone", "joins"),
    [(True, True, {}), (True, False, {"cluster-init": True}), (False, False, {"server": "https://10.10.1.10:6443"})],
)
def test_a_server_begins_a_cluster_or_joins_it(workspace: Workspace, first: bool, alone: bool, joins: Object) -> None:
    machine = cloud_init(workspace, first=first, alone=alone, private_ip="10.10.1.11")
    files = written(machine)
    (config,) = files["/etc/rancher/k3s/config.yaml"]
    assert {key: config[key] for key in ("cluster-init", "server") if key in config} == joins
    assert (config["token"], config["node-ip"]) == (GIVEN["cluster_token"], "10.10.1.11")
    assert config["cluster-cidr"] == "10.42.0.0/16"
    assert f"TRUSTED_PROXIES={config['cluster-cidr']}" in (K8S / "base/app/askgraph.env").read_text("utf-8")
    manifests = [path for path in files if "/manifests/" in path]
    assert len(manifests) == (3 if first else 0)
    modes = {each["path"]: each["permissions"] for each in machine["write_files"]}
    assert modes["/etc/rancher/k3s/config.yaml"] == "0600"


def test_what_k3s_brings_is_pinned_and_fits_the_overlay(workspace: Workspace) -> None:
    files = written(cloud_init(workspace))
    objects = [each for path, found in files.items() if "/manifests/" in path for each in found]
    kinds = {each["kind"]: each for each in objects}
    assert set(kinds) == {"HelmChartConfig", "HelmChart", "ClusterIssuer"}
    assert re.fullmatch(r"v\d+\.\d+\.\d+", kinds["HelmChart"]["spec"]["version"])
    traefik = yaml.safe_load(kinds["HelmChartConfig"]["spec"]["valuesContent"])
    trusted = {tuple(port["proxyProtocol"]["trustedIPs"]) for port in traefik["ports"].values()}
    assert trusted == {("10.42.0.0/16", "10.10.0.0/16")}
    solver = kinds["ClusterIssuer"]["spec"]["acme"]["solvers"][0]["http01"]["ingress"]
    assert solver["ingressClassName"] == "traefik"


@pytest.mark.parametrize("first", [True, False])
def test_what_a_server_runs_at_its_first_start_is_sound(workspace: Workspace, first: bool, tmp_path: Path) -> None:
    scripts = [step[2] for step in cloud_init(workspace, first=first)["runcmd"] if step[0] == "sh"]
    (text,) = scripts
    (tmp_path / "first_start.sh").write_text(f"#!/bin/sh\n{text}", "utf-8")
    said(tool("shellcheck"), tmp_path / "first_start.sh")
    assert "/k3s-io/k3s/v1.34.1%2Bk3s1/install.sh" in text
    assert "INSTALL_K3S_VERSION='v1.34.1+k3s1'" in text
    assert ("/ping" in text) == (not first)


def test_the_kustomization_that_terraform_writes_builds(workspace: Workspace, tmp_path: Path) -> None:
    given = {
        "overlay": "../../deploy/k8s/overlays/k3s", "host": "ask.example.org", "image": "ghcr.io/example/askgraph",
        "image_tag": "1.0", "storage_url": "s3://uploads", "s3_endpoint_url": "", "s3_region": "nbg1",
    }  # fmt: skip
    text = workspace.outputs(template("kubernetes/kustomization.yaml.tftpl", **given))["text"]
    rendered = tmp_path / "some" / "rendered"
    rendered.mkdir(parents=True)
    (tmp_path / "deploy").symlink_to(TERRAFORM.parent)
    (rendered / "kustomization.yaml").write_text(text, "utf-8")
    objects = list(yaml.safe_load_all(said(tool("kubectl"), "kustomize", rendered)))
    images = re.findall(r"'image': '([^']+)'", str(objects))
    assert "ghcr.io/example/askgraph:1.0" in images
    assert not [image for image in images if "OWNER" in image]
    (config,) = (each["data"] for each in objects if each["kind"] == "ConfigMap" and "STORAGE_URL" in each["data"])
    assert config["STORAGE_URL"] == "s3://uploads"
    assert config["ALLOWED_ORIGINS"] == "https://ask.example.org"
    assert (config["S3_REGION"], config["S3_ENDPOINT_URL"]) == ("nbg1", "")
    (ingress,) = (each["spec"] for each in objects if each["kind"] == "Ingress")
    assert ingress["ingressClassName"] == "traefik"
    assert (ingress["rules"][0]["host"], ingress["tls"][0]["hosts"]) == ("ask.example.org", ["ask.example.org"])

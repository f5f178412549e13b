"""The Terraform configuration: what is used is declared, what is declared is used, nobody gets in who should not."""

import re
from pathlib import Path

import pytest

from tests.deploy.checkov import unexplained
from tests.deploy.cluster import K8S
from tests.deploy.hcl import FOLDERS, MODULES, TERRAFORM, blocks, plain_blocks, resources, text, used
from tests.deploy.kustomizing import documents
from tests.deploy.promtool import ROOT

pytestmark = pytest.mark.deploy
everywhere = pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
SECRETS = {each["metadata"]["name"]: set(each["stringData"]) for each in documents(K8S / "secret.example.yaml")}
EXACT = re.compile(r"\d+\.\d+\.\d+")


def providers(folder: Path) -> dict[str, dict[str, str]]:
    (settings,) = plain_blocks(folder, "terraform")
    (found,) = settings["required_providers"]
    return dict(found)


@everywhere
def test_every_variable_that_is_used_is_declared_and_every_declared_one_used(folder: Path) -> None:
    assert used(folder, "var") == set(blocks(folder, "variable"))


@everywhere
def test_every_local_value_is_declared_and_used(folder: Path) -> None:
    declared = {name for block in plain_blocks(folder, "locals") for name in block}
    assert used(folder, "local") == declared


@everywhere
def test_every_resource_that_is_named_is_there(folder: Path) -> None:
    there = resources(folder)
    named = re.findall(r"\b((?:hcloud|kubernetes)_\w+|terraform_data)\.(\w+)", text(folder))
    assert set(named) <= set(there)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_given_all_that_it_takes_and_no_more(name: str) -> None:
    given = blocks(TERRAFORM, "module")[name]
    assert set(given) - {"source", "count"} == set(blocks(MODULES[name], "variable"))
    assert (TERRAFORM / given["source"]).resolve() == MODULES[name]
    taken = set(re.findall(rf"module\.{name}(?:\[\*\])?\.(\w+)", text(TERRAFORM)))
    assert taken == set(blocks(MODULES[name], "output"))


@pytest.mark.parametrize("name", MODULES)
def test_what_is_secret_or_passing_in_the_root_is_so_in_the_module(name: str) -> None:
    root = blocks(TERRAFORM, "variable")
    for variable, body in blocks(MODULES[name], "variable").items():
        for mark in ("sensitive", "ephemeral", "type"):
            assert body.get(mark) == root[variable].get(mark), (variable, mark)


@everywhere
def test_providers_are_pinned_to_one_release(folder: Path) -> None:
    found = providers(folder)
    assert all(EXACT.fullmatch(each["version"]) for each in found.values())
    root = providers(TERRAFORM)
    assert all(root[name] == each for name, each in found.items())
    spoken = {kind.partition("_")[0] for kind, _ in resources(folder)} - {"terraform"}
    assert spoken <= set(found)
    (settings,) = plain_blocks(folder, "terraform")
    assert re.fullmatch(r">= \d+\.\d+\.\d+, < 2\.0\.0", settings["required_version"])


def test_every_variable_of_the_root_says_what_it_means() -> None:
    for name, body in blocks(TERRAFORM, "variable").items():
        assert len(body["description"]) > 15, name
        assert body["type"], name


def test_only_administrators_reach_the_servers() -> None:
    walls = {name: body for (kind, name), body in resources(MODULES["hetzner"]).items() if kind == "hcloud_firewall"}
    (rules,) = (body["rule"] for body in walls.values())
    assert {(rule["protocol"], rule.get("port")) for rule in rules} == {("tcp", "22"), ("tcp", "6443"), ("icmp", None)}
    assert {str(rule["source_ips"]) for rule in rules} == {"${var.admin_ips}"}
    assert {rule["direction"] for rule in rules} == {"in"}
    servers = resources(MODULES["hetzner"])[("hcloud_server", "server")]
    (name,) = walls
    assert servers["firewall_ids"] == [f"${{hcloud_firewall.{name}.id}}"]


def test_no_address_of_the_whole_world_stands_anywhere() -> None:
    for folder in FOLDERS.values():
        assert not re.search(r"0\.0\.0\.0/0|::/0", text(folder))


def test_the_load_balancer_speaks_to_the_servers_over_the_private_network_only() -> None:
    found = resources(MODULES["hetzner"])
    assert found[("hcloud_load_balancer_target", "server")]["use_private_ip"] is True
    service = found[("hcloud_load_balancer_service", "web")]
    assert service["for_each"] == {"http": 80, "https": 443}
    assert service["proxyprotocol"] is True


def test_secrets_are_kept_in_no_state() -> None:
    """Ephemeral variables can go into write-only arguments and nowhere else: Terraform itself refuses it."""
    root = blocks(TERRAFORM, "variable")
    passing = {name for name, body in root.items() if body.get("ephemeral")}
    assert {name for name, body in root.items() if body.get("sensitive")} - passing == {"cluster_token"}
    written = {}
    for (kind, _), body in resources(MODULES["kubernetes"]).items():
        if kind == "kubernetes_secret_v1":
            assert "data" not in body
            assert body["data_wo_revision"] == "${var.secrets_revision}"
            written[body["metadata"][0]["name"]] = body["data_wo"]
    assert {name: set(data) for name, data in written.items()} == SECRETS
    values = {value for data in written.values() for value in data.values()}
    assert values == {f"${{var.{name}}}" for name in passing - {"hcloud_token"}}


def test_the_example_gives_what_has_no_default_and_no_secret() -> None:
    given = set(re.findall(r"^(\w+)\s*=", (TERRAFORM / "terraform.tfvars.example").read_text("utf-8"), re.MULTILINE))
    root = blocks(TERRAFORM, "variable")
    secret = {name for name, body in root.items() if body.get("sensitive")}
    assert given <= set(root) - secret
    assert {name for name, body in root.items() if "default" not in body} - secret <= given


def test_the_guide_names_every_secret_that_is_to_be_given() -> None:
    guide = (ROOT / "docs" / "terraform.md").read_text("utf-8")
    for name, body in blocks(TERRAFORM, "variable").items():
        if body.get("sensitive"):
            assert f"TF_VAR_{name}" in guide


def test_states_and_filled_in_files_stay_out_of_the_repository() -> None:
    ignored = (TERRAFORM / ".gitignore").read_text("utf-8").split()
    assert {".terraform/", "*.tfstate", "*.tfstate.*", "terraform.tfvars", "kubeconfig", "rendered/"} <= set(ignored)
    assert [file for file in TERRAFORM.rglob("*.tfvars")] == []


def test_checkov_finds_nothing_but_what_has_its_reason() -> None:
    assert unexplained("terraform", TERRAFORM) == []


def test_the_parser_loses_no_block() -> None:
    for folder in FOLDERS.values():
        assert len(blocks(folder, "variable")) == len(re.findall(r'^variable "', text(folder), re.MULTILINE))
        assert len(resources(folder)) == len(re.findall(r'^resource "', text(folder), re.MULTILINE))

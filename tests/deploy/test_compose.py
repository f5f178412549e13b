"""The compose files: what they start is pinned, watched, locked up, and reachable from where it should be."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.settings import Settings
from tests.deploy.compose import FILES, PROD, loaded, services
from tests.deploy.installed import said, tool
from tests.deploy.promtool import ROOT, promtool

EVERY = [(file, name) for file in FILES for name in services(file)]
NAMES = [f"{file.name}-{name}" for file, name in EVERY]
PARTS = ROOT / "deploy" / "compose"
ASKED_FOR = {"ASKGRAPH_IMAGE": "askgraph:local", "ASKGRAPH_DOMAIN": "ask.example.com", "ACME_EMAIL": "ops@example.com"}
of_every_service = pytest.mark.parametrize(("file", "name"), EVERY, ids=NAMES)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What the script makes."""
    subprocess.run(["sh", str(PARTS / "make_secrets.sh"), str(tmp_path / "secrets")], check=True, timeout=30)
    return tmp_path / "secrets"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The compose files beside secrets of their own, and no .env."""
    for file in FILES:
        shutil.copy(file, tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("k8s", "terraform", "secrets"))
    subprocess.run(["sh", str(tmp_path / "deploy/compose/make_secrets.sh")], check=True, timeout=30)
    return tmp_path


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_there_is_one_for_development_one_for_databases_and_one_for_people() -> None:
    assert [file.name for file in FILES] == ["docker-compose.db.yml", "docker-compose.prod.yml", "docker-compose.yml"]
    assert set(services(ROOT / "docker-compose.yml")) == {"app", "postgres", "valkey", "prometheus", "grafana"}
    assert set(services(ROOT / "docker-compose.db.yml")) == {"postgres", "valkey"}


@of_every_service
def test_an_image_is_pinned_by_its_version(file: Path, name: str) -> None:
    image = services(file)[name]["image"]
    assert image == "askgraph:local" or image.startswith("${ASKGRAPH_IMAGE:?") or re.search(r":v?\d[\w.-]+$", image)


@of_every_service
def test_a_service_is_watched_or_runs_once(file: Path, name: str) -> None:
    service = services(file)[name]
    assert service["restart"] == "no" or service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@of_every_service
def test_a_service_is_locked_up(file: Path, name: str) -> None:
    service = services(file)[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "traefik" else [])


@of_every_service
def test_only_the_proxy_listens_to_others(file: Path, name: str) -> None:
    for port in services(file)[name].get("ports", []):
        assert port.startswith("127.0.0.1:") or (name, port) in {("traefik", "80:80"), ("traefik", "443:443")}


@of_every_service
def test_what_a_service_has_time_for_is_longer_than_what_its_runs_are_given(file: Path, name: str) -> None:
    service = services(file)[name]
    if name == "app":
        assert seconds(service["stop_grace_period"]) > Settings.model_fields["shutdown_grace_seconds"].default + 14


@of_every_service
def test_what_is_mounted_is_there(file: Path, name: str) -> None:
    for volume in services(file)[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (file.parent / source).exists() or (PARTS / source).exists(), volume
        elif not source.startswith("$"):
            assert source in loaded(file)["volumes"], volume


@of_every_service
def test_a_secret_is_a_file_that_the_script_makes(file: Path, name: str, secrets: Path) -> None:
    service, top = services(file)[name], loaded(file).get("secrets", {})
    assert set(service.get("secrets", [])) <= set(top)
    paths = [one["file"] for one in top.values()]
    paths += [one for one in service.get("env_file", []) if isinstance(one, str)]
    for path in paths:
        assert path.startswith("deploy/compose/secrets/")
        assert (secrets / Path(path).name).stat().st_size > 16


def test_secrets_are_made_once_and_closed_to_others(secrets: Path) -> None:
    before = {file.name: file.read_text("utf-8") for file in secrets.iterdir()}
    subprocess.run(["sh", str(PARTS / "make_secrets.sh"), str(secrets)], check=True, timeout=30)
    assert {file.name: file.read_text("utf-8") for file in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o777 == 0o700
    made = [text for name, text in before.items() if "." not in name]
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in made)
    assert len(set(made)) == len(made) == 5


@pytest.mark.parametrize("name", ["app.env", "pooled.env", "local.env"])
def test_the_service_starts_with_the_made_settings(name: str, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (secrets / name).read_text("utf-8").splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    it = Settings(_env_file=None, environment="production", web_concurrency=2, search_backend="postgres")
    assert it.operations_token
    assert it.redis_url


def test_nothing_that_was_made_is_committed() -> None:
    assert (PARTS / "secrets" / ".gitignore").read_text("utf-8").split("\n", 1)[1] == "*\n!.gitignore\n"


def test_replicas_share_what_is_uploaded_and_search_in_the_database() -> None:
    app: dict[str, Any] = services(PROD)["app"]
    assert app["deploy"]["replicas"] == "${APP_REPLICAS:-2}"
    assert app["environment"]["SEARCH_BACKEND"] == "postgres"
    assert "data:/var/lib/askgraph" in app["volumes"]
    routes = (PARTS / "traefik.yml").read_text("utf-8")
    assert "sticky:" not in routes
    assert f"http://{loaded(PROD)['name']}-app-" in routes


def test_the_databases_have_no_way_out_and_the_proxy_none_to_them() -> None:
    networks = loaded(PROD)["networks"]
    assert networks["inner"] == {"internal": True}
    assert {name for name, one in services(PROD).items() if "edge" in one["networks"]} == {"traefik", "app"}
    for name in ("postgres", "pgbouncer", "valkey"):
        assert services(PROD)[name]["networks"] == ["inner"]
    assert services(PROD)["app"]["environment"]["TRUSTED_PROXIES"] == networks["edge"]["ipam"]["config"][0]["subnet"]


def test_connections_are_lent_for_a_transaction() -> None:
    text = (PARTS / "pgbouncer.ini").read_text("utf-8")
    assert re.search(r"^pool_mode = transaction$", text, re.MULTILINE)
    assert "environment pgbouncer:6432 " in (PARTS / "make_secrets.sh").read_text("utf-8")


def test_prometheus_finds_each_replica_and_judges_by_the_same_rules(tmp_path: Path) -> None:
    for mount in ("/etc/prometheus/rules:ro", "/etc/prometheus/prometheus.yml:ro"):
        assert any(str(one).endswith(mount) for one in services(PROD)["prometheus"]["volumes"])
    folder = tmp_path / "prometheus"
    shutil.copytree(ROOT / "deploy" / "prometheus", folder / "rules")
    token = tmp_path / "token"
    token.write_text("x", "utf-8")
    text = (PARTS / "prometheus.yml").read_text("utf-8")
    (folder / "prometheus.yml").write_text(text.replace("/run/secrets/operations_token", str(token)), "utf-8")
    assert "SUCCESS: 2 rule files found" in promtool("check", "config", folder / "prometheus.yml")


@pytest.mark.deploy
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_docker_compose_itself_takes_it(file: Path, checkout: Path) -> None:
    out = checkout / "out.yml"
    command = (tool("docker-compose"), "-f", checkout / file.name, "config", "--output", out)
    said(*command, cwd=checkout, env={**os.environ, **ASKED_FOR})
    resolved = yaml.safe_load(out.read_text("utf-8"))
    assert set(resolved["services"]) == set(services(file))
    for name, service in resolved["services"].items():
        assert service["read_only"] is True
        for volume in service.get("volumes", []):
            if volume["type"] == "bind" and not volume["source"].endswith("/knowledge"):
                assert Path(volume["source"]).exists(), (name, volume["source"])


@pytest.mark.deploy
@pytest.mark.parametrize("name", ASKED_FOR)
def test_without_what_it_asks_for_nothing_starts(name: str, checkout: Path) -> None:
    less = {**os.environ, **ASKED_FOR}
    del less[name]
    command = (tool("docker-compose"), "-f", checkout / PROD.name, "config", "--quiet")
    assert f"required variable {name} is missing" in said(*command, cwd=checkout, env=less, status=1)


@pytest.mark.deploy
@pytest.mark.parametrize("file", [*FILES, PARTS / "parts.yml"], ids=lambda file: file.name)
def test_it_fits_the_compose_specification(file: Path) -> None:
    said(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", file)

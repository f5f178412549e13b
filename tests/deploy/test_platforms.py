"""Platforms that are told by one file each, and the unit for systemd: what they promise is what the service needs."""

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.settings import Settings
from tests.deploy.installed import said
from tests.deploy.promtool import ROOT
from tests.e2e.service import running

GRACE = Settings.model_fields["shutdown_grace_seconds"].default
READY = "/health/ready"
UNIT = ROOT / "deploy" / "systemd" / "askgraph.service"
VERCEL: dict[str, Any] = json.loads((ROOT / "vercel.json").read_text("utf-8"))
FLY = tomllib.loads((ROOT / "fly.toml").read_text("utf-8"))
RAILWAY = tomllib.loads((ROOT / "railway.toml").read_text("utf-8"))
RENDER: dict[str, Any] = yaml.safe_load((ROOT / "render.yaml").read_text("utf-8"))["services"][0]
PLACEHOLDER = "https://askgraph.example.com/"
ROUTES = (ROOT / "tests" / "e2e" / "route_table.py").read_text("utf-8")


def unit() -> dict[str, list[str]]:
    """Every directive with its values in order; systemd lets a name stand several times."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        (RENDER["healthCheckPath"], RENDER["maxShutdownDelaySeconds"]),
        (RAILWAY["deploy"]["healthcheckPath"], RAILWAY["deploy"]["drainingSeconds"]),
        (FLY["http_service"]["checks"][0]["path"], int(FLY["kill_timeout"].rstrip("s"))),
    ],
    ids=["render", "railway", "fly"],
)
def test_a_platform_asks_whether_it_is_ready_and_lets_runs_end(path: str, seconds: int) -> None:
    assert path == READY
    assert f'"{READY}"' in ROUTES
    assert seconds > GRACE + 14


def test_platforms_build_the_image() -> None:
    assert RENDER["runtime"] == "docker"
    assert RAILWAY["build"]["builder"] == "DOCKERFILE"
    for named in (RAILWAY["build"]["dockerfilePath"], FLY["build"]["dockerfile"]):
        assert (ROOT / named).is_file()


def test_what_is_kept_lies_on_a_disk_and_has_one_instance() -> None:
    assert RENDER["disk"]["mountPath"] == FLY["mounts"]["destination"] == "/var/lib/askgraph"
    assert RAILWAY["deploy"]["numReplicas"] == 1
    assert FLY["http_service"]["auto_stop_machines"] == "off"


def test_a_key_is_made_or_asked_for_and_never_written_down() -> None:
    for one in RENDER["envVars"]:
        if one["key"] in ("SECRET_KEY", "OPERATIONS_TOKEN", "OPENAI_API_KEY"):
            assert set(one) in ({"key", "generateValue"}, {"key", "sync"})
    assert not {"SECRET_KEY", "OPERATIONS_TOKEN", "OPENAI_API_KEY"} & set(FLY["env"])


@pytest.mark.parametrize("settings", [FLY["env"], {one["key"]: one.get("value") for one in RENDER["envVars"]}])
def test_the_service_takes_these_settings(settings: dict[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    it = Settings(_env_file=None)
    assert it.host == "0.0.0.0"  # noqa: S104  # a container's own network
    assert it.trusted_proxies
    assert it.use_https


async def test_the_procfile_serves_to_others_on_the_port_it_is_given(tmp_path: Path) -> None:
    commands = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text("utf-8").splitlines())
    assert set(commands) == {"release", "web"}
    assignment, module = re.fullmatch(r"(HOST=\S+) python -m (\S+) serve", commands["web"]).groups()  # type: ignore[union-attr]
    assert commands["release"] == f"python -m {module} migrate"
    assert assignment == "HOST=0.0.0.0"
    async with running(tmp_path, anew=True) as service:  # started as `python -m backend.cli serve`, from the sources
        assert module == "backend.cli"
        async with service.client() as client:
            assert (await client.get(READY)).status_code == 200


# --- Vercel ----------------------------------------------------------------------------------------------------------


def test_vercel_leads_to_one_place_that_is_to_be_named() -> None:
    every = VERCEL["rewrites"] + VERCEL["redirects"]
    assert all(one["destination"].startswith(PLACEHOLDER) for one in every)


def test_vercel_is_not_asked_to_carry_sockets() -> None:
    assert not any(one["source"].startswith("/ws") for one in VERCEL["rewrites"])
    sent_away = {one["source"] for one in VERCEL["redirects"]}
    assert {"/", "/dashboard", "/ws/:path*"} <= sent_away


def test_what_vercel_hands_on_is_a_route() -> None:
    for one in VERCEL["rewrites"]:
        path = one["source"].removesuffix("/:path*").removesuffix("swagger")
        assert f'"{path}' in ROUTES, path
        assert one["destination"] == PLACEHOLDER.rstrip("/") + one["source"]


def test_vercel_sets_the_headers_that_the_service_does() -> None:
    from middleware.security_headers import HEADERS

    (rule,) = VERCEL["headers"]
    assert {one["key"]: one["value"] for one in rule["headers"]} == HEADERS


def test_vercel_builds_from_what_is_there() -> None:
    for path in re.findall(r"backend/\S+", VERCEL["buildCommand"]):
        assert (ROOT / path).exists()


# --- systemd ---------------------------------------------------------------------------------------------------------


def test_the_unit_gives_runs_their_time_and_workers_their_signal() -> None:
    directives = unit()
    assert int(directives["TimeoutStopSec"][0]) > GRACE + 14
    assert directives["KillSignal"] == ["SIGTERM"]
    assert directives["KillMode"] == ["mixed"]
    assert "kill -HUP" in directives["ExecReload"][0]
    assert '"$$WEB_CONCURRENCY" -gt 1' in directives["ExecReload"][0]


def test_the_unit_writes_where_it_says() -> None:
    directives = unit()
    settings = dict(one.split("=", 1) for line in directives["Environment"] for one in line.split())
    assert settings["DATA_DIR"] == f"/var/lib/{directives['StateDirectory'][0]}"
    assert settings["CACHE_DIR"] == f"/var/cache/{directives['CacheDirectory'][0]}"
    assert directives["ProtectSystem"] == ["strict"]
    assert directives["DynamicUser"] == directives["NoNewPrivileges"] == ["yes"]


def test_the_unit_leaves_readers_of_uploads_the_calls_that_bound_them() -> None:
    assert "resource.setrlimit" in (ROOT / "services/knowledge/reading_worker.py").read_text("utf-8")
    denied = [value for value in unit()["SystemCallFilter"] if value.startswith("~")]
    assert denied == ["~@privileged"]


def test_the_unit_is_a_file_that_every_reader_of_such_files_can_read() -> None:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.read(UNIT, "utf-8")
    assert parser.sections() == ["Unit", "Service", "Install"]


@pytest.mark.deploy
def test_systemd_itself_takes_the_unit(tmp_path: Path) -> None:
    import shutil

    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze on this machine: it comes with systemd")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/askgraph/bin/askgraph", "/bin/true"), "utf-8")
    assert said("systemd-analyze", "verify", copy) == ""
    # 0 is locked up wholly, 10 not at all: in tenths here.
    said("systemd-analyze", "security", "--offline=yes", "--threshold=20", copy)

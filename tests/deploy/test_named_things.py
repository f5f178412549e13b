"""What deployments and guides name is there: settings, variables, targets of make; and no secret stands in them."""

import re
from pathlib import Path

import pytest
import yaml

from backend.settings import Settings
from tests.deploy.compose import FILES, services
from tests.deploy.dockerfile import parse
from tests.deploy.installed import said, tool
from tests.deploy.promtool import ROOT
from tests.deploy.test_platforms import FLY, RENDER, unit

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = (ROOT / "docs" / "deployment.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
KNOWN = set(re.findall(r"^(\w+)=", (ROOT / "environment_template.txt").read_text("utf-8"), re.MULTILINE))
OF_THE_IMAGE = {"PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "MALLOC_ARENA_MAX"}
DEPLOYED = [
    ROOT / "Dockerfile", ROOT / "Procfile", ROOT / "render.yaml", ROOT / "railway.toml", ROOT / "fly.toml",
    ROOT / "vercel.json", *FILES, *sorted((ROOT / ".github/workflows").glob("*.yml")),
    *(path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file() and "secrets" not in path.parts
      and ".terraform" not in path.parts and path.suffix != ".json"),
]  # fmt: skip
SECRETS = {name.upper() for name, one in Settings.model_fields.items() if "SecretStr" in str(one.annotation)}
WRITTEN_DOWN = re.compile(
    r"(?i)(?:password|passwd|secret|token|api_?key|secret_?key)[\"']?\s*[=:]\s*[\"']?([A-Za-z0-9+/_.-]{16,})"
)
INNOCENT = re.compile(r"^[/.]|^operations_token|^deploy/|_password$|secret_key$|secrets?\.|^data\.|^var\.|^random_")


def named() -> dict[str, set[str]]:
    """The settings of the service that each deployment names."""
    last = parse((ROOT / "Dockerfile").read_text("utf-8"))[-1]
    found = {
        "Dockerfile": {name for one in last.all("ENV") for name in one.assignments},
        "fly.toml": set(FLY["env"]),
        "render.yaml": {one["key"] for one in RENDER["envVars"]},
        "askgraph.service": {one.split("=")[0] for line in unit()["Environment"] for one in line.split()},
        "make_secrets.sh": set(
            re.findall(r'echo "([A-Z_]+)=', (ROOT / "deploy/compose/make_secrets.sh").read_text("utf-8"))
        ),
        "railway.toml": set(re.findall(r"\b([A-Z]+_[A-Z_]+)\b", (ROOT / "railway.toml").read_text("utf-8")))
        - {"ON_FAILURE", "RAILWAY_RUN_UID", "SHUTDOWN_GRACE_SECONDS"},
    }
    for file in FILES:
        for name in ("app", "migrate"):
            found[f"{file.name} {name}"] = set(services(file).get(name, {}).get("environment", {}))
    return found


@pytest.mark.parametrize(("where", "names"), named().items(), ids=list(named()))
def test_every_setting_that_is_named_is_one(where: str, names: set[str]) -> None:
    assert names - KNOWN - OF_THE_IMAGE == set(), where


def test_what_the_compose_files_ask_for_stands_in_the_guide() -> None:
    texts = [file.read_text("utf-8") for file in [*FILES, ROOT / "deploy/compose/parts.yml"]]
    asked = {name for text in texts for name in re.findall(r"(?<!\$)\$\{(\w+)", text)}
    assert asked
    assert {name for name in asked if f"`{name}" not in GUIDE} - KNOWN == set()


@pytest.mark.parametrize("file", DEPLOYED, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_secret_is_written_down(file: Path) -> None:
    text = file.read_text("utf-8")
    found = [value for value in WRITTEN_DOWN.findall(text) if not INNOCENT.search(value)]
    assert found == []
    assert not re.search(r"-----BEGIN|\bsk-[A-Za-z0-9]{8}|\bghp_|\beyJ[A-Za-z0-9_-]{20}", text)


def test_a_setting_that_is_a_secret_has_no_value_in_a_compose_file() -> None:
    assert {"SECRET_KEY", "OPENAI_API_KEY", "OPERATIONS_TOKEN"} <= SECRETS
    for file in FILES:
        for service in services(file).values():
            assert not (SECRETS | {"DATABASE_URL", "POSTGRES_PASSWORD"}) & set(service.get("environment", {}))


def test_the_same_image_has_the_same_version_everywhere() -> None:
    versions: dict[str, set[str]] = {}
    for file in DEPLOYED:
        if file.suffix in (".yml", ".yaml"):
            for name, tag in re.findall(
                r"image: (?:&\w+ )?([a-z][\w./-]+):(v?\d[\w.-]*)$", file.read_text("utf-8"), re.MULTILINE
            ):
                versions.setdefault(name, set()).add(tag)
    assert {"pgvector/pgvector", "valkey/valkey", "traefik", "edoburu/pgbouncer"} <= set(versions)
    assert {name: tags for name, tags in versions.items() if len(tags) > 1} == {}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_target_that_a_guide_names_is_there(page: Path) -> None:
    text = page.read_text("utf-8")
    code = "\n".join(
        re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    )
    assert set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", code)) - TARGETS == set()


def test_every_target_for_people_says_what_it_does() -> None:
    silent = {"bench-compare", "bench-peers-run"}
    phony = set(re.sub(r"\\\n", "", MAKEFILE).split(".PHONY:")[1].split("\n")[0].split())
    assert phony <= TARGETS
    assert phony - set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE)) == silent


def test_destroying_without_a_question_has_to_be_confirmed(tmp_path: Path) -> None:
    terraform = tmp_path / "terraform"
    terraform.write_text("#!/bin/sh\necho would destroy\n", "utf-8")
    terraform.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    refused = said("make", "infra-destroy-force", env=path, status=2)
    assert "say CONFIRM=yes" in refused
    assert "would destroy" not in refused
    assert "would destroy" in said("make", "infra-destroy-force", "CONFIRM=yes", env=path)


@pytest.mark.deploy
def test_shellcheck_has_nothing_to_say() -> None:
    scripts = [path for path in [*(ROOT / "deploy").rglob("*.sh"), *(ROOT / "tests").rglob("*.sh"), ROOT / ".ci/run"]
               if "node_modules" not in path.parts]  # fmt: skip
    assert len(scripts) >= 5
    # SC2329: functions that are called by their names, which it cannot see.
    assert said(tool("shellcheck"), "--exclude=SC2329", *scripts) == ""


def test_every_yaml_file_can_be_read() -> None:
    templates = {ROOT / "deploy" / "compose" / "traefik.yml"}  # Traefik's own, see test_proxies.py
    for file in DEPLOYED:
        if file.suffix in (".yml", ".yaml") and file not in templates:
            assert list(yaml.safe_load_all(file.read_text("utf-8"))), file

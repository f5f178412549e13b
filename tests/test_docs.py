"""What is written for people: links lead somewhere, what is quoted stands there, what is shown works."""

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from backend.main import create_app
from backend.settings import Settings
from infrastructure.database.models import Base
from infrastructure.monitoring import Metrics
from services.knowledge.extract import extract
from tests.e2e.service import running

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TABLE = re.compile(r"^    (\w+) \{\n(.*?)^    \}", re.MULTILINE | re.DOTALL)
REFERENCE = re.compile(r"^    (\w+) (\|\||\|o)--o[{|] (\w+) :", re.MULTILINE)
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUESTIONS = json.loads((ROOT / "tests" / "data" / "sample_questions.json").read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to, as GitHub makes them."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(found), f"{target} names no heading"


def test_the_decisions_are_numbered_without_a_hole() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


def test_every_metric_stands_in_the_operations_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text("utf-8")
    for family in Metrics("0").registry.collect():
        names = (family.name, f"{family.name}_total", f"{family.name}_info")
        assert any(re.search(rf"`{name}[`{{]", guide) for name in names), family.name


@pytest.mark.parametrize("asked", [one for one in QUESTIONS if one["document"]], ids=lambda asked: asked["question"])
def test_the_answer_of_a_sample_question_stands_in_its_document(asked: dict[str, str]) -> None:
    data = (ROOT / "knowledge" / asked["document"]).read_bytes()
    assert asked["answer_contains"].lower() in extract(asked["document"], data).text.lower()


async def test_the_client_in_the_guide_works_as_it_stands(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "websocket.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    async with running(tmp_path) as service:
        script = tmp_path / "client.py"
        script.write_text(code.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}"), "utf-8")
        client = await asyncio.create_subprocess_exec(
            sys.executable, str(script), "What is a flash loan?", stdout=asyncio.subprocess.PIPE
        )
        said, _ = await asyncio.wait_for(client.communicate(), 30)
    assert b"within a single blockchain transaction" in said


def test_the_diagram_has_the_tables_and_columns_of_the_models() -> None:
    diagram = (ROOT / "docs" / "data_model.md").read_text("utf-8")
    drawn = {}
    for table, lines in TABLE.findall(diagram):
        columns = [line.split() for line in lines.splitlines()]
        drawn[table] = {
            name: ("PK" in _keys(rest), "FK" in _keys(rest), '"null' in " ".join(rest)) for _, name, *rest in columns
        }
    assert drawn == {
        table.name: {
            column.name: (column.primary_key, bool(column.foreign_keys), bool(column.nullable))
            for column in table.columns
        }
        for table in Base.metadata.tables.values()
    }


def _keys(rest: list[str]) -> str:
    return " ".join(rest).split('"')[0]


def test_the_diagram_has_the_references_of_the_models() -> None:
    drawn = REFERENCE.findall((ROOT / "docs" / "data_model.md").read_text("utf-8"))
    assert sorted(drawn) == sorted(
        (key.column.table.name, "|o" if key.parent.nullable else "||", table.name)
        for table in Base.metadata.tables.values()
        for key in table.foreign_keys
    )


def test_every_route_below_api_stands_in_a_guide() -> None:
    names = ("accounts.md", "agents.md", "chats.md", "files.md", "knowledge.md", "embedding_models.md", "models.md")
    guides = "".join((ROOT / "docs" / name).read_text("utf-8") for name in names)
    paths = create_app(Settings(_env_file=None)).openapi()["paths"]
    own = [re.sub(r"/\{\w+\}", "", path).removeprefix("/api/v1").rstrip("/") for path in paths if "/api/v1/" in path]
    assert len(own) > 20
    assert [path for path in own if path.rsplit("/", 1)[-1] not in guides] == []


@pytest.mark.skipif(shutil.which("jq") is None or shutil.which("curl") is None, reason="the examples use both")
async def test_the_examples_of_accounts_and_chats_work_as_they_stand(tmp_path: Path) -> None:
    accounts, chats = (SHELL.findall((ROOT / "docs" / name).read_text("utf-8")) for name in ("accounts.md", "chats.md"))
    strict = 'set -euo pipefail; curl() { command curl --fail-with-body "$@"; }'
    script = "\n".join((strict, *accounts[:-1], *chats, accounts[-1]))  # the account is left last
    async with running(tmp_path) as service, service.client() as client:
        examples = await asyncio.create_subprocess_exec(
            "bash", "-c", script.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(examples.communicate(), 60)
        assert examples.returncode == 0, said.decode()
        again = await client.post(
            "/api/v1/auth/login", json={"username": "ada", "password": "correct horse battery staple"}
        )
    assert b"A health factor below 1 means" in said
    assert b"A flash loan is a loan" in said
    assert again.status_code == httpx.codes.UNAUTHORIZED

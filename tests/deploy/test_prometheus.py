"""The scrape configuration and the alerts: Prometheus takes them, each alert fires when it must and only then."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.error_handlers import STATUS_OF_KIND
from tests.deploy.known import unknown
from tests.deploy.promtool import PROMETHEUS, ROOT, promtool
from tests.e2e.service import running

TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
SEVERITIES = {"critical", "warning", "info"}
TOKEN = "operations-token-0123456789"


def rules(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"]: rule for rule in rules("recording.yml")}
ALL = ALERTS | RECORDED


def stories() -> list[dict[str, Any]]:
    return [story for file in TESTS for story in yaml.safe_load(file.read_text("utf-8"))["tests"]]


def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (folder / "operations_token").write_text(TOKEN, "utf-8")
    assert "2 rule files found" in promtool("check", "config", folder / "prometheus.yml")


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_must_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_is_tried_both_ways() -> None:
    expected = [
        (case["alertname"], bool(case["exp_alerts"])) for story in stories() for case in story["alert_rule_test"]
    ]
    assert set(expected) == {(name, fires) for name in ALERTS for fires in (True, False)}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_means_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{alert.lower()}"
    guide = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert re.search(rf"^#+ {alert}$", guide, re.MULTILINE), f"no section {alert}"


@pytest.mark.parametrize("rule", ALL)
def test_a_rule_reads_what_the_service_has(rule: str) -> None:
    assert unknown(ALL[rule]["expr"], RECORDED) == []


def test_the_stories_are_told_with_series_that_the_service_has() -> None:
    names = {series["series"] for story in stories() for series in story["input_series"]}
    assert [fault for name in sorted(names) for fault in unknown(name)] == []


def test_the_kinds_of_errors_in_rules_are_kinds_of_the_service() -> None:
    named = [re.findall(r'errors_total\{type="(\w+)"', rule["expr"]) for rule in ALERTS.values()]
    kinds = {kind for found in named for kind in found}
    assert {"internal_error", "storage_unavailable", "rate_limited", "unauthorized"} <= kinds <= set(STATUS_OF_KIND)


def test_every_recorded_figure_is_read() -> None:
    read = " ".join(str(rule["expr"]) for rule in ALL.values())
    assert [name for name in RECORDED if name not in read] == []


async def test_the_service_lets_prometheus_in_as_the_configuration_asks(tmp_path: Path) -> None:
    (scrape,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    shown = {"Authorization": f"{scrape['authorization']['type']} {TOKEN}"}
    async with running(tmp_path, {"OPERATIONS_TOKEN": TOKEN}) as service, service.client() as client:
        let_in = await client.get(scrape["metrics_path"], headers=shown)
        assert let_in.status_code == 200
        assert "agent_queries_total" in let_in.text
        assert (await client.get(scrape["metrics_path"])).status_code == 401

"""The dashboards: Grafana can load them, and every panel reads what the service has."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.known import unknown
from tests.deploy.promtool import ROOT, promtool

GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$instance": ".+"}


def board(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return loaded


def panels(file: Path) -> list[dict[str, Any]]:
    return [panel for panel in board(file)["panels"] if panel["type"] != "row"]


def expressions(file: Path) -> list[str]:
    found = [target["expr"] for panel in panels(file) for target in panel["targets"]]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def test_there_are_the_five_dashboards_each_with_a_name_of_its_own() -> None:
    assert [file.stem for file in FILES] == ["answers", "http", "overview", "process", "providers"]
    assert [board(file)["uid"] for file in FILES] == [f"askgraph-{file.stem}" for file in FILES]
    assert len({board(file)["title"] for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_asks_for_its_source_and_instance(file: Path) -> None:
    variables = {one["name"]: one for one in board(file)["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert unknown(re.sub(r"label_values\((.*), \w+\)", r"\1", variables["instance"]["query"]["query"])) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_panel_has_a_title_a_unit_a_place_and_the_chosen_source(file: Path) -> None:
    for panel in panels(file):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == DATASOURCE
        assert all(target["datasource"] == DATASOURCE for target in panel["targets"])
        assert panel["targets"]
    for key in ("id", "title"):
        assert [
            value for value, count in Counter(panel[key] for panel in board(file)["panels"]).items() if count > 1
        ] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_panel_lies_over_another(file: Path) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for place in (panel["gridPos"] for panel in board(file)["panels"]):
        assert place["x"] + place["w"] <= 24
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        taken.update((x, y) for x in columns for y in rows)
    assert max(taken.values()) == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_panel_reads_what_the_service_has(file: Path) -> None:
    assert [(expression, fault) for expression in expressions(file) for fault in unknown(expression)] == []


def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    asked = [expression for file in FILES for expression in expressions(file)]
    records = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    rules = tmp_path / "panels.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}), "utf-8")
    assert f"{len(records)} rules found" in promtool("check", "rules", rules)


def test_grafana_is_told_where_source_and_dashboards_are() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/askgraph.yml").read_text("utf-8"))["providers"]
    assert (provider["type"], provider["folder"]) == ("file", "AskGraph")

"""What decides how many pods there are: the figure that the autoscaler asks for is one that the service has."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.database.postgres_writer import CONNECTIONS
from tests.backend.test_environment_template import template
from tests.deploy.cluster import K8S, MANY, app, of_kind, one, settings
from tests.deploy.known import series
from tests.deploy.promql import selectors
from tests.deploy.promtool import ROOT, promtool

MONITORING = K8S / "monitoring"


def rule() -> dict[str, Any]:
    """The adapter's one rule."""
    (found,) = yaml.safe_load((MONITORING / "prometheus-adapter.yaml").read_text("utf-8"))["rules"]["custom"]
    return dict(found)


def query() -> str:
    """As the adapter asks it for the pods of a namespace."""
    text: str = rule()["metricsQuery"]
    filled = text.replace("<<.GroupBy>>", "pod").replace(
        "<<.LabelMatchers>>", 'namespace="askgraph",pod=~"askgraph-.+"'
    )
    assert "<<" not in filled
    return filled


@pytest.mark.parametrize("name", MANY)
def test_two_pods_at_least_and_the_autoscaler_alone_says_how_many(name: str) -> None:
    (scaler,) = of_kind(name, "HorizontalPodAutoscaler")
    assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]
    target = scaler["spec"]["scaleTargetRef"]
    assert "replicas" not in one(name, target["kind"], target["name"])["spec"]


@pytest.mark.parametrize("name", MANY)
def test_it_goes_by_runs_first_and_by_the_processor_second(name: str) -> None:
    (scaler,) = of_kind(name, "HorizontalPodAutoscaler")
    runs, cpu = scaler["spec"]["metrics"]
    assert runs["pods"]["metric"]["name"] == rule()["name"]["as"]
    assert int(runs["pods"]["target"]["averageValue"]) < int(template()["MAX_ACTIVE_RUNS"])
    (container,) = app(name)["spec"]["containers"]
    assert cpu["containerResource"]["container"] == container["name"]
    requested = int(container["resources"]["requests"]["cpu"].removesuffix("m"))
    # One process answers on one core, and more than that it never shows.
    assert 0.5 <= requested / 1000 * cpu["containerResource"]["target"]["averageUtilization"] / 100 < 1


@pytest.mark.parametrize("name", MANY)
def test_the_connections_of_all_pods_are_no_more_than_their_servers_take(name: str) -> None:
    (scaler,) = of_kind(name, "HorizontalPodAutoscaler")
    most = scaler["spec"]["maxReplicas"] + 1  # one more while a release rolls
    workers = int(settings(name)["WEB_CONCURRENCY"])
    bouncer = {each["metadata"]["name"].rpartition("-")[0]: each for each in of_kind(name, "ConfigMap")}["pgbouncer"]
    told = dict(re.findall(r"^(\w+) = (.+)$", bouncer["data"]["pgbouncer.ini"], re.MULTILINE))
    each = int(settings(name)["DATABASE_POOL_SIZE"]) + CONNECTIONS + 1  # the writer's, and one that a start needs
    assert most * workers * each <= int(told["max_client_conn"])
    (postgres,) = one(name, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"]
    (taken,) = re.findall(r"max_connections=(\d+)", " ".join(postgres["args"]))
    bouncers = one(name, "Deployment", "pgbouncer")["spec"]["replicas"]
    # The server keeps three for its administrator; a dump takes one.
    assert bouncers * (int(told["default_pool_size"]) + int(told["reserve_pool_size"])) + 4 <= int(taken)


def test_the_figure_is_made_of_one_that_the_service_has() -> None:
    read = {each.metric for text in (query(), rule()["seriesQuery"]) for each in selectors(text)}
    assert read == {"agent_active_runs"} <= set(series())
    assert "`agent_active_runs`" in (ROOT / "docs" / "operations.md").read_text("utf-8")


def test_the_scrape_gives_the_labels_that_the_adapter_asks_by() -> None:
    (job,) = yaml.safe_load((MONITORING / "prometheus-scrape.yaml").read_text("utf-8"))["scrape_configs"]
    given = {step["target_label"] for step in job["relabel_configs"] if "target_label" in step}
    assert set(rule()["resources"]["overrides"]) <= given
    spaces = {each["metadata"]["name"] for name in MANY for each in of_kind(name, "Namespace")}
    assert spaces == set(job["kubernetes_sd_configs"][0]["namespaces"]["names"])
    (kept,) = (
        step
        for step in job["relabel_configs"]
        if step.get("source_labels") == ["__meta_kubernetes_pod_container_port_name"]
    )
    assert kept["regex"] == app("production")["spec"]["containers"][0]["ports"][0]["name"]


def test_prometheus_takes_the_scrape_job_but_for_how_pods_are_found(tmp_path: Path) -> None:
    """Debian's promtool was built without Kubernetes."""
    wanted = yaml.safe_load((MONITORING / "prometheus-scrape.yaml").read_text("utf-8"))
    del wanted["scrape_configs"][0]["kubernetes_sd_configs"]
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump(wanted), "utf-8")
    assert "is valid" in promtool("check", "config", "--syntax-only", config)


def test_the_figure_is_the_runs_under_way_in_each_pod(tmp_path: Path) -> None:
    """Each pod's own, and no other namespace's."""
    busy = 'agent_active_runs{namespace="askgraph",pod="askgraph-a",job="askgraph"}'
    idle, other = busy.replace("-a", "-b"), busy.replace('"askgraph",pod', '"other",pod')
    rules = {"groups": [{"name": "adapter", "rules": [{"record": "askgraph_active_runs", "expr": query()}]}]}
    story = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15s",
        "tests": [{
            "interval": "15s",
            "input_series": [
                {"series": busy, "values": "10x20"}, {"series": idle, "values": "0x20"},
                {"series": other, "values": "999x20"},
            ],
            "promql_expr_test": [{
                "expr": "askgraph_active_runs", "eval_time": "4m", "exp_samples": [
                    {"labels": 'askgraph_active_runs{pod="askgraph-a"}', "value": 10},
                    {"labels": 'askgraph_active_runs{pod="askgraph-b"}', "value": 0},
                ],
            }],
        }],
    }  # fmt: skip
    for name, content in (("rules.yml", rules), ("story.yml", story)):
        (tmp_path / name).write_text(yaml.safe_dump(content), "utf-8")
    promtool("test", "rules", tmp_path / "story.yml")

"""The series that the service has: each name with its labels, as its registry gives them."""

from collections.abc import Iterable
from functools import cache

from infrastructure.monitoring import Metrics
from infrastructure.providers.types import Usage
from tests.deploy.promql import Selector, grouped_by, selectors

OF_PROMETHEUS = {"job", "instance"}  # labels that it puts on all that it scrapes
PROMETHEUS_OWN = {
    "up": OF_PROMETHEUS,
    "scrape_duration_seconds": OF_PROMETHEUS,
    "ALERTS": {"alertname", "alertstate", "severity", *OF_PROMETHEUS},
}


@cache
def series() -> dict[str, set[str]]:
    """Sample names, such as `x_total` and `x_bucket`, with their labels."""
    found = {name: set(labels) for name, labels in PROMETHEUS_OWN.items()}
    for family in _told().registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set(OF_PROMETHEUS)).update(sample.labels)
    return found


def _told() -> Metrics:
    """Metrics that were told once of everything, so that each name with labels has a series."""
    metrics = Metrics("1.2.3")
    metrics.request("GET", "/ask", 200, 0.1)
    metrics.run_finished("complete", 0.5, 0.9, "m", Usage(3, 4))
    metrics.provider_called("openai", "ok")
    metrics.error("not_found")
    metrics.traces_dropped_for("full", 1)
    metrics.ws_messages.labels("in", "question").inc()
    metrics.cache_operations.labels("get", "hit").inc()
    metrics.circuit.labels("openai").set(0)
    metrics.dependency.labels("redis").set(1)
    metrics.run_taken_over("begun_anew")
    return metrics


def unknown(expression: str, more: Iterable[str] = ()) -> list[str]:
    """What the expression reads that is not there; `more` are names of recording rules."""
    there = series() | {name: {"provider", *OF_PROMETHEUS} for name in more}
    read = list(selectors(expression))
    faults = [f"no metric {one.metric}" for one in read if one.metric not in there]
    faults += [f"{one.metric} has no label {label}" for one in read for label in _strange(one, there)]
    grouping = grouped_by(expression) - set().union(*(there.get(one.metric, set()) for one in read))
    return faults + [f"nothing has the label {label}" for label in sorted(grouping)]


def _strange(one: Selector, there: dict[str, set[str]]) -> set[str]:
    return set(one.labels) - there.get(one.metric, set(one.labels))

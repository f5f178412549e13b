"""What a scrape reads is what the library would write, in both formats."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from infrastructure.counter import LoopCounters
from infrastructure.exposition import Registry
from infrastructure.histogram import LoopHistograms
from infrastructure.log_ids import begin_ids
from infrastructure.monitoring import Metrics
from infrastructure.providers.types import Usage

BUCKETS = (0.001, 0.01, 1.0, 60.0)
LABELS = ("method", "endpoint")
VALUES = st.lists(st.tuples(st.sampled_from(["GET", "a%d"]), st.text(max_size=8), st.floats(0, 1e9)), max_size=20)


def families(parse: Callable[[str], Iterable[Any]], body: bytes) -> dict[str, tuple[str, str, dict[Any, float]]]:
    return {
        family.name: (
            family.type,
            family.documentation,
            {(sample.name, *sorted(sample.labels.items())): sample.value for sample in family.samples},
        )
        for family in parse(body.decode())
    }


@settings(deadline=None)
@given(VALUES)
def test_what_writes_itself_is_written_as_by_the_library(observed: list[tuple[str, str, float]]) -> None:
    disable_created_metrics()
    ours, theirs = Registry(), CollectorRegistry()
    seconds = LoopHistograms("seconds", "Some.", LABELS, BUCKETS, ours)
    count = LoopCounters("things", "More.", LABELS, ours)
    Gauge("other", "What the library has.", registry=ours).set(3)
    reference = Histogram("seconds", "Some.", LABELS, buckets=BUCKETS, registry=theirs)
    counted = Counter("things", "More.", LABELS, registry=theirs)
    Gauge("other", "What the library has.", registry=theirs).set(3)
    for method, endpoint, value in observed:
        seconds.labels(method, endpoint).observe(value)
        reference.labels(method, endpoint).observe(value)
        count.labels(method, endpoint).inc(value)
        counted.labels(method, endpoint).inc(value)
    assert families(parse_text, ours.text(False)) == families(parse_text, generate_latest(theirs))
    assert families(parse_open, ours.text(True)) == families(parse_open, generate_open(theirs))
    assert families(parse_text, ours.text(False)) == families(parse_text, generate_latest(ours))


@pytest.mark.parametrize("openly", [False, True])
async def test_all_metrics_are_written_as_by_the_library(openly: bool) -> None:
    metrics = Metrics("1")
    begin_ids(run_id="run-1")
    for number in range(50):
        metrics.request("GET", f"/a/{{id}}/{number}", 200, number / 7)
        metrics.error(f"kind-{number}")
    metrics.first_token(0.2)
    metrics.next_token(0.01)
    metrics.run_finished("complete", 3.0, 0.9, "m", Usage(3, 4))
    parse, generate = (parse_open, generate_open) if openly else (parse_text, generate_latest)
    ours, theirs = families(parse, await metrics.scrape(openly)), families(parse, generate(metrics.registry))
    for found in (ours, theirs):
        del found["system_memory_usage_bytes"], found["system_cpu_usage_percent"]  # measured anew each time
    assert ours == theirs


async def test_a_run_is_its_buckets_example_for_who_asks_for_openmetrics() -> None:
    metrics = Metrics("1")
    begin_ids()  # whatever an earlier test has left here
    metrics.first_token(0.02)  # of nobody's run
    begin_ids(run_id="run-1")
    metrics.first_token(0.2)
    metrics.run_finished("complete", 3.0, 0.9, "m", Usage())
    found = {
        (sample.name, sample.labels.get("le")): (sample.exemplar.labels, sample.exemplar.value)
        for family in parse_open((await metrics.scrape(True)).decode())
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert found == {
        ("agent_time_to_first_token_seconds_bucket", "0.25"): ({"run_id": "run-1"}, 0.2),
        ("agent_processing_duration_seconds_bucket", "5.0"): ({"run_id": "run-1"}, 3.0),
        ("agent_runs_total", None): ({"run_id": "run-1"}, 1.0),
    }
    assert b"run-1" not in await metrics.scrape(False)

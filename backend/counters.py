"""What Prometheus counters and histograms of this process say, read by their public side."""

from collections import Counter

from prometheus_client.registry import Collector
from prometheus_client.samples import Sample


def samples(metric: Collector, ending: str) -> list[Sample]:
    """The metric's samples whose names end so: `_total` of a counter, `_sum` and `_count` of a histogram."""
    return [sample for family in metric.collect() for sample in family.samples if sample.name.endswith(ending)]


def total(metric: Collector, ending: str = "_total", **labels: str) -> float:
    """The sum over the series that have those labels."""
    found = samples(metric, ending)
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def by_label(metric: Collector, label: str, ending: str = "_total", **labels: str) -> dict[str, int]:
    """The sums by the value of a label; series that were made and never counted are left out."""
    sums: Counter[str] = Counter()
    for sample in samples(metric, ending):
        if labels.items() <= sample.labels.items() and sample.value:
            sums[sample.labels[label]] += int(sample.value)
    return dict(sums)


def hits_and_asked(operations: Collector) -> tuple[float, float]:
    """Of `cache_operations_total`: look-ups that found something, and all look-ups, of all caches."""
    found = [sample for sample in samples(operations, "_total") if sample.labels["operation"].endswith("get")]
    hits = sum(sample.value for sample in found if sample.labels["result"] == "hit")
    return hits, sum(sample.value for sample in found)

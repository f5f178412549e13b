"""Histograms for what is observed with every token and request: a tenth of the cost of the library's own, in one thread
only.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from infrastructure.exposition import Quick, head, series
from infrastructure.shared_values import Value, new_value, shared_folder


class LoopHistogram(Collector):
    """Counts observations in buckets with the upper bounds `buckets`, ascending. To be used on the event loop's thread.

    The library's Histogram takes a lock for each bucket that it walks over, 3 µs an observation. Where workers share
    their numbers `share` tells the others what is new; it is not done with each observation.
    """

    def __init__(
        self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry | None,
        label_names: Sequence[str] = (), label_values: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}
        self._shared = None
        if shared_folder() is not None:
            self._shared = _Shared(name, documentation, self.bound_names, label_names, label_values)
        if registry is not None:
            registry.register(self)

    @property
    def bound_names(self) -> list[str]:
        return [str(bound) for bound in self._bounds] + ["+Inf"]

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_run(self, value: float, run_id: str | None) -> None:
        """The same; the run becomes its bucket's example."""
        self.observe(value)
        if run_id is not None:
            place = bisect_left(self._bounds, value)
            self._exemplars[place] = Exemplar({"run_id": run_id}, value, round(time.time(), 3))

    def share(self) -> None:
        """Tell the other workers what was observed since the last time, if there are any."""
        if self._shared is not None:
            self._shared.take(self._counts, self._sum)

    def numbers(self) -> tuple[Any, ...]:
        """Each bucket with those below it, then count and sum."""
        counts = tuple(accumulate(self._counts))
        return (*counts, counts[-1], self._sum)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation)
        self.add_to(family, ())
        yield family

    def add_to(self, family: HistogramMetricFamily, label_values: Sequence[str]) -> None:
        counts = accumulate(self._counts)
        buckets: list[Any] = [
            (name, float(count), self._exemplars.get(place))
            for place, (name, count) in enumerate(zip(self.bound_names, counts, strict=True))
        ]
        family.add_metric(label_values, buckets, self._sum)


class LoopHistograms(Quick):
    """A histogram for each set of label values. Reading them is quick, too: a template for each, filled in at once."""

    def __init__(
        self, name: str, documentation: str, label_names: Sequence[str], buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:  # fmt: skip
        self._name = name
        self._documentation = documentation
        self._label_names = tuple(label_names)
        self._buckets = tuple(buckets)
        self._children: dict[tuple[str, ...], tuple[LoopHistogram, str]] = {}
        registry.register(self)

    def labels(self, *values: str) -> LoopHistogram:
        known = self._children.get(values)
        if known is None:
            child = LoopHistogram(self._name, self._documentation, self._buckets, None, self._label_names, values)
            known = self._children[values] = child, self._template(values, child.bound_names)
        return known[0]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._label_names)
        for values, (child, _) in self._children.items():
            child.add_to(family, values)
        yield family

    def text(self, openly: bool) -> str:
        lines = [template % child.numbers() for child, template in self._children.values()]
        return head(self._name, self._documentation, "histogram") + "".join(lines)

    def _template(self, values: Sequence[str], bounds: Sequence[str]) -> str:
        labels = dict(zip(self._label_names, values, strict=True))
        names = [series(f"{self._name}_bucket", labels | {"le": bound}) for bound in bounds]
        names.append(series(f"{self._name}_count", labels))
        counts = "".join(f"{name.replace('%', '%%')} %d.0\n" for name in names)
        return f"{counts}{series(f'{self._name}_sum', labels).replace('%', '%%')} %r\n"


class _Shared:
    """A histogram's numbers in this worker's file, and how much of what was observed they have."""

    def __init__(
        self, name: str, documentation: str, bounds: Sequence[str], label_names: Sequence[str],
        label_values: Sequence[str],
    ) -> None:  # fmt: skip
        def value(suffix: str, names: Sequence[str], values: Sequence[str]) -> Value:
            return new_value("histogram", name, name + suffix, names, values, documentation)

        self._sum = value("_sum", label_names, label_values)
        self._buckets = [value("_bucket", (*label_names, "le"), (*label_values, bound)) for bound in bounds]
        self._told = [0] * len(bounds)
        self._told_sum = 0.0

    def take(self, counts: Sequence[int], total: float) -> None:
        for place, (count, told) in enumerate(zip(counts, self._told, strict=True)):
            if count != told:
                self._buckets[place].inc(count - told)
                self._told[place] = count
        if total != self._told_sum:
            self._sum.inc(total - self._told_sum)
            self._told_sum = total

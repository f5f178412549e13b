"""What the processes of the service use of the machine."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import psutil
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class ProcessUse(Collector):
    """Memory and CPU of `processes`, summed, measured when they are read: no figure of a dead worker is left behind."""

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self._processes = processes
        self._known: dict[int, psutil.Process] = {}

    def collect(self) -> Iterable[Metric]:
        memory, cpu = 0.0, 0.0
        for process in self._living():
            with suppress(psutil.Error):  # it has just ended
                memory += process.memory_info().rss
                cpu += process.cpu_percent(None)
        yield GaugeMetricFamily("system_memory_usage_bytes", "Resident memory of the service's processes.", memory)
        yield GaugeMetricFamily("system_cpu_usage_percent", "CPU of these processes since the last scrape.", cpu)

    def _living(self) -> Iterator[psutil.Process]:
        living = set(self._processes())
        self._known = {pid: process for pid, process in self._known.items() if pid in living}
        for pid in living:
            with suppress(psutil.Error):
                if pid not in self._known:
                    self._known[pid] = psutil.Process(pid)
                yield self._known[pid]

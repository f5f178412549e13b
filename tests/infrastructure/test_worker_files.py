"""Workers of one service: each writes its own numbers, a scrape of any has the sum, and the dead are not forgotten."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Info
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from infrastructure.worker_files import WorkerFiles
from tests.e2e.service import ROOT

WORKER = """
import asyncio, sys
from infrastructure.log_ids import begin_ids
from infrastructure.monitoring import Metrics
from infrastructure.providers.types import Usage
metrics = Metrics("1")
for line in sys.stdin:
    kind, _, number = line.strip().partition(" ")
    for n in range(int(number) if kind == "count" else 0):
        metrics.request("GET", "/a", 200, 0.02)
        metrics.next_token(0.003)
        metrics.first_token(0.3)
        metrics.run_finished("complete", 1.0, 0.9, "m", Usage(2, 1))
        metrics.loop_lag.observe(0.001)
    if kind == "set":
        metrics.count_held(lambda: 2, lambda: 0)
        metrics.ws_active.set(3)
        metrics.circuit.labels("openai").set(int(number))
    body = asyncio.run(metrics.scrape(kind == "open"))
    print(len(body), flush=True)
    sys.stdout.buffer.write(body)
    sys.stdout.flush()
"""
Start = Callable[[], Any]


class Worker:
    """Another process that counts."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def say(self, line: str) -> dict[tuple[Any, ...], float]:
        """Have it do `line` and scrape it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        size = int(await asyncio.wait_for(self.process.stdout.readline(), 30))
        body = (await self.process.stdout.readexactly(size)).decode()
        return values(parse_open if line == "open" else parse_text, body)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


def values(parse: Any, body: str) -> dict[tuple[Any, ...], float]:
    return {(s.name, *sorted(s.labels.items())): s.value for family in parse(body) for s in family.samples}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    begun: list[Worker] = []
    inherited = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    environment = {**inherited, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT),
                   "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "numbers")}  # fmt: skip

    async def begin() -> Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        begun.append(Worker(process))
        return begun[-1]

    yield begin
    for worker in begun:
        if worker.process.returncode is None:
            await worker.kill()


def counted(found: dict[tuple[Any, ...], float]) -> set[float]:
    """The numbers that each count of the script raises by one."""
    http = ("endpoint", "/a"), ("method", "GET")
    return {
        found["http_requests_total", *http, ("status_code", "200")],
        found["http_request_duration_seconds_count", *http],
        found["http_request_duration_seconds_bucket", http[0], ("le", "0.025"), http[1]],
        found["http_request_duration_seconds_bucket", http[0], ("le", "+Inf"), http[1]],
        found["agent_runs_total", ("outcome", "complete")],
        found["agent_processing_duration_seconds_count",],
        found["agent_time_to_first_token_seconds_bucket", ("le", "0.5")],
        found["agent_inter_token_seconds_count",],
        found["event_loop_lag_seconds_count",],
        found["agent_tokens_total", ("kind", "completion"), ("model", "m")],
    }


async def test_a_scrape_of_any_worker_has_the_sum(start: Start) -> None:
    first, second = await start(), await start()
    await first.say("count 3")
    assert counted(await second.say("count 2")) == {5}
    assert counted(await first.say("text")) == {5}
    assert counted(await first.say("open")) == {5}
    sums = await first.say("text")
    assert sums["agent_inter_token_seconds_sum",] == pytest.approx(0.015)
    assert sums["http_request_duration_seconds_sum", ("endpoint", "/a"), ("method", "GET")] == pytest.approx(0.1)
    await first.say("set 2")
    gauges = await second.say("set 0")
    assert gauges["active_sessions_total",] == 4
    assert gauges["websocket_active_connections",] == 6
    assert gauges["provider_circuit_state", ("provider", "openai")] == 2
    assert gauges["app_info", ("name", "askgraph"), ("version", "1")] == 1


async def test_what_a_dead_worker_counted_stays_and_what_it_held_goes(start: Start, tmp_path: Path) -> None:
    first = await start()
    await first.say("text")  # it is at work, and what the others leave is not an earlier service's
    for _ in range(2):
        other = await start()
        await other.say("count 4")
        await other.say("set 2")
        await other.kill()
    found = await first.say("count 1")
    assert counted(found) == {9}
    assert counted(await first.say("text")) == {9}
    assert found["websocket_active_connections",] == 0
    assert ("provider_circuit_state", ("provider", "openai")) not in found
    names = {file.name for file in (tmp_path / "numbers").iterdir()}
    assert not {name for name in names if str(other.process.pid) in name}
    assert {"counter_0.db", "histogram_0.db"} <= names


async def test_a_service_begins_at_nothing_again(start: Start) -> None:
    before = await start()
    await before.say("count 4")
    await before.kill()
    assert counted(await (await start()).say("count 1")) == {1}


def test_who_gets_a_dead_ones_id_begins_with_nothing_of_its_gauges(tmp_path: Path) -> None:
    parent = WorkerFiles(tmp_path)  # somebody lives
    os.rename(tmp_path / f"{os.getpid()}.alive", tmp_path / "1.alive")
    write(tmp_path / f"counter_{os.getpid()}.db", ("things", "things_total", {}, 2.0))
    write(tmp_path / f"gauge_livesum_{os.getpid()}.db", ("open", "open", {}, 3.0))
    files = WorkerFiles(tmp_path)
    assert {file.name for file in tmp_path.glob("*.db")} == {"counter_0.db"}
    assert values(parse_text, files.text(CollectorRegistry(), False).decode()) == {("things_total",): 2.0}
    files.close()
    parent.close()


def test_the_sums_are_the_librarys_own(tmp_path: Path) -> None:
    local = CollectorRegistry()
    Info("app", "The service.", registry=local).info({"version": "1"})
    files = WorkerFiles(tmp_path)
    for pid in (os.getpid(), 0):
        write(
            tmp_path / f"counter_{pid}.db",
            ("things", "things_total", {"a": 'x"\\\n'}, 2.5),
            ("more", "more_total", {}, pid),
        )
        buckets = [
            ("s", "s_bucket", {"a": a, "le": le}, n) for a in "yz" for n, le in enumerate(("0.5", "2.0", "+Inf"))
        ]
        sums = [("s", "s_sum", {"a": a}, 4.5) for a in "yz"]
        write(tmp_path / f"histogram_{pid}.db", sums[0], *buckets[:3], sums[1], *buckets[3:])
        write(tmp_path / f"gauge_livesum_{pid}.db", ("open", "open", {}, 3.0))
        write(tmp_path / f"gauge_livemax_{pid}.db", ("state", "state", {"p": "q"}, float(pid > 0)))
        write(tmp_path / f"gauge_livemin_{pid}.db", ("there", "there", {"p": "q"}, float(pid > 0)))
    theirs = CollectorRegistry()
    MultiProcessCollector(theirs, str(tmp_path))
    theirs.register(local)
    for openly, parse in ((False, parse_text), (True, parse_open)):
        body = files.text(local, openly).decode()
        wanted = {(s.name, *sorted(s.labels.items())): s.value for family in theirs.collect() for s in family.samples}
        assert values(parse, body) == wanted
    files.close()


def write(file: Path, *numbers: tuple[str, str, dict[str, str], float]) -> None:
    values = MmapedDict(str(file))
    for family, name, labels, value in numbers:
        values.write_value(mmap_key(family, name, list(labels), list(labels.values()), "Help."), float(value), 0.0)
    values.close()

"""What many workers cost: one and two over PostgreSQL and Redis, and one worker's log in Redis beside one in memory.

    python -m tests.benchmarks.workers --rounds 3

Every process may use both cores: the service's, the databases', the stand-in model and the load client, so that two
workers have what one has. CPU is of all the service's processes; what PostgreSQL and Redis use is told beside it. c16
is 16 clients of 64 tokens without a pause, s200 is 200 clients of 64 tokens 20 ms apart. Rounds are interleaved, each
with new servers and an empty database; medians are printed. A worker that is behind sends words that arrived together
as one frame: `reads/answer` tells how many were left. `others' cores` is PostgreSQL, Redis, and whatever else runs.

Two busy processes are slower than one on the same cores, whatever they are: caches and clocks are shared, and a machine
may be shared with others. So two services that have nothing to do with each other, with half of the clients each, stand
beside the two workers: what the two workers cost more than these is the price of being one service.
"""

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from tests.benchmarks.peers import Target, figure, free_port, serving
from tests.databases import PostgresServer
from tests.e2e.service import ROOT
from tests.valkey import valkey_server
from tests.workers.fleet import SETTINGS, one_port

CELLS = {
    "c16": ("bench-64x0", 16, ()),
    "s200": ("bench-64x20", 200, ("-r", "3", "--ramp", "1.2", "-w", "1")),
}
MEMORY, REDIS, TWO, APART = "one, memory log", "one, Redis log", "two, Redis log", "two apart, Redis log"
SERVICES: Mapping[str, Mapping[str, Any]] = {
    MEMORY: {},
    REDIS: {"REDIS_URL": ""},
    TWO: {"REDIS_URL": "", "WEB_CONCURRENCY": 2},
    APART: {"REDIS_URL": ""},
}
COLUMNS = {
    "answers/s": ("rps",), "CPU ms/answer": ("cpu_ms_per_req",), "PostgreSQL": ("postgres_ms",), "Redis": ("redis_ms",),
    "first token p50 ms": ("ttft_ms", "p50"), "first token p99 ms": ("ttft_ms", "p99"), "gap p99 ms": ("gap_ms", "p99"),
    "peak memory MB": ("rss_peak_mb",), "reads/answer": ("reads_per_answer",), "others' cores": ("other_cores",),
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A figure of one service as a multiple of another's."""

    what: str
    column: str
    of: str
    beside: str
    most: float | None = None
    least: float | None = None

    def holds(self, ratio: float) -> bool:
        return (self.most is None or ratio <= self.most) and (self.least is None or ratio >= self.least)


WANTED = (
    Wanted("two workers' CPU an answer", "CPU ms/answer", TWO, REDIS, most=1.1),
    Wanted("two workers' answers/s", "answers/s", TWO, REDIS, least=1.25),
    Wanted("two workers' CPU an answer, of what two apart take", "CPU ms/answer", TWO, APART, most=1.1),
    Wanted("the Redis log's CPU an answer", "CPU ms/answer", REDIS, MEMORY, most=2.5),
)
PACED = frozenset({("s200", "answers/s")})  # the model's pace sets it


def cpu_seconds(pid: int) -> float:
    """Of a process and its children, the ended ones included."""
    total = 0.0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total += times.user + times.system
        if one.pid == pid:
            total += times.children_user + times.children_system
    return total


@asynccontextmanager
async def service(settings: Mapping[str, Any], model: Target, name: str, folder: Path) -> AsyncIterator[Target]:
    given = {
        **SETTINGS, "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1", "OPENAI_API_KEY": "bench",
        "OPENAI_MODEL": name, "MODEL_PROVIDER": "openai", **settings,
    }  # fmt: skip
    async with one_port(folder, given, given.get("WEB_CONCURRENCY", 1)) as fleet:
        yield Target(fleet.pid, fleet.port)


@asynccontextmanager
async def stand_in(bench: Path, folder: Path) -> AsyncIterator[Target]:
    port = free_port()
    command = (sys.executable, str(bench / "upstream.py"), "--port", str(port))
    async with serving(command, port, "/health", folder, {}) as pid:
        yield Target(pid, port)


async def load(bench: Path, target: Target, model: Target, cell: str, seconds: float, share: int = 1) -> dict[str, Any]:
    """What `load.py` finds with one of so many shares of the cell's clients."""
    name, clients, options = CELLS[cell]
    duration = ("-d", str(seconds)) if "-r" not in options else ()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(bench / "load.py"), "-a", "ws", "-u", f"http://127.0.0.1:{target.port}/ws/ask", "-m", name,
        "--pid", str(target.pid), "--upstream-pid", str(model.pid), "-c", str(clients // share), *options, *duration,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    found: dict[str, Any] = json.loads(output)
    return found


class Bench:
    """The servers that all services share, and what was found."""

    def __init__(self, given: argparse.Namespace, stack: ExitStack) -> None:
        self._bench = given.bench.resolve()
        self._seconds = given.seconds
        self._postgres = PostgresServer(durable=True)
        stack.callback(self._postgres.stop)
        self._valkey = valkey_server()
        stack.callback(self._valkey.stop)
        self._pids = {"redis_ms": self._valkey._process.pid, "postgres_ms": self._postgres._server.get_pid()}
        self.rounds: dict[str, dict[str, list[dict[str, Any]]]] = {
            cell: {name: [] for name in SERVICES} for cell in given.cells
        }

    async def round(self, model: Target, cell: str, name: str) -> None:
        async with AsyncExitStack() as stack:
            targets = [await stack.enter_async_context(self._one(model, cell, name, n)) for n in range(_copies(name))]
            before = {what: cpu_seconds(pid) for what, pid in self._pids.items()}
            shares = (load(self._bench, one, model, cell, self._seconds, len(targets)) for one in targets)
            found = together(await asyncio.gather(*shares))
            used = {what: cpu_seconds(pid) - before[what] for what, pid in self._pids.items()}
        found |= {what: seconds * 1000 / answers(found) for what, seconds in used.items()}
        self.rounds[cell][name].append(found)
        row = ", ".join(f"{column} {figure(found, place):.1f}" for column, place in list(COLUMNS.items())[:4])
        print(f"{cell} {name}: {row}, wrong {wrong(found)} {found.get('sample_error', '')}", flush=True)

    @asynccontextmanager
    async def _one(self, model: Target, cell: str, name: str, number: int) -> AsyncIterator[Target]:
        """A service with a database of its own, and of Redis's databases the one of that number."""
        more = {key: value or f"{self._valkey.connection_url}/{number}" for key, value in SERVICES[name].items()}
        database = await asyncio.to_thread(self._postgres.migrated)
        with TemporaryDirectory() as folder:
            async with service({"DATABASE_URL": database, **more}, model, CELLS[cell][0], Path(folder)) as target:
                yield target


def _copies(name: str) -> int:
    return 2 if name == APART else 1


def answers(found: Mapping[str, Any]) -> int:
    return max(1, found.get("ok", 0) or found.get("requests", 0) or 1)


def together(loads: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What several loads at once come to: sums, CPU by answers, of all else the worst."""
    if len(loads) == 1:
        return loads[0]
    of_all = sum(map(answers, loads))
    worst: dict[str, Any] = {
        key: {part: max(one[key][part] or 0 for one in loads) for part in first}
        for key, first in loads[0].items()
        if isinstance(first, dict)
    }
    return {
        **loads[0], **worst,
        **{key: sum(one.get(key) or 0 for one in loads) for key in ("ok", "errors", "short", "hung", "rps")},
        "rss_peak_mb": sum(one["rss_peak_mb"] for one in loads),
        "cpu_ms_per_req": sum(one["cpu_ms_per_req"] * answers(one) for one in loads) / of_all,
        "reads_per_answer": sum(one["reads_per_answer"] * answers(one) for one in loads) / of_all,
    }  # fmt: skip


def wrong(found: Mapping[str, Any]) -> int:
    return sum(int(found.get(kind) or 0) for kind in ("errors", "short", "hung"))


def medians(rounds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {column: statistics.median(figure(one, place) for one in rounds) for column, place in COLUMNS.items()}


def report(rounds: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> bool:
    """Print the medians, and the ratios with what is wanted of them; whether all of them hold."""
    good = True
    for cell, services in rounds.items():
        print(f"\n| {cell} | {' | '.join(COLUMNS)} |\n{'|---' * (len(COLUMNS) + 1)}|")
        found = {name: medians(one) for name, one in services.items()}
        for name, values in found.items():
            print(f"| {name} | {' | '.join(f'{values[column]:.1f}' for column in COLUMNS)} |")
        for one in WANTED:
            ratio = found[one.of][one.column] / found[one.beside][one.column]
            if (cell, one.column) in PACED:
                continue
            limit = f"at most {one.most}" if one.most is not None else f"at least {one.least}"
            good = good and one.holds(ratio)
            print(f"{one.what}: {ratio:.2f} times, {limit}: {'reached' if one.holds(ratio) else 'NOT reached'}")
    return good


async def main(given: argparse.Namespace, stack: ExitStack) -> bool:
    bench = await asyncio.to_thread(Bench, given, stack)
    with TemporaryDirectory() as folder:
        async with stand_in(given.bench.resolve(), Path(folder)) as model:
            for number in range(given.rounds):
                for cell in given.cells:
                    for name in list(SERVICES)[:: 1 if number % 2 == 0 else -1]:
                        await bench.round(model, cell, name)
    answered = not any(wrong(one) for cell in bench.rounds.values() for found in cell.values() for one in found)
    return report(bench.rounds) and answered


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=ROOT / "../shared/bench", help="stand-in model and load client")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of c16's load on each, in each round")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if not given.bench.exists():
        raise SystemExit(f"no {given.bench}: nothing is measured")
    with ExitStack() as stack:
        sys.exit(0 if asyncio.run(main(given, stack)) else 1)

"""The service as a bare model's proxy beside LiteLLM's proxy: streamed answers of 64 tokens through each.

    make bench-peers
    python -m tests.benchmarks.peers --json

Both are asked for `/v1/chat/completions` over loopback, both check a key at each request, both are one process on the
first core; the stand-in model server and the load client are on the other. LiteLLM runs as its pages for production
say, without what costs: no database, no spend log, log lines from ERROR on. This service runs with its defaults, one
log line a request included. Rounds alternate; medians are printed.
"""

import argparse
import asyncio
import json
import os
import secrets
import shutil
import socket
import statistics
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tests.e2e.service import ROOT

MODEL = "bench-64x0"  # the stand-in's name for 64 tokens without a pause
CLIENTS = 16
WANTED = 10.0  # times the peer's answers/s
START_SECONDS = 120.0
END_SECONDS = 15.0
PEER_CONFIG = {
    "model_list": [{"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", "api_key": "bench"}}],
    "litellm_settings": {"set_verbose": False, "request_timeout": 600},
    "general_settings": {"disable_spend_logs": True, "disable_error_logs": True},
}  # JSON is YAML too
PEER_ENVIRONMENT = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
COLUMNS = {
    "answers/s": ("rps",), "CPU ms/answer": ("cpu_ms_per_req",), "first token p50 ms": ("ttft_ms", "p50"),
    "first token p99 ms": ("ttft_ms", "p99"), "whole answer p50 ms": ("total_ms", "p50"),
    "peak memory MB": ("rss_peak_mb",),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What answers at `port`, and what every request to it carries."""

    pid: int
    port: int
    headers: Mapping[str, str] = field(default_factory=dict)


def on_core(core: int, *command: str) -> list[str]:
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *command] if taskset and (os.cpu_count() or 1) > 1 else [*command]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def serving(
    command: Sequence[str], port: int, health: str, folder: Path, settings: Mapping[str, str]
) -> AsyncIterator[int]:
    """Run a server until the block ends, from its first healthy answer on; its process id. It inherits no variable."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | dict(settings)
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=nothing, stderr=nothing
    )
    try:
        await healthy(process, f"http://127.0.0.1:{port}{health}")
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), END_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()


async def healthy(process: asyncio.subprocess.Process, url: str) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(START_SECONDS):
        while True:
            if process.returncode is not None:
                raise SystemExit(f"a server ended at its start with status {process.returncode}")
            try:
                if (await http.get(url)).status_code == 200:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def stand_in(bench: Path, folder: Path) -> AsyncIterator[Target]:
    port = free_port()
    command = on_core(1, sys.executable, str(bench / "upstream.py"), "--port", str(port))
    async with serving(command, port, "/health", folder, {}) as pid:
        yield Target(pid, port)


@asynccontextmanager
async def askgraph(model: Target, folder: Path) -> AsyncIterator[Target]:
    port = free_port()
    settings = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1", "OPENAI_API_KEY": "bench", "OPENAI_MODEL": MODEL,
        "MODEL_PROVIDER": "openai", "HOST": "127.0.0.1", "PORT": str(port), "AUTH_REQUIRED": "true",
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000000", "DATA_DIR": str(folder / "data"),
        "CACHE_DIR": str(folder / "cache"), "KNOWLEDGE_DIR": str(ROOT / "knowledge"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = on_core(0, sys.executable, "-m", "backend.cli", "serve")
    async with serving(command, port, "/health/ready", folder, settings) as pid:
        yield Target(pid, port, {"Authorization": f"Bearer {await new_key(port)}"})


async def new_key(port: int) -> str:
    """An API key of a new user."""
    account = {"username": "bench", "email": "bench@example.com", "password": secrets.token_hex(16)}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1/auth") as http:
        (await http.post("/register", json=account)).raise_for_status()
        token = (await http.post("/login", json=account)).json()["access_token"]
        made = await http.post("/api-keys", json={"name": "bench"}, headers={"Authorization": f"Bearer {token}"})
        key: str = made.raise_for_status().json()["key"]
        return key


@asynccontextmanager
async def litellm(program: Path, model: Target, folder: Path) -> AsyncIterator[Target]:
    port, key = free_port(), f"sk-{secrets.token_hex(32)}"
    config = json.loads(json.dumps(PEER_CONFIG))
    config["model_list"][0]["litellm_params"]["api_base"] = f"http://127.0.0.1:{model.port}/v1"
    (folder / "config.yaml").write_text(json.dumps(config))
    options = ("--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
    settings = PEER_ENVIRONMENT | {"LITELLM_MASTER_KEY": key}
    async with serving(on_core(0, str(program), *options), port, "/health/liveliness", folder, settings) as pid:
        yield Target(pid, port, {"Authorization": f"Bearer {key}"})


async def load(bench: Path, target: Target, model: Target, seconds: float) -> dict[str, Any]:
    """What `load.py` finds."""
    headers = [part for name, value in target.headers.items() for part in ("--header", f"{name}: {value}")]
    command = on_core(
        1, sys.executable, str(bench / "load.py"), "-a", "openai", "-u", f"http://127.0.0.1:{target.port}", "-m", MODEL,
        "-c", str(CLIENTS), "-d", str(seconds), "--pid", str(target.pid), "--upstream-pid", str(model.pid), *headers,
    )  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    found: dict[str, Any] = json.loads(output)
    return found


def figure(found: Mapping[str, Any], place: Sequence[str]) -> float:
    value: Any = found
    for part in place:
        value = value[part]
    return float(value)


def summary(rounds: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    medians = {
        name: {column: statistics.median(figure(one, place) for one in found) for column, place in COLUMNS.items()}
        for name, found in rounds.items()
    }
    ours, theirs = medians["askgraph"], medians["litellm"]
    ratios = {column: ours[column] / theirs[column] for column in COLUMNS}
    wrong = sum(one[kind] for found in rounds.values() for one in found for kind in ("errors", "short", "hung"))
    return {"clients": CLIENTS, "medians": medians, "ratios": ratios, "wrong answers": wrong, "rounds": rounds}


def table(found: Mapping[str, Any]) -> str:
    lines = [f"| server | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, medians in found["medians"].items():
        lines.append(f"| {name} | {' | '.join(f'{medians[column]:.1f}' for column in COLUMNS)} |")
    times = found["ratios"]["answers/s"]
    verdict = "reached" if times >= WANTED else "NOT reached"
    lines.append(f"\nanswers/s: {times:.1f} times the peer's; at least {WANTED:.0f}: {verdict}")
    return "\n".join(lines)


async def main(given: argparse.Namespace) -> dict[str, Any]:
    bench, peer = given.bench.resolve(), given.peer.absolute()
    rounds: dict[str, list[dict[str, Any]]] = {"askgraph": [], "litellm": []}
    async with AsyncExitStack() as stack:
        folders = [Path(stack.enter_context(TemporaryDirectory())) for _ in range(3)]
        model = await stack.enter_async_context(stand_in(bench, folders[0]))
        targets = {
            "askgraph": await stack.enter_async_context(askgraph(model, folders[1])),
            "litellm": await stack.enter_async_context(litellm(peer, model, folders[2])),
        }
        for number in range(given.rounds):
            for name in list(targets)[:: 1 if number % 2 == 0 else -1]:
                rounds[name].append(await load(bench, targets[name], model, given.seconds))
    return summary(rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=ROOT / "../shared/bench", help="stand-in model and load client")
    parser.add_argument("--peer", type=Path, default=ROOT / ".venv-peers/bin/litellm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of load on each, in each round")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    for needed in (given.bench, given.peer):
        if not needed.exists():
            raise SystemExit(f"no {needed}: nothing is measured")
    found = asyncio.run(main(given))
    print(json.dumps(found) if given.json else table(found))
    sys.exit(1 if found["wrong answers"] else 0)

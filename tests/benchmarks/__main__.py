"""What one process of the real service costs, without a model: start, memory, idle sockets, a question.

python -m tests.benchmarks
"""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import websockets

from tests.benchmarks.embedded_search import measure
from tests.e2e.service import Service, running

IDLE_SOCKETS = 2000
CHUNKS = 1000
QUESTIONS = 300
SECTIONS_A_FILE = 50
SUBJECTS = ["bridge", "valve", "turbine", "ledger", "orchard", "glacier", "canal", "reactor", "antenna", "harbour"]
QUALITIES = ["pressure", "colour", "weight", "price", "age", "depth", "speed", "length", "origin", "owner"]


def memory_mb(service: Service) -> float:
    return psutil.Process(service.pid).memory_info().rss / 2**20


def write_knowledge(folder: Path) -> None:
    """`CHUNKS` sections that each become a chunk, about distinguishable things."""
    folder.mkdir()
    for file in range(CHUNKS // SECTIONS_A_FILE):
        sections = [f"# Catalogue {file}\n"]
        for number in range(file * SECTIONS_A_FILE, (file + 1) * SECTIONS_A_FILE):
            subject = f"{SUBJECTS[number % 10]} {number}"
            facts = " ".join(f"The {quality} of {subject} is {number * 7 + n}." for n, quality in enumerate(QUALITIES))
            sections.append(f"## The {subject}\n\n{facts * 2}\n")
        (folder / f"catalogue-{file}.md").write_text("\n".join(sections))


async def start_and_memory(folder: Path) -> None:
    async with running(folder):
        pass  # the first start fills the database, the index and the cache
    began = time.perf_counter()
    async with running(folder) as service:
        print(f"start to ready, shipped knowledge, warm: {time.perf_counter() - began:.2f} s")
        print(f"idle memory: {memory_mb(service):.0f} MB")


async def idle_sockets(folder: Path) -> None:
    async with running(folder, {"WS_MAX_CONNECTIONS_PER_ADDRESS": IDLE_SOCKETS + 10}) as service:
        before = memory_mb(service)
        url = f"ws://127.0.0.1:{service.port}/ws/ask"
        sockets = []
        for _ in range(IDLE_SOCKETS):
            socket = await websockets.connect(url, compression=None)
            await socket.recv()
            sockets.append(socket)
        each = (memory_mb(service) - before) * 1024 / IDLE_SOCKETS
        print(f"{IDLE_SOCKETS} idle sockets: {each:.1f} KB each")
        await asyncio.gather(*(socket.close() for socket in sockets))


async def a_question(folder: Path) -> None:
    write_knowledge(folder / "catalogues")
    async with running(folder, {"KNOWLEDGE_DIR": folder / "catalogues"}) as service, service.socket() as socket:
        async with service.client() as client:
            found = (await client.get("/health/ready")).json()["knowledge_base"]["chunks"]
        await socket.hello()
        times = []
        for number in range(QUESTIONS):
            subject = f"{SUBJECTS[number % 10]} {number}"
            began = time.perf_counter()
            await socket.connection.send(
                json.dumps({"type": "question", "question": f"What is the {QUALITIES[number % 7]} of {subject}?"})
            )
            await socket.until(type="complete")
            times.append((time.perf_counter() - began) * 1000)
            await socket.until(status="ready")
        times = times[20:]
        print(
            f"a question over {found} chunks, extractive, to complete: median {statistics.median(times):.1f} ms, "
            f"p95 {statistics.quantiles(times, n=20)[-1]:.1f} ms"
        )


async def retrieval(folder: Path) -> None:
    await measure(100_000, folder)


async def main() -> None:
    benchmarks: list[Callable[[Path], Awaitable[None]]] = [start_and_memory, idle_sockets, a_question, retrieval]
    for benchmark in benchmarks:
        with TemporaryDirectory() as folder:
            await benchmark(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())

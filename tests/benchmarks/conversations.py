"""What keeping conversations costs, on both databases: questions asked in chats, and pages of a long list read.

    python -m tests.benchmarks.conversations

The service is the real one without a model, the client a process of its own: 16 anonymous callers, each in a chat of
its own, one question behind the other. Then a user with 10,000 chats reads pages of 20, one behind the other. Medians
of the rounds.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import numpy as np
import psutil
from sqlalchemy import insert, text

from infrastructure.database.engine import Database, open_engine
from infrastructure.database.models import Chat, new_id
from tests.databases import BOTH, PostgresServer
from tests.e2e.people import signed_in
from tests.e2e.service import ROOT, running

CLIENTS = 16
WARM_UP_SECONDS = 2.0
CHATS_OF_ONE = 10_000
PAGE_SIZE = 20
PAGES = 1000  # read, after a tenth of that
CHATS = "/api/v1/chats"
SUBJECTS = ("a health factor below one", "staking", "an automated market maker", "impermanent loss", "a flash loan",
            "collateral", "a liquidity pool", "slippage", "a stablecoin", "an oracle")  # fmt: skip
TARGETS = "targets: ≥ 150 answers/s, p99 < 250 ms, no error; a page p95 < 10 ms"


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    p50, p95, p99 = np.percentile(np.array(seconds) * 1000, [50, 95, 99])
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}


async def ask_without_pause(url: str, seconds: float) -> dict[str, float]:
    """Answers a second, milliseconds an answer, errors: of `CLIENTS` callers, after a warm-up."""
    took: list[float] = []
    errors = answers = 0
    begin = time.perf_counter() + WARM_UP_SECONDS
    end = begin + seconds

    async def caller(http: aiohttp.ClientSession, number: int) -> None:
        nonlocal errors, answers
        async with http.post(CHATS, json={"title": f"Caller {number}"}) as made:
            path = f"{CHATS}/{(await made.json())['id']}/messages"
        chance = random.Random(number)
        while (began := time.perf_counter()) < end:
            question = f"What does {chance.choice(SUBJECTS)} mean in lending number {chance.randrange(10**6)}?"
            async with http.post(path, json={"content": question}) as response:
                await response.read()
            now = time.perf_counter()
            answers += 1
            if began >= begin and now <= end:
                took.append(now - began)
                errors += response.status != 201

    async with aiohttp.ClientSession(url) as http:
        await asyncio.gather(*(caller(http, number) for number in range(CLIENTS)))
    return {"answers/s": len(took) / seconds, **percentiles(took), "errors": errors, "answers": answers}


async def add_chats(url: str, owner: str) -> None:
    now = datetime.now(UTC)
    rows = [
        {
            "id": new_id(), "user_id": owner, "title": f"What is subject {number}?", "details": {}, "message_count": 2,
            "is_archived": False, "last_position": 2, "created_at": now, "updated_at": now - timedelta(minutes=number),
        }
        for number in random.Random(1).sample(range(CHATS_OF_ONE), CHATS_OF_ONE)
    ]  # fmt: skip
    database = Database(open_engine(url))
    async with database.write() as session:
        await session.execute(insert(Chat), rows)
    if not database.is_sqlite:  # what its own clean-up does within a minute
        async with database.engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM ANALYZE"))
    await database.close()


async def read_pages(url: str, headers: dict[str, str]) -> dict[str, float]:
    """Milliseconds a page, any of them."""
    took: list[float] = []
    chance = random.Random(2)
    async with aiohttp.ClientSession(url, headers=headers) as http:
        for number in range(PAGES + PAGES // 10):
            page = chance.randint(1, CHATS_OF_ONE // PAGE_SIZE)
            began = time.perf_counter()
            async with http.get(CHATS, params={"page": page, "page_size": PAGE_SIZE}) as response:
                body = await response.read()
            if number >= PAGES // 10:
                took.append(time.perf_counter() - began)
            found = json.loads(body)
            assert (len(found["items"]), found["total"]) == (PAGE_SIZE, CHATS_OF_ONE)
    return percentiles(took)


async def in_another_process(*arguments: str) -> dict[str, float]:
    """What this program finds as somebody else's process: it shares no loop with who reads the service's log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.conversations", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    found: dict[str, float] = json.loads(output)
    return found


async def measure(url: str, folder: Path, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Asking and reading, over the database at `url`."""
    async with running(folder, {"DATABASE_URL": url}) as service:
        process = psutil.Process(service.pid)
        before = process.cpu_times()
        asking = await in_another_process("--ask", service.url, "--seconds", str(seconds))
        now = process.cpu_times()
        asking["CPU ms"] = (now.user + now.system - before.user - before.system) * 1000 / asking.pop("answers")
        headers = await signed_in(service)
        async with service.client(headers=headers) as client:
            me = (await client.get("/api/v1/auth/me")).json()["id"]
        await add_chats(url, me)
        reading = await in_another_process("--read", service.url, "--token", headers["Authorization"])
    return asking, reading


def line(name: str, found: Sequence[dict[str, float]]) -> str:
    """A table's row: the medians, and in brackets the rounds' first figures."""
    medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
    cells = [f"{value:.1f}" if key != "errors" else f"{value:.0f}" for key, value in medians.items()]
    rounds = ", ".join(f"{next(iter(one.values())):.1f}" for one in found)
    return f"| {name} | {' | '.join(cells)} | {rounds} |"


async def main(rounds: int, seconds: float) -> None:
    asking: dict[str, list[dict[str, float]]] = {kind: [] for kind in BOTH}
    reading: dict[str, list[dict[str, float]]] = {kind: [] for kind in BOTH}
    server = await asyncio.to_thread(PostgresServer, durable=True)
    try:
        for _ in range(rounds):
            for kind in BOTH:
                with TemporaryDirectory() as folder:
                    new = f"sqlite:///{folder}/chats.db" if kind == "sqlite" else await asyncio.to_thread(server.empty)
                    asked, read = await measure(new, Path(folder), seconds)
                asking[kind].append(asked)
                reading[kind].append(read)
    finally:
        await asyncio.to_thread(server.stop)
    print(f"{CLIENTS} callers, each in a chat of its own\n")
    print("| database | answers/s | p50 ms | p95 ms | p99 ms | errors | CPU ms each | rounds, answers/s |")
    print("|---" * 8 + "|")
    print("\n".join(line(kind, asking[kind]) for kind in BOTH))
    print(f"\na page of {PAGE_SIZE} of {CHATS_OF_ONE} chats\n")
    print("| database | p50 ms | p95 ms | p99 ms | rounds, p50 ms |\n|---|---|---|---|---|")
    print("\n".join(line(kind, reading[kind]) for kind in BOTH))
    print(f"\n{TARGETS}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    for name in ("--ask", "--read", "--token"):  # how it calls itself
        parser.add_argument(name, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    result: Any = None
    if given.ask:
        result = asyncio.run(ask_without_pause(given.ask, given.seconds))
    elif given.read:
        result = asyncio.run(read_pages(given.read, {"Authorization": given.token}))
    else:
        asyncio.run(main(given.rounds, given.seconds))
    if result is not None:
        print(json.dumps(result))

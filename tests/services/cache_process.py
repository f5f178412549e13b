"""A process that shares a cache's folder with others: `python -m tests.services.cache_process FOLDER NAME`.

It says that it is ready, begins when it is told to, stores and looks for what the others store, and prints what came of
it as JSON.
"""

import asyncio
import json
import sys
from pathlib import Path

from structlog.testing import capture_logs

from infrastructure.cache_store import CacheStore
from services.cache import CacheManager, cache_key

ROUNDS = 100
MAX_BYTES = 40_000
NAMES = ("0", "1", "2")


def value(name: str, number: int) -> bytes:
    return f"{name} {number} ".encode() * 20


async def work(folder: Path, name: str) -> dict[str, object]:
    cache = CacheManager(CacheStore(folder), max_bytes=MAX_BYTES, expiry_days=1)
    wrong = found = 0
    await cache.open()
    for number in range(ROUNDS):
        await cache.put_many("n", [(cache_key(name, str(number)), value(name, number))])
        kept = await cache.get_many("n", [cache_key(other, str(number)) for other in NAMES])
        for other, got in zip(NAMES, kept, strict=True):
            found += got is not None and other != name
            wrong += got not in (None, value(other, number))
    (own,) = await cache.get_many("n", [cache_key(name, str(ROUNDS - 1))])
    stats = cache.stats()
    await cache.close()
    return {"wrong": wrong, "found": found, "own": own is not None, "corrupt": stats.corrupt, "kept": stats.available}


def main() -> None:
    with capture_logs() as logs:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        result = asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))
    sys.stdout.write(json.dumps(result | {"logs": [log["event"] for log in logs]}) + "\n")


if __name__ == "__main__":
    main()

"""A process with an index in a data folder: says what it finds, and stays until its input ends.

Arguments: the database's URL, the knowledge folder, the data folder's index, a word to look for.
"""

import asyncio
import sys
from pathlib import Path

from tests.services.knowledge.workers import open_worker


async def main(url: str, folder: str, index: str, word: str) -> None:
    async with open_worker(url, Path(folder), Path(index)) as worker:
        await worker.indexer.start()
        await worker.follower.look()
        sys.stdout.write(f"found {' '.join(await worker.found(word))}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))

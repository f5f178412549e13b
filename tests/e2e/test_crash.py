"""kill -9 under load, again and again over the same data: nothing that was acknowledged is lost, nothing is doubled.

`make test-crash` does it a hundred times (`CRASHES`), the suite a few times.
"""

import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from infrastructure.database.engine import Database
from infrastructure.database.models import Run
from tests.databases import migrated_url
from tests.e2e.crash_check import check_acknowledged, check_database, opened
from tests.e2e.crash_load import Ledger, Load
from tests.e2e.service import Service, running

GIVEN = os.environ.get("CRASHES")
CRASHES = {"sqlite": int(GIVEN or 3), "postgresql": int(GIVEN or 2)}
SECONDS_EACH = 15  # of pytest's patience; a crash with what belongs to it takes some three
RESENT = 20  # of what a client knows no answer to, asked again under its request id


async def kill(service: Service) -> None:
    """End the process as a power cut would, but for the page cache."""
    service.process.kill()
    await service.process.wait()


@dataclass(frozen=True)
class Where:
    """A database for a service in `folder`, where its settings come to `url`."""

    kind: str
    folder: Path
    url: str
    settings: dict[str, Any]


@pytest.fixture
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    if request.param == "sqlite":  # as it comes
        return Where("sqlite", tmp_path, f"sqlite:///{tmp_path}/data/askgraph.db", {})
    url = migrated_url(request.param, request, tmp_path)
    return Where(request.param, tmp_path, url, {"DATABASE_URL": url})


@pytest.mark.parametrize(
    "where",
    [pytest.param(kind, marks=pytest.mark.timeout(60 + SECONDS_EACH * n)) for kind, n in CRASHES.items()],
    indirect=True,
)
async def test_nothing_that_was_acknowledged_is_lost(where: Where) -> None:
    chance, everything, cut_off = random.Random(), Ledger(), 0
    ledger = Ledger()
    for _ in range(CRASHES[where.kind]):
        async with running(where.folder, where.settings, anew=True) as service:
            cut_off += await compare(service, where, ledger)
            ledger = Ledger()
            async with Load(service, ledger) as load:
                await load.begin(posting=12, talking=6)
                await load.answers(1)  # on a slow machine the first takes longer than a moment
                await asyncio.sleep(chance.uniform(0.0, 0.4))
                await kill(service)
                await load.ended()
        assert ledger.strange == []
        everything.asked += ledger.asked
    async with running(where.folder, where.settings, anew=True) as service:
        cut_off += await compare(service, where, ledger)
    async with opened(where.url) as database:
        await check_acknowledged(database, everything.asked)
    print(  # noqa: T201  the figures that are asked for
        f"\n{where.kind}: {CRASHES[where.kind]} kills, {len(everything.asked)} asked, {everything.questions} questions "
        f"and {everything.answers} answers acknowledged, {cut_off} runs cut off; none lost, none doubled"
    )
    assert everything.answers >= CRASHES[where.kind], "there was no load to speak of"


async def all_ended(database: Database) -> None:
    """Wait for the runs that were begun anew."""
    async with asyncio.timeout(60):
        while True:
            async with database.read() as session:
                if not (await session.execute(select(Run.id).where(Run.outcome.is_(None)))).first():
                    return
            await asyncio.sleep(0.05)


async def compare(service: Service, where: Where, ledger: Ledger) -> int:
    """Compare the data with what clients were told before the crash, and ask again what is in doubt; how many of these
    could not be answered: on SQLite the crash's runs are begun anew, on PostgreSQL another worker may still live.
    """
    async with opened(where.url) as database:
        if database.is_sqlite:
            await all_ended(database)
        await check_database(database, all_ended=database.is_sqlite)
        await check_acknowledged(database, ledger.asked)
        async with Load(service, ledger) as load:
            for one in ledger.in_doubt[:RESENT]:
                await load.resend(one)
        cut_off = len(ledger.strange)
        ledger.strange.clear()
        await check_acknowledged(database, ledger.asked)
        await check_database(database, all_ended=database.is_sqlite)
    return cut_off

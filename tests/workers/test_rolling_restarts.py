"""All workers are restarted, one after the other, under load: no question fails, none is begun anew."""

import random
from pathlib import Path

import pytest

from tests.workers.crowd import Crowd, check_kept
from tests.workers.fleet import FLEETS, settings
from tests.workers.oracle import oracle

CLIENTS = 100


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "two ports" else []) for kind in FLEETS]
)
async def test_no_question_fails_while_all_workers_are_restarted(
    kind: str, workers_database: str, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random()
    async with oracle() as model:
        given = settings(workers_database, redis_url, model, tmp_path, REDIS_PREFIX=f"{tmp_path.name}:")
        async with FLEETS[kind](tmp_path, given) as fleet, Crowd(fleet.urls, CLIENTS, chance=chance) as crowd:
            await crowd.streaming()
            met = list(crowd.under_way.values())
            await fleet.roll()
            await crowd.streaming()
            await crowd.stop()
        asked = await model.asked()
    await check_kept(workers_database, crowd)
    again = sum(one.rejoined for one in crowd.ended)
    print(f"\n{kind}: {len(crowd.ended)} answers, {again} re-joins, {len(met)} under way")  # noqa: T201  the figures
    assert set(asked.values()) == {1}, "the model was asked twice for one answer"
    assert again, "nobody was sent away: nothing was restarted"
    assert not sum(one.restarts for one in crowd.ended), "a run was begun anew, though its worker had time to end it"

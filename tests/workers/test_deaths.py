"""Workers that die under load: every question gets the model's whole answer from those that live, and gets it once.

`make test-deaths` kills a hundred times (`DEATHS`), the suite a few times.
"""

import os
import random
from pathlib import Path

import pytest

from tests.workers.crowd import Crowd, check_kept
from tests.workers.deaths import SPARE_SECONDS, TAKE_OVER_SECONDS, kill_again_and_again
from tests.workers.fleet import FLEETS, ports, settings
from tests.workers.oracle import key_of, oracle

GIVEN = os.environ.get("DEATHS")
DEATHS = {"two ports": int(GIVEN or 3), "one port": int(GIVEN or 3)}
IN_THE_SUITE = "two ports"
CLIENTS = 200 if GIVEN else 100
SECONDS_EACH = 40  # of pytest's patience; a death with all that belongs to it takes some twelve


def _marks(kind: str, deaths: int) -> list[pytest.MarkDecorator]:
    patience = pytest.mark.timeout(120 + SECONDS_EACH * deaths)
    return [patience] if kind == IN_THE_SUITE else [patience, pytest.mark.slow]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=_marks(kind, n)) for kind, n in DEATHS.items()])
async def test_every_question_gets_its_whole_answer_though_workers_die(
    kind: str, workers_database: str, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random()
    async with oracle() as model:
        given = settings(workers_database, redis_url, model, tmp_path, REDIS_PREFIX=f"{tmp_path.name}:")
        async with FLEETS[kind](tmp_path, given) as fleet, Crowd(fleet.urls, CLIENTS, chance=chance) as crowd:
            found = await kill_again_and_again(fleet, crowd, DEATHS[kind], chance)
            await crowd.stop()
        asked = await model.asked()
    await check_kept(workers_database, crowd)
    again = sum(asked[key_of(one.question)] - 1 for one in crowd.ended)
    print(  # noqa: T201  the figures that are asked for
        f"\n{kind}: {found}; {len(crowd.ended)} answers, all right, {again} more calls of the model than answers"
    )
    assert found.take_overs, "no run was met by a death"
    anew = sum(len(one.restarted_at) for one in crowd.ended)  # also of a worker that was too busy to be heard of
    assert again <= anew, "the model was asked again for more than the runs that were begun anew"
    if GIVEN:  # on a machine that does nothing else
        assert max(found.take_overs) <= TAKE_OVER_SECONDS + SPARE_SECONDS


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_both_workers_die_and_their_runs_are_begun_anew_by_their_successors(
    workers_database: str, redis_url: str, tmp_path: Path
) -> None:
    async with oracle() as model:
        given = settings(workers_database, redis_url, model, tmp_path, REDIS_PREFIX=f"{tmp_path.name}:")
        async with ports(tmp_path, given) as fleet, Crowd(fleet.urls, CLIENTS // 4) as crowd:
            await crowd.streaming()
            for number in range(2):
                await fleet.kill_one(number)
            await fleet.back()
            await crowd.stop()
    await check_kept(workers_database, crowd)
    assert max(one.restarts for one in crowd.ended) == 1


@pytest.mark.timeout(180)
async def test_a_run_whose_attempts_are_spent_ends_as_interrupted(
    workers_database: str, redis_url: str, tmp_path: Path
) -> None:
    chance = random.Random()
    async with oracle() as model:
        more = {"REDIS_PREFIX": f"{tmp_path.name}:", "RUN_ATTEMPTS": 1}
        given = settings(workers_database, redis_url, model, tmp_path, **more)
        async with ports(tmp_path, given) as fleet, Crowd(fleet.urls, CLIENTS // 4, errors=("interrupted",)) as crowd:
            found = await kill_again_and_again(fleet, crowd, 1, chance)
            await crowd.stop()
    await check_kept(workers_database, crowd)
    interrupted = [one for one in crowd.ended if one.error == "interrupted"]
    assert interrupted
    assert len(interrupted) < len(crowd.ended)
    assert not found.take_overs, "begun anew, against what is set"

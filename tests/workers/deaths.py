"""kill -9 of one of several workers under load, again and again; what clients and the database say of it."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from tests.workers.conversing import Heard
from tests.workers.crowd import Crowd, percentile
from tests.workers.fleet import Fleet

TAKE_OVER_SECONDS = 10.0
SPARE_SECONDS = 1.5  # of the take-over's limit, on a busy machine


@dataclass
class Deaths:
    """What the deaths did. Seconds are from a death to what it names."""

    deaths: int = 0
    cut_off: int = 0  # connections lost
    take_overs: list[float] = field(default_factory=list)  # until a run that was begun anew says so
    returns: list[float] = field(default_factory=list)  # until the dead one's successor is ready

    def __str__(self) -> str:
        return (
            f"{self.deaths} deaths, {self.cut_off} re-joins, {len(self.take_overs)} runs begun anew, within "
            f"p50 {percentile(self.take_overs, 0.5):.1f} s, most {max(self.take_overs, default=0.0):.1f} s; a worker "
            f"was back after {percentile(self.returns, 0.5):.1f} s"
        )


async def kill_again_and_again(fleet: Fleet, crowd: Crowd, times: int, chance: random.Random) -> Deaths:
    """`times` deaths at random moments, each behind the last one's consequences: a run is met by one at most."""
    found = Deaths()
    for _ in range(times):
        await crowd.streaming()
        await asyncio.sleep(chance.uniform(0.0, 2.0))  # at any moment of the runs
        met = list(crowd.under_way.values())
        before = {one.request_id: one.restarts for one in met}
        await fleet.kill(chance)
        died = time.monotonic()
        await fleet.back()
        found.returns.append(time.monotonic() - died)
        await crowd.until(lambda met=met: all(one.ended for one in met))  # type: ignore[misc]  # a default binds it
        found.deaths += 1
        found.cut_off += sum(one.rejoined for one in met)
        found.take_overs += [at - died for one in met for at in _anew(one, before[one.request_id])]
    return found


def _anew(answer: Heard, before: int) -> list[float]:
    """When the run was begun anew since it had been so `before` times."""
    since = answer.restarted_at[before:]
    assert len(since) <= 1, f"begun anew more than once for one death: {answer}"
    return since

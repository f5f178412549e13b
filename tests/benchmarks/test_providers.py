"""What the benchmark of providers measures, in small, with bounds that a busy machine keeps too."""

import pytest

from tests.benchmarks.providers import measured_fall_back, over_v1, over_websocket, service_and_model, stops

STREAMS = 20

pytestmark = pytest.mark.slow  # whole services under load: what `make test-slow` is for


@pytest.mark.parametrize("start", [over_websocket, over_v1], ids=["agent", "bare"])
async def test_a_stop_closes_the_upstream_soon_also_while_others_are_answered(start: object) -> None:
    async with service_and_model() as (service, model):
        found = await stops(service, model, start, STREAMS, STREAMS, 0.0)  # type: ignore[arg-type]  # one of two
        assert model.open_streams >= STREAMS
    assert found["most"] < 1000


async def test_a_model_behind_an_open_circuit_is_stood_in_for_at_once() -> None:
    found = await measured_fall_back(20)
    assert found["circuit open"]["p50"] - found["asked directly"]["p50"] < 250

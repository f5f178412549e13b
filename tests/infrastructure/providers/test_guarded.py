"""A model behind its gate: real HTTP, a circuit with a clock of its own, a line of few places."""

import asyncio

import pytest

from infrastructure.errors import ProviderError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.circuit import CLOSED, OPEN, Circuit, CircuitOpen
from infrastructure.providers.fair_line import FairLine
from infrastructure.providers.guarded import Care, Gate, GuardedModel
from infrastructure.providers.openai import OpenAIProvider
from infrastructure.providers.types import Emit, ModelReply, ModelRequest
from tests.agents.fakes import ScriptedModel, says
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.clock import Clock
from tests.infrastructure.providers.conftest import MakeProvider
from tests.model_server import ModelServer


class Gated:
    """A gate, and what it told."""

    def __init__(self, places: int = 64) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.circuit = Circuit(30.0, clock=self.clock)
        self.line = FairLine(places)
        self.gate = Gate(self.circuit, self.line, lambda provider, outcome: self.calls.append(f"{provider} {outcome}"))


@pytest.fixture
def gated() -> Gated:
    return Gated()


async def fail(model: GuardedModel, times: int, kind: type[ProviderError] = ProviderUnavailable) -> None:
    for _ in range(times):
        with pytest.raises(kind):
            await model.stream(question(), Heard())


async def test_five_failed_tries_open_the_circuit_and_nothing_is_asked_for_a_while(
    server: ModelServer, make_provider: MakeProvider, gated: Gated
) -> None:
    model = make_provider(gate=gated.gate)
    server.status(503)
    await fail(model, 2)
    assert (gated.circuit.state, len(server.requests)) == (OPEN, 5)  # three tries and two
    with pytest.raises(CircuitOpen) as refused:
        await model.stream(question(), Heard())
    assert refused.value.retry_after == 30.0
    assert len(server.requests) == 5
    assert gated.calls == ["openai provider_unavailable"] * 5 + ["openai circuit_open"] * 2


async def test_then_one_probe_goes_through_and_closes_it(
    server: ModelServer, make_provider: MakeProvider, gated: Gated
) -> None:
    model = make_provider(gate=gated.gate, max_retries=0)
    server.status(503)
    await fail(model, 5)
    server.clear()
    gate = server.gate()
    server.tokens(["well ", "again"], gate=gate)
    gated.clock.now += 30.0
    heard = Heard()
    probe = asyncio.create_task(model.stream(question(), heard))
    await server.asked(6)
    await fail(model, 3, CircuitOpen)
    gate.open()
    assert (await probe).text == "well again"
    assert (await model.stream(question(), Heard())).text == "well again"
    assert (gated.circuit.state, len(server.requests)) == (CLOSED, 7)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_what_is_refused_for_its_own_sake_opens_nothing(
    server: ModelServer, make_provider: MakeProvider, gated: Gated, status: int
) -> None:
    server.status(status)
    await fail(make_provider(gate=gated.gate), 12, ProviderRejected)
    assert gated.circuit.state == CLOSED


async def test_an_answer_that_breaks_in_the_middle_is_a_failure(
    server: ModelServer, make_provider: MakeProvider, gated: Gated
) -> None:
    server.cut(["so far"])
    await fail(make_provider(gate=gated.gate), 5, ProviderError)
    assert gated.circuit.state == OPEN


async def test_callers_who_leave_open_nothing_and_give_their_place_back(
    server: ModelServer, make_provider: MakeProvider
) -> None:
    gated = Gated(places=2)
    model = make_provider(gate=gated.gate)
    server.hang(["so far"])
    for _ in range(6):
        heard = Heard()
        asking = asyncio.create_task(model.stream(question(), heard))
        await heard.until(bool)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.closed()
    assert (gated.circuit.state, gated.line.inside) == (CLOSED, 0)
    assert gated.calls == ["openai cancelled"] * 6


async def test_no_more_are_asked_at_once_than_may_be_and_callers_take_turns(
    server: ModelServer, make_provider: MakeProvider
) -> None:
    gated = Gated(places=2)
    model = make_provider(gate=gated.gate)
    gate = server.gate()
    server.tokens(["x"], gate=gate)
    asked = [question(text, caller=text[0]) for text in ("a1", "a2", "a3", "a4", "b1")]
    asking = []
    for request in asked:
        asking.append(asyncio.create_task(model.stream(request, Heard())))
        await asyncio.sleep(0)
    await server.asked(2)
    assert (server.open_streams, gated.line.waiting) == (2, 3)
    for answered in range(1, 4):
        gate.release()
        await server.asked(2 + answered)
        assert server.open_streams <= 2
    gate.open()
    await asyncio.gather(*asking)
    assert [request.body["messages"][1]["content"] for request in server.requests] == ["a1", "a2", "a3", "b1", "a4"]


async def test_a_wait_in_line_does_not_count_as_the_models_time() -> None:
    left: list[float] = []

    class Noting(ScriptedModel):
        async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
            assert request.deadline is not None
            left.append(request.deadline - asyncio.get_running_loop().time())
            return await super().stream(request, emit)

    gated = Gated(places=1)
    model = GuardedModel(Noting(says("x")), gated.gate, Care(total=0.5))
    await gated.line.enter("somebody")
    asking = asyncio.create_task(model.stream(question(), Heard()))
    await asyncio.sleep(0.55)
    gated.line.leave()
    await asking
    assert 0.0 < left[0] <= 0.5


async def test_those_in_line_fail_at_once_when_the_circuit_opens(
    server: ModelServer, make_provider: MakeProvider
) -> None:
    gated = Gated(places=1)
    model = make_provider(gate=gated.gate, max_retries=0)
    server.status(503)
    await fail(model, 4)
    asking = [asyncio.create_task(model.stream(question(), Heard())) for _ in range(5)]
    endings = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(ending) for ending in endings] == [ProviderUnavailable, *[CircuitOpen] * 4]
    assert (len(server.requests), gated.line.inside) == (5, 0)


async def test_the_place_is_free_while_a_retry_waits(server: ModelServer, make_provider: MakeProvider) -> None:
    gated = Gated(places=1)
    inside: list[int] = []

    async def pause(_: float) -> None:
        inside.append(gated.line.inside)

    server.status(503)
    server.reply()
    await make_provider(gate=gated.gate, sleep=pause).stream(question(), Heard())
    assert inside == [0]


async def test_another_model_of_the_same_provider_is_asked_by_its_name(server: ModelServer) -> None:
    gated = Gated()
    upstream = OpenAIProvider(base_url=server.url, api_key=None, model="small")
    small, large = (GuardedModel(upstream, gated.gate, Care(), model=name) for name in (None, "large"))
    replies = [await model.stream(question(), Heard()) for model in (small, large)]
    await large.aclose()
    assert [request.body["model"] for request in server.requests] == ["small", "large"]
    assert [reply.model for reply in replies] == [small.model, large.model] == ["small", "large"]
    assert (server.connected, large.name) == (1, "openai")


async def test_what_a_request_asks_for_goes_out_and_what_it_does_not_stays_out(
    server: ModelServer, make_provider: MakeProvider
) -> None:
    model = make_provider()
    await model.stream(question(), Heard())
    await model.stream(question(temperature=0.0, max_tokens=7, stop=("END", "\n\n")), Heard())
    plain, full = (request.body for request in server.requests)
    assert not {"temperature", "max_tokens", "stop"} & set(plain)
    assert (full["temperature"], full["max_tokens"], full["stop"]) == (0.0, 7, ["END", "\n\n"])
    assert not {"caller", "deadline", "taken_over", "may_fall_back"} & set(full)

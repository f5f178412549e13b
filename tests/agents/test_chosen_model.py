"""A question that chooses its model, and one whose model is stood in for by another."""

import asyncio

from agents.state import Budget, RunContext
from agents.writer import RunWriter
from infrastructure.errors import ProviderUnavailable
from infrastructure.providers.chain import FallbackModel
from infrastructure.providers.circuit import Circuit
from infrastructure.providers.fair_line import FairLine
from infrastructure.providers.guarded import Care, Gate, GuardedModel
from tests.agents.fakes import ScriptedModel, Service, fails, found, passage, says


def guarded(model: ScriptedModel, name: str) -> GuardedModel:
    return GuardedModel(model, Gate(Circuit(), FairLine(1)), Care(max_retries=0), model=name)


async def test_a_model_that_stands_in_is_told_of_before_its_first_word() -> None:
    chain = FallbackModel(
        guarded(ScriptedModel(fails(ProviderUnavailable("away"))), "first"),
        [guarded(ScriptedModel(says("Paris. [1]")), "second")], 0,
    )  # fmt: skip
    told = await Service(chain, found(passage())).ask()
    assert [frame["model"] for frame in told.of("metadata")] == ["first", "second"]
    assert told.text == "Paris. [1]"


async def test_a_chosen_model_is_asked_with_what_the_question_wants() -> None:
    default, chosen = ScriptedModel(says("default")), ScriptedModel(says("Paris. [1]"))
    service = Service(default, found(passage()))
    service.log.open("r", None)
    writer = RunWriter("r", service.log, lambda: 0.0, service.counted)
    budget = Budget(asyncio.get_running_loop().time() + 5, 5, 1000)
    context = RunContext("What?", (), None, writer, budget, model=chosen, temperature=0.5, max_tokens=9, caller="ada")
    await service.graph.run(context)
    assert default.requests == []
    (request,) = chosen.requests
    assert (request.temperature, request.max_tokens, request.caller, request.may_fall_back) == (0.5, 9, "ada", True)

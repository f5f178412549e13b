"""A bare model's answers: what they use, counted however they end, and their end with the process."""

import asyncio
from contextlib import suppress

import pytest

from backend.openai_bare import BareAnswer
from backend.openai_completions import Completions
from infrastructure.errors import ProviderError, ProviderProtocolError, ProviderUnavailable, ShuttingDown
from infrastructure.providers.types import Message, ModelRequest, Usage
from tests.agents.fakes import Endless, ScriptedModel, Turn, fails, says

REQUEST = ModelRequest((Message("system", "Be brief."), Message("user", "Hello?")), "")  # 15 characters: 4 tokens


class Asked(BareAnswer):
    """An answer, and what it said that it used."""

    def __init__(self, turn: Turn, completions: Completions | None = None) -> None:
        self.used: list[Usage] = []
        super().__init__("1", ScriptedModel(turn), REQUEST, self.used.append, completions)

    async def read(self) -> str:
        """All of it, as a response reads it."""
        try:
            text = "".join([piece async for piece in self.texts()])
            await self.end()
            return text
        finally:
            await self.leave()


async def begun(turn: Endless, completions: Completions | None = None) -> tuple[Asked, "asyncio.Task[str]"]:
    answer = Asked(turn, completions)
    reading = asyncio.create_task(answer.read())
    await asyncio.wait_for(turn.streaming.wait(), 30)
    return answer, reading


async def test_a_whole_answer_has_used_what_its_endpoint_says() -> None:
    answer = Asked(says("Good ", "day."))
    assert await answer.read() == "Good day."
    assert answer.used == [Usage(10, 5)]


async def test_one_that_its_reader_left_is_estimated_by_what_had_come() -> None:
    answer, reading = await begun(Endless("Good ", "day."))
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    assert answer.used == [Usage(4, 3)]  # 15 and 9 characters, four a token


async def test_what_has_come_and_was_not_read_yet_is_used_too() -> None:
    endless = Endless("Good ", "day.")
    answer = Asked(endless)
    ending = asyncio.create_task(answer.end())
    await asyncio.wait_for(endless.streaming.wait(), 30)
    await answer.leave()
    with suppress(asyncio.CancelledError):
        await ending
    assert answer.used == [Usage(4, 3)]


async def test_one_that_broke_has_used_what_it_said() -> None:
    error = ProviderProtocolError("The model broke off.")
    error.said = True
    answer = Asked(fails(error, "Good day."))
    with pytest.raises(ProviderProtocolError):
        await answer.read()
    assert answer.used == [Usage(4, 3)]


async def test_one_that_never_began_has_used_nothing() -> None:
    answer = Asked(fails(ProviderUnavailable("The model is away.")))
    with pytest.raises(ProviderError):
        await answer.read()
    assert answer.used == []
    await Asked(says("Never asked.")).leave()


async def test_answers_have_their_time_to_end_when_the_process_does() -> None:
    go, completions = asyncio.Event(), Completions()

    async def turn(request: ModelRequest, emit: object) -> object:
        await go.wait()
        return await says("Good day.")(request, emit)  # type: ignore[arg-type]  # it is an Emit

    answer = Asked(turn, completions)  # type: ignore[arg-type]  # it gives what `says` gives
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    draining = asyncio.create_task(completions.drain(30.0))
    await asyncio.sleep(0)
    go.set()
    assert await asyncio.wait_for(reading, 30) == "Good day."
    await asyncio.wait_for(draining, 30)


async def test_what_does_not_end_in_time_ends_with_an_error_and_its_upstream_closed() -> None:
    completions = Completions()
    endless = Endless("Good ")
    answer, reading = await begun(endless, completions)
    await asyncio.wait_for(completions.drain(0.0), 30)
    with pytest.raises(ShuttingDown):
        await reading
    assert (endless.closed, answer.used) == (True, [Usage(4, 2)])


async def test_one_that_begins_when_the_time_is_over_is_ended_at_once() -> None:
    completions = Completions()
    await completions.drain(0.0)
    with pytest.raises(ShuttingDown):
        await asyncio.wait_for(Asked(Endless(), completions).read(), 30)


async def test_a_reader_that_does_not_hear_of_it_holds_up_nobody() -> None:
    completions = Completions()
    answer = Asked(Endless("Good "), completions)
    texts = answer.texts()
    assert await anext(texts) == "Good "
    await asyncio.wait_for(completions.drain(0.0, reading_seconds=0.0), 30)
    await texts.aclose()
    await answer.leave()


async def test_who_is_cancelled_is_not_told_of_a_restart() -> None:
    _, reading = await begun(Endless("Good "), Completions())
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_one_that_has_ended_cannot_be_ended_again() -> None:
    answer = Asked(says("Good day."))
    assert await answer.read() == "Good day."
    answer.stop(ShuttingDown("Too late."))
    assert (await answer.end()).finish_reason == "stop"

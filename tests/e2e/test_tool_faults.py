"""A model that misuses its tools: what it is told, what the one who asks sees, and what is kept."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.conftest import scripted_model
from tests.e2e.faults import QUESTION
from tests.e2e.stored import House, opened
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = {"MAX_TOOL_ITERATIONS": 3, "CIRCUIT_OPEN_SECONDS": 0.001, "LOG_LEVEL": "DEBUG"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(far_end: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with opened(tmp_path_factory.mktemp("tools"), scripted_model(far_end) | SETTINGS) as house:
        yield house


async def test_tools_for_ever_end_within_the_budget_and_say_so(house: House, scripted: ModelServer) -> None:
    scripted.tools_forever("search_knowledge_base", {"query": "liquidation"})
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["finish_reason"]) == ("complete", "budget_repeats")
    assert "was repeated" in told.end["answer"]
    assert told.kept[:2] == ("complete", told.text)
    assert (told.run["outcome"], told.run["finish_reason"]) == ("complete", "budget_repeats")
    assert len(scripted.requests) <= 5


async def test_ever_new_tool_calls_end_within_the_budget_too(house: House, scripted: ModelServer) -> None:
    for i in range(20):
        scripted.tool_call("search_knowledge_base", {"query": f"liquidation {i}"})
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["finish_reason"]) == ("complete", "budget_steps")
    assert "limit of tool steps" in told.end["answer"]
    assert told.kept[:2] == ("complete", told.text)
    assert told.run["finish_reason"] == "budget_steps"
    assert len(scripted.requests) <= 5


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("canary_tool", "{}", "There is no such tool"),
        ("canary" * 40, "{}", "There is no such tool"),
        ("search_knowledge_base", "{broken", "not valid"),
        ("search_knowledge_base", "", "not valid"),
        ("search_knowledge_base", '{"query": 7}', "not valid"),
        ("search_knowledge_base", "[]", "not valid"),
        ("search_knowledge_base", '{"query": "\\ud800"}', "not valid"),
        ("search_knowledge_base", '{"query": NaN}', "not valid"),
        ("search_knowledge_base", '{"query": "x", "extra": 1}', "not valid"),
        ("search_knowledge_base", "[" * 10_000, "not valid"),
        ("search_knowledge_base", json.dumps({"query": "x" * 20_000}), "too long"),
        ("read_knowledge_file", "{}", "not valid"),
        ("read_knowledge_file", '{"filename": "defi/lending.md", "start": -5}', "not valid"),
        *[
            ("read_knowledge_file", json.dumps({"filename": path}), "There is no such file")
            for path in ("/etc/passwd", "../pyproject.toml", "defi/../../pyproject.toml", "%2e%2e/pyproject.toml",
                         "file:///etc/passwd", "defi/lending.md\0", "./defi/lending.md", "~/.ssh/id_rsa", ".", "defi",
                         "..\\..\\pyproject.toml", "\\\\host\\share", "http://127.0.0.1/")
        ],
    ],
)  # fmt: skip
async def test_a_tool_call_that_cannot_be_is_told_to_the_model(
    name: str, arguments: str, why: str, house: House, scripted: ModelServer
) -> None:
    scripted.tool_call(name, arguments)
    scripted.reply("I could not look it up.")
    told = await house.ask(QUESTION)
    result = scripted.requests[1].body["messages"][-1]
    call = scripted.requests[1].body["messages"][-2]["tool_calls"][0]
    assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
    assert why in result["content"]
    assert "root:" not in result["content"]
    assert "[project]" not in result["content"]
    steps = [frame for frame in told.frames if frame["type"] == "step" and frame["name"] != "retrieve"]
    assert [step["state"] for step in steps] == ["started", "failed"]
    assert "canary" not in str(steps)
    assert (told.end["type"], told.end["answer"]) == ("complete", "I could not look it up.")
    assert told.kept == ("complete", "I could not look it up.", "scripted")
    assert (told.run["outcome"], told.run["finish_reason"]) == ("complete", "stop")


async def test_after_text_and_tools_nothing_stands_in(house: House, scripted: ModelServer) -> None:
    scripted.tool_call("search_knowledge_base", {"query": "liquidation"}, text="One moment. ")
    scripted.status(500)
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["code"]) == ("error", "provider_unavailable")
    assert told.end["answer"] == told.text
    assert told.text.strip() == "One moment."
    assert told.kept == ("error", told.text, None)


async def test_after_tools_without_a_word_something_does(house: House, scripted: ModelServer) -> None:
    scripted.tool_call("search_knowledge_base", {"query": "liquidation"})
    scripted.status(401)
    told = await house.ask(QUESTION)
    assert (told.end["type"], told.end["model"]) == ("complete", "extractive")
    assert told.kept == ("complete", told.text, "extractive")


async def test_a_file_of_the_knowledge_is_read(house: House, scripted: ModelServer) -> None:
    scripted.tool_call("read_knowledge_file", {"filename": "defi/lending.md", "start": 0, "end": 200})
    scripted.reply("Read it.")
    told = await house.ask(QUESTION)
    assert "lending" in scripted.requests[1].body["messages"][-1]["content"].lower()
    assert told.end["answer"] == "Read it."


async def test_no_word_of_a_tool_call_is_logged(house: House, scripted: ModelServer) -> None:
    scripted.tool_call("canary_tool", '{"canary": "canary"}')
    scripted.reply("Nothing.")
    await house.ask(QUESTION)
    assert "canary" not in "".join(house.service.raw)
    assert [line for line in house.service.log if line.get("level") in ("error", "critical")] == []

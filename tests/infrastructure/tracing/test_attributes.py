"""Spans in OpenTelemetry's words and in Langfuse's."""

import json
from typing import Any

import pytest

from infrastructure.providers.types import Message
from infrastructure.tracing.attributes import GenAI, Langfuse, Prices, cost_of, span_name
from infrastructure.tracing.contents import MAX_MESSAGES, MAX_TEXT, gen_ai_messages, plain_messages, told
from infrastructure.tracing.record import Span
from tests.infrastructure.tracing.spans import generation, span

PRICES: Prices = {"gpt-4o-mini": (0.15, 0.60)}


def gen_ai(of: Span, prices: Prices = PRICES) -> dict[str, Any]:
    return {name: value for name, value in GenAI(prices).attributes(of) if value is not None}


def langfuse(of: Span, prices: Prices = PRICES) -> dict[str, Any]:
    return {name: value for name, value in Langfuse(prices).attributes(of) if value is not None}


def test_a_generation_in_the_words_of_the_conventions() -> None:
    assert gen_ai(generation()) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini", "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 100,
        "gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 500_000,
        "gen_ai.response.finish_reasons": ("stop",), "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.cost": pytest.approx(0.45), "askgraph.tool_calls": 0,
    }  # fmt: skip


def test_a_generation_in_langfuses_words() -> None:
    found = langfuse(generation())
    assert found["langfuse.observation.type"] == "generation"
    assert found["gen_ai.usage.input_tokens"] == 1_000_000
    cost = json.loads(found["langfuse.observation.cost_details"])
    assert cost == {"input": pytest.approx(0.15), "output": pytest.approx(0.30), "total": pytest.approx(0.45)}
    assert found["langfuse.observation.completion_start_time"] == "2026-02-02T02:40:00.500000+00:00"


def test_an_error_is_told_by_its_kind() -> None:
    failed = span("generation", "m", 1, "provider_unavailable", provider="openai", model="m")
    assert gen_ai(failed)["error.type"] == "provider_unavailable"
    assert langfuse(failed)["langfuse.observation.level"] == "ERROR"
    assert langfuse(failed)["langfuse.observation.status_message"] == "provider_unavailable"


@pytest.mark.parametrize(
    ("prices", "facts", "cost"),
    [
        ({}, {}, None),
        ({"other": (1.0, 1.0)}, {}, None),
        ({"gpt-4o-mini": (1.0, 2.0), "openai/gpt-4o-mini": (3.0, 4.0)}, {}, (3.0, 2.0)),
        ({"asked": (1.0, 2.0)}, {"model": "asked"}, (1.0, 1.0)),
        ({"gpt-4o-mini": (1.0, 2.0), "asked": (9.0, 9.0)}, {"model": "asked"}, (1.0, 1.0)),
    ],
)
def test_a_cost_is_told_only_where_a_price_is_known(
    prices: Prices, facts: dict[str, Any], cost: tuple[float, float] | None
) -> None:
    assert cost_of(generation(**facts).facts, prices) == cost


def test_a_generation_that_failed_costs_nothing() -> None:
    assert cost_of({"provider": "openai", "model": "gpt-4o-mini"}, PRICES) is None


def test_the_run_is_an_agents_and_counts_no_usage_twice_for_langfuse() -> None:
    run = span("run", "ask", None, outcome="complete", prompt_tokens=7, completion_tokens=3, confidence=0.5, agent="a1")
    assert gen_ai(run)["gen_ai.operation.name"] == "invoke_agent"
    assert gen_ai(run)["gen_ai.usage.input_tokens"] == 7
    assert gen_ai(run)["gen_ai.agent.id"] == "a1"
    found = langfuse(run)
    assert found["langfuse.observation.type"] == "agent"
    assert found["langfuse.trace.metadata.outcome"] == "complete"
    assert found["langfuse.trace.metadata.confidence"] == 0.5
    assert not any(name.startswith("gen_ai.usage") for name in found)


def test_tools_and_searches_have_types_of_their_own() -> None:
    tool = span("tool", "look", outcome="finished", size=12, passages=1)
    assert span_name(tool) == "execute_tool look"
    assert gen_ai(tool)["gen_ai.tool.name"] == "look"
    assert gen_ai(tool)["askgraph.tool.size"] == 12
    assert langfuse(tool)["langfuse.observation.type"] == "tool"
    retrieve = span("node", "retrieve", passages=3, confidence=0.9)
    assert langfuse(retrieve)["langfuse.observation.type"] == "retriever"
    assert gen_ai(retrieve) == {"askgraph.passages": 3, "askgraph.confidence": 0.9}
    assert langfuse(span("node", "recall"))["langfuse.observation.type"] == "span"


def test_texts_are_told_in_the_places_that_are_for_them() -> None:
    messages = (Message("system", "Be kind."), Message("user", "Why?"))
    asked = generation(messages=messages, text="So.")
    assert json.loads(gen_ai(asked)["gen_ai.input.messages"])[1] == {
        "role": "user", "parts": [{"type": "text", "content": "Why?"}],
    }  # fmt: skip
    assert "So." in gen_ai(asked)["gen_ai.output.messages"]
    assert json.loads(langfuse(asked)["langfuse.observation.input"])[0] == {"role": "system", "content": "Be kind."}
    assert langfuse(asked)["langfuse.observation.output"] == "So."
    tool = span("tool", "look", outcome="finished", arguments='{"a":1}', result="one")
    assert gen_ai(tool)["gen_ai.tool.call.arguments"] == langfuse(tool)["langfuse.observation.input"] == '{"a":1}'
    assert gen_ai(tool)["gen_ai.tool.call.result"] == langfuse(tool)["langfuse.observation.output"] == "one"
    run = span("run", "ask", None, question="Why?", answer="So.")
    assert langfuse(run)["langfuse.observation.input"] == "Why?"
    assert "So." in gen_ai(run)["gen_ai.output.messages"]


@pytest.mark.parametrize("key", ["sk-canary-1234567890", "Bearer canary1234", "http://me:canary@host/"])
def test_what_looks_like_a_key_is_not_told(key: str) -> None:
    assert "canary" not in told(f"my key is {key}")
    assert "canary" not in plain_messages([Message("user", key)]) + gen_ai_messages([Message("user", key)])


def test_texts_are_cut_and_mended() -> None:
    assert len(told("x" * 100_000)) == MAX_TEXT + 1
    assert told("a\ud800b") == "a?b"
    newest = json.loads(plain_messages([Message("user", str(number)) for number in range(100)]))
    assert [each["content"] for each in newest] == [str(number) for number in range(100 - MAX_MESSAGES, 100)]

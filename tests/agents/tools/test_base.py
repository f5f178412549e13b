"""A tool takes what it names and nothing else, whatever a model sends."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from agents.tools.base import MAX_ARGUMENT_CHARS, Arguments, ToolResult, make_tool, parse_arguments
from infrastructure.errors import ToolFailed
from services.knowledge.scope import SHARED_SCOPE, Scope


class Wanted(Arguments):
    query: str = Field(min_length=1, max_length=20, description="What to look for.")
    limit: int | None = Field(None, ge=0, le=10)


class Nothing(Arguments):
    pass


@pytest.mark.parametrize("text", ['{"query": "a"}', '{"query": "a", "limit": null}', ' {"query":"a"} '])
def test_sound_arguments_are_taken(text: str) -> None:
    assert parse_arguments(Wanted, text) == Wanted(query="a")


def test_a_tool_without_arguments_takes_no_text_at_all() -> None:
    assert parse_arguments(Nothing, "") == parse_arguments(Nothing, "{}") == Nothing()


HOSTILE = {
    "not json": "query=a",
    "cut": '{"query": "a',
    "no object": '["a"]',
    "null": "null",
    "missing": "{}",
    "another field": '{"query": "a", "canary": 1}',
    "a field of no sense": '{"query": "a", "__class__": {"canary": 1}}',
    "wrong type": '{"query": 5}',
    "text for a number": '{"query": "a", "limit": "5"}',
    "a fraction": '{"query": "a", "limit": 1.5}',
    "a truth": '{"query": "a", "limit": true}',
    "a huge number": '{"query": "a", "limit": 1' + "0" * 5000 + "}",
    "not a number": '{"query": "a", "limit": NaN}',
    "too long a value": json.dumps({"query": "canary" * 20}),
    "an empty value": '{"query": ""}',
    "deep": "[" * 10_000 + "]" * 100,
    "deep in a field": '{"query": ' + '{"a":' * 3000 + "1" + "}" * 3000 + "}",
    "ten megabytes": '{"query": "' + "canary" * 1_700_000 + '"}',
    "a lone surrogate": '{"query": "\ud800canary"}',
    "a lone surrogate, escaped": '{"query": "\\ud800canary"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_unsound_arguments_are_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ToolFailed) as refused:
        parse_arguments(Wanted, text)
    assert "canary" not in refused.value.message
    assert "__class__" not in refused.value.message
    assert len(refused.value.message) < 500


def test_the_model_is_told_which_argument_is_wrong() -> None:
    with pytest.raises(ToolFailed, match="query: Input should be a valid string"):
        parse_arguments(Wanted, '{"query": 5}')


def test_the_bound_is_of_characters() -> None:
    with pytest.raises(ToolFailed, match="too long"):
        parse_arguments(Wanted, " " * (MAX_ARGUMENT_CHARS + 1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(st.text() | JSON.map(json.dumps) | st.dictionaries(st.sampled_from(["query", "limit"]), JSON).map(json.dumps))
def test_whatever_comes_it_is_taken_or_refused(text: str) -> None:
    try:
        taken = parse_arguments(Wanted, text)
    except ToolFailed:
        return
    assert 1 <= len(taken.query) <= 20


async def test_schema_and_checks_come_from_the_same_arguments() -> None:
    async def call(arguments: Wanted, scope: Scope) -> ToolResult:
        return ToolResult(arguments.query)

    tool = make_tool("look", "Looks.", Wanted, call)
    assert tool.spec.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["query"],
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 20, "description": "What to look for."},
            "limit": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 10}, {"type": "null"}], "default": None},
        },
    }
    assert (await tool.run('{"query": "x"}', SHARED_SCOPE)).text == "x"

"""A conversation as OpenAI's clients send it becomes a question with what was said before."""

from typing import Any

import pytest

from backend.openai_conversation import (
    MAX_QUESTION_CHARS,
    conversation,
    model_messages,
    passed_on,
    require_agents_own,
    sampling,
)
from backend.schemas.openai import ChatMessage, CompletionRequest
from infrastructure.openai_errors import BadParameter
from infrastructure.providers.types import Message, ToolCall


def said(*turns: tuple[str, Any]) -> list[ChatMessage]:
    return [ChatMessage(role=role, content=content) for role, content in turns]  # type: ignore[arg-type]  # roles


def test_the_last_message_is_the_question() -> None:
    asked = conversation(said(("user", " What is staking? ")))
    assert (asked.question, asked.turns, asked.instructions) == ("What is staking?", (), "")


def test_earlier_turns_are_the_history_and_system_messages_the_instructions() -> None:
    asked = conversation(
        said(
            ("system", "Be brief."), ("user", "A?"), ("assistant", "B."), ("developer", "In French."),
            ("user", "C?"), ("assistant", "D."), ("user", "E?"), ("system", " "),
        )
    )  # fmt: skip
    assert asked.question == "E?"
    assert [(turn.question, turn.answer) for turn in asked.turns] == [("A?", "B."), ("C?", "D.")]
    assert asked.instructions == "Be brief.\n\nIn French."


def test_messages_in_a_row_are_one_and_what_has_no_answer_is_left_out() -> None:
    asked = conversation(
        said(
            ("assistant", "Welcome."), ("user", "A?"), ("user", "B?"), ("assistant", "C."), ("assistant", "D."),
            ("user", "Unanswered?"), ("user", "E?"),
        )
    )  # fmt: skip
    assert [(turn.question, turn.answer) for turn in asked.turns] == [("A?\n\nB?", "C.\n\nD.")]
    assert asked.question == "E?"


def test_parts_of_text_are_joined() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "staking?"}]
    assert conversation(said(("user", parts))).question == "What is\nstaking?"


@pytest.mark.parametrize(
    "turns",
    [
        [("system", "Be brief.")],
        [("user", "A?"), ("assistant", "B.")],
        [("user", " \n ")],
        [("user", "a" * (MAX_QUESTION_CHARS + 1))],
    ],
)
def test_what_ends_without_a_question_is_refused(turns: list[tuple[str, str]]) -> None:
    with pytest.raises(BadParameter) as told:
        conversation(said(*turns))
    assert told.value.param == "messages"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("response_format", {"type": "json_object"}),
    ],
)
def test_what_the_agent_cannot_be_made_to_do_is_refused(field: str, value: Any) -> None:
    body = CompletionRequest(model="askgraph", messages=said(("user", "A?")), **{field: value})
    with pytest.raises(BadParameter) as told:
        require_agents_own(body)
    assert told.value.param == field


@pytest.mark.parametrize(
    "fields", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}, {"response_format": {"type": "text"}}]
)
def test_what_leaves_the_agent_its_way_is_taken(fields: dict[str, Any]) -> None:
    require_agents_own(CompletionRequest(model="askgraph", messages=said(("user", "A?")), **fields))


def test_a_models_messages_keep_their_tool_calls() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = CompletionRequest.model_validate(
        {
            "model": "m",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "A?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "7", "tool_call_id": "call_1"},
            ],
        }
    )
    assert model_messages(body.messages) == (
        Message("system", "Be brief."),
        Message("user", "A?"),
        Message("assistant", "", (ToolCall("call_1", "f", "{}"),)),
        Message("tool", "7", tool_call_id="call_1"),
    )


def test_how_to_sample_is_told_to_either_kind_of_model() -> None:
    plain = CompletionRequest(model="m", messages=said(("user", "A?")))
    assert (sampling(plain), passed_on(plain)) == (None, {})
    body = CompletionRequest(model="m", messages=said(("user", "A?")), top_p=0.5, tool_choice="auto")
    assert (sampling(body), passed_on(body)) == ({"top_p": 0.5}, {"top_p": 0.5, "tool_choice": "auto"})

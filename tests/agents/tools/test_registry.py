"""Tools are found by name, offered as an agent may use them, and come and go with their servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from agents.tools.base import MAX_ARGUMENT_CHARS, Arguments, Tool, ToolResult, make_tool
from agents.tools.registry import Registry
from agents.tools.remote import RemoteTools, parse_object
from infrastructure.errors import ToolFailed
from services.knowledge.scope import SHARED_SCOPE, Scope


class Nothing(Arguments):
    pass


def tool(name: str, *, side_effects: bool = False) -> Tool:
    async def call(_: Nothing, scope: Scope) -> ToolResult:
        return ToolResult(name)

    return make_tool(name, name, Nothing, call, side_effects=side_effects)


@dataclass(frozen=True)
class Far:
    """A tool of a server elsewhere that takes a text and gives it back."""

    name: str
    description: str = "Far."
    side_effects: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        return {"type": "object"}

    def check(self, arguments: dict[str, Any], /) -> None:
        if not isinstance(arguments.get("text"), str):
            raise ToolFailed("text: type")

    async def call(self, arguments: dict[str, Any], /) -> str:
        return f"{self.name} {arguments['text']}"


def test_an_agent_is_offered_what_it_may_use_and_is_there() -> None:
    registry = Registry([tool("a"), tool("b")])
    assert list(registry.offered()) == ["a", "b"]
    assert list(registry.offered(frozenset({"b", "gone"}))) == ["b"]
    assert list(registry.offered(frozenset())) == []


def test_a_name_belongs_to_who_had_it_first() -> None:
    first, second = tool("a"), tool("a")
    registry = Registry([first], [lambda: ()])
    assert registry.offered()["a"] is first
    again = (second,)
    assert Registry([first], [lambda: again]).offered() == {"a": first}


def test_tools_come_and_go_and_nothing_is_made_anew_while_they_stay() -> None:
    listed: list[Sequence[Far]] = [(Far("s__x"),)]
    remote = RemoteTools(lambda: listed[0])
    registry = Registry([tool("a")], [remote])
    there = registry.offered()
    assert list(there) == ["a", "s__x"]
    assert registry.offered() is there
    listed[0] = ()
    assert list(registry.offered()) == ["a"]
    listed[0] = (Far("s__y", side_effects=True),)
    assert [one.side_effects for one in registry.offered().values()] == [False, True]


def test_it_knows_whether_anybody_may_have_to_be_asked() -> None:
    assert not Registry([tool("a")]).may_ask
    assert Registry([tool("a", side_effects=True)]).may_ask
    assert Registry([tool("a")], [lambda: ()]).may_ask


async def test_a_far_tools_arguments_are_checked_before_it_is_called() -> None:
    far = (Far("s__x"),)
    found = RemoteTools(lambda: far)()[0]
    assert (await found.run('{"text": "hello"}', SHARED_SCOPE)).text == "s__x hello"
    for wrong in ("", '{"text": 1}'):
        with pytest.raises(ToolFailed, match="text: type"):
            found.check(wrong)
        with pytest.raises(ToolFailed, match="text: type"):
            await found.run(wrong, SHARED_SCOPE)


@pytest.mark.parametrize(
    "text",
    ["{", "canary", '["canary"]', "5", "null", '{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud800"}', '{"\\udfff": 1}',
     '{"a": "\ud800"}', '{"a": 1e999}', '{"a": 1' + "0" * 5000 + "}", "[" * 5000, '{"a":' * 3000,
     '{"a": "' + "canary" * MAX_ARGUMENT_CHARS + '"}'],
)  # fmt: skip
def test_what_is_no_object_that_can_be_sent_on_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ToolFailed) as refused:
        parse_object(text)
    assert "canary" not in refused.value.message


def test_no_arguments_at_all_are_none() -> None:
    assert parse_object("") == {}

"""What a tool is: a name that a model can call, arguments that are checked, a result that is bounded."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from infrastructure.errors import ToolFailed
from infrastructure.passages import Passage
from infrastructure.providers.types import ToolSpec
from services.knowledge.scope import Scope

MAX_RESULT_CHARS = 24_000
MAX_ARGUMENT_CHARS = 16_384


class Arguments(BaseModel):
    """Arguments of a tool: exactly the fields that it names."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """`text` goes to the model; `passages` follow it as numbered sources that may be cited."""

    text: str
    passages: tuple[Passage, ...] = ()


def _any(_: str) -> None:
    """Takes whatever comes."""


@dataclass(frozen=True, slots=True)
class Tool:
    """`run` takes the model's JSON arguments as text, and the scope of the one who asks; it raises ToolFailed with a
    message for the model. `check` raises the same for arguments that `run` would not take, and does nothing else.

    One with `side_effects` changes something outside: a person is asked before it runs.
    """

    spec: ToolSpec
    run: Callable[[str, Scope], Awaitable[ToolResult]]
    side_effects: bool = False
    check: Callable[[str], None] = _any


A = TypeVar("A", bound=Arguments)


def make_tool(
    name: str, description: str, arguments: type[A], call: Callable[[A, Scope], Awaitable[ToolResult]], *,
    side_effects: bool = False,
) -> Tool:  # fmt: skip
    """A tool whose JSON Schema and checks both come from `arguments`."""

    async def run(text: str, scope: Scope) -> ToolResult:
        return await call(parse_arguments(arguments, text), scope)

    def check(text: str) -> None:
        parse_arguments(arguments, text)

    return Tool(ToolSpec(name, description, _schema(arguments)), run, side_effects, check)


def parse_arguments(arguments: type[A], text: str) -> A:
    """The checked arguments.

    Raises:
        ToolFailed: too long, not JSON, or not what the tool takes. The message does not repeat what was sent.
    """
    if len(text) > MAX_ARGUMENT_CHARS:
        raise ToolFailed("The arguments are too long.")
    try:
        return arguments.model_validate_json(text or "{}")
    except ValidationError as error:
        known = arguments.model_fields
        problems = "; ".join(
            f"{loc[0] if (loc := problem['loc']) and loc[0] in known else 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ToolFailed(f"The arguments are not valid: {problems}") from None


def _schema(arguments: type[Arguments]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    for name in ("title", "description"):
        schema.pop(name, None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return schema

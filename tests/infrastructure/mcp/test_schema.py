"""Schemas of servers: what is none is not used, and none reaches out of this process."""

import pytest

from infrastructure.errors import ToolFailed
from infrastructure.mcp.schema import InvalidSchema, checker


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "string"}, {"type": "object", "required": "a"}, {"type": "object", "properties": 5},
     {"type": "object", "description": "x" * 20_000}, {"type": "object", "properties": {"a": {"type": "texts"}}}],
)  # fmt: skip
def test_what_is_no_schema_of_an_object_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(InvalidSchema):
        checker(schema)


def test_a_reference_to_elsewhere_is_not_followed() -> None:
    check = checker({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}})
    check({})
    with pytest.raises(ToolFailed, match="cannot be checked"):
        check({"a": 1})


def test_a_schema_that_goes_round_in_circles_ends() -> None:
    check = checker({"type": "object", "$ref": "#"})
    with pytest.raises(ToolFailed, match="cannot be checked"):
        check({"a": 1})


def test_what_is_wrong_is_told_by_name_and_rule() -> None:
    check = checker({"type": "object", "properties": {"day": {"enum": ["mon", "tue"]}}, "additionalProperties": False})
    check({"day": "mon"})
    with pytest.raises(ToolFailed, match=r'^The arguments are not valid: day: enum \["mon", "tue"\]$'):
        check({"day": "canary"})
    with pytest.raises(ToolFailed, match=r"^The arguments are not valid: arguments: additionalProperties false$"):
        check({"canary": 1})

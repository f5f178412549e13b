"""Arguments held against the JSON Schema that a server gave for them."""

import json
from collections.abc import Callable
from typing import Any

from infrastructure.errors import ToolFailed

Check = Callable[[dict[str, Any]], None]
MAX_SCHEMA_CHARS = 16_384  # as JSON: it goes to the model with every request
MAX_RULE_CHARS = 200


class InvalidSchema(ValueError):
    """What a server describes its tool's arguments by is no JSON Schema of an object, or too long to pass on."""


def checker(schema: dict[str, Any]) -> Check:
    """What raises ToolFailed for arguments that are not as `schema` says. Its message does not repeat what was sent.

    Raises:
        InvalidSchema: it is none, or too long.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        if schema.get("type") != "object" or len(json.dumps(schema, ensure_ascii=False)) > MAX_SCHEMA_CHARS:
            raise InvalidSchema
        validator_class = validator_for(schema, Draft202012Validator)
        validator_class.check_schema(schema)
    except (SchemaError, RecursionError, TypeError) as error:
        raise InvalidSchema from error
    # A registry of its own, without what jsonschema does by itself: fetching what a reference names.
    validator = validator_class(schema, registry=Registry())

    def check(arguments: dict[str, Any]) -> None:
        try:
            problem = next(iter(validator.iter_errors(arguments)), None)
        except (Unresolvable, RecursionError):
            raise ToolFailed("The arguments cannot be checked against the tool's schema.") from None
        if problem is not None:
            raise ToolFailed(f"The arguments are not valid: {_told(problem, schema)}")

    return check


def _told(problem: Any, schema: dict[str, Any]) -> str:
    """Which argument, and by which rule: never what was sent."""
    known = schema.get("properties", {})
    where = next((part for part in problem.absolute_path if isinstance(part, str) and part in known), "arguments")
    rule = json.dumps(problem.validator_value, ensure_ascii=False, default=str)
    return f"{where}: {problem.validator} {rule[:MAX_RULE_CHARS]}"

"""A `question` frame of `/ws/ask`, as the runner takes it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from agents.ports import Model
from agents.questions import clean_question, clean_request_id
from agents.runner import Ask
from backend.container import Container
from infrastructure.errors import InvalidInput
from services.sessions import parse_session_id


async def asked(
    fields: Mapping[str, Any], parts: Container, *, session_id: str, caller: str, owner: str | None, unused: bool
) -> Ask:
    """What the frame asks for: a question; or, in a chat that is there, one that `edits` a message of it, or the one
    that `regenerates` names (by its own id or its answer's), answered anew. `session_id` is the connection's own, and
    counts where the frame names none.

    Raises:
        InvalidInput: a field is not what it must be, or a model that may not be chosen.
        NotFound: the chat or the message is not there, or somebody else's.
    """
    named = parse_session_id(fields.get("session_id"))
    session = named or session_id
    request_id = clean_request_id(fields.get("request_id"))
    model = _model(fields, parts)
    edits, regenerates = _id(fields, "edits"), _id(fields, "regenerates")
    if regenerates is not None:
        if edits is not None:
            raise InvalidInput("edits and regenerates do not go together.")
        answered = await parts.chats.question_of(session, regenerates, owner)
        return Ask(
            "", caller, session, True, request_id, owner, must_exist=True, regenerates=answered, model=model
        )  # fmt: skip
    question = clean_question(fields.get("question"), parts.settings.question_max_chars)
    fresh = unused and named is None
    return Ask(
        question, caller, session, True, request_id, owner, must_exist=edits is not None, fresh=fresh, edits=edits,
        model=model,
    )  # fmt: skip


def _model(fields: Mapping[str, Any], parts: Container) -> Model | None:
    source, name = fields.get("model_source"), fields.get("model_name")
    if source is None and name is None:
        return None
    for value in (source, name):
        if value is not None and not isinstance(value, str):
            raise InvalidInput("model_source and model_name must be text.")
    return parts.models.book.choose(source, name)


def _id(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return str(UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise InvalidInput(f"{name} must be a message's id.") from None

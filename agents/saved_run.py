"""A run that waits for a person, as bytes: what another process needs to go on with it."""

import asyncio
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from agents.checkpoints import Unreadable
from agents.state import RunContext
from infrastructure.providers.types import Usage
from services.knowledge.scope import Scope
from services.personas import Persona

VERSION = 1


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run answers, as it was settled when it began: an agent that was changed or removed since changes nothing.

    `model` is `provider/model`, None for the default; `scope` is where the run looks, so the persona has none.
    """

    persona: Persona
    scope: Scope
    model: str | None


@dataclass(frozen=True, slots=True)
class SavedRun:
    """`run` is what the runner gave as `RunContext.kept`, `seq` the last frame before the run began to wait, `text` the
    answer so far. `calls` are those that wait (id, name, detail); `graph` is for `RunCheckpoints.load`. `expires_in` is
    in seconds.
    """

    run_id: str
    run: Mapping[str, Any]
    seq: int
    text: str
    rag_mode: str
    tools: frozenset[str] | None
    budget: Mapping[str, Any]
    dropped_markers: int
    calls: Sequence[Sequence[str]]
    graph: bytes
    expires_in: float
    fence: int = 1
    manner: Manner | None = None  # None: kept by a version that had none; it is found anew


def pack(context: RunContext, calls: Sequence[Sequence[str]], graph: bytes) -> bytes:
    """Everything about a run that is to be kept.

    Raises:
        TypeError: something in it has no JSON.
    """
    budget = context.budget
    return orjson.dumps(
        {
            "version": VERSION,
            "run": dict(context.kept or {}),
            "seq": context.writer.seq,
            "text": context.writer.text,
            "rag_mode": context.rag_mode,
            "tools": None if context.tools is None else sorted(context.tools),
            "budget": {
                "seconds_left": budget.seconds_left(),
                "steps_used": budget.steps_used,
                "usage": [budget.usage.prompt_tokens, budget.usage.completion_tokens],
                "calls": [[name, arguments, count] for (name, arguments), count in budget.calls.items()],
            },
            "dropped_markers": context.dropped_markers,
            "calls": [list(call) for call in calls],
            "graph": b64encode(graph).decode(),
            "manner": _packed_manner(context),
        }
    )


def unpack(run_id: str, state: bytes, expires_in: float, fence: int = 1) -> SavedRun:
    """
    Raises:
        Unreadable: it was kept by another version.
    """
    try:
        kept = orjson.loads(state)
        if kept.pop("version") != VERSION:
            raise Unreadable
        tools, graph = kept.pop("tools"), b64decode(kept.pop("graph"))
        known, manner = _names(tools), kept.pop("manner", None)
        return SavedRun(
            run_id=run_id, expires_in=expires_in, tools=known, graph=graph, fence=fence,
            manner=None if manner is None else _manner(manner), **kept,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable from error


def restore(saved: SavedRun, context: RunContext) -> None:
    """Put what was used up so far into a new context. The time that was left is left again."""
    kept, budget = saved.budget, context.budget
    budget.deadline = asyncio.get_running_loop().time() + kept["seconds_left"]
    budget.steps_used = kept["steps_used"]
    budget.usage = Usage(*kept["usage"])
    budget.calls = Counter({(name, arguments): count for name, arguments, count in kept["calls"]})
    context.rag_mode, context.tools = saved.rag_mode, saved.tools
    context.dropped_markers = saved.dropped_markers
    context.knowledge_mark = -1  # the knowledge may have changed meanwhile: every citation is looked at again


def _packed_manner(context: RunContext) -> Mapping[str, Any]:
    persona, scope, model = context.persona, context.scope, context.model
    return {
        "id": persona.id,
        "prompt": persona.prompt,
        "tools": None if persona.tools is None else sorted(persona.tools),
        "answers": persona.answers,
        "partitions": list(scope.partitions),
        "only": None if scope.only is None else sorted(scope.only),
        "first": sorted(scope.first),
        "model": f"{model.name}/{model.model}" if model is not None else None,
    }


def _manner(kept: Mapping[str, Any]) -> Manner:
    model, answers = kept["model"], kept["answers"]
    persona = Persona(kept["id"], kept["prompt"], model, _names(kept["tools"]), None, answers)
    scope = Scope(tuple(kept["partitions"]), _names(kept["only"]), frozenset(kept["first"]))
    return Manner(persona, scope, model)


def _names(kept: Sequence[str] | None) -> frozenset[str] | None:
    return None if kept is None else frozenset(kept)

"""Where a run stands that waits for a person: LangGraph's checkpoint of it, held in memory until somebody keeps it.

A checkpointer is asked at every step of a graph, and nearly no run ever waits. So this one talks to no database: it
holds what LangGraph gives it when a run is interrupted (`durability="exit"`), and `dump` makes bytes of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agents.state import Outcome
from infrastructure.passages import Passage
from infrastructure.providers.types import Message, ModelReply, ToolCall, Usage
from services.knowledge.confidence import Signals
from services.knowledge.curated import CuratedMatch
from services.knowledge.grounding import Citation
from services.knowledge.search import Retrieval

STATE_TYPES = (Citation, CuratedMatch, Message, ModelReply, Outcome, Passage, Retrieval, Signals, ToolCall, Usage)


class Unreadable(ValueError):
    """What was kept of a run is not what this version keeps."""


@dataclass(slots=True)
class _Held:
    config: RunnableConfig
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    writes: dict[tuple[str, str, int], Any] = field(default_factory=dict)  # by task, channel and number


class RunCheckpoints(BaseCheckpointSaver[int]):
    """The latest checkpoint of each run that has one, by the run's id (LangGraph's `thread_id`)."""

    def __init__(self) -> None:
        allowed = [(one.__module__, one.__name__) for one in STATE_TYPES]
        super().__init__(serde=JsonPlusSerializer(allowed_msgpack_modules=allowed))
        self._held: dict[str, _Held] = {}

    @property
    def held(self) -> int:
        """How many there are. (Not `__len__`: LangGraph takes a checkpointer that is false for none.)"""
        return len(self._held)

    def drop(self, run_id: str) -> None:
        self._held.pop(run_id, None)

    def dump(self, run_id: str) -> bytes:
        """All that is needed to go on with an interrupted run."""
        held = self._held[run_id]
        writes = [(task, channel, number, value) for (task, channel, number), value in held.writes.items()]
        kept = {"checkpoint": held.checkpoint, "metadata": dict(held.metadata), "writes": writes}
        return self.serde.dumps_typed(kept)[1]

    def load(self, run_id: str, data: bytes) -> None:
        """
        Raises:
            Unreadable: it is of another version.
        """
        try:
            kept = self.serde.loads_typed(("msgpack", data))
            writes = {(task, channel, number): value for task, channel, number, value in kept["writes"]}
            values = kept["checkpoint"]["channel_values"]
            sound = isinstance(values["reply"], ModelReply) and isinstance(values["retrieval"], Retrieval)
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable from error
        if not sound:
            raise Unreadable
        config = _config(run_id, kept["checkpoint"]["id"])
        self._held[run_id] = _Held(config, kept["checkpoint"], kept["metadata"], writes)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        held = self._held.get(_run_of(config))
        if held is None:
            return None
        writes = [(task, channel, value) for (task, channel, _), value in held.writes.items()]
        return CheckpointTuple(held.config, held.checkpoint, held.metadata, None, writes)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        run_id = _run_of(config)
        earlier = self._held.get(run_id)
        kept = _config(run_id, checkpoint["id"])
        same = earlier is not None and earlier.checkpoint["id"] == checkpoint["id"]
        self._held[run_id] = _Held(kept, checkpoint, metadata, earlier.writes if earlier and same else {})
        return kept

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        if (held := self._held.get(_run_of(config))) is not None:
            for number, (channel, value) in enumerate(writes):
                held.writes[task_id, channel, number] = value

    def get_next_version(self, current: int | None, channel: None) -> int:
        return (current or 0) + 1


def _run_of(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _config(run_id: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}}

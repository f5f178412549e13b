"""A run through LangGraph's own loop, with nothing around it.

A compiled graph's `ainvoke` sets up callback managers, a stream of values and a checkpoint for each step, and takes
them down again; here nobody listens, what nodes come to is read at the end, and no checkpoint is kept. What is left is
the loop itself: which nodes are due, what they are given, and what they write (docs/decisions/0044). A run that may
have to wait for a person keeps checkpoints, and goes LangGraph's whole way.
"""

from collections.abc import Mapping
from typing import Any
from weakref import WeakMethod

from langgraph._internal._constants import CONF, CONFIG_KEY_RUNTIME
from langgraph.errors import GraphRecursionError
from langgraph.pregel._loop import AsyncPregelLoop
from langgraph.pregel._runner import PregelRunner
from langgraph.runtime import Runtime


class StraightRuntime(Runtime[Any]):
    """What nodes are given besides the state, with nothing of how often and under which ids they run: LangGraph copies
    that several times for each node, and none of ours asks.
    """

    def override(self, **overrides: Any) -> "StraightRuntime":
        return self

    def patch_execution_info(self, **overrides: Any) -> "StraightRuntime":
        return self


class StraightLoop(AsyncPregelLoop):
    """LangGraph's loop for a run that keeps no checkpoint: then a step's is made for nobody."""

    def _put_checkpoint(self, metadata: Any) -> None:
        if metadata is self.checkpoint_metadata:  # the run ends
            return
        metadata["step"] = self.step
        self.checkpoint_metadata = metadata
        self.step += 1


async def run_straight(graph: Any, given: Mapping[str, Any], context: object, max_steps: int) -> dict[str, Any]:
    """What a compiled graph's nodes come to, as its output has it.

    Raises:
        GraphRecursionError: it is not at its end after `max_steps` steps.
        Exception: a node's.
    """
    config: Any = {"recursion_limit": max_steps, CONF: {CONFIG_KEY_RUNTIME: StraightRuntime(context=context)}}
    async with StraightLoop(
        given, stream=None, config=config, store=None, cache=None, checkpointer=None, durability="async",
        nodes=graph.nodes, specs=graph.channels, trigger_to_nodes=graph.trigger_to_nodes,
        input_keys=graph.input_channels, output_keys=graph.output_channels, stream_keys=graph.stream_channels_asis,
    ) as loop:  # fmt: skip
        runner = PregelRunner(submit=WeakMethod(loop.submit), put_writes=WeakMethod(loop.put_writes))
        while loop.tick():
            due = [task for task in loop.tasks.values() if not task.writes]
            async for _ in runner.atick(due, schedule_task=loop.aaccept_push):
                """Nobody is told how far it has come."""
            loop.after_tick()
    if loop.status == "out_of_steps":
        raise GraphRecursionError(f"The graph was not at its end after {max_steps} steps.")
    found: Any = loop.output
    return dict(found)

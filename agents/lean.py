"""LangGraph's graph with less around its nodes.

LangGraph wraps each node in a sequence (the node, then the writes of its result) that tells LangChain's callback
managers of begin and end, and runs the node in a task of its own. Nobody listens here: runs are counted by the runner
and steps are frames. Without that wrapping the four nodes of a run take 0.56 ms of CPU instead of 0.71, and tracing
that somebody switched on for another tool in the environment is not told of the nodes' inputs.

The node's function and what makes its result into writes are called by themselves, too, where they are plain; and the
step that only hands the input on to the first node is left out (docs/decisions/0044).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import copy
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._constants import CONF, CONFIG_KEY_RUNTIME, CONFIG_KEY_SEND
from langgraph._internal._runnable import RunnableCallable
from langgraph.graph import START
from langgraph.pregel._write import PASSTHROUGH, ChannelWrite, ChannelWriteEntry, ChannelWriteTupleEntry

Work = Callable[..., Awaitable[Any]]
Mapper = Callable[[Any], Sequence[tuple[str, Any]] | None]
"""What a node's result writes: channels and values."""


class LeanNode(Runnable[Any, Any]):
    """A node and the writers of its result, one after the other in the graph's own task."""

    def __init__(self, steps: Sequence[Runnable[Any, Any]]) -> None:
        self._node, *self._writers = steps
        self.work = work_of(self._node)
        self.mappers = mappers_of(self._writers)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError("nodes are async")

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        given: Any = config or {}
        token = var_child_runnable_config.set(config)  # where LangGraph's `get_config` and `interrupt` look
        try:
            if self.work is None:
                result = await self._node.ainvoke(input, config)
            else:
                result = await self.work(input, runtime=given[CONF][CONFIG_KEY_RUNTIME])
        finally:
            var_child_runnable_config.reset(token)
        if self.mappers is None:
            for writer in self._writers:
                result = await writer.ainvoke(result, config)
        else:
            given[CONF][CONFIG_KEY_SEND]([write for mapper in self.mappers for write in mapper(result) or ()])
        return result


def work_of(node: Runnable[Any, Any]) -> Work | None:
    """The node's own function where all that it is given is its input and the runtime; else None."""
    if not isinstance(node, RunnableCallable) or node.trace or node.kwargs or node.explode_args:
        return None
    return node.afunc if [*node.func_accepts] == ["runtime"] else None


def mappers_of(writers: Sequence[Runnable[Any, Any]]) -> list[Mapper] | None:
    """What makes a result into writes, in order; None where it is not known how."""
    if not all(isinstance(writer, ChannelWrite) for writer in writers):
        return None
    mappers = [_mapper(write) for writer in writers if isinstance(writer, ChannelWrite) for write in writer.writes]
    known = [mapper for mapper in mappers if mapper is not None]
    return known if len(known) == len(mappers) else None


def _mapper(write: object) -> Mapper | None:
    if isinstance(write, ChannelWriteTupleEntry) and write.value is PASSTHROUGH:
        return write.mapper
    if isinstance(write, ChannelWriteEntry) and write[1:] == (None, False, None):  # an edge: it says that it was passed
        passed = ((write.channel, None),)
        return lambda result: passed
    return None


def lean(graph: Any) -> Any:
    """The same compiled graph, its nodes' wrapping replaced. What is not shaped like a sequence stays as it is."""
    for node in graph.nodes.values():
        steps = getattr(node.node, "steps", None)
        if steps:
            node.__dict__["node"] = LeanNode(steps)  # where the cached property keeps what it made
    return graph


def straight_in(graph: Any, given: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The graph without the step that hands `given` on to the first node, and what to give it: what that step would
    make of it. Where that is not known, both as they are.
    """
    start = graph.nodes.get(START)
    mappers = mappers_of(start.flat_writers) if start is not None and graph.input_channels == START else None
    writes = [write for mapper in mappers or () for write in mapper(given) or ()]
    straight = dict(writes)
    if not given.keys() < straight.keys() <= graph.channels.keys() or len(straight) < len(writes):
        return graph, given
    graph = copy(graph)  # who draws it wants all of it
    graph.input_channels = list(straight)
    return graph, straight

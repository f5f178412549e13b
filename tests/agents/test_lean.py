"""The graph's nodes run without LangChain's callbacks, and do the same."""

from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from agents.lean import LeanNode, lean


class Numbers(TypedDict, total=False):
    value: int
    thread: str


def doubling() -> Any:
    async def double(state: Numbers) -> Command[Any]:
        return Command(update={"value": 2 * state["value"]}, goto="double" if state["value"] < 20 else "name")

    async def name(state: Numbers, config: RunnableConfig) -> Numbers:
        assert get_config()["configurable"]["thread_id"] == config["configurable"]["thread_id"]
        return {"thread": config["configurable"]["thread_id"]}

    graph: Any = StateGraph(Numbers)
    graph.add_node("double", double, destinations=("double", "name"))
    graph.add_node("name", name)
    graph.add_edge(START, "double")
    graph.add_edge("name", END)
    return graph.compile()


async def test_every_node_is_lean() -> None:
    graph = lean(doubling())
    assert {name for name, node in graph.nodes.items() if isinstance(node.node, LeanNode)} == {"double", "name"}


async def test_a_lean_graph_comes_to_the_same() -> None:
    config = {"configurable": {"thread_id": "t"}}
    plain = await doubling().ainvoke({"value": 3}, config)
    assert await lean(doubling()).ainvoke({"value": 3}, config) == plain == {"value": 48, "thread": "t"}


async def test_a_nodes_error_comes_out_as_it_is() -> None:
    async def fail(state: Numbers) -> Numbers:
        raise LookupError("nothing there")

    graph: Any = StateGraph(Numbers)
    graph.add_node("fail", fail)
    graph.add_edge(START, "fail")
    with pytest.raises(LookupError, match="nothing there"):
        await lean(graph.compile()).ainvoke({"value": 1})

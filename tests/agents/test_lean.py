"""The graph's nodes run without LangChain's callbacks, and do the same."""

from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents.lean import LeanNode, lean, straight_in
from tests.agents.fakes import Service, extractive, found


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


async def steps_of(graph: Any, given: Any) -> list[int]:
    """The number of each step in which a node ran."""
    return [told["step"] async for told in graph.astream(given, stream_mode="debug") if told["type"] == "task"]


async def test_the_step_before_the_first_node_is_left_out() -> None:
    whole = lean(doubling_alone())
    graph, given = straight_in(whole, {"value": 3})
    assert await graph.ainvoke(given) == await whole.ainvoke({"value": 3}) == {"value": 24}
    assert await steps_of(graph, given) == [0, 1, 2]
    assert await steps_of(whole, {"value": 3}) == [1, 2, 3]


def doubling_alone() -> Any:
    async def double(state: Numbers, runtime: Runtime[None]) -> Command[Any]:
        return Command(update={"value": 2 * state["value"]}, goto="double" if state["value"] < 12 else END)

    graph: Any = StateGraph(Numbers)
    graph.add_node("double", double, destinations=("double", END))
    graph.add_edge(START, "double")
    return graph.compile()


def test_the_services_nodes_are_all_called_directly() -> None:
    graph = Service(extractive(), found()).graph._graph
    nodes = {name: node.node for name, node in graph.nodes.items() if isinstance(node.node, LeanNode)}
    assert set(nodes) == {"recall", "retrieve", "curated", "generate", "use_tools", "ground"}
    assert all(node.work and node.mappers for node in nodes.values())
    assert graph.input_channels == ["exchange", "branch:to:recall"]


async def test_what_is_shaped_otherwise_goes_langgraphs_own_way() -> None:
    graph = lean(doubling_alone())
    double = graph.nodes["double"]
    double.__dict__["node"] = LeanNode([double.bound, *double.flat_writers, RunnableLambda(lambda said: said)])
    assert double.node.mappers is None
    assert await graph.ainvoke({"value": 3}) == {"value": 24}
    graph.nodes[START].__dict__["flat_writers"] = [RunnableLambda(lambda said: said)]
    assert straight_in(graph, {"value": 3}) == (graph, {"value": 3})
    assert graph.input_channels == START

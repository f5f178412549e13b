"""A run through LangGraph's loop comes to what it comes to by `ainvoke`, and ends in the same ways."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

import pytest
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents.lean import lean, straight_in
from agents.straight import run_straight


class Numbers(TypedDict, total=False):
    value: int
    seen: str


Node = Callable[[Numbers, Runtime[str]], Awaitable[Any]]


def graph_of(first: Node, *others: Node) -> Any:
    graph: Any = StateGraph(Numbers, context_schema=str)
    nodes = (first, *others)
    for node, after in zip(nodes, (*nodes[1:], None), strict=True):
        graph.add_node(node.__name__, node, destinations=(*(one.__name__ for one in nodes), END))
        if after is None:
            graph.add_edge(node.__name__, END)
        elif node.__name__ != "double":
            graph.add_edge(node.__name__, after.__name__)
    graph.add_edge(START, first.__name__)
    return lean(graph.compile())


async def double(state: Numbers, runtime: Runtime[str]) -> Command[Any]:
    value = 2 * state["value"]
    return Command(update={"value": value}, goto="double" if value < 20 else "name" if value < 40 else END)


async def name(state: Numbers, runtime: Runtime[str]) -> Numbers:
    return {"seen": f"{runtime.context} {state['value']}"}


async def straight(graph: Any, given: Numbers, context: str = "c", max_steps: int = 20) -> dict[str, Any]:
    graph, whole = straight_in(graph, given)
    return await run_straight(graph, whole, context, max_steps)


@pytest.mark.parametrize("value", [1, 3, 5, 10, 20])
async def test_it_comes_to_the_same(value: int) -> None:
    graph = graph_of(double, name)
    expected = await graph.ainvoke({"value": value}, context="c")
    assert await straight(graph, {"value": value}) == expected
    assert await run_straight(graph, {"value": value}, "c", 20) == expected


async def test_runs_at_once_have_their_own_state_and_context() -> None:
    both = asyncio.Barrier(2)

    async def meet(state: Numbers, runtime: Runtime[str]) -> Numbers:
        await both.wait()
        assert runtime.execution_info is None
        return {"value": state["value"] + 1}

    graph = graph_of(meet, name)
    told = await asyncio.gather(*(straight(graph, {"value": n}, f"c{n}") for n in (1, 5)))
    assert [one["seen"] for one in told] == ["c1 2", "c5 6"]


async def test_one_that_does_not_end_is_ended() -> None:
    async def double(state: Numbers, runtime: Runtime[str]) -> Command[Any]:
        return Command(update={"value": state["value"] + 1}, goto="double")

    with pytest.raises(GraphRecursionError, match="after 7 steps"):
        await straight(graph_of(double), {"value": 0}, max_steps=7)
    with pytest.raises(GraphRecursionError):
        await graph_of(double).ainvoke({"value": 0}, {"recursion_limit": 7}, context="c")


async def test_a_nodes_error_comes_out_as_it_is() -> None:
    async def fail(state: Numbers, runtime: Runtime[str]) -> Numbers:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await straight(graph_of(fail), {"value": 1})


async def test_a_run_that_is_cancelled_cancels_its_node_and_leaves_no_task() -> None:
    reached, ended = asyncio.Event(), False

    async def wait(state: Numbers, runtime: Runtime[str]) -> Numbers:
        nonlocal ended
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended = True
        return {}

    run = asyncio.create_task(straight(graph_of(wait), {"value": 1}))
    await reached.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended
    assert asyncio.all_tasks() == {asyncio.current_task()}

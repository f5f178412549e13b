"""The way of a question, as a LangGraph state machine compiled once.

    recall → retrieve ─┬─▶ curated ─────────────┐
                       └─▶ generate ⇄ use_tools ─┴─▶ ground

Tokens do not pass through here: the model's adapter gives them to the run's writer. The graph sees nodes' results.
Where the way parts, the node itself names the next one (`Command`), by a pure function of `policies`: a conditional
edge is work of its own to LangGraph (1.24 against 0.79 ms of CPU for four nodes with two partings).
"""

from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph

from agents import nodes
from agents.approvals import Approvals
from agents.generation import Generation
from agents.lean import lean
from agents.saved_run import SavedRun
from agents.state import Outcome, Result, RunContext, State


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """`curated_threshold`: similarity from which a curated answer is given. `support_threshold`: confidence below
    which nothing in the knowledge supports an answer. `max_steps`: rounds of tools in one run."""

    curated_threshold: float
    support_threshold: float
    history_tokens: int = 2000
    max_steps: int = 5


class AnswerGraph:
    """The compiled graph."""

    def __init__(
        self,
        find: nodes.Find,
        generation: Generation,
        ground: nodes.Ground,
        check: nodes.Check,
        settings: GraphSettings,
        approvals: Approvals | None = None,
    ) -> None:
        # A checkpointer costs every run: there is one only where a tool may have to ask a person.
        self._approvals = approvals if generation.tools.registry.may_ask else None
        checkpointer = self._approvals.checkpoints if self._approvals else None
        self._graph: Any = lean(_build(find, generation, ground, check, settings).compile(checkpointer=checkpointer))
        self._config = {"recursion_limit": 2 * settings.max_steps + 10}

    @property
    def may_wait(self) -> bool:
        """Whether a run may come to wait for a person."""
        return self._approvals is not None

    async def run(self, context: RunContext, saved: SavedRun | None = None) -> Outcome:
        """Take a question through the graph; or go on with a run that another process left waiting for a person.

        Raises:
            Suspended: another process is to go on with it.
        """
        if self._approvals is not None:
            found: Result = await self._approvals.run(self._graph, {"exchange": ()}, self._config, context, saved)
            return found["outcome"]
        # Version 2 of the output collects no updates beside the values: 5 % of the graph's own time.
        output = await self._graph.ainvoke({"exchange": ()}, self._config, context=context, version="v2")
        result: Result = output.value
        return result["outcome"]

    def draw(self) -> str:
        """The graph as a Mermaid diagram."""
        return str(self._graph.get_graph().draw_mermaid())


def _build(
    find: nodes.Find, generation: Generation, ground: nodes.Ground, check: nodes.Check, settings: GraphSettings
) -> Any:
    graph: Any = StateGraph(State, context_schema=RunContext, output_schema=Result)
    graph.add_node("recall", nodes.recall(settings.history_tokens))
    found = nodes.retrieve(find, check.mark, settings.curated_threshold)
    graph.add_node("retrieve", found, destinations=("curated", "generate"))
    graph.add_node("curated", nodes.curated())
    answering = nodes.generate(generation, settings.support_threshold)
    graph.add_node("generate", answering, destinations=("use_tools", "ground"))
    graph.add_node("use_tools", nodes.use_tools(generation))
    graph.add_node("ground", nodes.ground_answer(ground, check, settings.support_threshold))
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "retrieve")
    graph.add_edge("use_tools", "generate")
    graph.add_edge("curated", "ground")
    graph.add_edge("ground", END)
    return graph

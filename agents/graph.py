"""The way of a question, as a LangGraph state machine compiled once.

    recall → retrieve ─┬─▶ curated ─────────────┐
                       └─▶ generate ⇄ use_tools ─┴─▶ ground

Tokens do not pass through here: the model's adapter gives them to the run's writer. The graph sees nodes' results.
Where the way parts, the node itself names the next one (`Command`), by a pure function of `policies`: a conditional
edge is work of its own to LangGraph (1.24 against 0.79 ms of CPU for four nodes with two partings).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents import nodes
from agents.approvals import Approvals
from agents.generation import Generation
from agents.lean import lean, straight_in
from agents.saved_run import SavedRun
from agents.state import Outcome, Result, RunContext, State
from agents.straight import run_straight
from agents.tracing import traced
from infrastructure.tracing.record import Span


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
        *,
        traced: bool = False,
        known: nodes.Known | None = None,
    ) -> None:
        # A checkpointer costs every run: there is one only where a tool may have to ask a person.
        self._approvals = approvals if generation.tools.registry.may_ask else None
        checkpointer = self._approvals.checkpoints if self._approvals else None
        built = _build(find, generation, ground, check, settings, with_span if traced else _as_it_is, known)
        self._whole: Any = lean(built.compile(checkpointer=checkpointer))
        self._graph, self._given = straight_in(self._whole, {"exchange": ()})
        self._max_steps = 2 * settings.max_steps + 10

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
            config = {"recursion_limit": self._max_steps}
            found: Result = await self._approvals.run(self._graph, self._given, config, context, saved)
            return found["outcome"]
        outcome: Outcome = (await run_straight(self._graph, self._given, context, self._max_steps))["outcome"]
        return outcome

    def draw(self) -> str:
        """The graph as a Mermaid diagram."""
        return str(self._whole.get_graph().draw_mermaid())


def _as_it_is(_: str, node: nodes.Node) -> nodes.Node:
    return node


def _build(
    find: nodes.Find, generation: Generation, ground: nodes.Ground, check: nodes.Check, settings: GraphSettings,
    told: Callable[[str, nodes.Node], nodes.Node] = _as_it_is, known: nodes.Known | None = None,
) -> Any:  # fmt: skip
    graph: Any = StateGraph(State, context_schema=RunContext, output_schema=Result)

    def add(name: str, node: nodes.Node, **options: Any) -> None:
        graph.add_node(name, told(name, node), **options)

    add("recall", nodes.recall(settings.history_tokens))
    found = nodes.retrieve(find, check.mark, settings.curated_threshold, known)
    add("retrieve", found, destinations=("curated", "generate", END) if known else ("curated", "generate"))
    add("curated", nodes.curated(generation))
    answering = nodes.generate(generation, settings.support_threshold)
    add("generate", answering, destinations=("use_tools", "ground"))
    add("use_tools", nodes.use_tools(generation))
    add("ground", nodes.ground_answer(ground, check, settings.support_threshold, known))
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "retrieve")
    graph.add_edge("use_tools", "generate")
    graph.add_edge("curated", "ground")
    graph.add_edge("ground", END)
    return graph


def with_span(name: str, node: nodes.Node) -> nodes.Node:
    """The node, told in the traces of the runs that are traced."""

    async def spanned(state: State, runtime: Runtime[RunContext]) -> State | Command[Any]:
        trace = runtime.context.trace
        if trace is None:
            return await node(state, runtime)

        async def work(span: Span) -> State | Command[Any]:
            result = await node(state, runtime)
            update = result.update if isinstance(result, Command) else result
            if update and (found := update.get("retrieval")) is not None:
                span.facts.update(passages=len(found.passages), confidence=found.confidence)
            return result

        return await traced(trace, "node", name, work)

    return spanned

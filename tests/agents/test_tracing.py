"""What a run's trace says of it, and that a run is none the worse for being traced."""

import asyncio
from typing import Any

import pytest
from langgraph.errors import GraphInterrupt
from structlog.testing import capture_logs

from agents.tools.base import Arguments, ToolResult, make_tool
from agents.tracing import MAX_SPANS, RunTrace, TracedModel, begin_trace, traced
from infrastructure.errors import ProviderUnavailable, ToolFailed
from infrastructure.providers.types import ModelReply, ModelRequest, Usage
from infrastructure.tracing.record import Span, Trace
from services.knowledge.scope import Scope
from tests.agents.fakes import SESSION, Endless, ScriptedModel, Service, call, calls, fails, found, passage, says

NODES = ["recall", "retrieve", "generate", "ground"]


class Kept:
    """Where traces go in these tests."""

    def __init__(self, *, content: bool = False, every: bool = True) -> None:
        self.content = content
        self.every = every
        self.traces: list[Trace] = []

    def trace_id(self, run_id: str) -> bytes | None:
        return run_id.encode()[-16:] if self.every else None

    def take(self, trace: Trace) -> None:
        self.traces.append(trace)

    @property
    def spans(self) -> list[Span]:
        (trace,) = self.traces
        return trace.spans

    def of(self, kind: str) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]

    @property
    def run(self) -> Span:
        return self.spans[0]


class Nothing(Arguments):
    pass


async def _looked(_: Nothing, scope: Scope) -> ToolResult:
    return ToolResult("Paris it is.", (passage(number=2),))


async def _broken(_: Nothing, scope: Scope) -> ToolResult:
    raise ToolFailed("The shelf is empty.")


LOOK = make_tool("look", "Looks.", Nothing, _looked)
BREAK = make_tool("break", "Breaks.", Nothing, _broken)


async def test_a_run_is_told_with_its_nodes_and_its_generation_in_order_and_inside_one_another() -> None:
    kept = Kept()
    service = Service(ScriptedModel(says("Paris ", "[1].")), found(passage()), traces=kept)
    told = await service.ask()
    run, *others = kept.spans
    assert (run.kind, run.name, run.parent) == ("run", "ask", None)
    assert [span.name for span in kept.of("node")] == NODES
    assert {span.parent for span in kept.of("node")} == {0}
    (generation,) = kept.of("generation")
    assert kept.spans[generation.parent or 0].name == "generate"
    assert all(run.start <= span.start <= span.end <= run.end for span in others)
    assert all(span.error is None for span in kept.spans)
    assert (kept.traces[0].session, kept.traces[0].user) == (SESSION, None)
    assert told.end["type"] == "complete"


async def test_a_generation_says_what_was_asked_for_and_what_it_used() -> None:
    kept = Kept()
    model = ScriptedModel(says("Paris ", "[1].", usage=Usage(900, 64)))
    await Service(model, found(passage()), traces=kept).ask()
    (generation,) = kept.of("generation")
    facts = generation.facts
    assert generation.name == "scripted-1"
    assert (facts["provider"], facts["model"], facts["reply_model"]) == ("openai", "scripted-1", "scripted-1")
    assert (facts["prompt_tokens"], facts["completion_tokens"], facts["finish_reason"]) == (900, 64, "stop")
    assert generation.start <= facts["first_at"] <= generation.end


async def test_the_run_says_what_it_came_to() -> None:
    kept = Kept()
    await Service(ScriptedModel(says("Paris is the capital of France [1].")), found(passage()), traces=kept).ask()
    facts = kept.run.facts
    assert facts["outcome"] == "complete"
    assert facts["grounded"] is True
    assert facts["citations"] == 1
    assert 0 < facts["confidence"] <= 1
    assert facts["first_word"] >= 0
    assert (facts["prompt_tokens"], facts["completion_tokens"]) == (10, 5)
    assert "system.v1" in facts["prompts"]


async def test_retrieve_says_how_much_it_found() -> None:
    kept = Kept()
    await Service(ScriptedModel(says("Yes.")), found(passage(), passage(number=2)), traces=kept).ask()
    (retrieve,) = [span for span in kept.spans if span.name == "retrieve"]
    assert retrieve.facts == {"passages": 2, "confidence": 0.9}


async def test_tools_are_told_by_name_and_outcome_without_what_they_were_given() -> None:
    kept = Kept()
    model = ScriptedModel(calls(call("look"), call("break", "c2"), call("no\ud800 such tool", "c3")), says("Done."))
    await Service(model, found(passage()), tools=[LOOK, BREAK], traces=kept).ask()
    looked, broke, unknown = kept.of("tool")
    assert (looked.name, looked.facts["outcome"], looked.facts["passages"], looked.error) == (
        "look",
        "finished",
        1,
        None,
    )
    assert (broke.name, broke.facts["outcome"], broke.error) == ("break", "failed", "tool_failed")
    assert (unknown.name, unknown.error) == ("unknown_tool", "tool_failed")
    assert {kept.spans[span.parent or 0].name for span in (looked, broke, unknown)} == {"use_tools"}
    assert set(looked.facts) == {"outcome", "size", "passages"}
    assert looked.facts["size"] > len("Paris it is.")
    assert [span.name for span in kept.of("node")] == [
        "recall",
        "retrieve",
        "generate",
        "use_tools",
        "generate",
        "ground",
    ]


async def test_a_fall_back_is_two_generations_the_first_of_them_an_error() -> None:
    kept = Kept()
    model = ScriptedModel(fails(ProviderUnavailable("It is away.")))
    told = await Service(model, found(passage()), traces=kept).ask()
    away, stand_in = kept.of("generation")
    assert (away.error, away.facts["provider"]) == ("provider_unavailable", "openai")
    assert (stand_in.error, stand_in.facts["provider"]) == (None, "extractive")
    assert kept.run.error is None
    assert told.end["model"] == kept.run.facts["reply_model"] == "extractive"


async def test_a_run_that_fails_is_an_error_everywhere_up_to_the_run() -> None:
    kept = Kept()
    model = ScriptedModel(fails(ProviderUnavailable("It is away."), "Par"))
    told = await Service(model, found(passage()), traces=kept).ask()
    assert told.end["code"] == "provider_unavailable"
    failed = [span.name for span in kept.spans if span.error == "provider_unavailable"]
    assert failed == ["ask", "generate", "scripted-1"]
    assert kept.run.facts["outcome"] == "provider_unavailable"


async def test_a_run_that_is_stopped_is_told_with_all_its_spans_ended() -> None:
    kept = Kept()
    endless = Endless("Par")
    service = Service(ScriptedModel(endless), found(passage()), traces=kept)
    run = await service.start()
    await endless.streaming.wait()
    await service.runner.cancel(run.id)
    await service.told(run)
    await service.runner.drain(1)
    assert all(span.end >= span.start for span in kept.spans)
    assert (kept.run.error, kept.run.facts["outcome"]) == (None, "cancelled")
    assert kept.of("generation")[0].error == "cancelled"


async def test_texts_are_told_only_where_they_are_wanted() -> None:
    model = ScriptedModel(calls(call("look")), says("Paris, surely."))
    kept = Kept(content=True)
    await Service(model, found(passage()), tools=[LOOK], traces=kept).ask("Where is the canary?")
    assert kept.run.facts["question"] == "Where is the canary?"
    assert kept.run.facts["answer"] == "Paris, surely."
    (tool,) = kept.of("tool")
    assert (tool.facts["arguments"], "Paris it is." in tool.facts["result"]) == ("{}", True)
    last = kept.of("generation")[-1]
    assert "canary" in str(last.facts["messages"])
    assert last.facts["text"] == "Paris, surely."
    quiet = Kept()
    await Service(ScriptedModel(says("Paris, surely.")), found(passage()), traces=quiet).ask("Where is the canary?")
    assert not any(word in str(quiet.traces) for word in ("canary", "surely", "capital of France"))


async def test_a_run_that_is_not_sampled_leaves_nothing() -> None:
    kept = Kept(every=False)
    told = await Service(ScriptedModel(says("Paris.")), found(passage()), traces=kept).ask()
    assert kept.traces == []
    assert told.text == "Paris."


@pytest.mark.parametrize("traces", [None, Kept()])
async def test_the_frames_are_the_same_with_and_without_traces(traces: Kept | None) -> None:
    model = ScriptedModel(calls(call("look"), call("break", "c2")), says("Paris ", "[1]."))
    told = await Service(model, found(passage()), tools=[LOOK, BREAK], traces=traces).ask()
    steps = [(frame["name"], frame["state"]) for frame in told.of("step")]
    assert steps == [
        ("retrieve", "started"), ("retrieve", "finished"), ("look", "started"), ("look", "finished"),
        ("break", "started"), ("break", "failed"),
    ]  # fmt: skip
    assert told.text == "Paris [1]."


async def test_the_log_line_of_a_run_leads_to_its_trace() -> None:
    kept = Kept()
    with capture_logs() as lines:
        await Service(ScriptedModel(says("Paris.")), found(passage()), traces=kept).ask()
    (line,) = [line for line in lines if line["event"] == "run finished"]
    assert line["trace"] == kept.traces[0].id.hex()
    assert "system.v1" in line["prompt"]
    assert line["agent"] is None


def test_a_trace_keeps_no_more_spans_than_its_bound() -> None:
    kept = Kept()
    trace = begun(kept)
    for _ in range(MAX_SPANS + 10):
        trace.end_tool(trace.begin("tool", "look"), "finished", "{}", "")
    trace.finish("complete", {})
    assert len(kept.spans) == MAX_SPANS
    assert kept.run.end >= kept.spans[-1].end


async def test_a_node_in_which_the_graph_waits_for_a_person_is_no_error() -> None:
    kept = Kept()
    trace = begun(kept)

    async def waits(_: Span) -> None:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        await traced(trace, "node", "use_tools", waits)
    trace.finish("suspended", {})
    run, node = kept.spans
    assert (node.error, node.facts) == (None, {"waits": True})
    assert run.error is None


def test_what_an_error_left_open_ends_with_what_was_around_it() -> None:
    kept = Kept()
    trace = begun(kept)
    trace.begin("node", "use_tools")
    trace.begin("tool", "look")
    trace.finish("internal_error", {})
    assert [span.error for span in kept.spans] == ["internal_error"] * 3
    assert all(span.end for span in kept.spans)


class Answering:
    name = "openai"
    model = "gpt-4o-mini"
    closed = False

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error

    async def stream(self, request: ModelRequest, emit: Any) -> ModelReply:
        if request.taken_over is not None:
            request.taken_over("ollama", "llama")
        if self.error is not None:
            raise self.error
        emit("Hello.")
        return ModelReply("Hello.", "llama", usage=Usage(3, 2))

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("every", [True, False])
async def test_a_model_outside_runs_has_a_trace_for_each_call(every: bool) -> None:
    kept = Kept(every=every)
    inner = Answering()
    model = TracedModel(inner, kept, SESSION, "u1")
    said: list[str] = []
    taken: list[tuple[str, str]] = []
    request = ModelRequest((), "", taken_over=lambda *names: taken.append(names))
    reply = await model.stream(request, said.append)
    assert (reply.text, said, taken) == ("Hello.", ["Hello."], [("ollama", "llama")])
    assert (model.name, model.model) == ("openai", "gpt-4o-mini")
    assert len(kept.traces) == every
    if every:
        run, generation = kept.spans
        assert (run.name, run.facts["outcome"], kept.traces[0].user) == ("completion", "complete", "u1")
        assert (generation.facts["provider"], generation.facts["reply_model"]) == ("ollama", "llama")
    await model.aclose()
    assert inner.closed


@pytest.mark.parametrize(
    ("error", "kind"),
    [(ProviderUnavailable("Away."), "provider_unavailable"), (asyncio.CancelledError(), "cancelled"),
     (RuntimeError("canary"), "internal_error")],
)  # fmt: skip
async def test_a_call_that_fails_is_told_by_its_kind_alone(error: BaseException, kind: str) -> None:
    kept = Kept()
    with pytest.raises(type(error)):
        await TracedModel(Answering(error), kept, SESSION, None).stream(ModelRequest((), ""), lambda _: None)
    assert kept.run.facts["outcome"] == kept.spans[1].error == kind
    assert "canary" not in str(kept.traces)


def begun(kept: Kept) -> RunTrace:
    trace = begin_trace(kept, SESSION, "ask", session=None, user=None)
    assert trace is not None
    return trace

"""Traces as bodies of OTLP requests."""

from typing import Any

from infrastructure.tracing.attributes import GenAI, Langfuse
from infrastructure.tracing.encode import Encoder
from infrastructure.tracing.hashes import Hashes
from infrastructure.tracing.record import Trace
from tests.infrastructure.tracing.spans import SESSION, USER, generation, span, trace
from tests.otlp_receiver import Posted, Told

HASHES = Hashes("secret")
RESOURCE = {"service.name": "askgraph"}


def encoded(*traces: Trace, langfuse: bool = False, broken: list[Exception] | None = None) -> Posted:
    dialect = Langfuse({}) if langfuse else GenAI({})
    encoder = Encoder(RESOURCE, "1.0", HASHES, dialect, everywhere=langfuse)
    body = encoder.encode(traces, (broken if broken is not None else []).append)
    return Posted("/", {}, body)


def by_name(spans: list[Told]) -> dict[str, Told]:
    return {told.name: told for told in spans}


def test_spans_keep_their_trace_their_parents_and_their_times() -> None:
    told = by_name(encoded(trace(span("node", "generate"), generation())).spans)
    run, node, model = told["ask"], told["generate"], told["chat gpt-4o-mini"]
    assert {one.trace for one in told.values()} == {f"{1:032x}"}
    assert (run.parent, node.parent, model.parent) == ("", run.id, node.id)
    assert len({one.id for one in told.values()}) == 3
    assert model.seconds == 2.0
    assert model.facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert model.facts["gen_ai.request.temperature"] == 0.5
    assert encoded(trace()).resource == RESOURCE


def test_a_call_that_leaves_the_machine_is_a_clients() -> None:
    spans = encoded(trace(span("node", "generate"), generation(), generation(provider="extractive"))).spans
    assert [one.kind for one in spans] == [1, 1, 3, 1]


def test_an_error_is_a_status_and_a_kind() -> None:
    (_, failed) = encoded(trace(span("node", "generate", error="provider_unavailable"))).spans
    assert failed.error
    assert failed.facts["error.type"] == "provider_unavailable"


def test_the_first_span_alone_names_session_and_user_and_for_langfuse_each() -> None:
    first, second = encoded(trace(span("node", "recall"))).spans
    assert first.facts["session.id"] == first.facts["gen_ai.conversation.id"] == HASHES.session(SESSION)
    assert first.facts["user.id"] == HASHES.user(USER)
    assert "session.id" not in second.facts
    for told in encoded(trace(span("node", "recall")), langfuse=True).spans:
        assert told.facts["session.id"] == HASHES.session(SESSION)
        assert told.facts["user.id"] == HASHES.user(USER)
        assert told.facts["langfuse.trace.name"] == "ask"


def test_no_id_leaves_as_it_is() -> None:
    for langfuse in (False, True):
        body = encoded(trace(span("node", "recall")), langfuse=langfuse).body
        assert SESSION.encode() not in body
        assert USER.encode() not in body


def test_a_trace_that_cannot_be_said_is_left_out_whole_and_the_others_are_there() -> None:
    odd: Any = {1: 2}
    broken: list[Exception] = []
    bad = trace(span("node", "fine"), span("node", "odd", odd=odd), number=2)
    told = encoded(trace(number=1), bad, trace(number=3), broken=broken).spans
    assert [one.trace for one in told] == [f"{1:032x}", f"{3:032x}"]
    assert len(broken) == 1


def test_text_that_is_no_text_costs_its_trace_only() -> None:
    broken: list[Exception] = []
    told = encoded(trace(span("tool", "\ud800")), trace(number=3), broken=broken).spans
    assert [one.trace for one in told] == [f"{3:032x}"]
    assert [isinstance(error, ValueError) for error in broken] == [True]

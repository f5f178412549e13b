"""Traces of the real service, sent to real far ends that speak OTLP; and that none of them is felt by who asks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import API_KEY
from tests.e2e.people import signed_in
from tests.e2e.service import Service, answer_of
from tests.model_server import ModelServer
from tests.otlp_receiver import OtlpReceiver, Told

QUESTION = "What does the marmalade canary eat on Sundays?"
SECRETS = {
    "LANGFUSE_PUBLIC_KEY": "pk-lf-canary-0001", "LANGFUSE_SECRET_KEY": "sk-lf-canary-0002",
    "OTEL_EXPORTER_OTLP_HEADERS": "api-key=canary-0003", "SECRET_KEY": "canary-0004-" + "x" * 32,
}  # fmt: skip
KEYS = ("pk-lf-canary-0001", "sk-lf-canary-0002", "canary-0003", "canary-0004", API_KEY)
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50", "MODEL_PRICES": "scripted=1000/2000"}
Start = Callable[..., Any]


@pytest_asyncio.fixture
async def langfuse() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as receiver:
        yield receiver


@pytest_asyncio.fixture
async def collector() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as receiver:
        yield receiver


def to_both(langfuse: OtlpReceiver, collector: OtlpReceiver) -> dict[str, str]:
    return SECRETS | SOON | {"LANGFUSE_HOST": langfuse.url, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}


async def asked(service: Service, question: str = QUESTION) -> list[dict[str, Any]]:
    async with service.socket() as socket:
        await socket.hello()
        return await socket.ask(question)


def of(spans: list[Told], name: str) -> Told:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_run_is_a_trace_in_both_places_that_its_log_line_leads_to(
    start: Start, model: ModelServer, langfuse: OtlpReceiver, collector: OtlpReceiver
) -> None:
    model.tool_call("search_knowledge_base", {"query": "seed"})
    model.tokens(["Seed ", "and ", "marmalade."])
    service = await start(**to_both(langfuse, collector))
    frames = await asked(service)
    line = await service.logged("run finished", outcome="complete")
    for spans in (await langfuse.spans("ask"), await collector.spans("ask")):
        assert {span.trace for span in spans} == {line["trace"]}
        assert [span.name for span in spans] == [
            "ask", "recall", "retrieve", "generate", "chat scripted", "use_tools",
            "execute_tool search_knowledge_base", "generate", "chat scripted", "ground",
        ]  # fmt: skip
        run, node, tool = spans[0], of(spans, "use_tools"), of(spans, "execute_tool search_knowledge_base")
        assert (run.parent, node.parent, tool.parent) == ("", run.id, node.id)
        answered = spans[8]
        assert answered.facts["gen_ai.provider.name"] == "openai"
        assert answered.facts["gen_ai.response.model"] == "scripted"
        used = [span.facts["gen_ai.usage.output_tokens"] for span in spans if span.name == "chat scripted"]
        assert sum(used) == frames[-2]["usage"]["completion_tokens"]
    facts = langfuse.all[0].facts
    assert facts["langfuse.observation.type"] == "agent"
    assert facts["langfuse.trace.metadata.outcome"] == "complete"
    assert collector.all[0].facts["gen_ai.operation.name"] == "invoke_agent"
    assert "langfuse.observation.cost_details" in langfuse.all[4].facts
    assert collector.all[4].facts["gen_ai.usage.cost"] > 0
    assert langfuse.posted[0].headers["authorization"].startswith("Basic ")
    assert "prompt" in line


async def test_nothing_of_a_question_no_key_and_no_id_is_in_a_trace(
    start: Start, model: ModelServer, langfuse: OtlpReceiver, collector: OtlpReceiver
) -> None:
    model.tokens(["Seed ", "and ", "marmalade."])
    service = await start(**to_both(langfuse, collector))
    async with service.client(headers=await signed_in(service)) as client:
        answer = (await client.post("/v2/ask", json={"question": QUESTION})).json()
        me = (await client.get("/api/v1/auth/me")).json()
    sent = [await langfuse.spans("ask"), await collector.spans("ask")]
    said = (*QUESTION.split(), "Seed", answer["session_id"], answer["run_id"], me["id"], me["username"], me["email"])
    for receiver in (langfuse, collector):
        hidden = [text for text in (*said, *KEYS) if len(text) > 3 and text.encode() in receiver.raw]
        assert hidden == []
        assert answer["run_id"].replace("-", "") not in {span.trace for span in receiver.all}
    for spans in sent:
        assert len(spans[0].facts["session.id"]) == len(spans[0].facts["user.id"]) == 16
    assert not [key for key in KEYS if key in "".join(service.raw)]


async def test_texts_are_there_where_the_operator_wants_them_and_keys_in_them_are_not(
    start: Start, model: ModelServer, langfuse: OtlpReceiver, collector: OtlpReceiver
) -> None:
    model.tokens(["Seed ", "and ", "marmalade."])
    wanted = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}
    service = await start(**to_both(langfuse, collector), **wanted)
    await asked(service, f"{QUESTION} My key is sk-canary-9999999999.")
    (run, *_) = await langfuse.spans("ask")
    assert run.facts["langfuse.observation.input"] == f"{QUESTION} My key is [hidden]."
    assert run.facts["langfuse.observation.output"] == "Seed and marmalade."
    await collector.spans("ask")
    assert b"marmalade" in collector.raw
    assert not [
        key for key in (*KEYS, "sk-canary-9999999999") for one in (langfuse, collector) if key.encode() in one.raw
    ]


@pytest.mark.parametrize(
    "far_end", ["silent", *(pytest.param(far_end, marks=pytest.mark.slow) for far_end in ("refuses", "breaks", "gone"))]
)
async def test_no_far_end_is_felt_by_who_asks(
    start: Start, model: ModelServer, langfuse: OtlpReceiver, far_end: str
) -> None:
    model.tokens(["Seed ", "and ", "marmalade."])
    host = langfuse.url
    if far_end == "silent":
        langfuse.answer = None
    elif far_end == "gone":
        host = "http://127.0.0.1:9"
    else:
        langfuse.status(401 if far_end == "refuses" else 500)
    service = await start(**SECRETS, **SOON, OTEL_BSP_MAX_QUEUE_SIZE=20, LANGFUSE_HOST=host)
    began = time.perf_counter()
    for _ in range(6):
        frames = await asked(service)
        assert frames[-2]["type"] == "complete", frames[-2]
        assert answer_of(frames) == "Seed and marmalade."
    assert time.perf_counter() - began < 10
    async with service.client() as client:
        async with asyncio.timeout(20):
            while 'traces_dropped_total{reason="' not in (await client.get("/metrics")).text:
                await asked(service)
        assert (await client.get("/health")).json()["status"] == "healthy"
    began = time.perf_counter()
    assert await service.stop() == 0
    assert time.perf_counter() - began < 8
    assert not [key for key in KEYS if key in "".join(service.raw)]


async def test_a_bare_completion_is_a_trace_with_one_generation(
    start: Start, model: ModelServer, langfuse: OtlpReceiver, collector: OtlpReceiver
) -> None:
    model.tokens(["Marmalade."])
    service = await start(**to_both(langfuse, collector))
    body = {"model": "scripted", "messages": [{"role": "user", "content": QUESTION}]}
    async with service.client() as client:
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    for spans in (await langfuse.spans("completion"), await collector.spans("completion")):
        assert [span.name for span in spans] == ["completion", "chat scripted"]
        assert spans[1].parent == spans[0].id


async def test_without_a_destination_nothing_is_traced(start: Start, model: ModelServer) -> None:
    model.tokens(["Seed."])
    service = await start(OTEL_TRACES_EXPORTER="none", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    await asked(service)
    line = await service.logged("run finished")
    assert "trace" not in line
    assert not [line for line in service.log if line["event"] == "tracing"]

"""What a scrape of the running service says: every name in both formats, no stranger's series, all workers' sum."""

import asyncio
import random
import signal
import string
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.e2e.service import Service, running
from tests.e2e.test_operations import NAMES
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = "What is a liquidation threshold?"  # no curated one is close: the model is asked
OPEN = {"Accept": "application/openmetrics-text; version=1.0.0"}
OF_THE_MOMENT = ("system_", "event_loop_lag", "http_request")


async def scrape(service: Service, openly: bool = False) -> list[Metric]:
    async with service.client(headers=OPEN if openly else {}) as client:
        text = (await client.get("/metrics")).text
    return list((parse_open if openly else parse_text)(text))


def values(families: list[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not family.name.startswith(OF_THE_MOMENT)
    }


def one(families: list[Metric], name: str, **labels: str) -> float:
    found = [s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
    return sum(found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def busy(shared: Service, far_end: ModelServer) -> Service:
    """A service in which everything that is counted has happened."""
    far_end.tokens(["A flash loan [1] ", "is repaid [99] ", "at once."])
    async with shared.client() as client, shared.socket() as socket:
        await client.post("/ask", json={"question": QUESTION})
        await client.post("/ask", json={})
        frames = await socket.ask(QUESTION)
        await socket.send(type="attach", run_id=frames[-1]["run_id"], after=0)
        await socket.until(type="status", status="ready")
    return shared


OF_MANY_WORKERS = {"agent_runs_taken_over_total", "dependency_available"}  # one alone has no series of them


@pytest.mark.parametrize("openly", [False, True], ids=["text", "openmetrics"])
async def test_every_name_of_the_contract_is_there_with_its_labels(openly: bool, busy: Service) -> None:
    families = await scrape(busy, openly)
    kinds = {family.name: family.type for family in families}
    labels = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    for name, _, wanted in (entry.partition("{") for entry in NAMES.split()):
        family = name if openly and name in ("app_info", "active_sessions_total") else name.removesuffix("_total")
        known = {name, family, name.removesuffix("_info")}
        assert known & set(kinds), name
        if wanted and name not in OF_MANY_WORKERS:
            assert labels[name] == set(wanted.rstrip("}").split(",")), name
        if name.endswith("_seconds"):
            assert kinds[name] == "histogram"
            assert {f"{name}_bucket", f"{name}_sum", f"{name}_count"} <= set(labels)
    assert one(families, "stream_replays_total") >= 1
    assert one(families, "citations_rejected_total") >= 1
    assert one(families, "agent_time_to_first_token_seconds_count") >= 2


async def test_both_formats_say_the_same(busy: Service) -> None:
    assert values(await scrape(busy)) == values(await scrape(busy, openly=True))


async def test_a_run_is_the_example_of_its_bucket_and_of_its_outcome(busy: Service, scripted: ModelServer) -> None:
    scripted.tokens(["Lent ", "and ", "repaid."])
    async with busy.socket() as socket:
        await socket.hello()
        run = (await socket.ask(QUESTION))[-1]["run_id"]
    wanted = {
        "agent_runs": set(),
        "agent_processing_duration_seconds": set(),
        "agent_time_to_first_token_seconds": set(),
    }
    for family in await scrape(busy, openly=True):
        for sample in family.samples:
            if sample.exemplar is not None:
                wanted[family.name].add(sample.exemplar.labels["run_id"])
    assert all(run in runs for runs in wanted.values()), wanted


MANY = 2000  # of each of five kinds


def strays() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests full of made-up names: paths, methods, models, providers, users."""
    made_up = random.Random(7)

    def word() -> str:
        return "".join(made_up.choices(string.ascii_letters + string.digits, k=12))

    for _ in range(MANY):
        yield "GET", f"/{word()}/{word()}", {}
        yield f"X{word().upper()}", "/ask", {}
        question = [{"role": "user", "content": QUESTION}]
        yield "POST", "/v1/chat/completions", {"json": {"model": word(), "messages": question}}
        yield "POST", "/v1/chat/completions", {"json": {"model": f"{word()}/{word()}", "messages": question}}
        user = b64encode(f"{word()}:{word()}".encode()).decode()
        yield "GET", f"/runs/{word()}/events", {"headers": {"Authorization": f"Basic {user}", "X-User": word()}}


async def send(service: Service, requests: Iterator[tuple[str, str, dict[str, Any]]]) -> set[int]:
    statuses = set()

    async def some(client: aiohttp.ClientSession) -> None:
        for method, path, more in requests:
            async with client.request(method, service.url + path, **more) as answer:
                await answer.read()
                statuses.add(answer.status)

    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(some(client) for _ in range(8)))
    return statuses


async def test_ten_thousand_made_up_names_add_no_series(embedded: Service) -> None:
    everything = list(strays())
    await send(embedded, iter(everything[:50]))
    before = {key for key in values(await scrape(embedded))}
    every = {(s.name, *sorted(s.labels.items())) for f in await scrape(embedded) for s in f.samples}
    statuses = await send(embedded, iter(everything))
    assert statuses <= {400, 404, 405}
    families = await scrape(embedded)
    assert set(values(families)) == before
    assert {(s.name, *sorted(s.labels.items())) for f in families for s in f.samples} == every
    assert one(families, "http_requests_total", endpoint="unmatched") >= MANY


async def test_a_scrape_of_any_worker_has_the_sum_and_what_is_dead_is_not_lost(tmp_path: Path) -> None:
    folder = {"PROMETHEUS_MULTIPROC_DIR": tmp_path / "numbers"}
    asked = {"method": "POST", "endpoint": "/ask", "status_code": "200"}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(running(tmp_path / name, folder)) for name in ("a", "b")]
        for service, times in ((first, 3), (second, 2)):
            async with service.client() as client:
                for _ in range(times):
                    await client.post("/ask", json={"question": QUESTION})
        async with second.socket() as socket:
            await socket.hello()
            for service in (first, second):
                families = await scrape(service)
                assert one(families, "http_requests_total", **asked) == 5
                assert one(families, "agent_queries_total") == 5
                for name in ("processing_duration", "time_to_first_token"):
                    assert one(families, f"agent_{name}_seconds_count") == 5
                counted = one(families, "http_request_duration_seconds_count", method="POST", endpoint="/ask")
                assert (counted, one(families, "websocket_active_connections")) == (5, 1)
                assert one(families, "app_info") == 1
                assert one(families, "system_memory_usage_bytes") > 2**27  # of both
            assert values(await scrape(first)).keys() == values(await scrape(first, openly=True)).keys()
            tokens = one(await scrape(second), "agent_inter_token_seconds_count")
            second.process.send_signal(signal.SIGKILL)
            await second.process.wait()
        families = await scrape(first)
        assert one(families, "http_requests_total", **asked) == 5
        assert one(families, "agent_inter_token_seconds_count") == tokens
        assert one(families, "websocket_active_connections") == 0
        assert not list((tmp_path / "numbers").glob(f"*_{second.pid}.db"))

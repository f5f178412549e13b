"""Requests are counted under their route's template, never under a path."""

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from infrastructure.monitoring import Metrics
from middleware.metrics import RequestMetrics
from tests.middleware.asgi import Seen, ask, scope_of


def service(metrics: Metrics) -> RequestMetrics:
    app = FastAPI()
    router = APIRouter(prefix="/runs")

    @router.get("/{run_id}/events")
    async def events(run_id: str) -> str:
        return run_id

    async def page(request: object) -> PlainTextResponse:
        return PlainTextResponse("page")

    app.include_router(router)
    app.router.routes.append(Mount("/static", routes=[Route("/{name}", page)]))
    return RequestMetrics(app, metrics.request)


def counted(metrics: Metrics) -> set[tuple[str, str, str, float]]:
    return {
        (sample.labels["method"], sample.labels["endpoint"], sample.labels["status_code"], sample.value)
        for family in metrics.http_requests.collect()
        for sample in family.samples
        if sample.name == "http_requests_total"
    }


async def test_paths_of_one_route_are_one_series() -> None:
    metrics = Metrics("1")
    app = service(metrics)
    for run in ("a", "b", "c"):
        await ask(app, scope_of(f"/runs/{run}/events"))
    assert counted(metrics) == {("GET", "/runs/{run_id}/events", "200", 3.0)}


async def test_a_stranger_cannot_add_a_series() -> None:
    metrics = Metrics("1")
    app = service(metrics)
    for number in range(50):
        await ask(app, scope_of(f"/nothing/{number}", method=f"METHOD{number}"))
    assert counted(metrics) == {("OTHER", "unmatched", "404", 50.0)}


async def test_mounted_files_are_not_counted_by_their_names() -> None:
    metrics = Metrics("1")
    app = service(metrics)
    for name in ("a.js", "b.js"):
        await ask(app, scope_of(f"/static/{name}"))
    [(_, endpoint, status, times)] = counted(metrics)
    assert (status, times) == ("200", 2.0)
    assert ".js" not in endpoint


async def test_a_request_that_breaks_counts_as_500() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError

    metrics = Metrics("1")
    with pytest.raises(RuntimeError):
        await ask(RequestMetrics(breaks, metrics.request))
    assert counted(metrics) == {("GET", "unmatched", "500", 1.0)}


async def test_websockets_are_counted_elsewhere() -> None:
    metrics = Metrics("1")
    await ask(RequestMetrics(Seen(), metrics.request), scope_of(kind="websocket"))
    assert counted(metrics) == set()

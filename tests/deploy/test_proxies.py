"""nginx and Traefik as they are deployed, before two services: sockets, streams, bodies, addresses, one away."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio
import websockets

from backend.settings import Settings
from tests.deploy.compose import services
from tests.deploy.installed import said, tool
from tests.deploy.proxies import PROD, TEMPLATE, Proxy, nginx, traefik
from tests.e2e.conftest import scripted_model
from tests.e2e.service import Service, Socket, running
from tests.e2e.sse import events
from tests.model_server import Gate, ModelServer

deployed = pytest.mark.deploy
together = pytest.mark.asyncio(loop_scope="module")
KINDS = {"nginx": nginx, "traefik": traefik}
WORDS = ["One ", "word ", "after ", "the ", "other."]
SETTINGS = {
    "USE_HTTPS": "true",
    "TRUSTED_PROXIES": "127.0.0.1",
    "ENVIRONMENT": "production",
    "OPERATIONS_TOKEN": "t" * 32,
}


@dataclass(frozen=True)
class Deployed:
    proxy: Proxy
    services: list[Service]
    model: ModelServer

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.proxy.url, verify=self.proxy.trust(), timeout=30)

    @contextlib.asynccontextmanager
    async def socket(self, origin: str | None = None) -> AsyncIterator[Socket]:
        url = f"{self.proxy.url.replace('https', 'wss', 1)}/ws/ask"
        async with websockets.connect(url, ssl=self.proxy.trust(), origin=origin, compression=None) as connection:
            yield Socket(connection)

    def gated(self) -> Gate:
        """The model says one word for each release."""
        gate = self.model.gate()
        self.model.clear()
        self.model.tokens(WORDS, gate=gate)
        return gate


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployed]:
    folder = tmp_path_factory.mktemp(request.param)
    async with contextlib.AsyncExitStack() as stack:
        model = await stack.enter_async_context(ModelServer())
        made = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            made.append(await stack.enter_async_context(running(folder / name, scripted_model(model) | SETTINGS)))
        proxy = await stack.enter_async_context(KINDS[request.param](folder, [service.port for service in made]))
        yield Deployed(proxy, made, model)


@deployed
@together
async def test_a_plain_request_is_sent_to_https(deployment: Deployed) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://localhost:{deployment.proxy.plain}/docs?a=b")
    assert answer.status_code in (301, 308)
    assert re.fullmatch(r"https://localhost(:\d+)?/docs\?a=b", answer.headers["location"])


@deployed
@together
async def test_the_service_knows_that_it_is_behind_https(deployment: Deployed) -> None:
    async with deployment.client() as client:
        answer = await client.get("/docs")
    assert answer.status_code == 200
    assert "max-age" in answer.headers["strict-transport-security"]


@deployed
@together
async def test_a_socket_gets_each_word_when_it_is_said(deployment: Deployed) -> None:
    gate = deployment.gated()
    async with deployment.socket(origin=deployment.proxy.url) as socket:
        await socket.hello()
        await socket.send(type="question", question="Say five words.")
        for word in WORDS[:-1]:
            gate.release()
            assert (await socket.until(type="word"))[-1]["content"] == word
        gate.open()
        assert (await socket.until(type="complete"))[-1]["answer"].startswith("".join(WORDS))


@deployed
@together
async def test_another_sites_page_gets_no_socket(deployment: Deployed) -> None:
    with pytest.raises(websockets.InvalidStatus, match="403"):
        async with deployment.socket(origin="https://elsewhere.example"):
            pass


@deployed
@together
async def test_an_event_stream_is_not_held_back(deployment: Deployed) -> None:
    gate = deployment.gated()
    asked = {"question": "Say five words."}
    async with deployment.client() as client, client.stream("POST", "/ask-stream", json=asked) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer)
        for word in WORDS[:-1]:
            gate.release()
            async with asyncio.timeout(20):
                while (frame := (await anext(stream)).frame)["type"] != "word":
                    pass
            assert frame["content"] == word
        gate.open()
        rest = [event.frame async for event in stream]
    assert "complete" in [frame["type"] for frame in rest]


@deployed
@together
async def test_plain_text_is_not_held_back(deployment: Deployed) -> None:
    gate = deployment.gated()
    asked = {"prompt": "Say five words."}
    gate.release()  # the head comes with the first word
    async with deployment.client() as client, client.stream("POST", "/api/v1/chat/stream", json=asked) as answer:
        assert answer.headers["content-type"].startswith("text/plain")
        pieces = answer.aiter_text()
        for word in WORDS[:-1]:
            assert await asyncio.wait_for(anext(pieces), 20) == word
            gate.release()
        gate.open()
        assert "".join([piece async for piece in pieces]).startswith(WORDS[-1])


@deployed
@together
async def test_who_calls_is_not_what_the_caller_says(deployment: Deployed) -> None:
    async with deployment.client() as client:
        left = []
        for made_up in ("198.51.100.7", "203.0.113.9", "127.0.0.1, 192.0.2.1"):
            answers = [await client.get("/api/v1/models/list", headers={"X-Forwarded-For": made_up}) for _ in range(2)]
            left.append(min(int(answer.headers["x-ratelimit-remaining"]) for answer in answers))
    assert left == sorted(left, reverse=True)
    assert len(set(left)) == 3


@deployed
@together
async def test_pages_of_operations_are_shut_to_others_behind_it(deployment: Deployed) -> None:
    async with deployment.client() as client:
        assert (await client.get("/metrics")).status_code == 401


@deployed
@together
async def test_a_body_too_large_is_refused_in_the_services_words(deployment: Deployed) -> None:
    async with deployment.client() as client:
        answer = await client.post("/ask", json={"question": "x" * 1_500_000})
    assert (answer.status_code, answer.json()["type"]) == (413, "payload_too_large")


@deployed
@together
async def test_an_upload_larger_than_other_bodies_goes_through(deployment: Deployed) -> None:
    async with deployment.client() as client:
        files = {"file": ("long.txt", b"A line of text.\n" * 300_000)}
        answer = await client.post("/api/v1/files/upload", files=files)
    assert answer.status_code == 202
    assert answer.json()["file"]["size_bytes"] == 4_800_000


@deployed
@together
async def test_when_one_is_away_the_other_serves(deployment: Deployed) -> None:
    """The last one here: it takes a service away."""
    await deployment.services[0].stop()
    async with deployment.client() as client, asyncio.timeout(30):
        in_a_row = 0
        while in_a_row < 30:
            answer = await client.get("/health/ready")
            in_a_row = in_a_row + 1 if answer.status_code == 200 else 0


def seconds(name: str) -> int:
    (value,) = set(re.findall(rf"^    {name} (\d+)s;", TEMPLATE.read_text("utf-8"), re.MULTILINE))
    return int(value)


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def test_nginx_waits_longer_than_a_run_and_than_three_heartbeats() -> None:
    assert seconds("proxy_read_timeout") > default("run_max_seconds") + 10
    assert seconds("proxy_read_timeout") > 3 * default("ws_heartbeat_seconds")
    assert seconds("proxy_read_timeout") > 3 * default("sse_comment_seconds")


def test_nginx_takes_all_that_the_service_takes() -> None:
    text = TEMPLATE.read_text("utf-8")
    general, uploads = (int(size) * 1024 * 1024 for size in re.findall(r"client_max_body_size (\d+)m;", text))
    assert general > default("max_body_bytes")
    assert uploads > 20 * default("max_filesize_mb") * 1024 * 1024


def test_traefik_does_not_end_streams() -> None:
    flags = dict(flag.split("=", 1) for flag in services(PROD)["traefik"]["command"] if "=" in flag)
    assert flags["--entrypoints.secure.transport.respondingtimeouts.writetimeout"] == "0s"
    grace = flags["--entrypoints.secure.transport.lifecycle.gracetimeout"].rstrip("s")
    assert int(grace) > default("shutdown_grace_seconds")


@deployed
def test_the_proxy_that_was_tried_is_the_one_that_is_started() -> None:
    (version,) = re.findall(r"^Version:\s+(\S+)", said(tool("traefik"), "version"), re.MULTILINE)
    assert services(PROD)["traefik"]["image"] == f"traefik:v{version}"

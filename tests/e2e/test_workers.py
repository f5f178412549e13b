"""Two workers of the real service on one port: both take connections, either may die, and none is missed."""

import asyncio
import contextlib
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psutil
import pytest
import websockets

from tests.databases import PostgresServer
from tests.e2e.service import Service, running

SECONDS = 120
pytestmark = pytest.mark.timeout(300)  # up to five processes start one after the other


@pytest.fixture
def settings(postgres: PostgresServer, redis_url: str) -> dict[str, Any]:
    return {
        "WEB_CONCURRENCY": 2, "DATABASE_URL": postgres.migrated(), "REDIS_URL": redis_url,
        "REDIS_PREFIX": f"test:{uuid4().hex}:", "WS_MAX_CONNECTIONS_PER_ADDRESS": 1000,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes start here, which takes a busy machine longer than one."""

    async def listening(service: Service) -> None:
        ended = asyncio.create_task(service.process.wait())
        begun = asyncio.create_task(ready(service, 2))
        await asyncio.wait({ended, begun}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not begun.done():
            begun.cancel()
            raise AssertionError("".join(service.raw)[-2000:])
        begun.result()

    monkeypatch.setattr(Service, "listening", listening)


@pytest.fixture
async def service(settings: dict[str, Any], tmp_path: Path) -> AsyncIterator[Service]:
    async with running(tmp_path, settings) as service:
        yield service


async def ready(service: Service, count: int) -> list[int]:
    """The process ids of those that are ready to answer, when there have been so many."""
    return [line["worker"] for line in await said(service, "worker ready", count)]


async def said(service: Service, event: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(SECONDS), service._changed:
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [line for line in service.log if line["event"] == event]
            return len(found) >= count

        await service._changed.wait_for(there)
        return found


def living(service: Service) -> set[int]:
    return {child.pid for child in psutil.Process(service.pid).children()}


def shares(service: Service) -> Counter[int]:
    """How many connections each worker holds."""
    return Counter(
        {
            pid: sum(
                1
                for each in psutil.Process(pid).net_connections("tcp")
                if each.status == psutil.CONN_ESTABLISHED and each.laddr.port == service.port
            )
            for pid in living(service)
        }
    )


async def scraped(service: Service) -> dict[str, float]:
    async with service.client() as client:
        text = (await client.get("/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)}


@contextlib.asynccontextmanager
async def sockets(service: Service, count: int) -> AsyncIterator[list[websockets.ClientConnection]]:
    """So many sockets, opened all at once."""
    url = f"ws://127.0.0.1:{service.port}/ws/ask"
    opened = await asyncio.gather(*(websockets.connect(url, compression=None) for _ in range(count)))
    try:
        await asyncio.gather(*(socket.recv() for socket in opened))
        yield list(opened)
    finally:
        await asyncio.gather(*(socket.close() for socket in opened))


async def answers(socket: websockets.ClientConnection) -> bool:
    try:
        await socket.send('{"type":"ping"}')
        return "pong" in str(await asyncio.wait_for(socket.recv(), SECONDS))
    except websockets.ConnectionClosed:
        return False


@dataclass
class Load:
    """Requests and handshakes without a pause, on new connections and on kept ones; what failed is in `failed`."""

    service: Service
    requests: int = 0
    handshakes: int = 0
    failed: list[str] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stop: bool = False

    async def __aenter__(self) -> "Load":
        loops = (self._get(False), self._get(False), self._get(True), self._get(True), self._shake(), self._shake())
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _get(self, kept: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not kept)
        async with aiohttp.ClientSession(self.service.url, connector=connector) as client:
            while not self._stop:
                try:
                    async with client.get("/health/live") as response:
                        await response.read()
                        if response.status != 200:
                            self.failed.append(f"status {response.status}")
                except aiohttp.ClientError as error:
                    self.failed.append(f"kept {kept}: {error!r}")
                self.requests += 1
                await asyncio.sleep(0.02)

    async def _shake(self) -> None:
        url = f"ws://127.0.0.1:{self.service.port}/ws/ask"
        while not self._stop:
            try:
                async with websockets.connect(url, compression=None) as socket:
                    await socket.recv()
            except websockets.ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code != 1012:
                    self.failed.append(f"closed {closed!r}")
            except (OSError, websockets.WebSocketException) as error:
                self.failed.append(f"handshake {error!r}")
            self.handshakes += 1
            await asyncio.sleep(0.02)


async def test_both_workers_take_their_share_and_each_knows_of_all(service: Service) -> None:
    async with sockets(service, 40):
        of_each = shares(service)
        assert sum(of_each.values()) == 40
        assert max(of_each.values()) <= 28  # 20 or 21 where the machine has nothing else to do
        assert {(await scraped(service))["websocket_active_connections"] for _ in range(4)} == {40}


async def test_a_killed_worker_is_replaced_and_the_others_serve_on(service: Service) -> None:
    first, second = await ready(service, 2)
    async with sockets(service, 8) as opened:
        held = shares(service)
        assert min(held[first], held[second]) > 0
        before = await scraped(service)
        async with Load(service) as load:
            os.kill(first, signal.SIGKILL)
            assert (await said(service, "a worker died", 1))[0]["signal"] == "SIGKILL"
            third = (await ready(service, 3))[-1]
        assert living(service) == {second, third}
        still = await asyncio.gather(*(answers(socket) for socket in opened))
        assert still.count(True) == held[second]
    after = await scraped(service)
    assert after["websocket_connections_total"] >= before["websocket_connections_total"]
    assert after["websocket_active_connections"] == 0
    assert not [failure for failure in load.failed if "refused" in failure.lower()]
    async with sockets(service, 8):
        assert set(shares(service)) == {second, third}


@pytest.mark.slow
async def test_a_restart_under_load_misses_nobody(service: Service) -> None:
    old = set(await ready(service, 2))
    async with sockets(service, 4) as idle, Load(service) as load:
        before = await scraped(service)
        service.process.send_signal(signal.SIGHUP)
        await said(service, "worker ended", 2)
        codes = [await closed(socket) for socket in idle]
    assert not load.failed
    assert load.requests > 100
    assert load.handshakes > 20
    assert codes == [1012] * 4
    assert not living(service) & old
    assert len(living(service)) == 2
    key = 'http_requests_total{endpoint="/health/live",method="GET",status_code="200"}'
    after = await scraped(service)
    assert after[key] == load.requests
    assert after["websocket_connections_total"] >= before["websocket_connections_total"] + load.handshakes / 2


async def closed(socket: websockets.ClientConnection) -> int | None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(SECONDS):
            while True:
                await socket.recv()
    return socket.close_code


async def test_all_end_with_1012_and_status_0(service: Service) -> None:
    async with sockets(service, 4) as opened:
        service.terminate()
        assert [await closed(socket) for socket in opened] == [1012] * 4
        assert await service.stop() == 0
    assert [line["exit_status"] for line in service.log if line["event"] == "worker ended"] == [0, 0]


@pytest.mark.slow
async def test_workers_end_with_a_parent_that_is_killed(service: Service) -> None:
    workers = [psutil.Process(pid) for pid in living(service)]
    async with sockets(service, 4) as opened:
        service.process.kill()
        assert [await closed(socket) for socket in opened] == [1012] * 4
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, timeout=SECONDS)
    assert not alive
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", service.port)


async def test_a_port_that_is_taken_is_one_line(service: Service, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="cannot be served: Address already in use"):
        async with running(tmp_path, settings | {"PORT": service.port}):
            pass

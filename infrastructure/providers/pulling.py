"""Models that an Ollama server fetches on our word: https://docs.ollama.com/api/pull.

A pull goes on beside all else. It outlasts the request that began it, but not this process: what Ollama has by then it
keeps, and goes on from there the next time.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson
import structlog

from infrastructure.errors import Conflict, ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.body import read_body, read_limited
from infrastructure.providers.endpoint import Endpoint, hang_up
from infrastructure.providers.ollama import ollama_root, same_model, tagged

log = structlog.get_logger(__name__)

MOST_AT_ONCE: Final = 2
MAX_LINE: Final = 64 * 1024  # bytes
MAX_BYTES: Final = 1 << 30  # of progress: hours of it have a few MB
MOST_LAYERS: Final = 1000
START_SECONDS: Final = 10.0  # until Ollama says that it begins
SILENCE_SECONDS: Final = 900.0  # while it checks a large file it says nothing
LONGEST_SECONDS: Final = 6 * 3600.0
TOLD_SECONDS: Final = 300.0  # that a failure is told
_UNKNOWN = ("file does not exist", "not found")


@dataclass(slots=True)
class Pull:
    """A model being fetched. `percent` is of the bytes known so far, and never falls; None before there are any."""

    model: str
    percent: int | None = None
    fault: ProviderError | None = None
    ended: float | None = None
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)  # bytes there and bytes in all, by digest
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def detail(self) -> str:
        if self.fault is not None:
            return f"pulling {self.model} failed: {self.fault.message}"
        return f"pulling {self.model}" + ("" if self.percent is None else f": {self.percent} %")

    def take(self, line: bytes) -> bool:
        """A line of progress; True: it is the last.

        Raises:
            ProviderError: it tells of an error, or tells nothing.
        """
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise ProviderProtocolError("It sent something that is no progress.")
        if error := said.get("error"):
            raise _refused(error)
        digest, total, there = said.get("digest"), said.get("total"), said.get("completed", 0)
        if isinstance(digest, str) and type(total) is int and type(there) is int and 0 <= there <= total:
            self._layer(digest, there, total)
        return bool(said.get("status") == "success")

    def _layer(self, digest: str, there: int, total: int) -> None:
        if digest not in self.layers and len(self.layers) >= MOST_LAYERS:
            return
        self.layers[digest] = (there, total)
        if size := sum(layer[1] for layer in self.layers.values()):
            percent = 100 * sum(layer[0] for layer in self.layers.values()) // size
            self.percent = max(percent, self.percent or 0)


class Pulls:
    """The pulls of one Ollama server: each model by one at a time, few at once."""

    def __init__(
        self,
        base_url: str,
        *,
        connect_seconds: float = 2.0,
        start_seconds: float = START_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        `on_change`, where it is set, is told when there is something else to be told of a pull.

        Raises:
            ValueError: the URL is not an HTTP one.
        """
        self._endpoint = Endpoint(ollama_root(base_url), "/api/pull", None, connect_seconds)
        self._start_seconds = start_seconds
        self._silence_seconds = silence_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._pulls: dict[str, Pull] = {}
        self.on_change: Callable[[], None] = lambda: None

    def told(self) -> tuple[Pull, ...]:
        """Those under way, and those that failed a short while ago."""
        now = self._clock()
        self._pulls = {
            name: pull
            for name, pull in self._pulls.items()
            if pull.ended is None or (pull.fault is not None and now - pull.ended < TOLD_SECONDS)
        }
        return tuple(self._pulls.values())

    def of(self, model: str) -> Pull | None:
        """That of a model, if it is told of."""
        return next((pull for pull in self.told() if same_model(pull.model, model)), None)

    async def start(self, model: str) -> Pull:
        """Have a model pulled; one that is being pulled goes on. Returns when Ollama has begun.

        Raises:
            Conflict: as many as may be are being pulled.
            ProviderError: Ollama is not there, or does not do it.
        """
        pull = self.of(model)
        if pull is None or pull.ended is not None:
            pull = self._begin(tagged(model))
        await pull.begun.wait()
        if pull.fault is not None and pull.percent is None:
            raise type(pull.fault)(pull.fault.message)
        return pull

    async def aclose(self) -> None:
        """End all pulls."""
        tasks = [pull.task for pull in self._pulls.values() if pull.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._endpoint.aclose()

    def _begin(self, model: str) -> Pull:
        if sum(pull.ended is None for pull in self.told()) >= MOST_AT_ONCE:
            raise Conflict("Other models are being pulled. Try again when they are there.")
        pull = self._pulls[model.casefold()] = Pull(model)
        self.on_change()
        pull.task = asyncio.create_task(self._work(pull), name="ollama pull")
        return pull

    async def _work(self, pull: Pull) -> None:
        log.info("ollama_pull", model=pull.model, state="started")
        try:
            await self._in_time(pull)
        except ProviderError as error:
            pull.fault = error
        except aiohttp.ClientError as fault:
            begun = pull.begun.is_set()
            pull.fault = ProviderUnavailable("The connection to it broke." if begun else "It cannot be reached.")
            log.warning("ollama_pull", model=pull.model, state="broken", error=type(fault).__name__)
        finally:
            pull.ended = self._clock()
            pull.layers.clear()
            pull.begun.set()
            self.on_change()
            log.info("ollama_pull", model=pull.model, state="ended", failed=pull.fault is not None)

    async def _in_time(self, pull: Pull) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS) as whole, asyncio.timeout(self._start_seconds) as silence:
                await self._read(pull, silence)
        except TimeoutError as fault:
            if not (whole.expired() or silence.expired()):
                raise
            raise ProviderUnavailable("It did not go on in time.") from fault

    async def _read(self, pull: Pull, silence: asyncio.Timeout) -> None:
        response = None
        try:
            response = await self._endpoint.post(orjson.dumps({"model": pull.model, "stream": True}))
            if response.status != 200:
                raise _refused(_error_of(await read_limited(response, MAX_LINE)))
            lines = _Lines(pull, self._max_bytes)
            loop = asyncio.get_running_loop()

            def take(data: bytes) -> bool:
                silence.reschedule(loop.time() + self._silence_seconds)
                before = pull.percent
                over = lines.feed(data)
                if pull.percent != before:
                    self.on_change()
                return over

            await read_body(response, take)
            if not (lines.over or lines.feed(b"\n")):
                raise ProviderUnavailable("It did not come to an end.")
        finally:
            await hang_up(response)


class _Lines:
    """Splits what comes into the lines of a pull."""

    def __init__(self, pull: Pull, max_bytes: int) -> None:
        self._pull = pull
        self._left = max_bytes
        self._held = b""
        self.over = False

    def feed(self, data: bytes) -> bool:
        self._left -= len(data)
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            if line.strip():
                self.over = self._pull.take(line)
                self._pull.begun.set()
                if self.over:
                    return True
        if self._left < 0 or len(self._held) > MAX_LINE:
            raise ProviderProtocolError("It sent too much.")
        return False


def _error_of(body: bytes) -> Any:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return answer.get("error") if isinstance(answer, dict) else None


def _refused(error: Any) -> ProviderRejected:
    """Its own words are not repeated: they name addresses."""
    known = isinstance(error, str) and any(words in error for words in _UNKNOWN)
    return ProviderRejected("There is no such model." if known else "It could not be pulled.")

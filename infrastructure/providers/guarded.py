"""A provider's model, asked with care: tried again where that may help, left alone while it fails, never too often.

All of it costs once for a call: the provider gives its text to the one who asked without anything in between.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import structlog

from infrastructure.errors import ProviderError, ProviderRejected
from infrastructure.providers.circuit import Circuit, CircuitOpen, Ending
from infrastructure.providers.fair_line import FairLine
from infrastructure.providers.retry import Backoff, Retries, Sleep, retrying
from infrastructure.providers.types import Emit, ModelReply, ModelRequest

log = structlog.get_logger(__name__)

T = TypeVar("T")
OnCall = Callable[[str, str], None]
"""Told of each try: the provider's name, and `ok`, `cancelled`, `circuit_open` or the error's kind."""


class Upstream(Protocol):
    """A model that is tried once a call. It marks an error with `said` when text had been given out before, and raises
    `TryAgain` where nothing of an answer had come and another try may help.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Care:
    """How often a call is tried, and its seconds: with all tries and pauses, without its place in line."""

    max_retries: int = 2
    total: float = 120.0
    backoff: Backoff = field(default_factory=Backoff)
    sleep: Sleep = asyncio.sleep


@dataclass(frozen=True, slots=True)
class Gate:
    """What stands before one endpoint, whichever of its models is asked."""

    circuit: Circuit
    line: FairLine
    on_call: OnCall = lambda provider, outcome: None


class GuardedModel:
    """Fits the port of a model. Several of one provider, with a `model` each, share its upstream and its gate."""

    def __init__(self, upstream: Upstream, gate: Gate, care: Care | None = None, *, model: str | None = None) -> None:
        self._upstream = upstream
        self._gate = gate
        self._care = care or Care()
        self._model = model

    @property
    def name(self) -> str:
        return self._upstream.name

    @property
    def model(self) -> str:
        return self._model or self._upstream.model

    async def stream(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Answer `request`; see `agents.ports.Model` for what holds of every model."""
        return await self.ask(request, emit, Retries(self._care.max_retries))

    async def ask(self, request: ModelRequest, emit: Emit, retries: Retries) -> ModelReply:
        """The same, with the retries that the call has left.

        Raises:
            CircuitOpen: the endpoint fails and is not asked now.
            ProviderError: see the port.
        """
        call = _Call(self._upstream, self._gate, self._care, request, emit, self._model or request.model)
        try:
            return await retrying(
                call.attempt,
                max_retries=retries,
                backoff=self._care.backoff,
                sleep=call.pause,
                on_retry=self._on_retry,
                seconds_left=call.seconds_left,
            )
        except ProviderError as error:
            log.warning("provider_failed", provider=self.name, kind=error.kind, reason=error.message)
            raise

    async def aclose(self) -> None:
        """Give back the provider's connections."""
        await self._upstream.aclose()

    def _on_retry(self, failed: int, pause: float, reason: str) -> None:
        log.warning("provider_retry", provider=self.name, failed=failed, pause=round(pause, 3), reason=reason)


class _Call:
    """One call with its tries; it knows how much time they have left."""

    def __init__(
        self, upstream: Upstream, gate: Gate, care: Care, request: ModelRequest, emit: Emit, model: str | None
    ) -> None:  # fmt: skip
        self._upstream = upstream
        self._gate = gate
        self._request = request
        self._emit = emit
        self._model = model
        self._sleep = care.sleep
        self._seconds = care.total
        self._loop = asyncio.get_running_loop()

    def seconds_left(self) -> float:
        until = self._request.until
        return self._seconds if until is None else min(self._seconds, until - self._loop.time())

    async def attempt(self) -> ModelReply:
        self._told(self._gate.circuit.check)  # what would fail need not wait for it
        await self._gate.line.enter(self._request.caller)
        began = self._loop.time()
        try:
            admitted = self._told(self._gate.circuit.admit)
            return await self._once(
                replace(self._request, deadline=began + self._seconds, model=self._model), admitted
            )  # fmt: skip
        finally:
            self._gate.line.leave()
            self._seconds -= self._loop.time() - began

    async def pause(self, seconds: float) -> None:
        self._seconds -= seconds
        await self._sleep(seconds)

    async def _once(self, request: ModelRequest, admitted: int) -> ModelReply:
        """One try, which the circuit let through as `admitted` and is told the end of."""
        ending: Ending = "left"
        outcome = "cancelled"
        try:
            reply = await self._upstream.stream(request, self._emit)
            ending = outcome = "ok"
            return reply
        except ProviderError as error:
            ending = "refused" if isinstance(error, ProviderRejected) else "failed"
            outcome = error.kind
            raise
        finally:
            self._gate.circuit.settle(admitted, ending)
            self._gate.on_call(self._upstream.name, outcome)

    def _told(self, ask: Callable[[], T]) -> T:
        """What the circuit says; that it is open is counted."""
        try:
            return ask()
        except CircuitOpen:
            self._gate.on_call(self._upstream.name, "circuit_open")
            raise

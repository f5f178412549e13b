"""All providers side by side: their models, and whether each can be had now."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from infrastructure.errors import ProviderError, ProviderUnavailable
from infrastructure.providers.circuit import OPEN, Circuit
from infrastructure.providers.kept import Kept
from infrastructure.providers.listing import ListedModel, Listing, NotPulled

SECONDS = 2.0  # to answer in
STATUS_SECONDS = 5.0  # that an answer is good for
LIST_SECONDS = 10.0

T = TypeVar("T")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Availability:
    """`latency_ms` is None where nothing answered. `detail` has neither an address nor a key."""

    available: bool
    latency_ms: float | None
    detail: str


NOT_CONFIGURED = Availability(False, None, "It is not configured.")


@dataclass(frozen=True, slots=True)
class Listed:
    """A provider to be asked, and the circuit of its model, where it has one."""

    listing: Listing
    circuit: Circuit | None = None


class Catalogue:
    """Asks providers for their lists: with a short time to answer, by one at a time, and not again for some seconds."""

    def __init__(self, providers: Mapping[str, Listed], *, seconds: float = SECONDS, clock: Clock = time.monotonic):
        self._providers = dict(providers)
        self._seconds = seconds
        self._clock = clock
        self._status = {name: Kept(partial(self._probe, name), STATUS_SECONDS, clock) for name in self._providers}
        self._lists = {name: Kept(partial(self._list, name), LIST_SECONDS, clock) for name in self._providers}

    async def status(self, names: tuple[str, ...]) -> dict[str, Availability]:
        """How it stands with each."""
        found = await asyncio.gather(*(self._status_of(name) for name in names))
        return dict(zip(names, found, strict=True))

    async def models(self, name: str) -> tuple[ListedModel, ...] | None:
        """Its models; None where it is not configured or does not tell them."""
        kept = self._lists.get(name)
        return await kept.get() if kept is not None else None

    def forget(self, name: str) -> None:
        """Something of that provider has changed, as far as we know: ask it anew."""
        for kept in (self._status.get(name), self._lists.get(name)):
            if kept is not None:
                kept.forget()

    async def aclose(self) -> None:
        for provider in self._providers.values():
            await provider.listing.aclose()

    async def _status_of(self, name: str) -> Availability:
        kept = self._status.get(name)
        return await kept.get() if kept is not None else NOT_CONFIGURED

    async def _in_time(self, asking: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await asking
        except TimeoutError as fault:
            if not scope.expired():
                raise
            raise ProviderUnavailable("It does not answer in time.") from fault

    async def _list(self, name: str) -> tuple[ListedModel, ...] | None:
        try:
            return await self._in_time(self._providers[name].listing.models())
        except ProviderError:
            return None

    async def _probe(self, name: str) -> Availability:
        provider = self._providers[name]
        began = time.perf_counter()
        try:
            detail = await self._in_time(provider.listing.probe())
        except NotPulled as error:
            return Availability(False, _since(began), error.message)
        except ProviderError as error:
            return Availability(False, None, error.message)
        taken = _since(began)
        if provider.circuit is not None and provider.circuit.state == OPEN:
            return Availability(False, taken, "It answers, but failed too often and is not asked for a while.")
        return Availability(True, taken, detail)


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)

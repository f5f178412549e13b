"""Trying again: when it is worth it, how long to wait, and when to give up."""

import math
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from infrastructure.errors import ProviderError, ProviderUnavailable

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
_ABSURD = 86_400.0  # nobody means a day's wait; such a header is noise


class TryAgain(ProviderUnavailable):
    """This try failed in a way that another may not, and nothing of an answer has come. `error` is what it comes to
    when there is no other.
    """

    def __init__(self, error: ProviderError, reason: str) -> None:
        super().__init__(error.message, retry_after=error.retry_after)
        self.error = error
        self.reason = reason


@dataclass(slots=True)
class Retries:
    """How many more tries a call may have, over all the models that it comes to ask."""

    left: int


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter (Brooker, "Exponential Backoff And Jitter", 2015). Seconds."""

    base: float = 0.2
    cap: float = 2.0
    retry_after_cap: float = 10.0
    jitter: Callable[[], float] = random.random  # in [0, 1)

    def delay(self, failed: int, retry_after: float | None) -> float:
        """The pause after `failed` failed tries (1, 2, …); what the endpoint asked for goes first."""
        if retry_after is not None:
            return min(retry_after, self.retry_after_cap)
        return self.jitter() * min(self.cap, self.base * 2.0 ** (failed - 1))


def retry_after_seconds(header: str | None, now: datetime | None = None) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3) in seconds from `now`; None where it is absent, past or absurd."""
    if not header:
        return None
    text = header.strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _until(text, now or datetime.now(UTC))
    return seconds if 0.0 <= seconds <= _ABSURD else None


def _until(date: str, now: datetime) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return math.nan
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    *,
    max_retries: int | Retries,
    backoff: Backoff,
    sleep: Sleep,
    on_retry: Callable[[int, float, str], None],
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> T:
    """The result of the first try that gives one; at most `max_retries` tries follow the first.

    A pause that the seconds left do not cover is not begun.

    Raises:
        ProviderError: the last `TryAgain`'s, and at once whatever else a try raises.
    """
    retries = Retries(max_retries) if isinstance(max_retries, int) else max_retries
    failed = 0
    while True:
        try:
            return await attempt()
        except TryAgain as fault:
            failed += 1
            pause = backoff.delay(failed, fault.error.retry_after)
            if retries.left < 1 or pause >= seconds_left():
                raise fault.error from fault.__cause__
            retries.left -= 1
            on_retry(failed, pause, fault.reason)
        await sleep(pause)

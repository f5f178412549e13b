"""What an endpoint's refusal means: a status, or an error object in its body or its stream."""

import re
from collections.abc import Mapping
from typing import Any, Final

from infrastructure.errors import ProviderError, ProviderRejected, ProviderUnavailable
from infrastructure.providers.retry import TryAgain

WORTH_A_RETRY: Final = frozenset({429, 500, 502, 503, 504})
_OUT_OF_MONEY: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_OF_NO_USE: Final = _OUT_OF_MONEY | {
    "authentication_error",
    "content_filter",
    "context_length_exceeded",
    "invalid_api_key",
    "invalid_request_error",
    "model_not_found",
    "not_found_error",
    "permission_denied",
    "permission_error",
}
_WORD = re.compile(r"[a-z0-9_]{1,64}")


def error_words(error: object) -> tuple[str, ...]:
    """The `code` and `type` of an OpenAI error object, as far as they are plain words that may be logged."""
    if not isinstance(error, Mapping):
        return ()
    found = (error.get("code"), error.get("type"))
    texts = (str(word) for word in found if isinstance(word, str | int))
    return tuple(text for text in texts if _WORD.fullmatch(text))


def refusal(status: int, words: tuple[str, ...] = (), retry_after: float | None = None) -> ProviderError:
    """The error that an HTTP status stands for. Redirects are not followed: they would take the key elsewhere."""
    if status == 429 and not _OUT_OF_MONEY.intersection(words):
        return ProviderUnavailable("The model has too much to do.", retry_after=retry_after)
    if status >= 500 or status == 408:
        return ProviderUnavailable("The model is not available.", retry_after=retry_after)
    return ProviderRejected("The model refused the request.")


def refused_try(status: int, words: tuple[str, ...], retry_after: float | None) -> ProviderError:
    """The same for one of several tries: `TryAgain` where another may succeed."""
    error = refusal(status, words, retry_after)
    if status in WORTH_A_RETRY and isinstance(error, ProviderUnavailable):
        return TryAgain(error, words[0] if words else f"status_{status}")
    return error


def refusal_in_stream(error: Any) -> ProviderError:
    """An `{"error": …}` object that came where a piece of the answer should."""
    words = error_words(error)
    for word in words:
        if word.isdigit() and 300 <= int(word) < 600:
            return refusal(int(word), words)
    if _OF_NO_USE.intersection(words):
        return ProviderRejected("The model refused the request.")
    return ProviderUnavailable("The model failed in the middle of its answer.")

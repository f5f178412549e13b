"""Links and pictures on their way to the reader: targets that the policy does not allow never get there."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from agents.code_spans import paragraph, span_end
from agents.fences import Fences
from agents.link_syntax import MORE, TRIGGER, Attribute, More, Place, ends_picture, read_place
from services.link_policy import LinkPolicy

LINK_REMOVED: Final = "(outside link removed)"
PICTURE_REMOVED: Final = "(outside image removed)"
OUR_NOTES = re.compile(rf" (?:{re.escape(LINK_REMOVED)}|{re.escape(PICTURE_REMOVED)})")
LONGEST = 1000
"""Characters of a link that are waited for; a longer one is none any more."""
MAX_LOOKS = 1000  # at what was said before; after that nothing is taken for code, or linked, any more
Emit = Callable[[str], None]


class LinkFilter:
    """Passes on an answer's text without the targets that are not allowed; all else, and code, as it is.

    `[text](http://elsewhere/)` becomes `[text] (outside link removed)`, and a picture likewise; a tag loses the
    attributes that lead elsewhere, an address its angle brackets. Text is held back only from a parenthesis, colon or
    angle bracket on that may begin such a place. What was said before in this answer is asked for only where something
    is about to be removed.
    """

    __slots__ = ("_emit", "_fences", "_held", "_known", "_last", "_looks", "_out", "_policy", "_said",
                 "removed", "waits")  # fmt: skip

    def __init__(
        self, emit: Emit, said: Callable[[], str], policy: LinkPolicy, known: Callable[[], Iterable[str]] = tuple
    ) -> None:
        """`said` gives all that this answer has so far, `known` the texts whose addresses may be linked."""
        self._emit = emit
        self._said = said
        self._policy = policy
        self._known = known
        self._fences = Fences()
        self._held = ""
        self._out: list[str] = []  # what goes on at the end of this piece
        self._last = ""  # the last character that was passed on, where something may go on from it
        self._looks = 0
        self.removed = 0
        self.waits = False
        """Whether text without any bracket, too, must come through here."""

    def put(self, text: str) -> None:
        """Take a piece of the text."""
        self._take(text, final=False)

    def end(self) -> None:
        """No more comes in this turn: what was begun must not be ended by the next one."""
        if self.waits:
            self._take("", final=True)

    def _take(self, text: str, final: bool) -> None:
        work = f"{self._last}{self._held}{text}"
        start = at = len(self._last)
        stop = len(work)
        while found := TRIGGER.search(work, at):
            begin = found.start()
            place = read_place(work, begin, final)
            if place is None or (isinstance(place, Place) and self._is_clear(place)):
                at = begin + 1
                continue
            self._out.append(work[start:begin])
            start = begin
            before = self._before()
            verdict = self._verdict(place, before, work[begin:])
            if isinstance(verdict, More) and not final and len(work) - begin <= LONGEST:
                stop = begin
                break
            if isinstance(verdict, int):
                at = begin + verdict
                continue
            cut = place if isinstance(place, Place) else Place("odd", begin, begin + 1)
            ours, left = self._instead(cut, work[begin], before)
            work = f"{work[:begin]}{ours}{left}{work[cut.end :]}"  # what is left is text now, and looked at as such
            at, stop = begin + len(ours), len(work)
        self._out.append(work[start:stop])
        self._held = work[stop:]
        self._pass_on(final)

    def _before(self) -> str | None:
        """All of the answer up to here; None where it was asked for too often."""
        if self._looks == MAX_LOOKS:
            return None
        self._looks += 1
        return f"{self._said()}{''.join(self._out)}"

    def _pass_on(self, final: bool) -> None:
        passed = "".join(self._out)
        self._out.clear()
        if passed:
            self._last = passed[-1] if passed[-1] in "]<" else ""
            self._emit(passed)
        if final:
            self._last = ""
        self.waits = bool(self._held or self._last)

    def _is_clear(self, place: Place) -> bool:
        """Whether it is allowed wherever it stands."""
        if place.kind == "tag":
            return self._is_tag_allowed(place)
        return place.kind != "odd" and self._policy.allows_picture(place.address)

    def _is_tag_allowed(self, tag: Place) -> bool:
        return not tag.loads and all(self._is_attribute_allowed(tag.tag, one) for one in tag.attributes)

    def _is_attribute_allowed(self, tag: str, one: Attribute) -> bool:
        if self._policy.allows_attribute(one.value):
            return True
        return tag in ("a", "area") and one.name == "href" and self._policy.allows_link(one.value, self._known())

    def _verdict(self, place: Place | More, before: str | None, after: str) -> int | More | None:
        """How much of `after`, which begins with the place, may go on as it is; None: the place must not."""
        if before is None:
            return None
        if self._fences.inside(before):
            return 1
        here = paragraph(before)
        if isinstance(place, Place) and self._is_allowed(place, here):
            return 1
        code = None if self._fences.in_doubt else span_end(here, after)
        return code if code is not None or isinstance(place, Place) else MORE

    def _is_allowed(self, place: Place, here: str) -> bool:
        """Whether it is allowed at the end of this paragraph."""
        if place.kind == "autolink" or (place.kind == "link" and not ends_picture(here)):
            return self._policy.allows_link(place.address, self._known())
        return False  # of all else a picture may be made

    def _instead(self, place: Place, trigger: str, before: str | None) -> tuple[str, str]:
        """What stands in its place: our own words, and what is left of its.

        Something always stands there: what is before and behind it must not come together and be another place.
        """
        if place.kind == "odd":
            return ("< " if trigger == "<" else f" {trigger}"), ""
        self.removed += 1
        if place.kind == "tag":
            kept = (one.text for one in place.attributes if self._is_attribute_allowed(place.tag, one))
            return "", f"<{' ' if place.loads else ''}{' '.join((place.tag, *kept))}>"
        if place.kind == "autolink":
            return ("" if before and before[-1].isspace() else " "), place.target
        return f" {PICTURE_REMOVED if ends_picture(paragraph(before or '')) else LINK_REMOVED}", ""

"""An answer that ends at a stop sequence, also where no model that could be told of one writes it."""

from collections.abc import Sequence


class StopCut:
    """Cuts a text that comes in pieces before the first of `stops`. What may be the beginning of one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def put(self, text: str) -> str:
        """What of the text so far may be said now. Behind a stop sequence: nothing any more."""
        if self.hit:
            return ""
        text = self._held + text
        found = [place for place in map(text.find, self._stops) if place >= 0]
        if found:
            self.hit = True
            self._held = ""
            return text[: min(found)]
        cut = len(text) - max(_begun(text, stop) for stop in self._stops)
        self._held = text[cut:]
        return text[:cut]

    def end(self) -> str:
        """What was held back, once nothing more comes."""
        held, self._held = self._held, ""
        return held


def _begun(text: str, stop: str) -> int:
    """How many of the last characters of `text` are the first of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)

"""Names that become a metric's label: each makes a series that stays, so there is an end to them."""

from collections.abc import Callable, Iterable
from typing import Final

MOST: Final = 50
OTHER: Final = "other"


class LabelNames:
    """At most `most` names stand for themselves: those that are known, then of those that are allowed the first to
    come. All others are `other`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._names: set[str] = set()
        self._allowed: Callable[[str], bool] = lambda name: True

    def know(self, names: Iterable[str], allowed: Callable[[str], bool]) -> None:
        """Keep room for `names`, and let only what is `allowed` have what is left."""
        self._names.update(list(dict.fromkeys(names))[: self._most])
        self._allowed = allowed

    def label(self, name: str) -> str:
        """The name, or `other`."""
        if name in self._names:
            return name
        if len(self._names) >= self._most or not self._allowed(name):
            return OTHER
        self._names.add(name)
        return name

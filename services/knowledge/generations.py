"""Which of a partition's changes an index has taken in."""

_MOST_LATER = 10_000


class Generations:
    """All changes up to `whole`, and perhaps later ones that came out of turn: where several processes change one
    partition, each knows its own first.
    """

    def __init__(self, whole: int = 0) -> None:
        self.whole = whole
        self._later: set[int] = set()

    def has(self, generation: int) -> bool:
        return generation <= self.whole or generation in self._later

    def note(self, generation: int, changes: int = 1) -> None:
        """The last `changes` changes up to `generation` have been taken in."""
        self._later.update(range(max(generation - changes, self.whole) + 1, generation + 1))
        while self.whole + 1 in self._later:
            self.whole += 1
            self._later.remove(self.whole)
        if len(self._later) > _MOST_LATER:  # they are taken in once more, which changes nothing
            self._later.clear()

    def reach(self, generation: int) -> None:
        """All changes up to `generation` have been taken in."""
        self._later = {later for later in self._later if later > generation}
        self.whole = max(self.whole, generation)
        self.note(self.whole, 0)

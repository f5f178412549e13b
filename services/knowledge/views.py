"""Views of partitions, kept for as long as they are current: they know how rare words are."""

from services.knowledge.snapshot import Snapshot, View


class Views:
    """At most `most` of them, by the names of the partitions."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[tuple[str, ...], tuple[tuple[Snapshot, ...], View]] = {}

    def of(self, names: tuple[str, ...], snapshots: tuple[Snapshot, ...]) -> View:
        """The view of these snapshots."""
        kept = self._kept.get(names)
        if kept is not None and all(map(_same, kept[0], snapshots)):
            return kept[1]
        if len(self._kept) >= self._most:
            self._kept.clear()
        view = View(snapshots)
        self._kept[names] = (snapshots, view)
        return view

    def forget(self, name: str) -> None:
        """Let go of those with this partition."""
        self._kept = {names: view for names, view in self._kept.items() if name not in names}


def _same(left: object, right: object) -> bool:
    return left is right

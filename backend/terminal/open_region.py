"""The last lines of a terminal, which are drawn anew while what is in them changes."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live_render import LiveRender
from rich.text import Text


class OpenRegion:
    """rich's Live without its thread, and with what scrolls away and what stays open in one write: nothing flickers,
    and nothing is there twice for a moment. A terminal that cannot move its cursor gets what scrolls away only.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: LiveRender | None = None

    def draw(self, above: Sequence[RenderableType], below: RenderableType) -> None:
        """Print `above` for good, and `below` it what may change."""
        if self._console.is_dumb_terminal or not self._console.is_terminal:
            return self._console.print(Group(*above)) if above else None
        if self._drawn is None:
            self._console.show_cursor(False)
        back = [self._drawn.position_cursor()] if self._drawn is not None else []
        self._drawn = LiveRender(below, vertical_overflow="crop")
        return self._console.print(Group(*back, *above, self._drawn), end="")

    def close(self) -> None:
        """Take away what is open."""
        if self._drawn is not None:
            self._console.print(self._drawn.position_cursor(), end="")
            self._console.show_cursor(True)
            self._drawn = None


EMPTY = Text()

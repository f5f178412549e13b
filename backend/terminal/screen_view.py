"""An answer on a terminal while it is written: finished blocks are printed once, the open one is drawn anew."""

import asyncio
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from backend.terminal.blocks import Blocks
from backend.terminal.citations import citation_line, standing
from backend.terminal.fields import Fields, text_of
from backend.terminal.markdown import AnswerMarkdown, OpenBlock
from backend.terminal.open_region import EMPTY, OpenRegion
from backend.terminal.printable import one_line
from backend.terminal.screen import Screen

_DRAW_SECONDS = 0.05


class ScreenView:
    """To be used within a running loop. `finish` leaves the terminal as it was."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._blocks = Blocks()
        self._begun = False  # something of the answer was printed
        self._doing = ""
        self._region = OpenRegion(screen.console)
        self._drawn_at = 0.0
        self._draws: asyncio.TimerHandle | None = None

    def text(self, piece: str) -> None:
        """The first words are drawn at once, later ones at most every 50 ms."""
        self._doing = ""
        finished = self._blocks.add(piece)
        if finished:
            self._draw(finished)
        elif self._draws is None:
            loop = asyncio.get_running_loop()
            wait = self._drawn_at + _DRAW_SECONDS - loop.time()
            if wait <= 0:
                self._draw()
            else:
                self._draws = loop.call_later(wait, self._draw)

    def step(self, frame: Fields) -> None:
        name, state, detail = one_line(text_of(frame, "name"), 80), text_of(frame, "state"), text_of(frame, "detail")
        if state == "started":
            self._doing = name
            return self._draw()
        self._doing = ""
        self.flush()
        said = f"{name}: {detail}" if detail and state == "finished" else f"{name} {state} {detail}".rstrip()
        self._screen.aside(f"· {said}")
        self._begun = False
        return None

    def anew(self) -> None:
        self.flush()
        self._screen.aside("— the service restarted, and answers anew —")

    def aside(self, note: str) -> None:
        self._draw([], Text(one_line(note), style="dim"))

    def flush(self) -> None:
        """Print what is open as a block, and stop drawing."""
        rest = self._blocks.rest()
        self._draw([rest] if rest else [])
        self._region.close()

    def finish(self) -> None:
        self._doing = ""
        self.flush()

    def sources(self, frame: Fields, citations: list[dict[str, Any]]) -> None:
        lines = [Text(f"  {citation_line(one)}", style="dim", no_wrap=True, overflow="ellipsis") for one in citations]
        if about := standing(frame):
            lines.append(Text(f"  {about}", style="dim"))
        if lines:
            self._screen.show(Group(EMPTY, *lines))

    def problem(self, message: str) -> None:
        self._screen.problem(message)

    def _draw(self, finished: list[str] | None = None, above: RenderableType | None = None) -> None:
        """One write: what is finished, and below it what is open."""
        if self._draws is not None:
            self._draws.cancel()
            self._draws = None
        self._drawn_at = asyncio.get_running_loop().time()
        printed = [above] if above is not None else []
        for block in finished or []:
            printed += [*([EMPTY] if self._begun else []), AnswerMarkdown(block)]
            self._begun = True
        self._region.draw(printed, self._open())

    def _open(self) -> RenderableType:
        if self._doing:
            return Text(f"… {self._doing}", style="dim")
        if not self._blocks.open.strip():
            return EMPTY
        return Group(*([EMPTY] if self._begun else []), OpenBlock(self._blocks.open))

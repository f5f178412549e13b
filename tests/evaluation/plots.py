"""The plots: how often a stated confidence is right, and how much is found by rank."""

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from tests.evaluation.measures import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GRID = "#1b3a57", "#d9dee3"
_LINES = ("#1b6ca8", "#c8553d", "#3c8d5a", "#7a5195")
_SIZE = (5.2, 3.6)  # inches


def draw(sets: Sequence[Measured], folder: Path) -> list[Path]:
    """Write `evaluation_reliability.png` (where there is something to draw) and `evaluation_recall.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    judged = [one for one in sets if one.reliability]
    if judged:
        made.append(_save(folder / "evaluation_reliability.png", _reliability, judged))
    ranked = [one for one in sets if one.recall]
    if ranked:
        made.append(_save(folder / "evaluation_recall.png", _recall, ranked))
    return made


def _save(path: Path, plot: "Callable[[Axes, Sequence[Measured]], None]", sets: Sequence[Measured]) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(_SIZE, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    plot(axes, sets)
    axes.legend(frameon=False, fontsize=8, loc="best")
    figure.savefig(path, dpi=110, metadata={"Software": None})  # no version in it: the same figures, the same file
    return path


def _reliability(axes: "Axes", sets: Sequence[Measured]) -> None:
    axes.plot([0, 1], [0, 1], color=_INK, linewidth=0.8, linestyle="--", label="as stated")
    for colour, one in zip(cycle(_LINES), sets, strict=False):
        xs, ys = [b.given for b in one.reliability], [b.true for b in one.reliability]
        ece = one.figures["ece"]
        axes.plot(xs, ys, color=colour, linewidth=1.4, label=f"{one.name}, error {ece:.3f}")
        axes.scatter(xs, ys, s=[12 + 0.4 * b.count for b in one.reliability], color=colour, zorder=3)
        for b in one.reliability:
            axes.annotate(str(b.count), (b.given, b.true), textcoords="offset points", xytext=(7, -9), fontsize=7)
    axes.set(xlabel="confidence", ylabel="share that can be answered", xlim=(0, 1.02), ylim=(-0.03, 1.05))


def _recall(axes: "Axes", sets: Sequence[Measured]) -> None:
    for colour, one in zip(cycle(_LINES), sets, strict=False):
        axes.plot(range(1, len(one.recall) + 1), one.recall, color=colour, marker="o", markersize=3.5, label=one.name)
    axes.set(xlabel="rank", ylabel="share of the right ones found", xlim=(0.7, 10.3), ylim=(0, 1.03))
    axes.set_xticks(range(1, 11))

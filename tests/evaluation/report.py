"""The figures as one table, and as JSON."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.evaluation.baseline import Figures
from tests.evaluation.measures import Measured

NEEDED: Mapping[str, Mapping[str, float]] = {
    "xquad": {
        "hit@1": 0.945, "hit@5": 0.993, "mrr@10": 0.967, "answer in reply": 0.87, "quotes exact": 1.0,
        "refused": 0.85, "lost": 0.07, "auroc": 0.95, "ece": 0.05,
    },
    "cranfield": {"ndcg@10": 0.41},
    "curated": {"right first": 0.8, "right in first five": 0.95, "off-topic refused": 0.9},
}  # fmt: skip
AT_MOST = frozenset({"lost", "ece"})  # of these less is better


@dataclass(slots=True)
class Row:
    """A set's figures: ours with the default embeddings, with another model, the baseline's, and what is needed."""

    ours: Measured
    other: Measured | None = None
    baseline: Figures = field(default_factory=dict)

    @property
    def needed(self) -> Mapping[str, float]:
        return NEEDED.get(self.ours.name, {})

    def missed(self) -> list[str]:
        """The figures that do not reach what is needed."""
        return [
            name
            for name, least in self.needed.items()
            if name in self.ours.figures and not _reaches(name, self.ours.figures[name], least)
        ]


def table(rows: Sequence[Row], embedding: str | None) -> str:
    """One table: set, figure, ours, the other embedding model's where there is one, baseline, needed."""
    head = ["set", "figure", "ours", *([embedding] if embedding else []), "baseline", "needed"]
    lines = [head]
    for row in rows:
        for n, (name, value) in enumerate(row.ours.figures.items()):
            other = [_number(row.other.figures.get(name)) if row.other else ""] if embedding else []
            base = row.baseline.get(name)
            against = f"{base[0]:.3f} {base[1]}" if base else ""
            lines.append([row.ours.name if n == 0 else "", name, _number(value), *other, against, _need(row, name)])
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def as_json(rows: Sequence[Row], command: str, version: str, embedding: str | None, seconds: float) -> dict[str, Any]:
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "version": version,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": round(seconds, 1),
        "embedding": embedding,
        "sets": {row.ours.name: _set(row) for row in rows},
    }


def _set(row: Row) -> dict[str, Any]:
    return {
        "questions": row.ours.questions,
        "ours": row.ours.figures,
        "other_embedding": row.other.figures if row.other else None,
        "baseline": {name: {"value": value, "method": method} for name, (value, method) in row.baseline.items()},
        "needed": dict(row.needed),
        "missed": row.missed(),
        "recall_by_rank": row.ours.recall,
        "reliability": [one._asdict() for one in row.ours.reliability],
    }


def _reaches(name: str, value: float, needed: float) -> bool:
    """As the table shows it: to three places."""
    return round(value, 3) <= needed if name in AT_MOST else round(value, 3) >= needed


def _need(row: Row, name: str) -> str:
    if name not in row.needed:
        return ""
    sign = "≤" if name in AT_MOST else "≥"
    return f"{sign} {row.needed[name]:g}{'  MISSED' if name in row.missed() else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

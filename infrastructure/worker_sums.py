"""What several workers' files come to, as a scrape reads it: each series summed, or of a gauge the largest or least.

The library's own MultiProcessCollector says the same in ten times the time: it makes a Sample of each number of each
file. Here a series is a key of the file until its line is written.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from prometheus_client import mmap_dict

from infrastructure.exposition import head, series

KEPT_KEYS = 65_536
_CHOICES: dict[str, Callable[[float, float], float]] = {"max": max, "min": min}


@dataclass(frozen=True, slots=True)
class _Series:
    """`text` is how it is written. Of a bucket `count` is how the count of its histogram is, and `last` says whether it
    is the one that gives it.
    """

    family: str
    help: str
    text: str
    count: str | None = None
    last: bool = False


def read_file(file: Path) -> Iterable[tuple[str, float]]:
    """The numbers of one file by their keys."""
    read = cast(Any, mmap_dict.MmapedDict).read_all_values_from_file  # untyped there
    return [(key, value) for key, value, _, _ in read(str(file))]


def written_sums(files: Iterable[tuple[Path, str]], openly: bool) -> str:
    """The lines of all families in `files`, each with its kind: `counter`, `histogram`, `gauge_livesum`, …"""
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for file, kind in files:
        sums = found[kind]
        choose = _CHOICES.get(kind[-3:])
        for key, value in read_file(file):
            before = sums.get(key)
            sums[key] = value if before is None else before + value if choose is None else choose(before, value)
    return "".join(_of_kind(kind.partition("_")[0], sums, openly) for kind, sums in found.items())


def _of_kind(kind: str, sums: dict[str, float], openly: bool) -> str:
    families: defaultdict[str, list[str]] = defaultdict(list)
    helps: dict[str, str] = {}
    below: defaultdict[str, float] = defaultdict(float)
    for key, value in sums.items():
        one = _series(key)
        helps.setdefault(one.family, one.help)
        lines = families[one.family]
        if one.count is not None:  # a file has the number of each bucket by itself, in the order of their bounds
            value = below[one.count] = below[one.count] + value
        lines.append(f"{one.text} {_number(value)}\n")
        if one.last:
            lines.append(f"{one.count} {_number(value)}\n")
    total = "_total" if kind == "counter" and not openly else ""
    return "".join(head(f"{name}{total}", helps[name], kind) + "".join(lines) for name, lines in families.items())


@lru_cache(KEPT_KEYS)
def _series(key: str) -> _Series:
    family, name, labels, text = json.loads(key)
    if name != f"{family}_bucket":
        return _Series(family, text, series(name, labels))
    rest = {label: value for label, value in labels.items() if label != "le"}
    return _Series(family, text, series(name, labels), series(f"{family}_count", rest), labels["le"] == "+Inf")


def _number(value: float) -> str:
    return f"{value:.1f}" if value.is_integer() else repr(value)

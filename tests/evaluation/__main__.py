"""Measure retrieval, answers, citations, calibration and abstention on the service's real parts.

    python -m tests.evaluation FOLDER [--curated] [--embedding NAME] [--json FILE] [--plots DIR]

FOLDER, or folders below it, hold documents and questions (`tests/evaluation/folders.py` says how). Prints one table,
and writes the same as JSON and, with --plots, as pictures. docs/evaluation.md says what the figures mean.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.container import service_version
from infrastructure.errors import AskGraphError
from tests.evaluation.baseline import run_baseline
from tests.evaluation.curated import measure_curated
from tests.evaluation.folders import DataSet, find_sets
from tests.evaluation.measures import Measured, measure
from tests.evaluation.plots import draw
from tests.evaluation.report import Row, as_json, table
from tests.evaluation.service import service


@dataclass(frozen=True, slots=True)
class Options:
    """What is measured, and against what."""

    folder: Path
    curated: bool = False
    embedding: str | None = None
    baseline: Path | None = None
    baseline_python: Path | None = None


async def evaluate(options: Options) -> list[Row]:
    """The figures of every set at or below the folder, and of the curated sample where that is asked for.

    Raises:
        FileNotFoundError: the folder holds no data.
        ValueError: there is no embedding model of that name.
    """
    found = {}
    if options.baseline and options.baseline_python:
        found = await run_baseline(options.baseline, options.baseline_python, options.folder)
    rows = []
    for data in find_sets(options.folder):
        ours = await _measure(data, None)
        other = await _measure(data, options.embedding) if options.embedding else None
        rows.append(Row(ours, other, found.get(data.folder.resolve(), {})))
    if options.curated:
        other = await measure_curated(options.embedding) if options.embedding else None
        rows.append(Row(await measure_curated(), other))
    return rows


async def _measure(data: DataSet, embedding: str | None) -> Measured:
    with TemporaryDirectory() as home:
        async with service(data.lay_out(Path(home) / "documents"), embedding) as running:
            return await measure(data, running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--curated", action="store_true", help="the sample set of curated questions too")
    parser.add_argument("--embedding", metavar="NAME", help="another embedding model, measured beside the default")
    parser.add_argument("--baseline", metavar="SCRIPT", type=Path, help="the baseline's script")
    parser.add_argument("--baseline-python", metavar="PATH", type=Path, help="an interpreter that has its packages")
    parser.add_argument("--json", metavar="FILE", type=Path, default=Path("data/evaluation.json"))
    parser.add_argument("--plots", metavar="DIR", type=Path)
    given = parser.parse_args()
    began = time.perf_counter()
    try:
        rows = asyncio.run(
            evaluate(Options(given.folder, given.curated, given.embedding, given.baseline, given.baseline_python))
        )
    except (FileNotFoundError, ValueError, AskGraphError) as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - began
    print(table(rows, given.embedding))
    command = f"python -m tests.evaluation {' '.join(sys.argv[1:])}"
    given.json.parent.mkdir(parents=True, exist_ok=True)
    about = as_json(rows, command, service_version(), given.embedding, seconds)
    given.json.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8")
    made = draw([row.ours for row in rows], given.plots) if given.plots else []
    print(f"\n{seconds:.0f} s; written: {', '.join(map(str, [given.json, *made]))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The measuring itself, over a small folder; and what the development sets must reach."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from infrastructure.errors import InvalidInput
from services.knowledge.confidence import Signals
from tests.evaluation.__main__ import Options, evaluate
from tests.evaluation.baseline import parse, run_baseline
from tests.evaluation.curated import measure_curated
from tests.evaluation.figures import auroc, expected_calibration_error, rank_figures, recall_by_rank, reliability
from tests.evaluation.fit_confidence import calibrate, checksum, write
from tests.evaluation.folders import contains, find_sets
from tests.evaluation.measures import exact_quotes, measure
from tests.evaluation.plots import draw
from tests.evaluation.report import Row, as_json, table
from tests.evaluation.samples import Sample
from tests.evaluation.service import service

DATA = Path(__file__).parents[3] / "shared" / "data"
BEES = """# Bees

## 1

A hive of honey bees has one queen. She lays some 1500 eggs a day in spring.

## 2

Worker bees dance to tell where nectar is.
"""
TIDES = "# Tides\n\n## 1\n\nTides are made by the Moon. The Bay of Fundy has the highest tide, of 16 metres.\n"
QUESTIONS = [
    {"question": "How many eggs does a queen lay a day?", "answers": ["1500"], "document": "bees.md", "paragraph": 1},
    {"question": "Where is the highest tide?", "answers": ["Bay of Fundy"], "document": "tides.md", "paragraph": 1},
    {"question": "Who composed the opera Carmen?", "answerable": False, "answers": [], "document": None},
]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    (folder / "documents").mkdir(parents=True)
    (folder / "documents" / "bees.md").write_text(BEES, "utf-8")
    (folder / "documents" / "tides.md").write_text(TIDES, "utf-8")
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)), "utf-8")
    return folder


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    folder = tmp_path / "ranked" / "dev"
    folder.mkdir(parents=True)
    documents = [{"id": "b", "title": "Bees", "text": "Bees make honey."}, {"id": "t/1", "title": "", "text": "Tides."}]
    queries = [{"id": "1", "text": "who makes honey"}, {"id": "2", "text": "nobody judged this"}]
    (folder / "documents.jsonl").write_text("\n".join(map(json.dumps, documents)), "utf-8")
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), "utf-8")
    (folder / "qrels.tsv").write_text("query_id\tdoc_id\tgrade\n1\tb\t1\n", "utf-8")
    return folder


async def test_any_folder_of_documents_and_questions_is_measured(answers: Path, ranking: Path, tmp_path: Path) -> None:
    rows = await evaluate(Options(tmp_path))
    ranked, answered = rows[0].ours, rows[1].ours
    assert (ranked.name, ranked.questions, ranked.figures["ndcg@10"]) == ("ranked", 1, 1.0)
    assert (answered.name, answered.questions) == ("small", 3)
    for figure in ("hit@1", "answer in reply", "refused", "quotes exact", "auroc"):
        assert answered.figures[figure] == 1.0, figure
    assert answered.figures["lost"] == 0.0
    said = table(rows, None)
    assert "small" in said
    assert "MISSED" not in said
    about = as_json(rows, "made by hand", "0", None, 1.0)
    assert json.loads(json.dumps(about))["sets"]["small"]["ours"]["hit@1"] == 1.0


async def test_a_set_without_unanswerable_questions_has_no_figures_of_refusing(answers: Path) -> None:
    (answers / "questions.jsonl").write_text(json.dumps(QUESTIONS[0]), "utf-8")
    (data,) = find_sets(answers)
    async with service(answers / "documents") as running:
        found = await measure(data, running)
    assert "refused" not in found.figures
    assert found.reliability == []


async def test_a_quote_that_is_not_its_documents_text_is_seen(answers: Path) -> None:
    async with service(answers / "documents") as running:
        reply = await running.ask(QUESTIONS[0]["question"])
        assert await exact_quotes(running, [reply]) == 1.0
        reply["citations"][0]["start"] += 1
        assert await exact_quotes(running, [reply]) == 0.0


async def test_an_embedding_model_that_is_not_there_is_refused(answers: Path) -> None:
    with pytest.raises((ValueError, InvalidInput)):
        await evaluate(Options(answers, embedding="wordllama:other"))


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no questions\.jsonl"):
        list(find_sets(tmp_path))


async def test_the_baseline_is_read_from_what_its_script_prints(tmp_path: Path) -> None:
    script = tmp_path / "baseline.py"
    script.write_text(
        f"print('{tmp_path}')\nprint('  bm25   hit@1 0.921 ans@2 0.842')\nprint('  rrf    hit@1 0.923 ans@2 0.800')\n"
    )
    found = await run_baseline(script, Path(sys.executable), tmp_path)
    assert found[tmp_path] == {"hit@1": (0.923, "rrf"), "answer in reply": (0.842, "bm25")}
    script.write_text("raise SystemExit(1)")
    assert await run_baseline(script, Path(sys.executable), tmp_path) == {}
    assert await run_baseline(script, tmp_path / "no-python", tmp_path) == {}
    assert parse("") == {}


def test_the_figures_are_those_of_their_definitions() -> None:
    ranks = rank_figures([[True, False], [False, True], [False] * 10], [1, 1, 1])
    assert ranks["hit@1"] == pytest.approx(1 / 3)
    assert ranks["mrr@10"] == pytest.approx(0.5)
    assert ranks["ndcg@10"] == pytest.approx((1 + 1 / np.log2(3)) / 3)
    assert recall_by_rank([[True, False, True]], [4])[:3] == [0.25, 0.25, 0.5]
    assert auroc(np.array([0.9, 0.5]), np.array([0.5, 0.1])) == 0.875
    given, true = np.array([0.1, 0.9, 0.9, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    assert [one.count for one in reliability(given, true)] == [1, 3]
    assert expected_calibration_error(given, true) == pytest.approx((0.1 + 3 * (2.8 / 3 - 2 / 3)) / 4)


def test_an_answer_is_seen_whatever_its_case_and_articles() -> None:
    assert contains("It was the Bay of Fundy.", ["bay of Fundy"])
    assert not contains("It was 1500.", ["150"])


async def test_plots_are_drawn_of_what_there_is(answers: Path, tmp_path: Path) -> None:
    (row,) = await evaluate(Options(answers))
    made = draw([row.ours], tmp_path / "plots")
    assert [path.name for path in made] == ["evaluation_reliability.png", "evaluation_recall.png"]
    assert all(1_000 < path.stat().st_size < 60_000 for path in made)
    row.ours.reliability.clear()
    assert [path.name for path in draw([row.ours], tmp_path / "plots")] == ["evaluation_recall.png"]


def test_a_fit_separates_what_can_be_separated_and_is_kept_beside_others(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    samples = [
        Sample("own", f"document-{n % 7}", n % 2 == 0, tuple(chance.uniform(0.5 * (n % 2 == 0), 1, 5)))
        for n in range(400)
    ]
    found = calibrate(samples)
    assert list(found["weights"]) == list(Signals.__dataclass_fields__)
    assert found["cross_validated"]["own"]["auroc"] > 0.95
    write(tmp_path / "fit.json", "one", found)
    write(tmp_path / "fit.json", "two", found)
    kept = json.loads((tmp_path / "fit.json").read_text("utf-8"))
    assert (kept["default"], list(kept["models"])) == ("one", ["one", "two"])


def test_the_checksum_of_data_changes_with_any_of_it(answers: Path) -> None:
    before = checksum(answers)
    (answers / "documents" / "bees.md").write_text(BEES + " ", "utf-8")
    assert checksum(answers) != before


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the development sets are not beside the project")
async def test_the_development_sets_reach_what_is_needed() -> None:
    rows = [*await evaluate(Options(DATA)), Row(await measure_curated())]
    assert {row.ours.name for row in rows} == {"xquad", "cranfield", "curated"}
    assert {row.ours.name: row.missed() for row in rows if row.missed()} == {}

"""The shipped knowledge answers with citations that hold; the folder is followed; what breaks costs only itself."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.knowledge.confidence import ANSWER_THRESHOLD
from services.knowledge.extract import extract
from tests.e2e.service import ROOT, Service, running

SAMPLES: list[dict[str, Any]] = json.loads((ROOT / "tests/data/sample_questions.json").read_text())
ANSWERED = [sample for sample in SAMPLES if sample["document"]]
REFUSED = [sample for sample in SAMPLES if not sample["document"]]
FOUND_WITHIN_SECONDS = 5  # by the contract


async def ask(client: httpx.AsyncClient, question: str) -> dict[str, Any]:
    response = await client.post("/ask", json={"question": question})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def quoted_rightly(folder: Path, citation: dict[str, Any]) -> bool:
    path = folder / citation["document"]
    text = extract(citation["document"], path.read_bytes()).text
    return text[citation["start"] : citation["end"]] == citation["quote"]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("sample", ANSWERED, ids=lambda sample: sample["question"][:60])
async def test_a_question_is_answered_from_its_document(embedded: Service, sample: dict[str, Any]) -> None:
    async with embedded.client() as client:
        answer = await ask(client, sample["question"])
    assert sample["answer_contains"] in answer["answer"].replace("`", "") or any(
        sample["answer_contains"] in citation["quote"] for citation in answer["citations"]
    )
    assert sample["document"] in {citation["document"] for citation in answer["citations"]}
    assert all(quoted_rightly(ROOT / "knowledge", citation) for citation in answer["citations"])
    assert answer["grounded"]
    assert answer["processing_stage"] == "response_complete"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("sample", REFUSED, ids=lambda sample: sample["question"][:60])
async def test_a_question_beyond_the_knowledge_is_not_answered(embedded: Service, sample: dict[str, Any]) -> None:
    async with embedded.client() as client:
        answer = await ask(client, sample["question"])
    assert answer["processing_stage"] == "no_relevant_answer"
    assert "don't know" in answer["answer"]
    assert answer["citations"] == []
    assert answer["confidence"] < ANSWER_THRESHOLD
    assert not answer["grounded"]


async def test_a_changed_folder_is_found_in_time_and_a_broken_file_costs_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "broken.json").write_text('{"question": ')
    (folder / "garden.md").write_text("# Garden\n\nThe quince blossoms in late April.\n")
    async with running(tmp_path, {"KNOWLEDGE_DIR": folder}) as service, service.client() as client:
        failed = await service.logged("knowledge_file_failed")
        assert failed["document"] == "broken.json"
        assert "late April" in (await ask(client, "When does the quince blossom?"))["answer"]
        (folder / "garden.md").write_text("# Garden\n\nThe quince blossoms in early May.\n")
        async with asyncio.timeout(FOUND_WITHIN_SECONDS):
            await service.logged("knowledge_synced", changed=1)
        (folder / "orchard.txt").write_text("The medlar is harvested after the first frost.\n")
        async with asyncio.timeout(FOUND_WITHIN_SECONDS):
            await service.logged("knowledge_synced", added=1, failed=0)
        assert "early May" in (await ask(client, "When does the quince blossom?"))["answer"]
        found = await ask(client, "When is the medlar harvested?")
        assert "first frost" in found["answer"]
        assert all(quoted_rightly(folder, citation) for citation in found["citations"])
        (folder / "orchard.txt").unlink()
        async with asyncio.timeout(FOUND_WITHIN_SECONDS):
            await service.logged("knowledge_synced", removed=1)
        assert (await ask(client, "When is the medlar harvested?"))["processing_stage"] == "no_relevant_answer"


async def test_a_restart_reads_only_what_changed_and_lives_through_a_spoilt_cache_and_index(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        first = await service.logged("ready")
    assert first["unchanged"] == 0
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for path in (tmp_path / "data" / "index").rglob("*"):
        if path.is_file():
            path.write_bytes(b"spoilt")
    async with running(tmp_path) as service, service.client() as client:
        assert (await service.logged("ready"))["unchanged"] > 10
        assert "flash loan" in (await ask(client, "What is a flash loan?"))["answer"].lower()

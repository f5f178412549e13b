"""From an upload to an answer that cites it, and to where it is found no more."""

import asyncio
import io
from typing import Any

import docx
import fpdf
import httpx
import pytest

from tests.e2e.people import signed_in
from tests.e2e.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")
API = "/api/v1"
WALRUS = """# Keeping Theodore

## Food
Theodore the walrus eats forty kilograms of clams on every weekday. On Sundays he fasts.

## Housing
His basin is filled with sea water from Heligoland, which is changed each month by the harbour master.
"""
FOOD = "What does Theodore the walrus eat on a weekday?"


async def sent(client: httpx.AsyncClient, name: str, data: bytes, **fields: str) -> dict[str, Any]:
    """An upload, and how it ended."""
    response = await client.post(f"{API}/files/upload", files={"file": (name, data)}, data=fields)
    assert response.status_code == 202, response.text
    file: dict[str, Any] = response.json()["file"]
    return await ended(client, file["file_id"])


async def ended(client: httpx.AsyncClient, file_id: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            status: dict[str, Any] = (await client.get(f"{API}/files/status/{file_id}")).json()
            if status["status"] in ("ready", "failed"):
                return status
            await asyncio.sleep(0.05)  # clients poll: there is nothing else to wait for


async def asked(client: httpx.AsyncClient, question: str = FOOD, **body: Any) -> dict[str, Any]:
    response = await client.post("/v2/ask", json={"question": question, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def holds(client: httpx.AsyncClient, answer: dict[str, Any], file_id: str) -> bool:
    """Whether it cites the file, and every quote of it stands where the citation says."""
    text = (await client.get(f"{API}/files/{file_id}/text")).json()["text"]
    mine = [one for one in answer["citations"] if one["document_id"] == file_id]
    return bool(mine) and all(text[one["start"] : one["end"]] == one["quote"] for one in mine)


async def test_an_upload_is_found_by_the_next_question_and_by_nobody_else(embedded: Service) -> None:
    async with (
        embedded.client(headers=await signed_in(embedded)) as anna,
        embedded.client(headers=await signed_in(embedded)) as ben,
        embedded.client() as nobody,
    ):
        status = await sent(anna, "walrus.md", WALRUS.encode())
        assert (status["status"], status["chunks_processed"]) == ("ready", status["total_chunks_expected"])
        assert status["chunks_count"] > 0
        answer = await asked(anna)
        assert "forty kilograms" in answer["answer"]
        assert await holds(anna, answer, status["file_id"])
        for stranger in (ben, nobody):
            assert (await asked(stranger))["processing_stage"] == "no_relevant_answer"
            found = await stranger.post(f"{API}/knowledge/search", json={"query": "Theodore walrus clams"})
            assert "Theodore" not in found.text
        assert (await ben.get(f"{API}/files/{status['file_id']}/text")).status_code == 404


async def test_what_was_deleted_is_found_no_more(embedded: Service) -> None:
    async with embedded.client(headers=await signed_in(embedded)) as client:
        status = await sent(client, "walrus.md", WALRUS.encode())
        search = {"query": FOOD, "scope": {"file_ids": [status["file_id"]]}}
        assert (await client.post(f"{API}/knowledge/search", json=search)).json()["results"]
        gone = await client.delete(f"{API}/files/{status['file_id']}")
        assert gone.json()["status"] == "deleted"
        assert gone.json()["quota"]["quota_used_bytes"] == 0
        assert "Theodore" not in (await client.post(f"{API}/knowledge/search", json={"query": FOOD})).text
        assert (await client.post(f"{API}/knowledge/search", json=search)).status_code == 404
        assert (await asked(client))["processing_stage"] == "no_relevant_answer"
        for path in ("", "/text", "/content"):
            assert (await client.get(f"{API}/files/{status['file_id']}{path}")).status_code == 404


async def test_an_anonymous_file_is_found_in_its_chat_alone(embedded: Service) -> None:
    async with embedded.client() as client:
        chat = (await client.post(f"{API}/chats", json={"title": "Walrus"})).json()["id"]
        status = await sent(client, "walrus.md", WALRUS.encode(), chat_id=chat)
        answer = await asked(client, session_id=chat)
        assert await holds(client, answer, status["file_id"])
        assert (await asked(client))["processing_stage"] == "no_relevant_answer"
        detached = await client.post(f"{API}/files/{status['file_id']}/detach", json={"chat_id": chat})
        assert detached.status_code == 200, detached.text
        assert (await asked(client, session_id=chat))["processing_stage"] == "no_relevant_answer"


async def test_chosen_files_are_all_that_is_looked_into(embedded: Service) -> None:
    async with embedded.client(headers=await signed_in(embedded)) as client:
        walrus = await sent(client, "walrus.md", WALRUS.encode())
        other = await sent(client, "seal.md", b"# Seals\n\nThe seal Gertrude eats nothing but herrings on a weekday.\n")
        for file_id, word in ((walrus["file_id"], "clams"), (other["file_id"], "herrings")):
            body = {"message": "Who eats what on a weekday?", "file_ids": [file_id], "rag_mode": "full_file"}
            answer = (await client.post(f"{API}/chat", json=body)).json()
            assert word in answer["response"]
            assert {one["document_id"] for one in answer["sources"]} == {file_id}
        foreign = {"message": FOOD, "file_ids": ["01999999-0000-7000-8000-000000000000"]}
        assert (await client.post(f"{API}/chat", json=foreign)).status_code == 404


async def test_a_pdf_is_cited_with_its_page_and_a_word_file_with_its_section(embedded: Service) -> None:
    pdf = fpdf.FPDF()
    for text in ("The first page greets the reader of this manual.", "The pump of type Q7 needs eleven litres of oil."):
        pdf.add_page()
        pdf.set_font("Helvetica", size=12)
        pdf.multi_cell(0, 6, text)
    word, out = docx.Document(), io.BytesIO()
    word.add_heading("Lighthouse rules", 1)
    word.add_heading("Lamp", 2)
    word.add_paragraph("The lamp of the lighthouse is lit nineteen minutes before sunset by the warden.")
    word.save(out)
    async with embedded.client(headers=await signed_in(embedded)) as client:
        manual = await sent(client, "manual.pdf", bytes(pdf.output()))
        rules = await sent(client, "rules.docx", out.getvalue())
        answer = await asked(client, "How much oil does the pump of type Q7 need?")
        assert await holds(client, answer, manual["file_id"])
        assert answer["citations"][0]["page"] == 2
        answer = await asked(client, "When is the lamp of the lighthouse lit?")
        assert await holds(client, answer, rules["file_id"])
        assert answer["citations"][0]["section"] == "Lamp"


async def test_what_cannot_be_read_fails_with_its_reason(embedded: Service) -> None:
    async with embedded.client(headers=await signed_in(embedded)) as client:
        broken = await sent(client, "broken.pdf", b"%PDF-1.7\n" + b"garbage " * 100)
        assert broken["status"] == "failed"
        assert broken["error_message"]
        assert (await client.get(f"{API}/files/{broken['file_id']}/text")).status_code == 409
        assert (await client.get("/health/ready")).status_code == 200

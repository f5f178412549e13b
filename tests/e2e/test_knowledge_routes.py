"""The knowledge routes of the running service."""

from pathlib import Path

import pytest

from services.knowledge.extract import extract
from tests.e2e.people import signed_in
from tests.e2e.service import ROOT, Service, running

API = "/api/v1/knowledge"


@pytest.mark.asyncio(loop_scope="module")
async def test_the_shared_files_are_listed_and_read(embedded: Service) -> None:
    async with embedded.client() as client:
        listed = (await client.get(f"{API}/files")).json()
        assert listed["total"] == len(listed["items"]) > 3
        one = listed["items"][0]
        assert set(one) == {"name", "title", "chunks_count", "updated_at", "status", "error_message"}
        read = (await client.get(f"{API}/files/{one['name']}")).json()
        assert set(read) == {"name", "title", "text"}
        assert read["text"] == extract(one["name"], (ROOT / "knowledge" / one["name"]).read_bytes()).text
        for name in ("no.md", "../README.md", "%2e%2e/README.md", "/etc/passwd"):
            assert (await client.get(f"{API}/files/{name}")).status_code == 404


@pytest.mark.asyncio(loop_scope="module")
async def test_a_search_gives_passages_that_stand_where_they_say(embedded: Service) -> None:
    async with embedded.client() as client:
        body = {"query": "What is impermanent loss?", "limit": 3, "scope": "shared"}
        found = (await client.post(f"{API}/search", json=body)).json()
        assert 0 < len(found["results"]) <= 3
        assert found["took_ms"] > 0
        for one in found["results"]:
            text = (await client.get(f"{API}/files/{one['document']}")).json()["text"]
            assert text[one["start"] : one["end"]] == one["text"]
        scores = [one["score"] for one in found["results"]]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "body",
    [
        {}, {"query": ""}, {"query": "  "}, {"query": "x", "limit": 0}, {"query": "x", "limit": 51},
        {"query": "x", "scope": "everyone"}, {"query": "x", "scope": {"file_ids": ["no id"]}}, {"query": "a\0b"},
    ],
)  # fmt: skip
async def test_a_search_that_cannot_be_made_is_refused(embedded: Service, body: dict[str, object]) -> None:
    async with embedded.client() as client:
        refused = await client.post(f"{API}/search", json=body)
        assert (refused.status_code, refused.json()["type"]) == (422, "validation_error")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_chat_that_is_somebody_elses_is_no_scope(embedded: Service) -> None:
    async with (
        embedded.client(headers=await signed_in(embedded)) as anna,
        embedded.client(headers=await signed_in(embedded)) as ben,
    ):
        chat = (await anna.post("/api/v1/chats", json={})).json()["id"]
        body = {"query": "loans", "scope": {"chat_id": chat}}
        assert (await anna.post(f"{API}/search", json=body)).status_code == 200
        assert (await ben.post(f"{API}/search", json=body)).status_code == 404


async def test_admins_have_everything_read_anew(tmp_path: Path) -> None:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    (folder / "tides.md").write_text("# Tides\n\nThe tide at Wyre turns at noon.\n")
    async with running(tmp_path, {"KNOWLEDGE_DIR": str(folder)}) as service:
        async with service.client(headers=await signed_in(service)) as client:
            refused = await client.post(f"{API}/reindex")
            assert refused.status_code == 403
        async with service.client() as client:
            assert (await client.post(f"{API}/reindex")).status_code in (401, 403)

"""Another embedding model is set while the knowledge has vectors of the former: the whole service, and a crash."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, running
from tests.infrastructure.embedders.scripted import ScriptedServer, openai_answer
from tests.model_wire import Exchange

PATH = "/api/v1/embedding_models"
DOCUMENTS = 600  # more than two batches
pytestmark = pytest.mark.slow


def knowledge(folder: Path) -> Path:
    documents = folder / "documents"
    documents.mkdir()
    for n in range(DOCUMENTS):
        (documents / f"note{n}.md").write_text(f"The badge of visitor number{n} is kept in drawer{n}.", "utf-8")
    return documents


async def states(service: Service) -> dict[str, dict[str, Any]]:
    async with service.client() as client:
        return {model["name"]: model for model in (await client.get(PATH)).json()["items"]}


async def answers(service: Service) -> str:
    async with service.client() as client:
        asked = await client.post("/ask", json={"question": "Where is the badge of visitor number7 kept?"})
        return str(asked.json()["citations"][0]["document"])


async def test_the_former_model_serves_until_the_one_that_was_set_is_ready_also_after_a_crash(tmp_path: Path) -> None:
    base = {"KNOWLEDGE_DIR": str(knowledge(tmp_path)), "CACHE_ENABLED": "false"}
    async with running(tmp_path, base) as service:
        assert await answers(service) == "note7.md"
    held, arrived = asyncio.Event(), asyncio.Event()
    embedded: list[str] = []

    async def answer(exchange: Exchange) -> None:
        texts = exchange.request.body["input"]
        if len(embedded) >= 256 and not held.is_set():
            arrived.set()
            await held.wait()
        if texts != ["dimensions"]:
            embedded.extend(texts)
        await openai_answer(exchange)

    async with ScriptedServer() as far_end:
        far_end.script(answer)
        changed = base | {"AGENT_EMBEDDING_MODEL": "openai:small", "EMBEDDINGS_BASE_URL": f"{far_end.url}/v1"}
        async with running(tmp_path, changed) as service:
            await service.logged("embedding_model_prepares")
            await asyncio.wait_for(arrived.wait(), 20)
            assert await answers(service) == "note7.md"
            assert (await states(service))["small"]["state"] == "preparing"
            assert (await states(service))["wordllama-l2-supercat-256"]["state"] == "serving"
            service.process.kill()
            await service.process.wait()
        held.set()
        async with running(tmp_path, changed) as service:
            assert (await service.logged("embedding_model_prepares"))["done"] == 256
            await service.logged("embedding_model_serves")
            assert (await states(service))["small"]["state"] == "serving"
            assert await answers(service) == "note7.md"
            await service.logged("embeddings_removed", embeddings=DOCUMENTS)
        assert len({text for text in embedded if text.startswith("Note")}) == DOCUMENTS

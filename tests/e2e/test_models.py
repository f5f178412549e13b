"""Several providers behind one service: one that fails, one that stands in, and what is told of both."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.e2e.conftest import Start
from tests.e2e.owners import People
from tests.e2e.service import Service, answer_of, of_run
from tests.infrastructure.embedders.scripted import ScriptedServer
from tests.infrastructure.providers.ollama_pulls import Ollama, layer, pulling
from tests.model_server import ModelServer

QUESTION = "What is a flash loan?"


async def metric(service: Service, name: str) -> float:
    async with service.client() as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(name)).split()[-1])


async def test_a_provider_that_fails_is_stood_in_for_and_left_alone(start: Start, model: ModelServer) -> None:
    async with ModelServer() as second:
        second.reply("The other model answers.")
        model.status(503)
        service = await start(
            LOCAL_MODEL_URL=second.url, LOCAL_MODEL="smol", MODEL_FALLBACKS="local,extractive",
            PROVIDER_MAX_RETRIES=1,
        )  # fmt: skip
        async with service.socket() as socket:
            await socket.hello()
            runs = [of_run(await socket.ask(f"{QUESTION} And {n}?")) for n in range(4)]
        async with service.client() as client:
            status = (await client.get("/api/v1/models/status")).json()
            listed = (await client.get("/api/v1/models/list")).json()
    assert {(run[-1]["type"], run[-1]["model"], answer_of(run)) for run in runs} == {
        ("complete", "smol", "The other model answers.")
    }
    assert 5 <= len(model.requests) <= 6  # then the circuit was open; one for the title may be under way at that moment
    assert [await metric(service, f'provider_circuit_state{{provider="{name}"}}') for name in ("openai", "local")] == [
        2.0, 0.0
    ]  # fmt: skip
    assert status["openai"]["available"] is False
    assert status["openai"]["detail"] == "It answers, but failed too often and is not asked for a while."
    assert status["local"]["available"] is True
    assert listed == {"mode": "openai", "models": [{"name": "scripted", "capability": "chat", "default": True}]}


async def until(look: Callable[[], Awaitable[object]], found: object) -> None:
    async with asyncio.timeout(20):
        while await look() != found:  # noqa: ASYNC110  another process sees it, when it comes
            await asyncio.sleep(0.02)


async def test_a_model_that_ollama_lacks_is_pulled_by_an_admin_and_seen_to_come(start: Start, tmp_path: Path) -> None:
    gate = asyncio.Event()
    ollama = Ollama("qwen3:4b")
    ollama.pulls.append(pulling(layer(410), then=gate.wait))
    async with ScriptedServer() as far_end:
        far_end.script(ollama)
        database = f"sqlite:///{tmp_path}/askgraph.db"
        service = await start(
            MODEL_PROVIDER="ollama", OLLAMA_BASE_URL=far_end.url, MODEL_FALLBACKS="none", DATABASE_URL=database
        )
        async with People(service) as people, service.client() as anybody:
            admin = await people.admin(database, tmp_path)

            async def status() -> tuple[bool, str]:
                found = (await anybody.get("/api/v1/models/status")).json()["ollama"]
                return found["available"], found["detail"]

            assert await status() == (False, "It does not have llama3.2: run `ollama pull llama3.2`")
            refused = await anybody.post("/ask", json={"question": "Which command starts the AskGraph server?"})
            assert (refused.status_code, "ollama pull llama3.2" in refused.text) == (503, True), refused.text
            assert (await anybody.post("/api/v1/models/pull", json={"model": "llama3.2"})).status_code == 401
            began = await admin.client.post("/api/v1/models/pull", json={"model": "llama3.2"})
            assert began.status_code == 202
            assert began.json()["model"] == "llama3.2:latest"
            await until(status, (False, "pulling llama3.2:latest: 41 %"))
            listed = (await anybody.get("/api/v1/models/list")).json()["models"]
            assert [model["name"] for model in listed] == ["qwen3:4b"]
            ollama.names.append("llama3.2:latest")
            gate.set()
            await until(status, (True, "version 0.12.3"))
    assert ollama.asked == [{"model": "llama3.2:latest", "stream": True}]

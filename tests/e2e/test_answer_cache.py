"""The same question over unchanged knowledge: answered once, then said again; and all that must be answered anew."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.e2e.conftest import scripted_model
from tests.e2e.people import signed_in
from tests.e2e.service import Service, answer_of, of_run, running
from tests.e2e.test_files_found import sent
from tests.model_server import ModelServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
WALRUS = """# Keeping Theodore

## Food
Theodore the walrus eats forty kilograms of clams on every weekday. On Sundays he fasts.

## Housing
His basin is filled with sea water from Heligoland, which is changed each month by the harbour master.
"""
QUESTION = "What does Theodore the walrus eat on a weekday?"
SAID = "Theodore the walrus eats forty kilograms of clams on every weekday. [1]"
TWIN = "What does Theodore the walrus not eat on a weekday?"
CANARY = "zq7canary"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared knowledge."""
    made = tmp_path_factory.mktemp("knowledge")
    (made / "walrus.md").write_text(WALRUS)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def caching(
    far_end: ModelServer, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    settings = scripted_model(far_end) | {"AGENT_CACHE_ENABLED": "true", "KNOWLEDGE_DIR": folder}
    async with running(tmp_path_factory.mktemp("caching"), settings) as service:
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def clients(caching: Service) -> AsyncIterator[Any]:
    """Makes clients, anonymous or of a new user."""
    async with AsyncExitStack() as stack:

        async def make(*, user: bool = False) -> httpx.AsyncClient:
            headers = await signed_in(caching) if user else {}
            return await stack.enter_async_context(caching.client(headers=headers))

        yield make


def answers_asked(model: ModelServer, question: str = QUESTION) -> int:
    """How often the model was asked that; titles are asked for without sources."""
    return sum(f"Question: {question}" in request.body["messages"][-1]["content"] for request in model.requests)


async def counted(client: httpx.AsyncClient, operation: str, result: str) -> float:
    name = f'cache_operations_total{{operation="{operation}",result="{result}"}} '
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


async def asked(client: httpx.AsyncClient, question: str = QUESTION, path: str = "/ask", **more: Any) -> dict[str, Any]:
    response = await client.post(path, json={"question": question, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_question_asked_again_is_answered_without_the_model(
    clients: Any, scripted: ModelServer, caching: Service
) -> None:
    scripted.reply(SAID)
    client = await clients()
    hits, kept = await counted(client, "answer_get", "hit"), await counted(client, "answer_put", "ok")
    first = await asked(client)
    assert "cached" not in first
    assert first["grounded"]
    again = [await asked(client), await asked(await clients(), f"  please tell me {QUESTION.lower()}!")]
    assert [one["cached"] for one in again] == [True, True]
    for one in again:
        for name in ("answer", "citations", "confidence", "grounded", "model", "processing_stage"):
            assert one[name] == first[name]
    assert len(scripted.requests) == 1
    assert await counted(client, "answer_get", "hit") == hits + 2
    assert await counted(client, "answer_put", "ok") == kept + 1


async def test_its_frames_are_those_of_an_answer_with_a_step_that_says_whence(
    scripted: ModelServer, caching: Service
) -> None:
    scripted.reply(SAID)
    async with caching.socket() as socket:
        await socket.hello()
        fresh = of_run(await socket.ask("What does Theodore the walrus eat?", session_id=str(uuid4())))
        said = of_run(await socket.ask("What does Theodore the walrus eat?", session_id=str(uuid4())))
    assert fresh[-1]["type"] == "complete"
    assert "cached" not in fresh[-1]
    kinds = [frame["type"] for frame in said]
    assert kinds[:3] == ["status", "metadata", "step"]
    assert kinds[-1] == "complete"
    assert set(kinds[3:-1]) == {"word"}
    metadata = next(frame for frame in fresh if frame["type"] == "metadata")
    assert [said[1][name] for name in ("model", "sources", "confidence")] == [
        metadata[name] for name in ("model", "sources", "confidence")
    ]
    assert (said[2]["name"], said[2]["state"]) == ("answer_cache", "finished")
    assert answer_of(said) == said[-1]["answer"] == SAID
    assert said[-1]["cached"] is True
    assert said[-1]["usage"] == {"prompt_tokens": 0, "completion_tokens": 0}
    assert said[-1]["citations"] == fresh[-1]["citations"]
    assert [frame["seq"] for frame in said] == list(range(1, len(said) + 1))


async def test_a_twin_a_follow_up_and_an_answer_without_support_are_fresh(clients: Any, scripted: ModelServer) -> None:
    scripted.reply(SAID)
    client = await clients()
    question = "How much does Theodore the walrus eat on every weekday?"
    await asked(client, question)
    assert "cached" not in await asked(client, TWIN)
    assert answers_asked(scripted, TWIN) == 1
    session = str(uuid4())
    assert (await asked(client, question, session_id=session))["cached"]
    assert "cached" not in await asked(client, question, session_id=session)  # something was said before
    scripted.clear()
    scripted.reply("Penguins rule the southern oceans with remarkable diplomacy.")
    loose = "What does Theodore the walrus think of penguins?"
    answers = [await asked(client, loose) for _ in range(2)]
    assert [one["grounded"] for one in answers] == [False, False]
    assert answers_asked(scripted, loose) == 2


async def test_a_chat_keeps_it_as_any_answer_and_asking_anew_is_fresh(clients: Any, scripted: ModelServer) -> None:
    scripted.reply(SAID)
    client = await clients()
    question = "What food does Theodore the walrus eat on every weekday?"
    await asked(client, question)
    answer = await asked(client, question, "/v2/ask")
    assert answer["cached"]
    url = f"/api/v1/chats/{answer['session_id']}/messages"
    _, message = (await client.get(url)).json()["items"]
    assert (message["content"], message["status"], message["model"]) == (SAID, "complete", "scripted")
    assert message["citations"] == answer["citations"]
    before = answers_asked(scripted, question)
    scripted.clear()
    other = "Theodore the walrus eats clams on every weekday, forty kilograms. [1]"
    scripted.reply(other)
    again = (await client.post(f"{url}/{message['id']}/regenerate")).json()
    assert again["assistant_message"]["content"] == other
    assert answers_asked(scripted, question) == before + 1
    assert (await asked(client, question))["answer"] == other  # it took the place of what was known


async def test_nobody_gets_what_was_made_from_anothers_files(clients: Any, scripted: ModelServer) -> None:
    ada, ben, nobody = await clients(user=True), await clients(user=True), await clients()
    file = await sent(ada, "notes.md", f"# Notes\n\nThe password of the seal pool is {CANARY} since March.\n".encode())
    question = "What is the password of the seal pool?"
    scripted.reply(f"The password of the seal pool is {CANARY} since March. [1]")
    assert (await asked(ada, question))["grounded"]
    assert (await asked(ada, question))["cached"]
    scripted.clear()
    scripted.reply("The sources do not say.")
    for stranger in (ben, nobody):
        answer = await asked(stranger, question)
        assert "cached" not in answer
        assert CANARY not in str(answer)
    assert answers_asked(scripted, question) == 3
    assert (await ada.delete(f"/api/v1/files/{file['file_id']}")).status_code == 200
    gone = await asked(ada, question)
    assert "cached" not in gone
    assert CANARY not in str(gone)


async def test_a_change_of_anothers_files_leaves_what_is_known_of_the_shared_ones(
    clients: Any, scripted: ModelServer
) -> None:
    scripted.reply(SAID)
    client = await clients()
    question = "What does Theodore the walrus eat on every weekday?"
    await asked(client, question)
    await sent(await clients(user=True), "other.md", b"# Other\n\nThe otter sleeps on its back.\n")
    assert (await asked(client, question))["cached"]


async def test_a_changed_file_makes_the_answer_fresh(
    clients: Any, scripted: ModelServer, caching: Service, folder: Path
) -> None:
    scripted.reply(SAID)
    client = await clients()
    question = "What exactly does Theodore the walrus eat each weekday?"
    await asked(client, question)
    assert (await asked(client, question))["cached"]
    scripted.clear()
    scripted.reply("Theodore the walrus eats fifty kilograms of mussels on every weekday. [1]")
    (folder / "walrus.md").write_text(WALRUS.replace("forty kilograms of clams", "fifty kilograms of mussels"))
    await caching.logged("knowledge_synced", changed=1)
    answer = await asked(client, question)
    assert "cached" not in answer
    assert "fifty kilograms of mussels" in scripted.requests[-1].body["messages"][-1]["content"]
    assert "mussels" in answer["citations"][0]["quote"]
    assert (await asked(client, question))["answer"] == answer["answer"]


async def test_the_schemas_know_the_mark(clients: Any) -> None:
    client = await clients()
    frames = (await client.get("/ws/schema")).json()["$defs"]["Complete"]
    body = (await client.get("/openapi.json")).json()["components"]["schemas"]["AskResponse"]
    for schema in (frames, body):
        assert schema["properties"]["cached"]["type"] == "boolean"
        assert "cached" not in schema["required"]


async def test_without_the_setting_every_answer_is_fresh(
    far_end: ModelServer, scripted: ModelServer, folder: Path, tmp_path: Path
) -> None:
    scripted.reply(SAID)
    settings = scripted_model(far_end) | {"KNOWLEDGE_DIR": folder}
    async with running(tmp_path, settings) as service, service.client() as client:
        answers = [await asked(client) for _ in range(2)]
        metrics = (await client.get("/metrics")).text
    assert all("cached" not in answer for answer in answers)
    assert len(scripted.requests) == 2
    assert "answer_get" not in metrics

"""What bounds OpenAI's clients: rates, a day's budget, sign-in, a service that ends. Each has a service of its own."""

import asyncio
from pathlib import Path

import openai
import pytest

from tests.e2e.conftest import scripted_model
from tests.e2e.service import running
from tests.e2e.test_openai_api import EMBEDDER, sdk, user
from tests.model_server import ModelServer


async def test_who_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with running(tmp_path, {"RATE_LIMIT_REQUESTS_PER_MINUTE": 2}) as service, sdk(service) as client:
        await client.models.list()
        await client.models.list()
        with pytest.raises(openai.RateLimitError) as limited:
            await client.models.list()
    assert limited.value.code == "rate_limit_exceeded"
    assert int(limited.value.response.headers["retry-after"]) > 0


async def test_bare_answers_count_for_the_days_budget_also_one_that_was_cut(tmp_path: Path) -> None:
    async with ModelServer() as model:
        settings = scripted_model(model) | {"TOKENS_PER_USER_PER_DAY": 40}
        async with running(tmp_path, settings) as service, sdk(service) as client:
            await client.embeddings.create(model=EMBEDDER, input="staking")
            assert (await client.chat.completions.create(model="scripted", messages=user())).usage  # 18 tokens
            model.hang(["It is a value and more. "])
            stream = await client.chat.completions.create(model="scripted", messages=user("a" * 60), stream=True)
            await anext(stream)
            await stream.close()
            await asyncio.wait_for(model.closed(), 20)
            for asked in (
                client.chat.completions.create(model="scripted", messages=user()),
                client.chat.completions.create(model="askgraph", messages=user()),
                client.embeddings.create(model=EMBEDDER, input="staking"),
            ):
                with pytest.raises(openai.RateLimitError) as used_up:
                    await asked
                assert (used_up.value.type, used_up.value.code) == ("rate_limit_error", "rate_limit_exceeded")
                assert 0 < int(used_up.value.response.headers["retry-after"]) <= 86_400
    assert len(model.requests) == 2


async def test_an_answer_of_the_agent_that_was_stopped_counts_too(tmp_path: Path) -> None:
    async with ModelServer() as model:
        settings = scripted_model(model) | {"TOKENS_PER_USER_PER_DAY": 40}
        async with running(tmp_path, settings) as service, service.socket() as socket:
            await socket.hello()
            model.hang(["Words ", "and ", "more. "])
            await socket.send(type="question", question="What is staking, in a few words?")
            await socket.until(type="word")
            await socket.send(type="cancel")
            await socket.until(type="status", status="cancelled")
            await socket.until(type="status", status="ready")
            await socket.send(type="question", question="And what is a validator?")
            assert (await socket.next())["code"] == "rate_limited"


async def test_where_sign_in_is_required_a_key_of_ours_is(tmp_path: Path) -> None:
    async with running(tmp_path, {"AUTH_REQUIRED": "true"}) as service, service.client() as http:
        account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery staple"}
        assert (await http.post("/api/v1/auth/register", json=account)).status_code == 201
        token = (await http.post("/api/v1/auth/login", json=account)).json()["access_token"]
        signed = {"Authorization": f"Bearer {token}"}
        key = (await http.post("/api/v1/auth/api-keys", json={"name": "sdk"}, headers=signed)).json()["key"]
        async with sdk(service, api_key=key) as client:
            assert (await client.chat.completions.create(model="askgraph", messages=user())).choices
        async with sdk(service) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()


async def test_a_bare_answer_has_its_time_to_end_when_the_service_does(tmp_path: Path) -> None:
    async with ModelServer() as model:
        gate = model.gate()
        model.tokens(["It ", "ends."], gate=gate)
        async with running(tmp_path, scripted_model(model) | {"SHUTDOWN_GRACE_SECONDS": 30}) as service:
            async with sdk(service) as client, sdk(service) as other, service.socket() as idle:
                asking = asyncio.create_task(client.chat.completions.create(model="scripted", messages=user()))
                await asyncio.wait_for(model.asked(), 20)
                service.terminate()
                assert await idle.closed() == 1012  # it is about to end
                with pytest.raises(openai.InternalServerError) as refused:  # and listens on while the answer is written
                    await other.chat.completions.create(model="scripted", messages=user())
                gate.open()
                assert (await asyncio.wait_for(asking, 20)).choices[0].message.content == "It ends."
            assert await service.stop() == 0
    assert (refused.value.status_code, refused.value.code) == (503, "shutting_down")


async def test_a_bare_answer_that_outlives_the_grace_ends_with_an_error_and_its_upstream_closed(
    tmp_path: Path,
) -> None:
    async with ModelServer() as model:
        model.hang(["It "])
        async with running(tmp_path, scripted_model(model) | {"SHUTDOWN_GRACE_SECONDS": 0.2}) as service:
            async with sdk(service) as client:
                stream = await client.chat.completions.create(model="scripted", messages=user(), stream=True)
                assert (await anext(stream)).choices[0].delta.role == "assistant"
                service.terminate()
                with pytest.raises(openai.APIError) as told:
                    async for _ in stream:
                        pass
                await asyncio.wait_for(model.closed(), 10)
            assert await service.stop() == 0
    assert told.value.code == "shutting_down"

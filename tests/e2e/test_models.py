"""Several providers behind one service: one that fails, one that stands in, and what is told of both."""

from tests.e2e.conftest import Start
from tests.e2e.service import Service, answer_of, of_run
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

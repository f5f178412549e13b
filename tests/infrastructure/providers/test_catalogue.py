"""What providers tell of themselves: their models, and that they are there."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infrastructure.errors import ProviderRejected
from infrastructure.providers.catalogue import LIST_SECONDS, NOT_CONFIGURED, STATUS_SECONDS, Catalogue, Listed
from infrastructure.providers.circuit import Circuit
from infrastructure.providers.listing import ListedModel, OllamaListing, OpenAIListing, capability_of
from infrastructure.providers.oauth import Grant, OAuthTokens
from infrastructure.providers.ollama import OllamaProvider
from tests.infrastructure.embedders.scripted import ScriptedServer
from tests.infrastructure.providers.asking import Heard, question
from tests.infrastructure.providers.clock import Clock
from tests.infrastructure.providers.sign_in import SignIn
from tests.model_wire import Exchange

TAGS = {
    "models": [
        {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
        {"name": "llama3.2:latest", "details": {"family": "llama"}},
        {"name": "my-own:1b", "details": {"family": "bert"}},
        {"model": "qwen3:4b"},
        {"name": 7},
        {"name": "x" * 300},
        {"name": "two\nlines"},
        "llama",
    ]
}


@pytest.fixture
async def far_end() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def catalogue(far_end: ScriptedServer, clock: Clock) -> AsyncIterator[Catalogue]:
    """Two providers at one server: an Ollama, and an OpenAI with a key."""
    providers = {
        "ollama": Listed(OllamaListing(f"{far_end.url}/v1/")),
        "openai": Listed(OpenAIListing(f"{far_end.url}/v1", "sk-secret")),
    }
    catalogue = Catalogue(providers, seconds=20.0, clock=clock)
    yield catalogue
    await catalogue.aclose()


async def test_ollama_lists_what_was_pulled(far_end: ScriptedServer, catalogue: Catalogue) -> None:
    far_end.json(TAGS)
    assert await catalogue.models("ollama") == (
        ListedModel("llama3.2:latest", "chat"),
        ListedModel("my-own:1b", "embedding"),
        ListedModel("nomic-embed-text:latest", "embedding"),
        ListedModel("qwen3:4b", "chat"),
    )
    assert far_end.requests[0].path == "/api/tags"
    assert "authorization" not in far_end.requests[0].headers


async def test_an_openai_endpoint_lists_its_own_with_the_key(far_end: ScriptedServer, catalogue: Catalogue) -> None:
    names = ("gpt-4o-mini", "text-embedding-3-small", "whisper-1", "dall-e-3", "gpt-4o-mini")
    far_end.json({"object": "list", "data": [{"id": name} for name in names]})
    assert await catalogue.models("openai") == (
        ListedModel("gpt-4o-mini", "chat"),
        ListedModel("text-embedding-3-small", "embedding"),
    )
    request = far_end.requests[0]
    assert (request.method, request.path, request.headers["authorization"]) == ("GET", "/v1/models", "Bearer sk-secret")


async def test_a_hub_is_asked_with_a_token() -> None:
    async with SignIn() as hub:
        tokens = OAuthTokens(hub.token_url, Grant("askgraph", "secret"))
        catalogue = Catalogue({"aihub": Listed(OpenAIListing(f"{hub.url}/v1", tokens))})
        listed = (
            ListedModel("arctic-embed", "embedding"),
            ListedModel("vikhr", "chat"),
        )
        assert await catalogue.models("aihub") == listed
        hub.good.clear()
        status = (await catalogue.status(("aihub",)))["aihub"]
        assert (status.available, status.detail, hub.used) == (True, "ok", ["t1", "t1", "t2"])
        await catalogue.aclose()
        await tokens.aclose()


async def test_each_is_measured_and_says_what_it_is(far_end: ScriptedServer, catalogue: Catalogue) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.json({"version": "0.12.3"} if exchange.request.path == "/api/version" else {"data": []})

    far_end.script(answer)
    found = await catalogue.status(("ollama", "openai", "aihub"))
    assert (found["ollama"].available, found["ollama"].detail) == (True, "version 0.12.3")
    assert (found["openai"].available, found["openai"].detail) == (True, "ok")
    assert found["aihub"] == NOT_CONFIGURED
    assert all(0.0 < (found[name].latency_ms or 0.0) < 1000 for name in ("ollama", "openai"))


@pytest.mark.parametrize(
    ("status", "body", "available", "detail"),
    [
        (401, {}, False, "It refuses the key."),
        (403, {}, False, "It refuses the key."),
        (429, {}, False, "It has too much to do."),
        (500, {"error": "sk-secret at 127.0.0.1"}, False, "It answers with status 500."),
        (418, {}, False, "It answers with status 418."),
        (404, {}, True, "answers, and has no list of models"),
        (200, {"models": "none"}, True, "ok"),
    ],
)
async def test_what_is_wrong_is_told_without_address_or_key(
    far_end: ScriptedServer, catalogue: Catalogue, status: int, body: object, available: bool, detail: str
) -> None:
    far_end.json(body, status)
    found = (await catalogue.status(("openai",)))["openai"]
    assert (found.available, found.detail) == (available, detail)
    assert (found.latency_ms is not None) is available


async def test_what_hangs_is_away_or_sends_nonsense_is_not_available(far_end: ScriptedServer, clock: Clock) -> None:
    nowhere = OpenAIListing("http://127.0.0.1:9/v1", None)
    slow = OllamaListing(far_end.url)
    far_end.hang()
    catalogue = Catalogue({"local": Listed(nowhere), "ollama": Listed(slow)}, seconds=0.05, clock=clock)
    found = await catalogue.status(("local", "ollama"))
    assert [one.detail for one in found.values()] == ["It cannot be reached.", "It does not answer in time."]
    await asyncio.wait_for(far_end.closed.get(), 30)
    far_end.plain(b"<html>")
    far_end.plain(b"<html>")
    assert await catalogue.models("ollama") is None
    clock.now += STATUS_SECONDS
    assert (await catalogue.status(("ollama",)))["ollama"].detail.startswith("It answers with something")
    await catalogue.aclose()


@pytest.mark.parametrize("body", [{"data": "none"}, 7, {}])
async def test_a_list_that_is_none_is_no_list(far_end: ScriptedServer, catalogue: Catalogue, body: object) -> None:
    far_end.json(body)
    assert await catalogue.models("openai") is None
    assert await catalogue.models("aihub") is None


async def test_one_asks_for_all_and_not_again_for_some_seconds(
    far_end: ScriptedServer, catalogue: Catalogue, clock: Clock
) -> None:
    far_end.json({"version": "1"})
    await asyncio.gather(*(catalogue.status(("ollama",)) for _ in range(10)))
    assert len(far_end.requests) == 1
    clock.now += STATUS_SECONDS - 0.1
    await catalogue.status(("ollama",))
    assert len(far_end.requests) == 1
    clock.now += 0.1
    await catalogue.status(("ollama",))
    assert len(far_end.requests) == 2
    await asyncio.gather(*(catalogue.models("ollama") for _ in range(10)))
    assert len(far_end.requests) == 3
    clock.now += LIST_SECONDS
    await catalogue.models("ollama")
    assert len(far_end.requests) == 4


async def test_a_model_that_is_not_asked_is_not_available_though_its_endpoint_answers(far_end: ScriptedServer) -> None:
    far_end.json({"data": []})
    circuit = Circuit()
    for _ in range(5):
        circuit.settle(circuit.admit(), "failed")
    catalogue = Catalogue({"openai": Listed(OpenAIListing(far_end.url, None), circuit)})
    found = (await catalogue.status(("openai",)))["openai"]
    assert (found.available, found.detail) == (False, "It answers, but failed too often and is not asked for a while.")
    await catalogue.aclose()


async def test_a_model_that_was_not_pulled_is_named_with_the_command(far_end: ScriptedServer) -> None:
    model = OllamaProvider(base_url=f"{far_end.url}/", model="llama3.2")
    far_end.json({"error": {"message": "model 'llama3.2' not found", "type": "not_found_error"}}, 404)
    with pytest.raises(ProviderRejected, match=r"ollama pull llama3\.2"):
        await model.stream(question(), Heard())
    with pytest.raises(ProviderRejected, match="ollama pull qwen3:4b"):
        await model.stream(question(model="qwen3:4b"), Heard())
    far_end.json({}, 400)
    with pytest.raises(ProviderRejected, match="ollama pull"):
        await model.stream(question(), Heard())
    with pytest.raises(ProviderRejected, match="refused the request"):
        await model.stream(question(), Heard())
    await model.aclose()
    assert {request.path for request in far_end.requests} == {"/v1/chat/completions"}
    assert (model.name, model.model) == ("ollama", "llama3.2")


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("text-embedding-3-large", "embedding"),
        ("BAAI/bge-m3", "embedding"),
        ("all-minilm:latest", "embedding"),
        ("qwen3-embedding:8b", "embedding"),
        ("gpt-4o", "chat"),
        ("llama3.2:latest", "chat"),
        ("gpt-image-1", None),
        ("omni-moderation-latest", None),
        ("tts-1", None),
    ],
)
def test_what_a_model_is_for_is_told_by_its_name(name: str, capability: str | None) -> None:
    assert capability_of(name) == capability


async def test_what_has_changed_is_asked_anew_also_where_the_answer_was_on_its_way(
    far_end: ScriptedServer, catalogue: Catalogue
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        begun.set()
        await gate.wait()
        await exchange.json({"version": "1"})

    far_end.script(slow)
    far_end.json({"version": "2"})
    asking = asyncio.create_task(catalogue.status(("ollama",)))
    await begun.wait()
    catalogue.forget("ollama")
    catalogue.forget("nowhere")
    gate.set()
    assert (await asking)["ollama"].detail == "version 1"
    assert (await catalogue.status(("ollama",)))["ollama"].detail == "version 2"
    assert len(far_end.requests) == 2

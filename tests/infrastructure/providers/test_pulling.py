"""Models that an Ollama server is told to fetch."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infrastructure.errors import Conflict, ProviderError, ProviderUnavailable
from infrastructure.providers.catalogue import STATUS_SECONDS, Catalogue, Listed
from infrastructure.providers.listing import ListedModel, OllamaListing
from infrastructure.providers.ollama import same_model, tagged
from infrastructure.providers.pulling import LONGEST_SECONDS, MAX_LINE, MOST_LAYERS, TOLD_SECONDS, Pull, Pulls
from tests.infrastructure.embedders.scripted import ScriptedServer
from tests.infrastructure.providers.clock import Clock
from tests.infrastructure.providers.ollama_pulls import Ollama, ended, layer, pulling
from tests.model_wire import Exchange


@pytest.fixture
async def far_end() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
def ollama(far_end: ScriptedServer) -> Ollama:
    ollama = Ollama("qwen3:4b")
    far_end.script(ollama)
    return ollama


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pulls(far_end: ScriptedServer, clock: Clock) -> AsyncIterator[Pulls]:
    pulls = Pulls(f"{far_end.url}/v1/", clock=clock)
    yield pulls
    await pulls.aclose()


@pytest.fixture
async def catalogue(far_end: ScriptedServer, pulls: Pulls, clock: Clock) -> AsyncIterator[Catalogue]:
    """An Ollama that is to answer with llama3.2."""
    catalogue = Catalogue({"ollama": Listed(OllamaListing(far_end.url, wanted="llama3.2", pulls=pulls))}, clock=clock)
    yield catalogue
    await catalogue.aclose()


async def status(catalogue: Catalogue, clock: Clock) -> tuple[bool, str]:
    clock.now += STATUS_SECONDS
    found = (await catalogue.status(("ollama",)))["ollama"]
    assert found.latency_ms is not None
    return found.available, found.detail


async def shown(pulls: Pulls, pull: Pull, percent: int) -> None:
    changed = asyncio.Event()
    pulls.on_change = changed.set
    async with asyncio.timeout(30):
        while pull.percent != percent:
            await changed.wait()
            changed.clear()


async def test_a_model_that_is_missing_is_pulled_and_then_there(
    ollama: Ollama, pulls: Pulls, catalogue: Catalogue, clock: Clock
) -> None:
    assert await status(catalogue, clock) == (False, "It does not have llama3.2: run `ollama pull llama3.2`")
    gate = asyncio.Event()
    ollama.pulls.append(pulling(layer(410), then=gate.wait))
    pull = await pulls.start("llama3.2")
    await shown(pulls, pull, 41)
    assert await status(catalogue, clock) == (False, "pulling llama3.2:latest: 41 %")
    assert await catalogue.models("ollama") == (ListedModel("qwen3:4b", "chat"),)
    assert ollama.asked == [{"model": "llama3.2:latest", "stream": True}]
    ollama.names.append("llama3.2:latest")
    gate.set()
    await ended(pull.task)
    assert await status(catalogue, clock) == (True, "version 0.12.3")
    clock.now += 10
    assert await catalogue.models("ollama") == (ListedModel("llama3.2:latest", "chat"), ListedModel("qwen3:4b", "chat"))


async def test_another_models_pull_is_told_beside_the_version(
    ollama: Ollama, pulls: Pulls, catalogue: Catalogue, clock: Clock
) -> None:
    ollama.names.append("Llama3.2:latest")
    gate = asyncio.Event()
    ollama.pulls.append(pulling(then=gate.wait))
    pull = await pulls.start("hf.co/somebody/Model:Q4")
    assert await status(catalogue, clock) == (True, "version 0.12.3; pulling hf.co/somebody/Model:Q4")
    gate.set()
    await ended(pull.task)


async def test_a_model_is_pulled_by_one_at_a_time_and_few_at_once(ollama: Ollama, pulls: Pulls) -> None:
    gate = asyncio.Event()
    ollama.pulls += [pulling(then=gate.wait)] * 3
    found = await asyncio.gather(*(pulls.start(name) for name in ("one", "one:latest", "ONE", "two")))
    assert found[0] is found[1] is found[2] is not found[3]
    assert len(ollama.asked) == 2
    with pytest.raises(Conflict):
        await pulls.start("three")
    gate.set()
    await ended(*(pull.task for pull in found))
    assert pulls.told() == ()
    assert (await pulls.start("three")).model == "three:latest"
    await ended(pulls.told()[0].task if pulls.told() else None)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([{"error": "pull model manifest: file does not exist at 10.0.0.7"}], "There is no such model."),
        ([{"error": {"code": 7}}], "It could not be pulled."),
        ([b"{broken\n"], "It sent something that is no progress."),
        ([b"7\n"], "It sent something that is no progress."),
        ([b"[" * 60_000 + b"\n"], "It sent something that is no progress."),
        ([b"x" * (MAX_LINE + 1)], "It sent too much."),
        ([], "It did not come to an end."),
    ],
)
async def test_a_pull_that_fails_is_told_for_a_while(
    ollama: Ollama, pulls: Pulls, catalogue: Catalogue, clock: Clock, lines: list[Any], why: str
) -> None:
    ollama.pulls.append(pulling(layer(10), *lines, end=False))
    pull = await pulls.start("llama3.2")
    await ended(pull.task)
    missing = "It does not have llama3.2: run `ollama pull llama3.2`"
    assert await status(catalogue, clock) == (False, f"{missing}; pulling llama3.2:latest failed: {why}")
    clock.now += TOLD_SECONDS
    assert await status(catalogue, clock) == (False, missing)


async def test_one_that_cannot_begin_is_refused_at_once_and_may_be_tried_again(
    far_end: ScriptedServer, pulls: Pulls
) -> None:
    far_end.json({"error": "model 'canary' not found, try http://10.0.0.7"}, 404)
    far_end.json(["no object"], 400)
    far_end.script(lambda exchange: exchange.plain(b"<html>", 502, {}))
    far_end.plain(b"\xff")
    far_end.script(pulling())
    for why in ("no such model", "could not be", "could not be", "no progress"):
        with pytest.raises(ProviderError, match=why) as failed:
            await pulls.start("llama3.2")
        assert "10.0.0.7" not in str(failed.value)
    await ended((await pulls.start("llama3.2")).task)
    assert pulls.told() == ()


async def test_an_ollama_that_is_not_there_or_says_nothing_is_unavailable(far_end: ScriptedServer) -> None:
    nowhere = Pulls("http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await nowhere.start("llama3.2")
    await nowhere.aclose()
    far_end.hang()
    silent = Pulls(far_end.url, start_seconds=0.05)
    with pytest.raises(ProviderUnavailable, match="in time"):
        await silent.start("llama3.2")
    await asyncio.wait_for(far_end.closed.get(), 30)
    await silent.aclose()


async def test_silence_in_the_middle_ends_a_pull_and_talking_goes_on(far_end: ScriptedServer) -> None:
    async def talk(exchange: Exchange) -> None:
        async def say() -> None:
            for _ in range(20):
                await asyncio.sleep(0.015)
                await exchange.chunk(b'{"status": "verifying sha256 digest"}\n')
            await asyncio.get_running_loop().create_future()

        await pulling(then=say)(exchange)

    far_end.script(talk)
    pulls = Pulls(far_end.url, silence_seconds=0.1)
    began = asyncio.get_running_loop().time()
    await ended((await pulls.start("llama3.2")).task)
    assert asyncio.get_running_loop().time() - began > 0.3  # every line gave it time anew
    assert [pull.detail for pull in pulls.told()] == ["pulling llama3.2:latest failed: It did not go on in time."]
    await asyncio.wait_for(far_end.closed.get(), 30)
    await pulls.aclose()


async def test_progress_without_end_has_a_bound(far_end: ScriptedServer) -> None:
    async def for_ever(exchange: Exchange) -> None:
        async def say() -> None:
            while True:
                await exchange.chunk(b'{"status": "x"}\n' * 100)

        await pulling(then=say)(exchange)

    far_end.script(for_ever)
    pulls = Pulls(far_end.url, max_bytes=100_000)
    await ended((await pulls.start("llama3.2")).task)
    assert [pull.detail for pull in pulls.told()] == ["pulling llama3.2:latest failed: It sent too much."]
    await pulls.aclose()
    assert LONGEST_SECONDS < 86_400


async def test_closing_ends_what_is_being_pulled(far_end: ScriptedServer, ollama: Ollama, clock: Clock) -> None:
    pulls = Pulls(far_end.url, clock=clock)
    ollama.pulls.append(pulling(then=asyncio.Event().wait))
    pull = await pulls.start("llama3.2")
    await pulls.aclose()
    assert pull.task is not None
    assert pull.task.cancelled()
    await asyncio.wait_for(far_end.closed.get(), 30)


def test_how_far_it_has_come_is_of_all_layers_and_never_falls() -> None:
    pull = Pull("x")
    said = []
    lines = (
        layer(0, 0, "a"), layer(50, 100, "a"), layer(0, 100, "b"), layer(100, 100, "b"), layer(100, 100, "a"),
        layer(7, 5, "c"),
    )  # fmt: skip
    for line in lines:
        assert not pull.take(json.dumps(line).encode())
        said.append(pull.percent)
    assert said == [None, 50, 50, 75, 100, 100]
    for odd in (b'{"digest": 7, "total": 1}', b'{"digest": "d", "total": "1"}', b'{"digest": "d", "total": 1e400}'):
        try:
            pull.take(odd)
        except ProviderError:
            continue
    assert pull.percent == 100
    for n in range(2 * MOST_LAYERS):
        pull.take(b'{"digest": "%d", "total": 1}' % n)
    assert len(pull.layers) == MOST_LAYERS
    assert pull.take(b'{"status": "success"}') is True


def test_a_name_without_a_tag_is_the_latest() -> None:
    assert [tagged(name) for name in ("llama3.2", "qwen3:4b", "hf.co/a/b", "h:80/a/b")] == [
        "llama3.2:latest", "qwen3:4b", "hf.co/a/b:latest", "h:80/a/b:latest"
    ]  # fmt: skip
    assert same_model("Llama3.2", "llama3.2:LATEST")
    assert not same_model("llama3.2", "llama3.2:1b")

"""A real small language model writes the answer, and it is read as it is written."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.service import ROOT, answer_of, of_run, running

pytestmark = pytest.mark.model
LOAD_SECONDS = 60


@pytest_asyncio.fixture
async def small_model() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.small_model", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            while not (line := (await process.stdout.readline()).decode()).startswith("serving "):
                assert line, "the model did not start"
        yield f"{line.split()[1]}/v1"
    finally:
        process.stdin.close()
        await process.communicate()


async def test_a_real_model_streams_its_answer_over_the_socket(small_model: str, tmp_path: Path) -> None:
    settings = {
        "OPENAI_BASE_URL": small_model,
        "OPENAI_MODEL": "smollm2",
        "MAX_ANSWER_TOKENS": 24,
        "MAX_TOOL_ITERATIONS": 1,
        "AGENT_MAX_RESULTS": 2,
        "AGENT_SIMILARITY_THRESHOLD": 1,
        "MODEL_FALLBACKS": "none",
        "PROVIDER_FIRST_BYTE_TIMEOUT_SECONDS": 90,
        "PROVIDER_IDLE_TIMEOUT_SECONDS": 60,
    }
    async with running(tmp_path, settings) as service, service.socket() as socket:
        await socket.hello()
        await socket.send(type="question", question="What does a liquidation threshold mean in lending?")
        frames = [await socket.next(90)]
        while frames[-1].get("status") != "ready":
            frames.append(await socket.next(90))
    run = of_run(frames)
    words = [frame for frame in run if frame["type"] == "word"]
    assert run[-1]["type"] == "complete", run[-1]
    assert run[-1]["model"] == "smollm2"
    assert len(words) > 3, "it came in one piece"
    assert answer_of(frames) == run[-1]["answer"]
    assert words[-1]["timestamp"] > words[0]["timestamp"]
    assert run[-1]["usage"]["completion_tokens"] > 0

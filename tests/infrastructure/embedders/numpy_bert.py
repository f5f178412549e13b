"""BERT's forward pass in plain NumPy, float64, one text at a time: slow, and easy to compare with the paper."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_erf = np.vectorize(math.erf, otypes=[float])


def random_weights(
    *, words: int, width: int, inner: int, layers: int, positions: int = 512, seed: int = 7
) -> dict[str, Array]:
    """Small random numbers under the names of Hugging Face's `BertModel`."""
    chance = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (positions, width),
        "embeddings.token_type_embeddings.weight": (2, width),
    }
    norms = ["embeddings.LayerNorm"]
    for n in range(layers):
        at = f"encoder.layer.{n}."
        dense = {f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        dense |= {"attention.output.dense": (width, width), "intermediate.dense": (inner, width)}
        for name, shape in (dense | {"output.dense": (width, inner)}).items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return {name: chance.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def encode(weights: Mapping[str, Array], ids: Sequence[int], layers: int, heads: int, epsilon: float = 1e-12) -> Array:
    """The unit vector of one text of token ids, shape (d,)."""
    w = {name: value.astype(np.float64) for name, value in weights.items() if value.dtype == np.float32}
    x = w["embeddings.word_embeddings.weight"][list(ids)] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = _norm(w, "embeddings.LayerNorm", x + w["embeddings.token_type_embeddings.weight"][0], epsilon)
    for n in range(layers):
        at = f"encoder.layer.{n}."
        y = _dense(w, at + "attention.output.dense", _attention(w, at + "attention.self.", x, heads))
        x = _norm(w, at + "attention.output.LayerNorm", x + y, epsilon)
        y = _dense(w, at + "intermediate.dense", x)
        y = _dense(w, at + "output.dense", y * 0.5 * (1 + _erf(y / math.sqrt(2))))
        x = _norm(w, at + "output.LayerNorm", x + y, epsilon)
    mean = x.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def _attention(w: Mapping[str, Array], at: str, x: Array, heads: int) -> Array:
    size = x.shape[1] // heads
    found = []
    q, k, v = (_dense(w, at + name, x) for name in ("query", "key", "value"))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        found.append(powers / powers.sum(axis=1, keepdims=True) @ v[:, part])
    return np.concatenate(found, axis=1)


def _dense(w: Mapping[str, Array], at: str, x: Array) -> Array:
    return np.asarray(x @ w[at + ".weight"].T + w[at + ".bias"])


def _norm(w: Mapping[str, Array], at: str, x: Array, epsilon: float) -> Array:
    middle = x - x.mean(axis=1, keepdims=True)
    spread = np.sqrt((middle**2).mean(axis=1, keepdims=True) + epsilon)
    return np.asarray(middle / spread * w[at + ".weight"] + w[at + ".bias"])


def write_safetensors(path: Path, weights: Mapping[str, Array]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, value in weights.items():
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(value.tobytes() for value in weights.values()))

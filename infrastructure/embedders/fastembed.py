"""Embedding models of the fastembed library, on this machine's processor; it downloads a model at its first use.

Extra `local`. Importing fastembed takes half a second, so that is done in a thread, where it is used.
"""

import asyncio
import importlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from infrastructure.embedders.local_extra import require, runtime_errors
from infrastructure.embedders.prefixes import prefixes
from infrastructure.embedders.vectors import Vectors, stacked
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable

_TEXTS_A_RUN = 8  # a run cannot be stopped
_MAX_CHARS = 20_000


class FastEmbedder:
    """An `Embedder` named `fastembed:<model>`; `model` is one of fastembed's list ("BAAI/bge-small-en-v1.5").

    Raises:
        ProviderRejected: fastembed is not installed; the message names what to install.
    """

    def __init__(self, model: str, *, cache_folder: Path, threads: int = 1, model_folder: Path | None = None) -> None:
        """`model_folder` has the model's files, where they must not be downloaded."""
        require("fastembed")
        self.name = f"fastembed:{model}"
        self._model = model
        self._prefixes = prefixes(model)
        self._cache_folder = cache_folder
        self._model_folder = model_folder
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: Any = None
        self._dimensions = 0

    @property
    def dimensions(self) -> int:
        if not self._dimensions:
            raise ProviderUnavailable("The embedding model is not loaded yet.")
        return self._dimensions

    async def embed(self, texts: Sequence[str], purpose: Literal["query", "passage"] = "passage") -> Vectors:
        """See `services.embeddings.Embedder`.

        Raises:
            ProviderRejected: fastembed does not know the model.
            ProviderUnavailable: the model could not be loaded.
        """
        loaded = self._loaded or await asyncio.to_thread(self._load)
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        before = self._prefixes.before(purpose)
        sent = [n for n, text in enumerate(texts) if text.strip()]
        for at in range(0, len(sent), _TEXTS_A_RUN):
            group = sent[at : at + _TEXTS_A_RUN]
            some = [before + texts[n][:_MAX_CHARS] for n in group]
            vectors[group] = await asyncio.to_thread(_run, loaded, some, purpose)
        return vectors

    async def aclose(self) -> None:
        self._loaded = None

    def _load(self) -> Any:
        with self._loading:
            if self._loaded is None:
                library = importlib.import_module("fastembed").TextEmbedding
                options = {"cache_dir": self._cache_folder, "threads": self._threads}
                loaded = load_fastembed(library, self._model, self._model_folder, options)
                self._dimensions = int(library.get_embedding_size(self._model))
                self._loaded = loaded
            return self._loaded


def load_fastembed(library: Any, model: str, model_folder: Path | None, options: dict[str, Any]) -> Any:
    """A model of one of fastembed's classes.

    Raises:
        ProviderRejected: the class does not know it.
        ProviderUnavailable: its files are not to be had.
    """
    if model.lower() not in {known["model"].lower() for known in library.list_supported_models()}:
        raise ProviderRejected("fastembed does not know the model.")
    options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    if model_folder is not None:
        options["specific_model_path"] = str(model_folder)
    failures: tuple[type[Exception], ...] = (ValueError, OSError, RuntimeError, *runtime_errors())
    try:
        return library(model, providers=["CPUExecutionProvider"], **options)
    except failures as fault:
        raise ProviderUnavailable("fastembed could not load the model.") from fault


def _run(model: Any, texts: list[str], purpose: Literal["query", "passage"]) -> Vectors:
    embed = model.query_embed if purpose == "query" else model.passage_embed
    rows = list(embed(texts))
    if len(rows) != len(texts):
        raise ProviderProtocolError("The embedding model gave more or fewer vectors than texts.")
    return stacked(rows)

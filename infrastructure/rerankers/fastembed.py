"""Cross-encoders of the fastembed library, on this machine's processor. Extra `local`."""

import asyncio
import importlib
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infrastructure.embedders.fastembed import load_fastembed
from infrastructure.embedders.local_extra import require
from infrastructure.errors import ProviderProtocolError
from infrastructure.rerankers.scores import probability

MAX_TEXT = 8_000  # characters; the models read some 512 tokens
_TEXTS_A_RUN = 8  # a run cannot be stopped


class FastEmbedReranker:
    """A `Reranker` named `fastembed:<model>` ("Xenova/ms-marco-MiniLM-L-6-v2").

    Raises:
        ProviderRejected: fastembed is not installed; the message names what to install.
    """

    def __init__(self, model: str, *, cache_folder: Path, threads: int = 1, model_folder: Path | None = None) -> None:
        """`model_folder` has the model's files, where they must not be downloaded."""
        require("fastembed")
        self.name = f"fastembed:{model}"
        self._model = model
        self._options = {"cache_dir": cache_folder, "threads": threads}
        self._model_folder = model_folder
        self._loading = threading.Lock()
        self._loaded: Any = None

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """See `services.knowledge.reranking.Reranker`.

        Raises:
            ProviderRejected: fastembed does not know the model.
            ProviderUnavailable: the model could not be loaded.
            ProviderProtocolError: it gave other than one number a text.
        """
        loaded = self._loaded or await asyncio.to_thread(self._load)
        scores: list[float] = []
        for at in range(0, len(texts), _TEXTS_A_RUN):
            group = [text[:MAX_TEXT] for text in texts[at : at + _TEXTS_A_RUN]]
            scores += await asyncio.to_thread(_run, loaded, query[:MAX_TEXT], group)
        return scores

    async def aclose(self) -> None:
        self._loaded = None

    def _load(self) -> Any:
        with self._loading:
            if self._loaded is None:
                library = importlib.import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
                self._loaded = load_fastembed(library, self._model, self._model_folder, self._options)
            return self._loaded


def _run(model: Any, query: str, texts: list[str]) -> list[float]:
    scores = [float(score) for score in model.rerank(query, texts)]
    if len(scores) != len(texts) or not all(map(math.isfinite, scores)):
        raise ProviderProtocolError("The reranker gave other than one number for each text.")
    return [probability(score) for score in scores]

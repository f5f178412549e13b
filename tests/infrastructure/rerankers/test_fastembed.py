"""Cross-encoders of fastembed: by a stand-in of the library everywhere, and by the library where it is installed."""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from infrastructure.rerankers.fastembed import FastEmbedReranker


class SharedLetters:
    """As fastembed's `TextCrossEncoder` behaves, with a model that counts the letters of the query in the text."""

    loads = 0
    lost = 0
    added = 0.0

    def __init__(self, model: str, **options: Any) -> None:
        type(self).loads += 1

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        return [{"model": "letters"}]

    def rerank(self, query: str, documents: list[str]) -> Iterable[float]:
        found = [sum(text.count(letter) for letter in query) - 2 + self.added for text in documents]
        yield from found[self.lost :]


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[SharedLetters]:
    module = ModuleType("fastembed.rerank.cross_encoder")
    module.TextCrossEncoder = SharedLetters  # type: ignore[attr-defined]  # a module made here
    for name in ("fastembed", "fastembed.rerank"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "fastembed.rerank.cross_encoder", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "fastembed" else None)
    monkeypatch.setattr(SharedLetters, "loads", 0)
    return SharedLetters


async def test_scores_are_probabilities_in_the_texts_order(library: type[SharedLetters], tmp_path: Path) -> None:
    reranker = FastEmbedReranker("letters", cache_folder=tmp_path)
    texts = ["x" * n for n in range(20, 0, -1)]
    scores = await reranker.rerank("x", texts)
    assert scores == sorted(scores, reverse=True)
    assert scores[-3:] == pytest.approx([0.7310586, 0.5, 0.2689414])
    assert await reranker.rerank("x", []) == []
    assert (reranker.name, library.loads) == ("fastembed:letters", 1)
    await reranker.aclose()


@pytest.mark.parametrize(("name", "value"), [("lost", 1), ("added", float("nan"))])
async def test_other_than_a_number_for_each_text_is_never_taken(
    library: type[SharedLetters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(library, name, value)
    with pytest.raises(ProviderProtocolError):
        await FastEmbedReranker("letters", cache_folder=tmp_path).rerank("x", ["a", "b"])


async def test_a_model_that_fastembed_does_not_know_is_refused(library: type[SharedLetters], tmp_path: Path) -> None:
    with pytest.raises(ProviderRejected, match="does not know"):
        await FastEmbedReranker("other", cache_folder=tmp_path).rerank("x", ["a"])


def test_without_the_package_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProviderRejected, match="fastembed"):
        FastEmbedReranker("letters", cache_folder=tmp_path)


async def test_a_model_of_the_library_whose_files_are_missing_is_unavailable(tmp_path: Path) -> None:
    pytest.importorskip("fastembed")
    reranker = FastEmbedReranker("Xenova/ms-marco-MiniLM-L-6-v2", cache_folder=tmp_path, model_folder=tmp_path)
    with pytest.raises(ProviderUnavailable, match="could not load"):
        await reranker.rerank("x", ["a"])

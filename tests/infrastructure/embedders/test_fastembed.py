"""Models of fastembed: by a stand-in of the library everywhere, and by the library itself where it is installed."""

import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from infrastructure.embedders.fastembed import FastEmbedder
from infrastructure.errors import ProviderProtocolError, ProviderRejected, ProviderUnavailable
from tests.infrastructure.embedders.scripted import unit, vector


class Letters:
    """As fastembed's `TextEmbedding` behaves, with a model that counts letters."""

    loaded: list[dict[str, Any]]
    wrong = False

    def __init__(self, model: str, **options: Any) -> None:
        if options.get("specific_model_path") == "/nowhere":
            raise ValueError("Could not load model")
        self.loaded.append({"model": model} | options)

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        return [{"model": "letters"}, {"model": "BAAI/bge-small-en-v1.5"}]

    @classmethod
    def get_embedding_size(cls, model: str) -> int:
        return 10

    def query_embed(self, texts: list[str]) -> Iterable[Any]:
        yield from (np.array(vector(text)) for text in texts)

    def passage_embed(self, texts: list[str]) -> Iterable[Any]:
        yield from (np.array(vector(text)) for text in texts[self.wrong :])


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[Letters]:
    module = ModuleType("fastembed")
    module.TextEmbedding = Letters  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "fastembed", module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "fastembed" else None)
    Letters.loaded = []
    return Letters


async def test_texts_become_unit_vectors_and_blank_ones_zeros(library: type[Letters], tmp_path: Path) -> None:
    embedder = FastEmbedder("letters", cache_folder=tmp_path)
    with pytest.raises(ProviderUnavailable, match="not loaded"):
        _ = embedder.dimensions
    texts = [f"{'abc'[n % 3] * n} text" if n != 4 else " " for n in range(20)]
    vectors = await embedder.embed(texts)
    assert np.allclose(vectors, [unit(text) for text in texts])
    await embedder.embed(["more"])
    assert (embedder.name, embedder.dimensions) == ("fastembed:letters", 10)
    assert library.loaded == [
        {"model": "letters", "providers": ["CPUExecutionProvider"], "cache_dir": str(tmp_path), "threads": 1}
    ]
    await embedder.aclose()


async def test_a_question_has_the_words_that_the_model_knows(library: type[Letters], tmp_path: Path) -> None:
    embedder = FastEmbedder("BAAI/bge-small-en-v1.5", cache_folder=tmp_path)
    before = "Represent this sentence for searching relevant passages: "
    assert np.allclose(await embedder.embed(["abc"], "query"), [unit(before + "abc")])
    assert np.allclose(await embedder.embed(["abc"]), [unit("abc")])


async def test_a_model_that_fastembed_does_not_know_is_refused(library: type[Letters], tmp_path: Path) -> None:
    with pytest.raises(ProviderRejected, match="does not know"):
        await FastEmbedder("other", cache_folder=tmp_path).embed(["abc"])


async def test_a_model_that_cannot_be_loaded_is_unavailable(library: type[Letters], tmp_path: Path) -> None:
    embedder = FastEmbedder("letters", cache_folder=tmp_path, model_folder=Path("/nowhere"))
    with pytest.raises(ProviderUnavailable, match="could not load"):
        await embedder.embed(["abc"])


async def test_a_vector_too_few_is_never_taken(
    library: type[Letters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "wrong", True)
    with pytest.raises(ProviderProtocolError):
        await FastEmbedder("letters", cache_folder=tmp_path).embed(["a", "b"])


def test_without_the_package_the_cure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProviderRejected, match=r"Not installed: fastembed\. .*requirements-local\.txt"):
        FastEmbedder("letters", cache_folder=tmp_path)


async def test_the_library_itself_runs_a_model_from_a_folder(tmp_path: Path) -> None:
    """A graph that gives each token of the model's list its own vector, in the files that fastembed reads."""
    pytest.importorskip("fastembed")
    write_token_model(tmp_path)
    name = "sentence-transformers/all-MiniLM-L6-v2"  # in fastembed's list; the files are ours
    embedder = FastEmbedder(name, cache_folder=tmp_path, model_folder=tmp_path)
    vectors = await embedder.embed(["loan pool", "loan loan", "", "pool loan"])
    assert embedder.dimensions == vectors.shape[1] == 384
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-5)
    assert vectors[0] == pytest.approx(vectors[3], abs=1e-6)
    assert abs(float(vectors[0] @ vectors[1])) < 0.99


def write_token_model(folder: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "loan", "pool"]
    table = np.random.default_rng(3).normal(size=(len(words), 384)).astype(np.float32)
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in names]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", 384])]
    graph = helper.make_graph([node], "tokens", inputs, outputs, [numpy_helper.from_array(table, "table")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, folder / "model.onnx")
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    about = {"model_max_length": 128, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "unk_token": "[UNK]"}))

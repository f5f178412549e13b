"""all-MiniLM-L6-v2 by onnxruntime: with small made-up weights, and with its own where the package is installed."""

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from infrastructure.embedders import minilm
from infrastructure.embedders.minilm import DIMENSIONS, MiniLMEmbedder
from infrastructure.embedders.tensors import map_tensors
from infrastructure.errors import ProviderRejected
from tests.infrastructure.embedders.numpy_bert import encode, random_weights, write_safetensors

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "a", "pool", "of", "funds", "loan"]
LAYERS, HEADS = 1, 12

with_runtime = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")), reason="the extra `local`"
)
with_weights = pytest.mark.skipif(
    importlib.util.find_spec(minilm.PACKAGE) is None, reason="the package with the weights is not installed"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same shape outside, and a small one within."""
    folder = tmp_path_factory.mktemp("weights")
    numbers = random_weights(words=len(WORDS), width=DIMENSIONS, inner=32, layers=LAYERS)
    write_safetensors(folder / "model.safetensors", numbers)
    config = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.enable_padding(length=128)  # as the real one's file asks
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def make(weights: Path, tmp_path: Path) -> Callable[[], MiniLMEmbedder]:
    return lambda: MiniLMEmbedder(tmp_path / "models", weights_folder=weights)


@with_runtime
async def test_each_text_has_the_vector_of_the_formulas(weights: Path, make: Callable[[], MiniLMEmbedder]) -> None:
    embedder = make()
    vectors = await embedder.embed(["a pool of funds", "loan", "pool " * 500])
    numbers = map_tensors(weights / "model.safetensors")
    ids = [[1, 4, 5, 6, 7, 2], [1, 8, 2], [1, *[5] * 254, 2]]
    assert vectors == pytest.approx(np.array([encode(numbers, text, LAYERS, HEADS) for text in ids]), abs=1e-5)
    assert (embedder.name, embedder.dimensions, vectors.dtype) == ("all-minilm-l6-v2", 384, np.float32)


@with_runtime
async def test_a_text_without_words_is_zeros(make: Callable[[], MiniLMEmbedder]) -> None:
    vectors = await make().embed(["", "loan", " \n"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([0, 1, 0], abs=1e-5)
    assert (await make().embed([])).shape == (0, 384)


@with_runtime
async def test_many_texts_come_in_groups_and_in_their_order(
    make: Callable[[], MiniLMEmbedder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minilm, "_TOKENS_A_RUN", 32)
    embedder = make()
    texts = ["pool " * n for n in (9, 1, 30, 0, 4, 4, 2, 100)]
    together = await embedder.embed(texts)
    alone = np.concatenate([await embedder.embed([text], "query") for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)


@with_runtime
async def test_the_graph_is_built_once_and_kept(
    make: Callable[[], MiniLMEmbedder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = make()
    first, again = await asyncio.gather(built.embed(["loan"]), built.embed(["loan"]))
    (kept,) = (tmp_path / "models").iterdir()
    monkeypatch.delattr(minilm, "build_bert")
    assert np.array_equal(await make().embed(["loan"]), first)
    assert np.array_equal(first, again)
    await built.aclose()
    assert list((tmp_path / "models").iterdir()) == [kept]


@with_runtime
@pytest.mark.parametrize("damage", [b"", b"no protobuf at all"])
async def test_a_damaged_graph_is_built_anew(make: Callable[[], MiniLMEmbedder], tmp_path: Path, damage: bytes) -> None:
    vectors = await make().embed(["loan"])
    (kept,) = (tmp_path / "models").iterdir()
    size = kept.stat().st_size
    kept.write_bytes(damage)
    assert np.array_equal(await make().embed(["loan"]), vectors)
    assert kept.stat().st_size == size


@with_runtime
async def test_without_a_folder_to_keep_it_in_it_still_works(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    vectors = await MiniLMEmbedder(tmp_path / "taken", weights_folder=weights).embed(["loan"])
    assert np.linalg.norm(vectors) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", minilm.PACKAGE])
def test_a_missing_package_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ProviderRejected, match=r"Not installed: .* with: pip install") as caught:
        MiniLMEmbedder(tmp_path)
    assert missing.replace("_", "-") in caught.value.message


@with_runtime
@with_weights
async def test_the_real_model_has_the_published_similarities(tmp_path: Path) -> None:
    """https://www.sbert.net/docs/quickstart.html and its page on semantic textual similarity."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    texts += ["The new movie is awesome", "The new movie is so great"]
    v = await MiniLMEmbedder(tmp_path).embed(texts)
    found = [v[0] @ v[1], v[0] @ v[2], v[1] @ v[2], v[3] @ v[4]]
    assert found == pytest.approx([0.6660, 0.1046, 0.1411, 0.8939], abs=1e-4)


@with_runtime
@with_weights
async def test_the_real_model_is_what_the_formulas_say_of_its_weights(tmp_path: Path) -> None:
    folder = minilm._package_folder()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    text = "What is impermanent loss, and how does a liquidity provider avoid it?"
    expected = encode(map_tensors(folder / "model.safetensors"), tokenizer.encode(text).ids, 6, 12)
    assert (await MiniLMEmbedder(tmp_path).embed([text]))[0] == pytest.approx(expected, abs=1e-5)

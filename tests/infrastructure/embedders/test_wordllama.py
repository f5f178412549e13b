"""WordLlama's vectors, read from its wheel."""

import ctypes
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from infrastructure.embedders import wordllama
from infrastructure.embedders.wordllama import WordLlamaEmbedder


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


def test_texts_become_unit_vectors(embedder: WordLlamaEmbedder) -> None:
    vectors = embedder.embed(["What is lending?", "How do I bake bread?"])
    assert vectors.shape == (2, embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_a_text_without_tokens_is_all_zeros_and_no_texts_are_no_rows(embedder: WordLlamaEmbedder) -> None:
    assert not embedder.embed([""]).any()
    assert embedder.embed([]).shape == (0, 256)


def test_a_text_has_the_same_vector_bit_for_bit_whatever_it_is_embedded_with(embedder: WordLlamaEmbedder) -> None:
    texts = ["", *(f"Bees make honey in {n} hives, " * (n % 7 + 1) for n in range(150)), "", "a bank loan"]
    together = embedder.embed(texts)
    assert np.array_equal(together, np.concatenate([embedder.embed([text]) for text in texts]))
    assert np.linalg.norm(together, axis=1) == pytest.approx([0, *[1] * 150, 0, 1], abs=1e-5)


def test_a_text_is_cut_where_it_is_far_too_long(embedder: WordLlamaEmbedder) -> None:
    long = "honey " * 10_000
    assert np.array_equal(embedder.embed([long]), embedder.embed([long[: wordllama._MAX_CHARS]]))


def test_close_meanings_are_closer_than_others(embedder: WordLlamaEmbedder) -> None:
    loan, credit, bread = embedder.embed(["a bank loan", "credit from a bank", "bread and butter"])
    assert loan @ credit > loan @ bread


def test_it_is_what_wordllama_itself_computes(embedder: WordLlamaEmbedder) -> None:
    package = pytest.importorskip("wordllama")
    theirs = package.WordLlama.load(cache_dir=Path(package.__file__).parent, disable_download=True)
    texts = ["What is impermanent loss?", "Bees make honey. " * 40]
    assert embedder.embed(texts) == pytest.approx(theirs.embed(texts, norm=True), abs=1e-3)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="not installed"):
        WordLlamaEmbedder()


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    header = json.dumps({"embedding.weight": {"dtype": "F32", "shape": [1, 8], "data_offsets": [0, 32]}}).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(32))
    with pytest.raises(FileNotFoundError, match="float16"):
        wordllama._map_matrix(path)


def test_texts_that_were_embedded_leave_nothing_behind(embedder: WordLlamaEmbedder) -> None:
    """The tokenizer's own memory is none of Python's: malloc is asked."""
    texts = [f"What does a health factor of {number} mean, and for whom is it one?" for number in range(4000)]
    embedder.embed(texts[:1000])
    before = _allocated()
    for text in texts[1000:]:
        embedder.embed([text])
    assert _allocated() - before < 1024 * 1024  # it was 2.6 KB a text


def _allocated() -> int:
    """Bytes that are allocated by glibc's malloc, in all arenas."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("this C library does not tell")
    libc.mallinfo2.restype = _Mallinfo
    return int(libc.mallinfo2().uordblks)


class _Mallinfo(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
    )]  # fmt: skip

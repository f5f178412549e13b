"""A BERT as an ONNX graph gives what the paper's formulas give."""

from typing import Any

import numpy as np
import pytest

from infrastructure.embedders.bert_graph import INPUT_IDS, MASK, BertShape, build_bert
from tests.infrastructure.embedders.numpy_bert import encode, random_weights

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TEXTS = [[1, 5, 9, 2], [3], [4, 4, 4, 8, 11, 0, 2]]


def run(model: bytes, texts: list[list[int]]) -> np.ndarray[Any, Any]:
    longest = max(map(len, texts))
    ids = np.array([text + [0] * (longest - len(text)) for text in texts], np.int64)
    mask = np.array([[1] * len(text) + [0] * (longest - len(text)) for text in texts], np.int32)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {INPUT_IDS: ids, MASK: mask})
    return np.asarray(found)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 2), (3, 4)])
def test_the_graph_computes_what_the_formulas_say(layers: int, heads: int) -> None:
    weights = random_weights(words=12, width=16, inner=24, layers=layers, positions=8)
    found = run(build_bert(weights, BertShape(layers, heads)), TEXTS)
    assert found.dtype == np.float32
    expected = [encode(weights, text, layers, heads) for text in TEXTS]
    assert found == pytest.approx(np.array(expected), abs=1e-5)


def test_padding_changes_nothing() -> None:
    weights = random_weights(words=12, width=16, inner=24, layers=2, positions=8)
    model = build_bert(weights, BertShape(2, 2))
    alone = [run(model, [text])[0] for text in TEXTS]
    assert run(model, TEXTS) == pytest.approx(np.array(alone), abs=1e-6)


def test_the_graph_is_one_that_onnx_finds_sound() -> None:
    weights = random_weights(words=12, width=16, inner=24, layers=1, positions=8)
    model = onnx.load_from_string(build_bert(weights, BertShape(1, 2)))
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node].count("Attention") == 1


def test_a_missing_weight_is_named() -> None:
    weights = random_weights(words=12, width=16, inner=24, layers=1, positions=8)
    with pytest.raises(KeyError, match=r"encoder\.layer\.1"):
        build_bert(weights, BertShape(2, 2))

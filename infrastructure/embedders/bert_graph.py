"""A BERT sentence encoder as an ONNX graph, made from its weights: token ids in, one unit vector a text out.

Devlin et al., "BERT" (2019), with the mean pooling of Reimers and Gurevych, "Sentence-BERT" (2019). Weights have the
names and shapes of Hugging Face's `BertModel`. The attention of a layer is one operator of onnxruntime's own
(com.microsoft.Attention), which is what its optimiser would make of the plain ones at every start.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = Mapping[str, npt.NDArray[Any]]

INPUT_IDS, MASK, OUTPUT = "input_ids", "mask", "embedding"
_OPSET = 17  # the first with LayerNormalization; any onnxruntime of the last years runs it
_IR_VERSION = 8  # that opset's
_SMALLEST_NORM = 1e-12


@dataclass(frozen=True, slots=True)
class BertShape:
    """What the weights' shapes do not tell."""

    layers: int
    heads: int
    epsilon: float = 1e-12  # of the layer norms


def build_bert(weights: Weights, shape: BertShape) -> bytes:
    """A serialized model: `input_ids` int64 (n, tokens) and `mask` int32 (n, tokens) to `embedding` float32 (n, d).

    `mask` is 1 for a token and 0 for padding, which stands on the right.

    Raises:
        KeyError: a weight is missing.
        ImportError: onnx is not installed.
    """
    graph = _Graph()
    hidden = _embed_tokens(graph, weights, shape)
    for layer in range(shape.layers):
        hidden = _encode_layer(graph, weights, f"encoder.layer.{layer}.", hidden, shape)
    _pool(graph, hidden)
    width = weights["embeddings.word_embeddings.weight"].shape[1]
    return graph.serialize(width)


class _Graph:
    """Collects nodes and constants. A constant of the same name is kept once."""

    def __init__(self) -> None:
        self._onnx = importlib.import_module("onnx")
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def constant(self, name: str, values: npt.ArrayLike, kind: type[np.generic] = np.float32) -> str:
        if name not in self._constants:
            array = np.ascontiguousarray(values, kind)
            self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Its output's name."""
        output = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def serialize(self, width: int) -> bytes:
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        inputs = [
            helper.make_tensor_value_info(INPUT_IDS, kinds.INT64, ["n", "tokens"]),
            helper.make_tensor_value_info(MASK, kinds.INT32, ["n", "tokens"]),
        ]
        outputs = [helper.make_tensor_value_info(OUTPUT, kinds.FLOAT, ["n", width])]
        graph = helper.make_graph(self._nodes, "bert", inputs, outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="askgraph")
        data: bytes = model.SerializeToString()
        return data


def _embed_tokens(graph: _Graph, weights: Weights, shape: BertShape) -> str:
    words = graph.constant("words", weights["embeddings.word_embeddings.weight"])
    # All tokens are of the first segment, so its vector is part of each position's.
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    places = graph.constant("places", weights["embeddings.position_embeddings.weight"] + segment)
    length = graph.node("Shape", [INPUT_IDS], start=1, end=2)
    zero, one = graph.constant("zero", [0], np.int64), graph.constant("one", [1], np.int64)
    used = graph.node("Slice", [places, zero, length, zero, one])
    total = graph.node("Add", [graph.node("Gather", [words, INPUT_IDS]), used])
    return _layer_norm(graph, weights, "embeddings.LayerNorm", total, shape.epsilon)


def _encode_layer(graph: _Graph, weights: Weights, at: str, hidden: str, shape: BertShape) -> str:
    attended = _attend(graph, weights, at + "attention.self.", hidden, shape.heads)
    attended = _dense(graph, weights, at + "attention.output.dense", attended)
    added = graph.node("Add", [attended, hidden])
    hidden = _layer_norm(graph, weights, at + "attention.output.LayerNorm", added, shape.epsilon)
    inner = _gelu(graph, _dense(graph, weights, at + "intermediate.dense", hidden))
    added = graph.node("Add", [_dense(graph, weights, at + "output.dense", inner), hidden])
    return _layer_norm(graph, weights, at + "output.LayerNorm", added, shape.epsilon)


def _attend(graph: _Graph, weights: Weights, at: str, hidden: str, heads: int) -> str:
    names = ("query", "key", "value")
    matrix = np.concatenate([weights[f"{at}{name}.weight"].T for name in names], axis=1)
    bias = np.concatenate([weights[f"{at}{name}.bias"] for name in names])
    inputs = [hidden, graph.constant(at + "matrix", matrix), graph.constant(at + "bias", bias), MASK]
    return graph.node("Attention", inputs, domain="com.microsoft", num_heads=heads)


def _dense(graph: _Graph, weights: Weights, at: str, hidden: str) -> str:
    matrix = graph.constant(at + ".weight", weights[at + ".weight"].T)
    bias = graph.constant(at + ".bias", weights[at + ".bias"])
    return graph.node("Add", [graph.node("MatMul", [hidden, matrix]), bias])


def _layer_norm(graph: _Graph, weights: Weights, at: str, hidden: str, epsilon: float) -> str:
    scale = graph.constant(at + ".weight", weights[at + ".weight"])
    bias = graph.constant(at + ".bias", weights[at + ".bias"])
    return graph.node("LayerNormalization", [hidden, scale, bias], axis=-1, epsilon=epsilon)


def _gelu(graph: _Graph, hidden: str) -> str:
    """0.5 x (1 + erf(x / sqrt 2)), in the form that onnxruntime knows to be one."""
    root, one, half = (graph.constant(f"gelu_{n}", n) for n in (np.sqrt(2.0), 1.0, 0.5))
    error = graph.node("Erf", [graph.node("Div", [hidden, root])])
    return graph.node("Mul", [graph.node("Mul", [hidden, graph.node("Add", [error, one])]), half])


def _pool(graph: _Graph, hidden: str) -> None:
    """The mean over a text's tokens, divided by its L2 norm. The norm does away with the mean's divisor."""
    last = graph.constant("last_axis", [2], np.int64)
    kept = graph.node("Unsqueeze", [graph.node("Cast", [MASK], to=1), last])
    tokens = graph.constant("token_axis", [1], np.int64)
    total = graph.node("ReduceSum", [graph.node("Mul", [hidden, kept]), tokens], keepdims=0)
    norm = graph.node("ReduceL2", [total], axes=[1], keepdims=1)
    graph.node("Div", [total, graph.node("Max", [norm, graph.constant("smallest", _SMALLEST_NORM)])], OUTPUT)

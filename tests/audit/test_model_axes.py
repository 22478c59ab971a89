"""`cnnx audit --model` on networks in which the images' axis moves: every node of a transformer is judged."""

import numpy as np
import pytest

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="models need onnx")
pytest.importorskip("onnxruntime", reason="it computes the models")

from engines import faults  # noqa: E402
from onnx_models import floats, ints, written  # noqa: E402

from cnnx.audit import audit_model  # noqa: E402

ROWS = (5, 8)
CONSTANTS = {
    "wi": floats(8, 24) / 3,
    "packed": ints(5, 3, 3, 2, 4),
    "heads": ints(3, 5, 6, 4),
    "mask": np.tril(np.ones((5, 5), bool)),
    "hidden": np.float32(-np.inf),
    "root": np.float32(2),
    "back": ints(5, 3, 8),
    "one": ints(0),
    "three": ints(1, 1, 1),
    "token": floats(1, 3, 8),
    "eps": np.float32(1e-3),
}
NODES = [
    ("Transpose", "x", "a", {"perm": [1, 0, 2]}),
    ("MatMul", "a wi", "b"),
    ("Reshape", "b packed", "c"),  # L, N, 3, heads, E
    ("Transpose", "c", "d", {"perm": [2, 0, 1, 3, 4]}),
    ("Reshape", "d heads", "e"),
    ("Split", "e three", "q0 k0 v0", {"axis": 0}),
    ("Squeeze", "q0 one", "q1"),
    ("Squeeze", "k0 one", "k1"),
    ("Squeeze", "v0 one", "v1"),
    ("Transpose", "q1", "q", {"perm": [1, 0, 2]}),
    ("Transpose", "k1", "kt", {"perm": [1, 2, 0]}),
    ("Transpose", "v1", "v", {"perm": [1, 0, 2]}),
    ("MatMul", "q kt", "s0"),
    ("Div", "s0 root", "s1"),
    ("Where", "mask s1 hidden", "s2"),
    ("Softmax", "s2", "p", {"axis": -1}),
    ("MatMul", "p v", "o0"),
    ("Transpose", "o0", "o1", {"perm": [1, 0, 2]}),
    ("Reshape", "o1 back", "o2"),
    ("Concat", "token o2", "o3", {"axis": 0}),
    ("ReduceSum", "o3 one", "t", {"keepdims": 0}),
    ("ReduceL2", "o3", "u", {"axes": [0], "keepdims": 0}),
    ("Max", "t u", "m"),
    ("Abs", "m", "n"),
    ("Selu", "n", "y"),
]


@pytest.fixture
def model(tmp_path):
    return written(tmp_path / "m.onnx", NODES, CONSTANTS, ROWS, opset=17, batch=3)


def test_every_node_of_a_transformer_is_judged(model):
    report = audit_model(model, backend="onnxruntime", elements=24)
    assert report.verdict == (0, "all agree")
    alone = report.of("isolated")
    assert {one.operator for one in alone} == {op for op, *_ in NODES}
    assert [(one.name, one.why) for one in report.results if one.why] == []


def test_a_head_that_is_taken_twice_is_found_at_its_own_node(model):
    """Behind it every node is right, on what it got."""

    def spoiled(proto, inputs, outputs):
        if [node.op_type for node in proto.graph.node] == ["Split"]:
            return [outputs[0], outputs[0], outputs[2]]
        return outputs

    found, _ = faults(model, {"spoil": spoiled}, in_place=False)
    assert found == [("altered", "isolated", "n5")]

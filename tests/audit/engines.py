"""Models and engines for the tests of `cnnx audit --model`: ONNX Runtime, but for one thing wrong on purpose."""

import numpy as np
import onnx
from onnx import numpy_helper

from cnnx.audit import audit_model
from cnnx.audit.model.engines import engine, registered


class Altered:
    """ONNX Runtime on a model that `alter` has changed, whose results `spoil` changes."""

    name, version, whole = "altered", "0", True

    def __init__(self, *, threads, exact, alter=lambda model: None, spoil=lambda model, inputs, outputs: outputs):
        self.inner = engine("onnxruntime", threads=threads, exact=exact)
        self.alter, self.spoil = alter, spoil

    def run(self, model, inputs, outputs):
        proto = onnx.load_model_from_string(model)
        self.alter(proto)
        found = self.inner.run(proto.SerializeToString(), inputs, outputs)
        return self.spoil(proto, inputs, found)

    def kept(self, model):
        return self.inner.kept(model)


def altered(**how):
    """What `engines.registered` takes."""
    return lambda *, threads, exact: Altered(threads=threads, exact=exact, **how)


def node_of(model, name):
    """The node of that name, None where the model has none."""
    return next((node for node in model.graph.node if node.name == name), None)


def replaced(model, name, change):
    """Put another array in the place of an initialiser."""
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))


def as_bfloat16(array):
    """Rounded to the upper 16 bits of a float32, to nearest even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


FLOAT = onnx.TensorProto.FLOAT
SHAPE = (2, 3, 12, 11)


def floats(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


ARRAYS = {
    "w": floats(1, 4, 3, 3, 3),
    "b": floats(2, 4),
    "w2": floats(3, 4, 4, 3, 3),
    "g": abs(floats(4, 4)) + 0.5,
    "v": abs(floats(5, 4)) + 0.5,
    "dense": floats(6, 5, 100) / 64,
    "k": floats(7, 4, 1, 1),
    "minus": np.array([0, -1], np.int64),
}
NODES = [
    ("Conv", "x w b", "c", {"pads": [1, 1, 1, 1]}),
    ("BatchNormalization", "c g b b v", "n", {}),
    ("Relu", "n", "r", {}),
    ("Conv", "r w2", "c2", {"pads": [1, 1, 1, 1]}),
    ("Add", "c2 r", "s", {}),
    ("Relu", "s", "r2", {}),
    (
        "AveragePool",
        "r2",
        "p",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 0, 1], "count_include_pad": 1},
    ),
    ("MaxPool", "p", "q", {"kernel_shape": [2, 2], "strides": [1, 1], "pads": [0, 0, 1, 1]}),
    ("Mul", "q k", "m", {}),
    ("Transpose", "m", "t", {"perm": [0, 2, 3, 1]}),
    ("Reshape", "t minus", "f", {}),
    ("Gemm", "f dense", "d", {"transB": 1}),
    ("HardSigmoid", "d", "z", {"alpha": 0.3}),
    ("Softmax", "z", "y", {}),
]


def model_of(nodes=NODES, arrays=ARRAYS, shape=SHAPE, opset=17, dtype=FLOAT):
    """A model whose nodes are named n1, n2, ..."""
    made = [
        onnx.helper.make_node(op, ins.split(), outs.split(), name=f"n{i}", **options)
        for i, (op, ins, outs, options) in enumerate(nodes, 1)
    ]
    used = {name for _, ins, _, _ in nodes for name in ins.split()}
    graph = onnx.helper.make_graph(
        made,
        "g",
        [onnx.helper.make_tensor_value_info("x", dtype, shape)],
        [onnx.helper.make_tensor_value_info(nodes[-1][2], dtype, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def saved(path, *arguments, **options):
    onnx.save(model_of(*arguments, **options), path)
    return path


def faults(path, how, *, backend="altered", **options):
    """What an engine with a fault disagrees on: (engine, run, node) of each, and the report."""
    with registered("altered", altered(**how)):
        report = audit_model(path, backend=backend, **options)
    return [(one.engine, one.run, one.name) for one in report.wrong], report


def in_place_of(report, name):
    """Whether one group alone is wrong in place, and that node is the first of it."""
    alone, together = report.wrong
    return alone.run == "isolated" and together.run == "in place" and together.nodes[0] == name

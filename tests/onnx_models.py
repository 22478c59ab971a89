"""ONNX models made with onnx alone, and what onnxruntime computes of them."""

from importlib import metadata

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from packaging.version import Version

RANDOM = np.random.default_rng(3)
IMAGES = (4, 6, 5)
FLOAT = onnx.TensorProto.FLOAT


def needs(package, version):
    """Of what older ones refuse, compute wrongly or crash at, though cnnx takes them: tox -e lowest has them."""
    old = Version(metadata.version(package)) < Version(version)
    return pytest.mark.skipif(old, reason=f"needs {package} {version}")


def floats(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def ints(*values):
    return np.array(values, np.int64)


def model_of(nodes, constants=None, shape=IMAGES, opset=20, batch="N", outputs=("y",), inputs=("x",)):
    """A model made with onnx alone; nodes are (operator, inputs, outputs, attributes)."""
    made = [
        onnx.helper.make_node(op, ins.split(), outs.split(), name=f"n{i}", **dict(*more))
        for i, (op, ins, outs, *more) in enumerate(nodes)
    ]
    ends = [onnx.helper.make_tensor_value_info(name, FLOAT, [batch, *shape]) for name in inputs]
    results = [onnx.helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    arrays = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = onnx.helper.make_graph(made, "g", ends, results, arrays)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)


def written(path, *arguments, **options):
    onnx.save(model_of(*arguments, **options), path)
    return path


def run(path, *xs, output=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return session.run(output and [output], dict(zip(names, xs, strict=True)))[0]


def assert_close(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()

"""ONNX files spoiled at random: each is one clear ValueError, or a network."""

import math

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis", reason="it spoils the files")
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="onnx_models needs it")
io = pytest.importorskip("cnnx.io")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from onnx_models import assert_close, floats, ints, model_of, run  # noqa: E402

from cnnx import nn  # noqa: E402

pytestmark = pytest.mark.once

# What open sizes, borders, attention and products need: the operators that compute with numbers of the file.
MODEL = model_of(
    [
        ("Conv", "x w", "c", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ("Pad", "c pads", "p", {"mode": "reflect"}),
        ("Shape", "x", "s"),
        ("Slice", "s i2 i4 i0", "hw"),
        ("Div", "hw i2", "half"),
        ("Concat", "nc half", "size", {"axis": 0}),
        ("Resize", "p none none size", "r", {"mode": "linear"}),
        ("Reshape", "r rows", "t"),
        ("Transpose", "t", "u", {"perm": [0, 2, 1]}),
        ("Einsum", "u u", "e", {"equation": "bic,bjc->bij"}),
        ("Softmax", "e", "a", {"axis": -1}),
        ("MatMul", "a u", "m"),
        ("ReduceMean", "m i2", "d"),
        ("Mul", "m d", "n"),
        ("Slice", "n i0 far i2 i2", "z"),
        ("Unsqueeze", "z i2", "y"),
    ],
    {
        "w": floats(4, 4, 3, 3), "pads": ints(0, 0, 1, 0, 0, 0, 2, 1), "none": np.zeros(0, "f4"), "nc": ints(1, 4),
        "i0": ints(0), "i2": ints(2), "i4": ints(4), "rows": ints(0, 4, -1), "far": ints(2**62),
    },
    (4, "h", "w"),
)  # fmt: skip
# And what sequences, normalisation in parts and products with an array of the file need.
SEQUENCES = model_of(
    [
        ("Pad", "x pads", "p", {"mode": "reflect"}),
        ("Conv", "p w", "c", {"strides": [2], "auto_pad": "SAME_LOWER"}),
        ("MaxPool", "c", "m", {"kernel_shape": [3], "strides": [2], "auto_pad": "SAME_LOWER"}),
        ("ConvTranspose", "m v", "t", {"strides": [2], "output_shape": [6]}),
        ("Mul", "t t", "q"),
        ("ReduceMean", "q", "a", {"axes": [1]}),
        ("Add", "a eps", "e"),
        ("Sqrt", "e", "r"),
        ("Div", "t r", "n"),
        ("Einsum", "n k", "h", {"equation": "bcl,cij->bilj"}),
        ("AveragePool", "h", "z", {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ("Einsum", "z g", "y", {"equation": "bchw,c->bchw"}),
    ],
    {
        "w": floats(4, 4, 3), "v": floats(4, 5, 4), "pads": ints(0, 0, 1, 0, 0, 2), "eps": np.float32(0.5),
        "k": floats(5, 2, 3), "g": floats(2),
    },
    (4, "l"),
    opset=17,
)  # fmt: skip
MODELS = {"images": MODEL, "sequences": SEQUENCES}
NUMBERS = st.one_of(st.sampled_from([-1, 0, 1, 2, 3, 4, 7, -(2**31), 2**31, 2**62, -(2**63)]), st.integers(-9, 9))


def whole(tensor):
    return 8 * math.prod(tensor.dims) == len(tensor.raw_data) > 0


def spoil(draw, model):
    """One change of a node, an array or an input."""
    graph = model.graph
    kind = draw(st.sampled_from(["attribute", "number", "shape", "wire", "operator", "input", "drop"]))
    node = graph.node[draw(st.integers(0, len(graph.node) - 1))]
    tensor = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
    if kind == "attribute" and node.attribute:
        attribute = node.attribute[draw(st.integers(0, len(node.attribute) - 1))]
        if attribute.ints:
            attribute.ints[draw(st.integers(0, len(attribute.ints) - 1))] = draw(NUMBERS)
        elif attribute.s:
            attribute.s = draw(st.binary(max_size=12))
        else:
            attribute.i = draw(NUMBERS)
    elif kind == "number" and tensor.data_type == onnx.TensorProto.INT64 and whole(tensor):
        array = onnx.numpy_helper.to_array(tensor).copy()
        array[draw(st.integers(0, array.size - 1))] = draw(NUMBERS)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    elif kind == "shape" and tensor.dims:
        tensor.dims[draw(st.integers(0, len(tensor.dims) - 1))] = draw(NUMBERS)
    elif kind == "wire":
        names = ["x", *(each.name for each in graph.initializer), *(each.output[0] for each in graph.node)]
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from([*names, "", "nothing"]))
    elif kind == "operator":
        node.op_type = draw(
            st.sampled_from([*(each.op_type for each in graph.node), "Squeeze", "Expand", "Where", "LSTM"])
        )
    elif kind == "input":
        axes = graph.input[0].type.tensor_type.shape.dim
        axis = axes[draw(st.integers(0, len(axes) - 1))]
        axis.dim_value = draw(st.sampled_from([1, 2, 5, 2**31, 2**62, -1]))
    elif kind == "drop" and len(graph.node) > 1:
        graph.node.remove(node)


def outcome(path):
    try:
        return io.import_onnx(path)
    except ValueError as error:
        return error


@pytest.mark.parametrize("name", MODELS)
def test_a_spoiled_file_is_refused_or_a_network(tmp_path, name):
    path, seen = tmp_path / "mutated.onnx", {"refused": 0, "read": 0}

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def one(data):
        model = onnx.ModelProto()
        model.CopyFrom(MODELS[name])
        for _ in range(data.draw(st.integers(1, 3))):
            spoil(data.draw, model)
        bytes_ = bytearray(model.SerializeToString())
        at = data.draw(st.integers(0, len(bytes_) - 1))
        how = data.draw(st.sampled_from(["as it is", "as it is", "as it is", "cut", "bits"]))
        if how == "cut":
            del bytes_[at:]
        elif how == "bits":
            bytes_[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes_)
        found = outcome(path)
        if isinstance(found, ValueError):
            seen["refused"] += 1
            assert str(found).startswith(f"{path}: expected an ONNX model")
            assert "\n" not in str(found)
        else:
            seen["read"] += 1
            assert isinstance(found, nn.Graph)

    one()
    assert seen["refused"] >= 100
    assert seen["read"] >= 5


def test_the_files_that_are_spoiled_are_some(tmp_path):
    for name, shape in ("images", (1, 4, 12, 16)), ("sequences", (2, 4, 11)):
        onnx.save(MODELS[name], tmp_path / "m.onnx")
        x = floats(*shape)
        assert_close(io.import_onnx(tmp_path / "m.onnx").forward(x), run(tmp_path / "m.onnx", x))

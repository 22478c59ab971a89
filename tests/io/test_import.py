"""ONNX graphs read: branches, old opsets, constants to be computed, files beside the model; refusals, all at once."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import FLOAT, IMAGES, assert_close, floats, ints, model_of, needs, run, written  # noqa: E402

W, B, V, ROWS, K = floats(4, 4, 3, 3), floats(4), abs(floats(4)) + 0.5, floats(120, 7), floats(4, 1, 1)


def scales(*factors):
    return np.array(factors, np.float32)


PATTERN = [
    ("Shape", "x", "s"),
    ("Gather", "s zero", "n"),
    ("Unsqueeze", "n zeros", "m"),
    ("Concat", "m rest", "t", {"axis": 0}),
]
SHAPES = {"zero": np.int64(0), "zeros": ints(0), "rest": ints(-1), "w": ROWS}
RESIZED = {
    "none": np.zeros(0, np.float32),
    "two": np.array([1, 1, 3, 2], np.float32),
    "size": ints(3, IMAGES[0], 4 * IMAGES[1], 2 * IMAGES[2]),
    "pair": ints(7, 3),
    "third": np.array([1, 1, 1 / 3, 1.4], np.float32),
    "half": np.array([1, 1, 0.5, 2], np.float32),
    "odd": ints(3, IMAGES[0], 9, 1),
}
CASES = {
    "residual": (
        [("Conv", "x w b", "a", {"pads": [1] * 4}), ("Add", "a x", "s"), ("Relu", "s", "y")],
        {"w": W, "b": B},
    ),
    "a value twice": ([("Add", "x x", "y")],),
    "Sum of three": ([("Relu", "x", "a"), ("Tanh", "x", "b"), ("Sum", "a x b", "y")],),
    "Sum of one": ([("Sum", "x", "y")],),
    "Sub": ([("Tanh", "x", "a"), ("Sub", "x a", "y")],),
    "gate of channels": ([("GlobalAveragePool", "x", "a"), ("Sigmoid", "a", "b"), ("Mul", "x b", "y")],),
    "norm across channels": ([("LRN", "x", "a", {"size": 3, "alpha": 0.5, "bias": 2.0}), ("GlobalMaxPool", "a", "y")],),
    "InstanceNormalization": ([("InstanceNormalization", "x v b", "y", {"epsilon": 0.5})], {"v": V, "b": B}),
    "LayerNormalization": ([("LayerNormalization", "x v", "y", {"epsilon": 0.5})], {"v": floats(5)}),
    "LayerNormalization of images": (
        [("LayerNormalization", "x v b", "y", {"axis": 1})],
        {"v": floats(*IMAGES), "b": floats(*IMAGES)},
    ),
    "LayerNormalization, a scale that is repeated": (
        [("LayerNormalization", "x v b", "y", {"axis": 2})],
        {"v": floats(1, 5), "b": floats(5)},
    ),
    "groups as older exporters write them": (
        [
            ("Reshape", "x g", "a"),
            ("InstanceNormalization", "a one zero", "b", {"epsilon": 0.5}),
            ("Shape", "x", "s"),
            ("Reshape", "b s", "c"),
            ("Mul", "c k", "d"),
            ("Add", "d k", "y"),
        ],
        {"g": ints(0, 2, -1), "one": np.ones(2, "float32"), "zero": np.zeros(2, "float32"), "k": K},
    ),
    "groups with a scale before they are taken apart": (
        [
            ("Reshape", "x g", "a"),
            ("InstanceNormalization", "a v b", "c"),
            ("Shape", "x", "s"),
            ("Reshape", "c s", "y"),
        ],
        {"g": ints(0, 2, -1), "v": floats(2), "b": floats(2)},
    ),
    "Resize": ([("Resize", "x none two", "y")], RESIZED),
    "Resize, floor": (
        [("Resize", "x none two", "y", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})],
        RESIZED,
    ),
    "Resize, sizes": ([("Resize", "x none none size", "y")], RESIZED),
    "Resize, linear": ([("Resize", "x none two", "y", {"mode": "linear"})], RESIZED),
    "Resize, axes": ([("Resize", "x none none pair", "y", {"mode": "linear", "axes": [-1, 2]})], RESIZED),
    "Resize, a third, which float32 rounds": ([("Resize", "x none third", "y", {"mode": "linear"})], RESIZED),
    "SiLU": ([("Sigmoid", "x", "a"), ("Mul", "x a", "y")],),
    "SiLU, other order": ([("Sigmoid", "x", "a"), ("Mul", "a x", "y")],),
    "a sigmoid used twice": ([("Sigmoid", "x", "a"), ("Mul", "a x", "b"), ("Add", "a b", "y")],),
    "hard swish in two": ([("HardSigmoid", "x", "a", {"alpha": 1 / 6}), ("Mul", "x a", "y")],),
    "hard swish by Clip": (
        [("Add", "x three", "a"), ("Clip", "a low high", "b"), ("Mul", "x b", "c"), ("Div", "c high", "y")],
        {"three": np.float32(3), "low": np.float32(0), "high": np.float32(6)},
    ),
    "HardSwish": ([("HardSwish", "x", "y")],),
    "HardSigmoid": ([("HardSigmoid", "x", "y", {"beta": 0.25})],),
    "Concat": ([("Relu", "x", "a"), ("Concat", "a x", "y", {"axis": 1})],),
    "Concat, axis from the back": ([("Relu", "x", "a"), ("Concat", "x a x", "y", {"axis": -1})],),
    "Split and Concat": (
        [("Split", "x p", "a b", {"axis": 1}), ("Concat", "b a", "y", {"axis": 1})],
        {"p": ints(1, 3)},
    ),
    "one part of a Split": ([("Split", "x", "a b", {"axis": 3, "num_outputs": 2}), ("Relu", "b", "y")],),
    "Slice": ([("Slice", "x s e a", "y")], {"s": ints(1, -4), "e": ints(2**63 - 1, -1), "a": ints(2, -3)}),
    "scale and shift": ([("Mul", "k x", "a"), ("Add", "a c", "y")], {"k": K, "c": floats(1, 4, 1, 1)}),
    "one number": ([("Mul", "x k", "a"), ("Sub", "one a", "y")], {"k": np.float32(1 / 255), "one": floats(1)}),
    "constants along rows": ([("Add", "x c", "a"), ("Sub", "a d", "y")], {"c": floats(6, 5), "d": floats(5)}),
    "Neg, Div": ([("Neg", "x", "a"), ("Div", "a c", "y")], {"c": floats(4, 1, 1)}),
    "PRelu": ([("PRelu", "x s", "y")], {"s": K}),
    "PRelu of one slope": ([("PRelu", "x s", "y")], {"s": floats(1)}),
    "PRelu with a batch axis": ([("PRelu", "x s", "y")], {"s": K[None]}),
    "MatMul, Add": ([("Flatten", "x", "a"), ("MatMul", "a w", "b"), ("Add", "c b", "y")], {"w": ROWS, "c": floats(7)}),
    "MatMul used twice": (
        [("Flatten", "x", "a"), ("MatMul", "a w", "b"), ("Add", "b c", "d"), ("Mul", "d b", "y")],
        {"w": ROWS, "c": floats(7)},
    ),
    "batch norm of rows": (
        [("Flatten", "x", "a"), ("BatchNormalization", "a v b b v", "y")],
        {"v": floats(120) ** 2, "b": floats(120)},
    ),
    "batch norm, momentum 0": ([("BatchNormalization", "x v b b v", "y", {"momentum": 0.0})], {"v": V, "b": B}),
    "ReduceMean": ([("ReduceMean", "x a", "y")], {"a": ints(-1, -2)}),
    "ReduceMean without the axes": ([("ReduceMean", "x a", "y", {"keepdims": 0})], {"a": ints(2, 3)}),
    "shuffle": (
        [("Reshape", "x a", "b"), ("Transpose", "b", "c", {"perm": [0, 2, 1, 3, 4]}), ("Reshape", "c d", "y")],
        {"a": ints(0, 2, 2, 6, 5), "d": ints(0, -1, 6, 5)},
    ),
    "images last": (
        [
            ("Transpose", "x", "a", {"perm": [0, 3, 1, 2]}),
            ("Relu", "a", "b"),
            ("Transpose", "b", "y", {"perm": [0, 2, 3, 1]}),
        ],
    ),
    "Squeeze, Unsqueeze": (
        [("GlobalAveragePool", "x", "a"), ("Squeeze", "a q", "b"), ("Unsqueeze", "b q", "c"), ("Mul", "x c", "y")],
        {"q": ints(2, 3)},
    ),
    "a shape put together": ([*PATTERN, ("Reshape", "x t", "a"), ("MatMul", "a w", "y")], SHAPES),
    "a size computed": (
        [
            ("Shape", "x", "s"),
            ("Slice", "s one end", "r"),
            ("ReduceProd", "r", "p", {"keepdims": 1}),
            ("Div", "p two", "h"),
            ("Cast", "h", "f", {"to": FLOAT}),
            ("Floor", "f", "g"),
            ("Cast", "g", "i", {"to": onnx.TensorProto.INT64}),
            ("Concat", "minus two i", "t", {"axis": 0}),
            ("Reshape", "x t", "y"),
        ],
        {"one": ints(1), "end": ints(9), "two": ints(2), "minus": ints(-1)},
    ),
    "weights put together": (
        [
            ("ConstantOfShape", "four", "v", {"value": onnx.numpy_helper.from_array(np.float32([0.5]))}),
            ("Mul", "v b", "c"),
            ("Transpose", "w", "u", {"perm": [1, 0, 3, 2]}),
            ("Unsqueeze", "c q", "d"),
            ("Squeeze", "d q", "e"),
            ("Conv", "x u e", "y"),
        ],
        {"four": ints(4), "b": B, "w": W, "q": ints(0)},
    ),
    "Tile": ([("Tile", "x r", "y")], {"r": ints(1, 2, 1, 3)}),
    "Tile by ones": ([("Tile", "x r", "a"), ("Relu", "a", "y")], {"r": ints(1, 1, 1, 1)}),
    "pixels repeated, as Keras writes it": (
        [
            ("Unsqueeze", "x q", "a"),
            ("Tile", "a r", "b"),
            ("Shape", "x", "s"),
            ("Slice", "s zeros one", "n"),
            ("Concat", "n t", "u", {"axis": 0}),
            ("Reshape", "b u", "y"),
        ],
        {"q": ints(3), "r": ints(1, 1, 1, 2, 1), "zeros": ints(0), "one": ints(1), "t": ints(4, 12, 5)},
    ),
    "Pad": (
        [("Pad", "x p", "a"), ("MaxPool", "a", "y", {"kernel_shape": [2, 2]})],
        {"p": ints(0, 0, 1, 0, 0, 0, 0, 2)},
    ),
    "SAME_LOWER": ([("Conv", "x w", "y", {"auto_pad": "SAME_LOWER", "strides": [2, 2]})], {"w": W}),
    "ConvTranspose": ([("ConvTranspose", "x w b", "y", {"strides": [2, 1], "pads": [0, 1, 1, 0]})], {"w": W, "b": B}),
    "ConvTranspose, SAME_UPPER": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "auto_pad": "SAME_UPPER"})],
        {"w": W},
    ),
    "ConvTranspose, SAME_LOWER": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "auto_pad": "SAME_LOWER"})],
        {"w": W},
    ),
    "ConvTranspose, output_shape": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [12, 9]})],
        {"w": W},
    ),
    "ceil_mode, no window beyond": (
        [
            (
                "AveragePool",
                "x",
                "y",
                {"kernel_shape": [2, 1], "strides": [2, 1], "ceil_mode": 1, "count_include_pad": 1},
            )
        ],
    ),
    "no more than is needed": ([("Sin", "x", "z"), ("Relu", "x", "y"), ("LRN", "y", "q", {"size": 3})],),
    "nodes without names that a Graph takes": ([("Relu", "x", "a.b"), ("Tanh", "x", "a:b"), ("Add", "a.b x", "y")],),
}


NEEDS = {"LayerNormalization, a scale that is repeated": "1.24", "Resize, axes": "1.27", "Pad": "1.32"}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=k, marks=[needs("onnxruntime", NEEDS.get(k, "1.19"))]) for k, case in CASES.items()],
)
def test_graphs_compute_what_onnxruntime_does(tmp_path, case):
    path = written(tmp_path / "model.onnx", *case)
    x = floats(3, *IMAGES) * 3
    model = io.import_onnx(path)
    assert_close(model.forward(x), run(path, x))
    assert not model.training
    if not isinstance(model, nn.Graph) or model.inputs == ("x",):
        io.export_onnx(model, tmp_path / "again.onnx", IMAGES)
        assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_convolutions_take_the_algorithm(tmp_path):
    constants = {"w": floats(32, 32, 3, 3), "v": floats(2, 32, 1, 1)}
    nodes = [("Conv", "x w", "h", {"pads": [1, 1, 1, 1]}), ("Conv", "h v", "y")]
    path = written(tmp_path / "model.onnx", nodes, constants, (32, 14, 14))
    x = floats(2, 32, 14, 14)
    direct, auto = io.import_onnx(path), io.import_onnx(path, algorithm="auto")
    assert [layer.algorithm for layer in (*direct.layers, *auto.layers)] == ["direct"] * 2 + ["auto"] * 2
    assert [row.algorithm for row in auto.summary((32, 14, 14)).layers] == ["winograd", "direct"]
    assert_close(auto.forward(x), run(path, x))
    with pytest.raises(ValueError, match="algorithm: expected one of 'direct', 'auto', got 'winograd'"):
        io.import_onnx(path, algorithm="winograd")


def test_what_is_one_layer_becomes_one(tmp_path):
    for name, kind in {
        "SiLU": nn.SiLU,
        "SiLU, other order": nn.SiLU,
        "hard swish in two": nn.HardSwish,
        "residual": nn.Conv2d,
    }.items():
        model = io.import_onnx(written(tmp_path / "model.onnx", *CASES[name]))
        assert type(model.layers[0]) is kind, name
        assert type(model) is (nn.Graph if name == "residual" else nn.Sequential)
    model = io.import_onnx(written(tmp_path / "model.onnx", *CASES["MatMul, Add"]))
    assert [type(layer) for layer in model.layers] == [nn.Flatten, nn.Affine]
    model = io.import_onnx(written(tmp_path / "model.onnx", *CASES["residual"]))
    assert [(name, *inputs) for name, _, *inputs in model.lines] == [("n0", "x"), ("n1", "n0", "x"), ("n2", "n1")]


def test_groups_become_one_layer(tmp_path):
    model = io.import_onnx(written(tmp_path / "model.onnx", *CASES["groups as older exporters write them"]))
    assert [type(layer) for layer in model.layers] == [nn.GroupNorm, nn.Scale, nn.Bias]
    assert repr(model[0]) == "GroupNorm(2, 4, eps=0.5, affine=False)"
    model = io.import_onnx(written(tmp_path / "model.onnx", *CASES["groups with a scale before they are taken apart"]))
    assert [type(layer) for layer in model.layers] == [nn.Reshape, nn.InstanceNorm2d, nn.Reshape]


@needs("onnx", "1.18")
def test_group_normalization_of_numbers_per_channel(tmp_path):
    nodes, constants = [("GroupNormalization", "x v b", "y", {"num_groups": 2})], {"v": floats(4), "b": floats(4)}
    x = floats(3, *IMAGES) * 3
    path = written(tmp_path / "model.onnx", nodes, constants, opset=21)
    model = io.import_onnx(path)
    assert repr(model[0]) == "GroupNorm(2, 4)"
    assert_close(model.forward(x), run(path, x))
    path = written(tmp_path / "model.onnx", nodes, {"v": floats(2), "b": floats(2)}, opset=18)
    with pytest.raises(ValueError, match="GroupNormalization is deprecated"):
        io.import_onnx(path)


SCALES = np.array([1, 1, 2, 3], np.float32)
OLD = {
    "Clip": ([("Clip", "x", "y", {"min": -1.0, "max": 1.5})], {}, 7, 10),
    "Clip, one bound": ([("Clip", "x", "y", {"min": 0.5})], {}, 7, 10),
    "Dropout": ([("Dropout", "x", "y", {"ratio": 0.25})], {}, 7, 11),
    "Softmax of all that follows": ([("Softmax", "x", "y")], {}, 7, 12),
    "LogSoftmax, last axis": ([("LogSoftmax", "x", "y", {"axis": 3})], {}, 7, 12),
    "Softmax of pooled channels": ([("GlobalAveragePool", "x", "a"), ("Softmax", "a", "y")], {}, 7, 12),
    "Resize": ([("Resize", "x s", "y", {"mode": "nearest"})], {"s": SCALES}, 10, 10),
    "Resize, linear": ([("Resize", "x s", "y", {"mode": "linear"})], {"s": SCALES}, 10, 10),
    "Upsample": ([("Upsample", "x s", "y")], {"s": SCALES}, 9, 9),
    "Upsample, linear": ([("Upsample", "x s", "y", {"mode": "linear"})], {"s": SCALES}, 9, 9),
    "Upsample, scales as an attribute": ([("Upsample", "x", "y", {"scales": [1.0, 1.0, 2.0, 3.0]})], {}, 7, 8),
    "Squeeze": ([("GlobalAveragePool", "x", "a"), ("Squeeze", "a", "y", {"axes": [2, 3]})], {}, 7, 12),
    "Unsqueeze": ([("Unsqueeze", "b", "c", {"axes": [1, 2]}), ("Mul", "x c", "y")], {"b": B}, 7, 12),
    "ReduceMean": ([("ReduceMean", "x", "y", {"axes": [2, 3], "keepdims": 1})], {}, 7, 17),
    "Slice": ([("Slice", "x", "y", {"starts": [1], "ends": [3], "axes": [1]})], {}, 7, 9),
    "Split": ([("Split", "x", "a b", {"axis": 1, "split": [1, 3]}), ("Add", "a b", "y")], {}, 7, 12),
    "Pad": ([("Pad", "x", "y", {"pads": [0, 0, 1, 0, 0, 0, 0, 2], "mode": "constant"})], {}, 7, 10),
    "BatchNormalization": ([("BatchNormalization", "x v b b v", "y")], {"v": V, "b": B}, 7, 13),
    "MaxPool": ([("MaxPool", "x", "y", {"kernel_shape": [2, 2]})], {}, 7, 9),
    "Gemm": ([("Flatten", "x", "a"), ("Gemm", "a w c", "y")], {"w": ROWS, "c": floats(7)}, 7, 10),
}


@pytest.mark.parametrize(("nodes", "constants", "first", "last"), OLD.values(), ids=OLD)
def test_old_forms_of_operators(tmp_path, nodes, constants, first, last):
    x = floats(3, *IMAGES)
    for opset in {first, (first + last) // 2, last}:
        path = written(tmp_path / "model.onnx", nodes, constants, opset=opset)
        assert_close(io.import_onnx(path).forward(x), run(path, x))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    "coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]
)
def test_resizing_by_every_coordinate(tmp_path, coordinates, mode):
    """Whole factors, a size with an axis of length 1, and scales of which float32 has the ratio of the lengths."""
    x = floats(2, *IMAGES)
    roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] if mode == "nearest" else [None]
    for rounding in roundings:
        for inputs in ("x none two", "x none none odd", "x none half" if rounding else "x none third"):
            named = {"mode": mode, "coordinate_transformation_mode": coordinates}
            if rounding:
                named["nearest_mode"] = rounding
            nodes = [("Resize", inputs, "y", named)]
            path = written(tmp_path / "model.onnx", nodes, RESIZED | {"odd": ints(2, IMAGES[0], 9, 1)}, opset=19)
            assert_close(io.import_onnx(path).forward(x), run(path, x))


def test_a_size_goes_without_that_of_the_images(tmp_path):
    nodes = [("Resize", "x none none pair", "y", {"mode": "linear", "axes": [2, 3]})]
    path = written(tmp_path / "model.onnx", nodes, RESIZED, shape=(4, "h", "w"))
    for size in (5, 6), (8, 3):
        x = floats(2, 4, *size)
        assert_close(io.import_onnx(path).forward(x), run(path, x))


@pytest.mark.parametrize("dynamo", [True, False])
def test_torchs_interpolate(tmp_path, dynamo):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if dynamo:
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    resize = torch.nn.functional.interpolate
    calls = [
        dict(scale_factor=2),
        dict(scale_factor=(2, 3), mode="bilinear"),
        dict(size=(7, 4), mode="bilinear", align_corners=True),
        dict(size=(3, 12), mode="bilinear"),
        dict(scale_factor=0.5, mode="bilinear"),
        dict(size=(9, 8), mode="nearest"),
    ]

    class Resizing(torch.nn.Module):
        def forward(self, x):
            return resize(torch.nn.functional.relu(x), **call)

    for call in calls:
        x = torch.randn(2, 3, 6, 4)
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(Resizing().eval(), (x,), tmp_path / "model.onnx", dynamo=dynamo)
        found = io.import_onnx(tmp_path / "model.onnx").forward(x.numpy())
        assert_close(found, resize(x.relu(), **call).numpy())


def test_the_number_of_images_is_open_whatever_the_file_says(tmp_path):
    nodes = [("Reshape", "x s", "a"), ("MatMul", "a w", "y")]
    path = written(tmp_path / "model.onnx", nodes, {"s": ints(1, 120), "w": ROWS}, batch=1)
    x = floats(3, *IMAGES)
    model = io.import_onnx(path)
    assert_close(model.forward(x[1:2]), run(path, x[1:2]))
    assert np.array_equal(model.forward(x)[1:2], model.forward(x[1:2]))


def test_sizes_that_are_open(tmp_path):
    nodes = [("Conv", "x w", "a"), ("Softmax", "a", "b", {"axis": 1}), ("Shape", "b", "s"), ("Gather", "s zero", "n")]
    nodes += [("Unsqueeze", "n zeros", "m"), ("Concat", "m rest", "t", {"axis": 0}), ("Reshape", "b t", "y")]
    path = written(tmp_path / "model.onnx", nodes, SHAPES | {"w": W}, shape=(4, "h", "w"))
    for size in (5, 6), (8, 3):
        x = floats(2, 4, *size)
        assert_close(io.import_onnx(path).forward(x), run(path, x))


def test_several_inputs_and_one_of_several_outputs(tmp_path):
    nodes = [("Relu", "x", "a"), ("Add", "a z", "b"), ("Tanh", "b", "c")]
    path = written(tmp_path / "model.onnx", nodes, inputs=("x", "z"), outputs=("b", "c"))
    x, z = floats(3, *IMAGES), floats(3, *IMAGES)
    for name in "bc":
        model = io.import_onnx(path, output=name)
        assert model.inputs == ("x", "z")
        assert_close(model.forward(x, z), run(path, x, z, output=name))
    with pytest.raises(ValueError, match=r"expected one output, or which of them, got \['b', 'c'\]"):
        io.import_onnx(path)
    with pytest.raises(ValueError, match=r"output: expected the name of a value, such as \['b', 'c'\], got 'd'"):
        io.import_onnx(path, output="d")


def test_an_input_that_no_node_takes(tmp_path):
    """Keras' normalisation leaves its mean behind as one, once tf2onnx has computed what it was for."""
    path = written(tmp_path / "model.onnx", [("Relu", "x", "a"), ("Tanh", "a", "y")], inputs=("mean", "x"))
    model, x = io.import_onnx(path), floats(2, *IMAGES)
    assert (type(model), model.inputs) == (nn.Sequential, ("x",))
    assert_close(model.forward(x), np.tanh(np.maximum(x, 0)))


# ------------------------------------------------------------------------------------------ torch's dialects


@pytest.mark.parametrize(
    "options", [{}, {"external_data": False}, {"dynamo": False}], ids=["default", "one file", "older"]
)
def test_torchs_exporters(tmp_path, capsys, options):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if options.get("dynamo", True):
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    torch.manual_seed(0)

    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1)
            self.bn, self.act = torch.nn.BatchNorm2d(8, momentum=1.0), torch.nn.ReLU6()
            self.pool, self.head = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Linear(8, 5)

        def forward(self, x):
            x = torch.nn.functional.silu(self.a(x))
            x = torch.cat([x, self.act(x + self.bn(self.b(x)))], 1)[:, 4:12]
            return self.head(self.pool(x).flatten(1))

    network, x = Residual().eval(), torch.randn(2, 3, 8, 8)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(network, (x,), tmp_path / "model.onnx", **options)
    model = io.import_onnx(tmp_path / "model.onnx")
    assert_close(model.forward(x.numpy()), network(x).detach().numpy())


@pytest.mark.parametrize("options", [{}, {"dynamo": False}], ids=["default", "older"])
def test_torchs_normalisations(tmp_path, capsys, options):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if options.get("dynamo", True):
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    torch.manual_seed(0)
    layers = [torch.nn.GroupNorm(2, 4), torch.nn.InstanceNorm2d(4, affine=True), torch.nn.LayerNorm((6, 5), eps=0.5)]
    network, x = torch.nn.Sequential(*layers, torch.nn.GroupNorm(1, 4, affine=False)).eval(), torch.randn(2, 4, 6, 5)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(network, (x,), tmp_path / "model.onnx", **options)
    model = io.import_onnx(tmp_path / "model.onnx")
    assert_close(model.forward(x.numpy()), network(x).detach().numpy())
    assert any(isinstance(layer, nn.GroupNorm) for layer in model.layers)


# ------------------------------------------------------------------------------------------ published networks


@pytest.mark.parametrize(
    "name", ["densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet"]
)
def test_a_published_network(name, tmp_path):
    """Of onnx's test data, whose weights are all alike, so that outputs say nothing: with others in their place."""
    path = Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this onnx comes without the networks")
    model, rng = onnx.load(path), np.random.default_rng(7)
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":  # how these files write a weight
            continue
        shape = onnx.numpy_helper.to_array(next(i for i in model.graph.initializer if i.name == node.input[0]))
        fan = max(1, int(np.prod(shape[1:])))
        weight = rng.normal(0, (2 / fan) ** 0.5, shape) if len(shape) > 1 else rng.uniform(0.5, 1, shape)
        tensor = onnx.numpy_helper.from_array(weight.astype(np.float32))
        node.CopyFrom(onnx.helper.make_node("Constant", [], list(node.output), name=node.name, value=tensor))
    onnx.save(model, tmp_path / "model.onnx")
    known = {one.name for one in model.graph.initializer}
    entry = next(one for one in model.graph.input if one.name not in known)
    x = rng.random([axis.dim_value for axis in entry.type.tensor_type.shape.dim], np.float32)
    expected, found = run(tmp_path / "model.onnx", x), io.import_onnx(tmp_path / "model.onnx").forward(x)
    assert np.ptp(expected) > 0
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


# ------------------------------------------------------------------------------------------ files beside the model


def beside(path, location="weights.bin", **entries):
    """A convolution whose weights stand in another file."""
    model = model_of([("Conv", "x w", "y")], {"w": W})
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location, **entries)
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_a_file_of_their_own(tmp_path):
    x, size = floats(2, *IMAGES), W.nbytes
    (tmp_path / "inner").mkdir()
    for location, start in (("weights.bin", 0), ("inner/weights.bin", 16)):
        (tmp_path / location).write_bytes(b"\0" * start + W.tobytes() + b"\1" * start)
        path = beside(tmp_path / "model.onnx", location, offset=start, length=size)
        assert_close(io.import_onnx(path).forward(x), run(path, x))
    for entries, message in [
        (
            dict(offset=4, length=size),
            "expected 576 bytes for shape .* in 'weights.bin', a file of 576, got 576 from 4",
        ),
        (dict(offset=-4, length=size), "from -4"),
        (dict(length=size - 4), "got 572 from 0"),
        (dict(offset=2**70), "from 1180591620717411303424"),
    ]:
        with pytest.raises(ValueError, match=f"w: .*{message}"):
            io.import_onnx(beside(tmp_path / "model.onnx", **entries))
    (tmp_path / "weights.bin").write_bytes(W.tobytes()[:-1])
    with pytest.raises(ValueError, match=r"w: expected 576 bytes .* a file of 575"):
        io.import_onnx(beside(tmp_path / "model.onnx"))


def test_no_file_outside_of_the_models_folder_is_opened(tmp_path, monkeypatch):
    folder, outside = tmp_path / "folder", tmp_path / "weights.bin"
    folder.mkdir()
    outside.write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)  # where onnx's own checker would look
    for location in (
        "../weights.bin",
        str(outside),
        "link.bin",
        "up/weights.bin",
        "",
        "./../folder/../weights.bin",
        "a\0b",
    ):
        with pytest.raises(ValueError, match="w: expected its numbers in a file within the model's folder, got"):
            io.import_onnx(beside(folder / "model.onnx", location))
    for location in ("weights.bin", ".", "up", "/dev/zero"):
        with pytest.raises(ValueError, match="w: expected its numbers in"):
            io.import_onnx(beside(folder / "model.onnx", location))
    os.mkfifo(folder / "pipe")
    with pytest.raises(ValueError, match="w: expected its numbers in 'pipe'"):
        io.import_onnx(beside(folder / "model.onnx", "pipe"))
    model = model_of([("ConstantOfShape", "s", "w"), ("Conv", "x w", "y")], {"s": ints(4, 4, 3, 3)})
    value = model.graph.node[0].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t
    value.CopyFrom(onnx.numpy_helper.from_array(W))
    onnx.external_data_helper.set_external_data(value, "weights.bin")
    value.ClearField("raw_data")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        ValueError, match=r"node 'n0' \(ConstantOfShape\): expected numbers in the file, got some in another"
    ):
        io.import_onnx(folder / "model.onnx")


# ------------------------------------------------------------------------------------------ refusals


def test_all_that_cannot_be_read_is_said_at_once(tmp_path):
    nodes = [
        ("Sin", "x", "a"),
        ("Conv", "a w", "b", {"group": 3}),
        ("Relu", "b", "c"),
        ("MaxPool", "c", "d i", {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        ("Add", "d d", "e"),
        ("Cos", "e", "y"),
        ("Sin", "e", "z"),  # nothing needs it
    ]
    with pytest.raises(ValueError, match=r"model\.onnx: expected an ONNX model that cnnx has layers for: ") as caught:
        io.import_onnx(written(tmp_path / "model.onnx", nodes, {"w": W}))
    said = str(caught.value).partition("layers for: ")[2].split("; ")
    assert [each.partition(":")[0] for each in said] == [
        "node 'n0' (Sin)",
        "node 'n1' (Conv)",
        "node 'n3' (MaxPool)",
        "node 'n5' (Cos)",
    ]
    unknown = model_of([("Sinn", "x", "a"), ("Coss", "a", "y")])
    unknown.graph.node[0].input.append("nothing")
    (tmp_path / "model.onnx").write_bytes(unknown.SerializeToString())
    with pytest.raises(ValueError, match=r"node 'n0' \(Sinn\): .*; node 'n1' \(Coss\): .*; no valid ONNX"):
        io.import_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        (
            [("Reshape", "x s", "y")],
            {"s": ints(-1, 60)},
            "output 'y': expected values with the images first, got axis 0, wi",
        ),
        ([("Reshape", "x s", "y")], {"s": ints(0, 60)}, r"shape: expected the 120 numbers of an image"),
        ([("Reshape", "x s", "y")], {"s": ints(3, -1)}, r"shape: expected the images' number first, .* got \[3, -1\]"),
        (
            [("Reshape", "x s", "y")],
            {"s": ints(-1)},
            "output 'y': expected values with the images first, got axis 0, with",
        ),
        (
            [("Shape", "x", "s"), ("Mul", "s s", "t"), ("Reshape", "x t", "y")],
            {},
            r"\(Reshape\): .*got \['\?', 16, 36, 25\]",
        ),
        ([("Transpose", "x", "y")], {}, "output 'y': expected values with the images first, got axis 3"),
        (
            [("Transpose", "x", "y", {"perm": [1, 0, 2, 3]})],
            {},
            "output 'y': expected values with the images first, got",
        ),
        ([("Transpose", "x", "y", {"perm": [1, 0, 2, 2]})], {}, "perm: expected each of 4 axes once"),
        ([("Concat", "x x", "y", {"axis": 0})], {}, "axis: expected one behind the images'"),
        ([("Concat", "x w", "y", {"axis": 1})], {"w": floats(1, 4, 6, 5)}, "got a constant among them"),
        ([("Split", "x", "y b", {"axis": 0, "num_outputs": 2})], {}, "axis: expected one behind the images'"),
        ([("Squeeze", "x a", "y")], {"a": ints(0)}, "axes: expected axes of one element behind the images'"),
        ([("Slice", "x s e a t", "y")], {"s": ints(0), "e": ints(9), "a": ints(1), "t": ints(0)}, "steps other than 0"),
        (
            [("Slice", "x s e a", "y")],
            {"s": ints(0), "e": ints(1), "a": ints(0)},
            r"axis: expected an integer from 1",
        ),
        ([("Tile", "x r", "y")], {"r": ints(2, 1, 1, 1)}, "repeats: expected 1 for the images"),
        ([("Tile", "x r", "y")], {"r": ints(1, 1, 1, 2**20)}, "repeats: expected at most 4096 tiles"),
        ([("Pad", "x p v", "y")], {"p": ints(*[0] * 7, 1), "v": floats(2)}, "value: expected one number"),
        ([("Pad", "x p", "y", {"mode": "symmetric"})], {"p": ints(*[0] * 7, 1)}, "mode: expected one of constant"),
        ([("Pad", "x p", "y")], {"p": ints(1, *[0] * 7)}, "pads: expected some for rows and columns of"),
        ([("Flatten", "x", "a"), ("Mul", "x a", "y")], {}, "expected operands of one rank"),
        ([("Div", "k x", "y")], {"k": K}, "expected a divisor that is a constant"),
        ([("Div", "x k", "y")], {"k": K * 0}, "expected a divisor that is a constant other than 0"),
        ([("Mul", "x k", "y")], {"k": floats(3, 4, 6, 5)}, "expected a constant for any number of images"),
        ([("Add", "x k", "y")], {"k": floats(1, 1, 4, 6, 5)}, "expected a constant of at most 4 axes"),
        ([("Add", "x k", "y")], {"k": floats(3)}, r"\(Add\): .*shape"),
        ([("PRelu", "x s", "y")], {"s": floats(6, 5)}, "slope: expected one number for each channel"),
        *(
            ([("Resize", inputs, "y", named)], RESIZED | {"s": scales(*factors)}, message)
            for inputs, named, factors, message in (
                ("x none two", {"mode": "cubic"}, (), "mode: expected nearest or linear, got 'cubic'"),
                ("x none two", {"antialias": 1, "mode": "linear"}, (), "antialias: expected 0, got 1"),
                (
                    "x none two",
                    {"coordinate_transformation_mode": "tf_crop_and_resize"},
                    (),
                    "got 'tf_crop_and_resize'",
                ),
                ("x none none pair", {"axes": [1, 2]}, (), r"axes: expected rows and columns, .* got \[1, 2\]"),
                ("x none none size", {"keep_aspect_ratio_policy": "not_larger"}, (), "keep_aspect_ratio_policy: "),
                ("x none s", {"mode": "linear"}, (1, 1, 1.5, 1.5), "whole number of 5 pixels, .* which makes 7.5"),
                ("x none s", {}, (1, 2, 1, 1), "scales: expected 1 and 1 for images and channels"),
                ("x none s", {}, (1, 1, 0.1, 1), "scales: expected one that leaves a pixel of 6"),
                (
                    "x none s",
                    {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
                    (1, 1, 1 / 3, 1),
                    "its rounding decides which of 6 pixels is nearest",
                ),
            )
        ),
        ([("Flatten", "x", "a"), ("MatMul", "a a", "y")], {}, r"operands of one rank, at least 3, .* got \[2\]"),
        ([("Flatten", "x", "a"), ("MatMul", "x a", "y")], {}, r"operands of one rank, at least 3, .* got \[2, 4\]"),
        ([("ReduceMean", "x a", "y")], {"a": ints(0)}, r"axes: expected some behind the images', got \[0\]"),
        ([("MaxPool", "x", "a y", {"kernel_shape": [2, 2]})], {}, "expected its first output alone to be used"),
        ([("Conv", "x x", "y")], {}, "weight: expected an array in the file, got one that depends on the images"),
        ([("Div", "a b", "w"), ("Add", "x w", "y")], {"a": ints(1), "b": ints(0)}, "expected no division by 0"),
        (
            [("Expand", "a s", "w"), ("Mul", "w w", "v"), ("Add", "x v", "y")],
            {"a": B[:1], "s": ints(2**28 + 1)},
            "at most 268435456",
        ),
        ([("ConstantOfShape", "s", "w"), ("Conv", "x w", "y")], {"s": ints(2**20, 4, 2**10, 2**10)}, r"\(Conv\): "),
        (
            [("Range", "a b c", "w"), ("Add", "x w", "y")],
            {"a": ints(0)[0], "b": ints(2**28 + 1)[0], "c": ints(1)[0]},
            "at most",
        ),
    ],
)
def test_forms_that_layers_have_not(tmp_path, nodes, constants, message):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        io.import_onnx(written(tmp_path / "model.onnx", nodes, constants))
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 1


def test_names_that_are_no_text(tmp_path):
    data = model_of([("Relu", "x", "between"), ("Tanh", "between", "y")]).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(data.replace(b"between", b"bet\xfften"))
    with pytest.raises(ValueError, match=r"names: expected text in UTF-8, got|no ONNX"):
        io.import_onnx(tmp_path / "model.onnx")


MUTABLE = model_of(
    [
        *PATTERN,
        ("Conv", "x w b", "a", {"pads": [1] * 4}),
        ("Add", "a x", "c"),
        ("Sigmoid", "c", "g"),
        ("Mul", "c g", "d"),
        ("Reshape", "d t", "e"),
        ("ConstantOfShape", "s", "k"),
        ("Gemm", "e k", "y"),
    ],
    SHAPES | {"w": W, "b": B, "s": ints(120, 3)},
).SerializeToString()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    places=st.lists(st.tuples(st.integers(0, len(MUTABLE) - 1), st.integers(1, 255)), max_size=4), kept=st.floats(0, 2)
)
def test_a_mutated_file_is_refused_in_one_line_or_a_network(tmp_path, places, kept):
    spoiled = bytearray(MUTABLE)
    for place, bits in places:
        spoiled[place] ^= bits
    if kept < 1:
        del spoiled[int(kept * len(spoiled)) :]
    path = tmp_path / "model.onnx"
    path.write_bytes(spoiled)
    start = time.perf_counter()
    try:
        assert isinstance(io.import_onnx(path), nn.Graph)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    assert time.perf_counter() - start < 1

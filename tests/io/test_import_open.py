"""ONNX graphs whose rows and columns are open, read once and run on several sizes."""

import warnings

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import assert_close, floats, ints, needs, run, written  # noqa: E402

NAMES = [
    "bilinear",
    "nearest",
    "corners",
    "padded",
    "cropped",
    "shuffled",
    "detection",
    "gated",
    "pyramid",
    "attention",
]
OPEN = (4, "h", "w")


@pytest.mark.parametrize("how", ["dynamo", "older"])
@pytest.mark.parametrize("name", [*NAMES, "bordered"])
def test_networks_of_torch_on_several_sizes(tmp_path, name, how):
    pytest.importorskip("torch", reason="it writes the networks")
    if how == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    from open_networks import export

    path = tmp_path / "model.onnx"
    with warnings.catch_warnings(action="ignore"):
        export(name, path, how)
    model = io.import_onnx(path)
    for shape in ((1, 3, 24, 32), (2, 3, 40, 16), (3, 3, 28, 36), (1, 3, 27, 33)):
        x = np.random.default_rng(1).standard_normal(shape).astype("f4")
        assert_close(model.forward(x), run(path, x))


SIZE = [
    ("Shape", "x", "s"),
    ("Slice", "s i2 i4 i0", "hw"),
]
CONSTANTS = {
    "none": np.zeros(0, "f4"),
    "i0": ints(0),
    "i1": ints(1),
    "i2": ints(2),
    "i4": ints(4),
    "nc": ints(1, 4),
    "two": ints(2),
    "half": ints(7),
}
RESIZE = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def sizes(*nodes, constants=(), last="size"):
    """A Resize to a size that these nodes make of x's, of what is half of it."""
    return (
        [
            *SIZE,
            *nodes,
            ("Concat", f"nc {last}", "target", {"axis": 0}),
            ("MaxPool", "x", "small", {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("Resize", "small none none target", "y", RESIZE),
        ],
        CONSTANTS | dict(constants),
    )


ARITHMETIC = {
    "as it is": sizes(last="hw"),
    "twice": sizes(("Mul", "hw two", "size")),
    "plus, minus, divided": sizes(("Add", "hw i2", "a"), ("Div", "a two", "b"), ("Sub", "b i1", "size")),
    "the rest": sizes(("Mod", "hw half", "a"), ("Add", "a i1", "size")),
    "at least": sizes(("Max", "hw half", "size")),
    "at most": sizes(("Min", "half hw", "size")),
    "in float32, rounded down": sizes(
        ("Cast", "hw", "f", {"to": 1}), ("Mul", "f scale", "g"), ("Floor", "g", "h"), ("Cast", "h", "size", {"to": 7}),
        constants={"scale": np.array([1.7], "f4")},
    ),
    "in float32, rounded up": sizes(
        ("Cast", "hw", "f", {"to": 1}), ("Div", "f scale", "g"), ("Ceil", "g", "h"), ("Cast", "h", "size", {"to": 7}),
        constants={"scale": np.array([1.7], "f4")},
    ),
    "one by one": sizes(
        ("Gather", "s first", "h", {"axis": 0}), ("Gather", "s second", "w", {"axis": 0}),
        ("Unsqueeze", "h i0", "h1"), ("Unsqueeze", "w i0", "w1"), ("Concat", "w1 h1", "size", {"axis": 0}),
        constants={"first": np.int64(2), "second": np.int64(-1)},
    ),
    "chosen by what is no size": sizes(("Equal", "hw minus", "c"), ("Where", "c i1 hw", "size"),
                                       constants={"minus": ints(-1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic_on_open_sizes(tmp_path, name):
    nodes, constants = ARITHMETIC[name]
    path = written(tmp_path / "m.onnx", nodes, constants, OPEN)
    model = io.import_onnx(path)
    for rows, columns in ((6, 10), (7, 9), (12, 5)):
        x = floats(1, 4, rows, columns)
        assert_close(model.forward(x), run(path, x))


MOVES = {
    "Slice": ([*SIZE, ("Slice", "x i1 half i2", "a"), ("Slice", "a i0 i4 i2", "y")], {}),
    "steps": ([("Slice", "x ones far axes steps", "y")],
              {"ones": ints(1, -1), "far": ints(2**62, -(2**62)), "axes": ints(2, 3), "steps": ints(2, -1)}),
    "both ends at once": (
        [*SIZE, ("MaxPool", "x", "p", {"kernel_shape": [2, 2], "strides": [1, 1]}), ("Sub", "hw two", "ends"),
         ("Slice", "p starts ends axes", "y")],
        {"starts": ints(1, 0), "axes": ints(2, 3)},
    ),
    "SpaceToDepth": ([("SpaceToDepth", "x", "y", {"blocksize": 2})], {}),
    "DepthToSpace": ([("DepthToSpace", "x", "y", {"blocksize": 2, "mode": "CRD"})], {}),
    "Unsqueeze": ([("Unsqueeze", "x i1", "a"), ("Squeeze", "a i1", "y")], {}),
    "ReduceMean": ([("ReduceMean", "x i1", "y", {"keepdims": 0})], {}),
    "ReduceSum": ([("ReduceSum", "x i1", "y")], {}),
    "ReduceMin": ([("ReduceMin", "x i2", "y")], {}),
    "ReduceL2": ([("ReduceL2", "x i1", "y")], {}),
    "ReduceMax": ([("ReduceMax", "x all", "y", {"keepdims": 0})], {"all": ints(1, 2, 3)}),
    "Expand": ([("Shape", "x", "s"), ("GlobalAveragePool", "x", "p"), ("Expand", "p s", "y")], {}),
    "Pad": ([("Pad", "x pads", "y", {"mode": "reflect"})], {"pads": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    "Pad, axes": ([("Pad", "x pads value axes", "y")],
                  {"pads": ints(1, 2, 3, 0), "value": np.float32(2.5), "axes": ints(-1, 2)}),
    "half": ([("Resize", "x none scales", "y", RESIZE)], {"scales": np.array([1, 1, 0.5, 1.5], "f4")}),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_moves_of_open_sizes(tmp_path, name):
    nodes, constants = MOVES[name]
    path = written(tmp_path / "m.onnx", nodes, CONSTANTS | constants, OPEN)
    model = io.import_onnx(path)
    for rows, columns in ((6, 10), (8, 8), (10, 6)):
        x = floats(2, 4, rows, columns)
        assert_close(model.forward(x), run(path, x))


REFUSED = [
    # That sizes are equal is not known before they are there; 1000 of them are no more equal than any other number.
    ([("Shape", "x", "s"), ("Equal", "s ones", "c"), ("Where", "c s ones", "t"), ("Reshape", "x t", "y")],
     {"ones": ints(1, 4, 7, 7)}, r"\(Equal\): expected sizes that it depends on"),
    ([("Shape", "x", "s"), ("Reshape", "x flat", "a"), ("Shape", "a", "t"), ("Reshape", "x t", "y")],
     {"flat": ints(-1, 4)}, r"\(Reshape\): shape: expected the images' number first"),
    ([("Resize", "x none scales", "y", {"mode": "cubic"})], CONSTANTS | {"scales": np.ones(4, "f4")},
     "mode: expected nearest or linear, got 'cubic'"),
    ([("Pad", "x pads", "y")], {"pads": ints(0, 1, 0, 0, 0, 0, 0, 0)}, "pads: expected some for rows and columns"),
    ([("Pad", "x pads", "y")], {"pads": ints(0, 0, -1, 0, 0, 0, 0, 0)}, "pads: expected none below 0, which Slice"),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "message"), REFUSED)
def test_what_open_sizes_do_not_say(tmp_path, nodes, constants, message):
    with pytest.raises(ValueError, match=message):
        io.import_onnx(written(tmp_path / "m.onnx", nodes, constants, OPEN))


def test_a_scale_that_leaves_part_of_a_pixel_is_said_at_the_call(tmp_path):
    nodes, constants = MOVES["half"]
    model = io.import_onnx(written(tmp_path / "m.onnx", nodes, CONSTANTS | constants, OPEN))
    with pytest.raises(ValueError, match=r"0\.5 of 7 is no whole number"):
        model.forward(floats(1, 4, 7, 8))


def test_weights_that_fix_the_size_say_so_at_the_call(tmp_path):
    nodes = [("Flatten", "x", "rows"), ("Gemm", "rows w", "y", {"transB": 1})]
    path = written(tmp_path / "m.onnx", nodes, {"w": floats(3, 4 * 6 * 5)}, OPEN)
    model, x = io.import_onnx(path), floats(2, 4, 6, 5)
    assert_close(model.forward(x), run(path, x))
    with pytest.raises(ValueError, match="120"):
        model.forward(floats(2, 4, 6, 6))


def test_sizes_may_be_given(tmp_path):
    nodes, constants = REFUSED[0][:2]
    path = written(tmp_path / "m.onnx", nodes, constants, OPEN)
    model, x = io.import_onnx(path, input_shape=(1, 4, 7, 7)), floats(1, 4, 7, 7)
    assert_close(model.forward(x), run(path, x))
    assert repr(io.import_onnx(path, input_shape={"x": (1, 4, 7, 7)})) == repr(model)
    for shape, message in (
        ((1, 3, 7, 7), r"input_shape: expected 'x' to be \[.*4, None, None\] \(None: any\), got \(1, 3, 7, 7\)"),
        ((1, 4, 7), "input_shape: expected 'x' to be"),
        ((1, 4, 0, 7), r"input_shape\[2\]: expected an integer from 1"),
        ({"z": (1, 4, 7, 7)}, "input_shape: expected the name of an input, of .*x.*got 'z'"),
        ((), "input_shape: expected the integers"),
    ):
        with pytest.raises(ValueError, match=message):
            io.import_onnx(path, input_shape=shape)


def test_a_network_of_open_sizes_is_saved_and_exported(tmp_path):
    nodes, constants = ARITHMETIC["twice"]
    path = written(tmp_path / "m.onnx", nodes, constants, OPEN)
    model, x = io.import_onnx(path), floats(1, 4, 6, 10)
    io.save_model(model, tmp_path / "model.cnnx")
    assert np.array_equal(io.load_model(tmp_path / "model.cnnx").forward(x), model.forward(x))
    io.export_onnx(model, tmp_path / "again.onnx", (4, 6, 10))
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))
    assert isinstance(model, nn.Graph)


def rms(x, axis, scale, eps):
    """The equation, in double."""
    x = x.astype(np.float64)
    axes = tuple(range(axis, x.ndim))
    return (x / np.sqrt(np.mean(x**2, axis=axes, keepdims=True) + eps) * scale).astype("f4")


@needs("onnx", "1.18")
@pytest.mark.parametrize(("axis", "shape"), [(-1, (7,)), (2, (5, 7)), (1, (4, 5, 7))])
def test_rms_normalisation(tmp_path, axis, shape):
    scale, x = floats(*shape), 3 + floats(2, 4, 5, 7)
    nodes = [("RMSNormalization", "x w", "y", {"axis": axis, "epsilon": 0.25})]
    path = written(tmp_path / "m.onnx", nodes, {"w": scale}, ("c", 5, 7) if axis != 1 else (4, 5, 7), opset=23)
    model = io.import_onnx(path)
    assert_close(model.forward(x), rms(x, axis % 4, scale, 0.25))
    model.backward(np.ones_like(x))
    assert model.gradients


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        ("LSTM", "it is recurrent"),
        ("QuantizeLinear", "of a quantised network"),
        ("ArgMax", "output= takes a value before it"),
    ],
)
def test_why_there_is_no_layer(tmp_path, operator, message):
    inputs = {"LSTM": "x w r", "QuantizeLinear": "x s", "ArgMax": "x"}[operator]
    constants = {"w": floats(1, 8, 5), "r": floats(1, 8, 2), "s": np.float32(0.5)}
    more = {"LSTM": {"hidden_size": 2}}.get(operator, {})
    path = written(tmp_path / "m.onnx", [(operator, inputs, "y", more)], constants, (4, 5))
    with pytest.raises(ValueError, match=rf"\({operator}\): expected an operator .*{message}"):
        io.import_onnx(path)


def test_axes_come_and_go_where_the_images_are_not_first(tmp_path):
    """What text recognition does with the queries of its attention: (N, L, 3, E) to 3 of (L, N, E)."""
    nodes = [
        ("Reshape", "x to", "split"),
        ("Transpose", "split", "turned", {"perm": [2, 0, 1, 3]}),
        ("Slice", "turned i1 i2 i0", "second"),
        ("Squeeze", "second i0", "rows"),
        ("Unsqueeze", "rows i0", "again"),
        ("Squeeze", "again i0", "y"),
    ]
    path = written(tmp_path / "m.onnx", nodes, CONSTANTS | {"to": ints(0, -1, 3, 4)}, ("l", 12))
    model = io.import_onnx(path)
    for length in (5, 9):
        x = floats(2, length, 12)
        assert_close(model.forward(x), run(path, x))
    shaped = io.import_onnx(path, input_shape=(1, None, 12))
    assert shaped.forward(floats(2, 3, 12)).shape == (2, 3, 4)


LOWER = {"auto_pad": "SAME_LOWER", "strides": [2, 3]}
W4, T4 = floats(3, 4, 3, 4), floats(4, 3, 3, 4)
WINDOWS = {
    "Conv": ([("Conv", "x w", "y", LOWER)], {"w": W4}),
    "Conv, steps of one": ([("Conv", "x w", "y", {"auto_pad": "SAME_LOWER"})], {"w": W4}),
    "MaxPool": ([("MaxPool", "x", "y", LOWER | {"kernel_shape": [3, 4]})], {}),
    "MaxPool, ceil_mode": ([("MaxPool", "x", "y", LOWER | {"kernel_shape": [2, 3], "ceil_mode": 1})], {}),
    "AveragePool": ([("AveragePool", "x", "y", LOWER | {"kernel_shape": [3, 4]})], {}),
    "AveragePool, padding counted": (
        [("AveragePool", "x", "y", LOWER | {"kernel_shape": [3, 4], "count_include_pad": 1})],
        {},
    ),
    "MaxPool, windows beyond": (
        [("MaxPool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1})],
        {},
    ),
    "AveragePool, windows beyond": (
        [("AveragePool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1], "ceil_mode": 1})],
        {},
    ),
    "AveragePool, steps of one": (
        [("AveragePool", "x", "y",
          {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "ceil_mode": 1, "count_include_pad": 1})],
        {},
    ),
    "ConvTranspose, a smaller output": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [9, 8]})],
        {"w": T4},
    ),
    "ConvTranspose, SAME_UPPER, a smaller output": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [9, 8], "auto_pad": "SAME_UPPER"})],
        {"w": T4},
    ),
    "ConvTranspose, output_padding": (
        [("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [10, 8], "output_padding": [1, 0]})],
        {"w": T4},
    ),
}  # fmt: skip


# onnxruntime up to 1.20, or a little later, keeps windows that begin in the padding behind and counts what lies beyond.
NEW = {
    "AveragePool, padding counted": needs("onnxruntime", "1.23"),
    "AveragePool, windows beyond": needs("onnxruntime", "1.23"),
}


@pytest.mark.parametrize(
    ("nodes", "constants"), [pytest.param(*made, id=name, marks=NEW.get(name, ())) for name, made in WINDOWS.items()]
)
def test_windows_on_open_sizes(tmp_path, nodes, constants):
    path = written(tmp_path / "m.onnx", nodes, constants, OPEN, opset=20)
    model = io.import_onnx(path)
    for rows, columns in ((5, 4), (6, 9), (7, 5), (8, 7)):
        x = floats(2, 4, rows, columns) - 3  # a zero beyond would be the largest
        assert_close(model.forward(x), run(path, x))
    io.export_onnx(model, tmp_path / "again.onnx", x.shape[1:])
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


@pytest.mark.parametrize(
    ("operator", "options"),
    [("Conv", {"dilations": [3, 1]}), ("MaxPool", {"kernel_shape": [1, 2]}), ("LpPool", {"kernel_shape": [1, 2]})],
)
def test_windows_that_onnxruntime_does_not_take(tmp_path, operator, options):
    """Dilated ones, and such as leave pixels out: the same as where the file has the sizes."""
    constants = {"w": W4} if operator == "Conv" else {}
    nodes = [(operator, "x w" if constants else "x", "y", LOWER | options)]
    model = io.import_onnx(written(tmp_path / "open.onnx", nodes, constants, OPEN))
    for rows, columns in ((5, 4), (6, 9), (8, 11)):
        fixed = io.import_onnx(written(tmp_path / "fixed.onnx", nodes, constants, (4, rows, columns)))
        x = floats(2, 4, rows, columns) - 3
        assert np.array_equal(model.forward(x), fixed.forward(x))


def test_windows_on_open_sizes_that_are_refused(tmp_path):
    """At once where it can be known, else at the call."""
    left_out = [("AveragePool", "x", "y", LOWER | {"kernel_shape": [1, 2]})]
    with pytest.raises(
        ValueError, match=r"\(AveragePool\): auto_pad: expected NOTSET, VALID or SAME_UPPER where windows"
    ):
        io.import_onnx(written(tmp_path / "m.onnx", left_out, {}, OPEN))
    larger = [("ConvTranspose", "x w", "y", {"strides": [2, 2], "output_shape": [9, 8]})]
    model = io.import_onnx(written(tmp_path / "m.onnx", larger, {"w": T4}, OPEN))
    assert model.forward(floats(1, 4, 4, 3)).shape == (1, 3, 9, 8)
    for rows, columns in ((3, 3), (4, 2)):
        with pytest.raises(ValueError, match="start: expected an integer of at least"):
            model.forward(floats(1, 4, rows, columns))


def test_an_operator_without_a_layer_is_named_behind_others_that_are_refused(tmp_path):
    """Also where it takes a size of them: a state of zeros, as recurrent networks have it."""
    nodes = [
        ("Reshape", "x mixed", "r"),
        ("Shape", "r", "s"),
        ("Gather", "s i1", "n"),
        ("Concat", "i1 n i7", "e", {"axis": 0}),
        ("ConstantOfShape", "e", "h"),
        ("LSTM", "r w w w h h", "y", {"hidden_size": 7}),
    ]
    constants = {"mixed": ints(7, -1, 4), "i1": ints(1), "i7": ints(7), "w": floats(1, 28, 4)}
    with pytest.raises(ValueError, match=r"\(Reshape\): .*\(LSTM\): expected an operator .*: it is recurrent"):
        io.import_onnx(written(tmp_path / "m.onnx", nodes, constants, OPEN))


def test_a_table_of_open_sizes_is_refused_as_that(tmp_path):
    """Places of a grid, as detectors have them; with the sizes it is read."""
    size = [("Shape", "x", "s"), ("Gather", "s two", "h"), ("Gather", "s three", "w"), ("Range", "zero h one", "rows"),
            ("Range", "zero w one", "columns"), ("Unsqueeze", "rows i1", "column"), ("Add", "column columns", "sums"),
            ("Cast", "sums", "grid", {"to": 1}), ("Add", "x grid", "y")]  # fmt: skip
    constants = {"two": np.int64(2), "three": np.int64(3), "zero": np.int64(0), "one": np.int64(1), "i1": ints(1)}
    path = written(tmp_path / "m.onnx", size, constants, OPEN)
    with pytest.raises(
        ValueError, match=r"\(Add\): expected no table of open sizes, which input_shape= fixes, got one"
    ):
        io.import_onnx(path)
    x = floats(2, 4, 5, 6)
    assert_close(io.import_onnx(path, input_shape=(1, 4, 5, 6)).forward(x), run(path, x))

"""ONNX graphs read: operators put together of layers, normalisation in parts in any order, products of any matrices."""

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import IMAGES, assert_close, floats, ints, needs, run, written  # noqa: E402

MASK = np.tril(np.ones((6, 5), bool))
ONE = np.float32(1.5)
COMPOSED = {
    "Abs": ([("Abs", "x", "y")], {}),
    "Max with a number": ([("Max", "x c", "y")], {"c": ONE}),
    "Min with a number": ([("Min", "c x", "y")], {"c": ONE}),
    "Max of three": ([("Tanh", "x", "a"), ("Neg", "x", "b"), ("Max", "a x b", "y")], {}),
    "Min of two": ([("Tanh", "x", "a"), ("Min", "a x", "y")], {}),
    "Max with rows": ([("Max", "x r", "y")], {"r": floats(6, 5)}),
    "Max of one": ([("Max", "x", "y")], {}),
    "Where, a constant elsewhere": ([("Where", "m x c", "y")], {"m": MASK, "c": ONE}),
    "Where, -inf, as masks have it": (
        [("Where", "m c x", "a"), ("Softmax", "a", "y", {"axis": -1})],
        {"m": ~MASK, "c": np.float32(-np.inf)},
    ),
    "Where of two values": ([("Tanh", "x", "a"), ("Where", "m x a", "y")], {"m": MASK}),
    "Expand": ([("ReduceMean", "x", "a", {"axes": [1]}), ("Expand", "a s", "y")], {"s": ints(1, 4, 1, 1)}),
    "Expand by the shape of another": (
        [("ReduceMean", "x", "a", {"axes": [2, 3]}), ("Shape", "x", "s"), ("Expand", "a s", "y")],
        {},
    ),
    "ReduceSum": ([("ReduceSum", "x a", "y", {"keepdims": 0})], {"a": ints(1)}),
    "ReduceSum of maps": ([("ReduceSum", "x a", "y")], {"a": ints(2, -1)}),
    "ReduceSum of nothing": ([("ReduceSum", "x", "y", {"noop_with_empty_axes": 1})], {}),
    "ReduceMin": ([("ReduceMin", "x", "y", {"axes": [3, 1]})], {}),
    "ReduceL1": ([("ReduceL1", "x", "y", {"axes": [1]})], {}),
    "ReduceL2": ([("ReduceL2", "x", "y", {"axes": [1, 2, 3], "keepdims": 0})], {}),
    "ReduceSumSquare": ([("ReduceSumSquare", "x", "y", {"axes": [-1]})], {}),
    "Selu": ([("Selu", "x", "y")], {}),
    "Selu of other numbers": ([("Selu", "x", "y", {"alpha": 0.5, "gamma": 2.0})], {}),
    "Celu": ([("Celu", "x", "y", {"alpha": 0.5})], {}),
    "the logarithm of a softmax": ([("Softmax", "x", "a", {"axis": 1}), ("Log", "a", "y")], {}),
    "MatMul, a matrix on the left": ([("MatMul", "w x", "y")], {"w": floats(3, 6)}),
    "MatMul, a stack on the right": ([("MatMul", "x w", "y")], {"w": floats(4, 5, 2)}),
    "MatMul, a stack on the left": ([("MatMul", "w x", "y")], {"w": floats(1, 4, 2, 6)}),
}


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        pytest.param(*case, id=name, marks=[needs("onnxruntime", "1.28" if name == "ReduceSum of nothing" else "1.19")])
        for name, case in COMPOSED.items()
    ],
)
def test_operators_of_layers(tmp_path, nodes, constants):
    path, x = written(tmp_path / "model.onnx", nodes, constants, opset=17), floats(3, *IMAGES) * 2
    model = io.import_onnx(path)
    assert_close(model.forward(x), run(path, x))
    assert np.array_equal(model.compile(x.shape)(x), model.forward(x))
    io.export_onnx(model, tmp_path / "again.onnx", IMAGES)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_mish(tmp_path):
    """onnxruntime 1.30 computes it within other nodes only."""
    x = np.linspace(-6, 6, 120, dtype="float32").reshape(1, *IMAGES)
    exact = x * np.tanh(np.log1p(np.exp(x.astype("float64"))))
    found = io.import_onnx(written(tmp_path / "model.onnx", [("Mish", "x", "y")], opset=18)).forward(x)
    assert np.abs(found - exact).max() < 2e-6


def statistics(axes, square="Mul"):
    """Mean, deviation and variance."""
    squared = ("Mul", "d d", "q") if square == "Mul" else ("Pow", "d two", "q")
    return [
        ("ReduceMean", "x", "m", {"axes": axes}),
        ("Sub", "x m", "d"),
        squared,
        ("ReduceMean", "q", "v", {"axes": axes}),
        ("Add", "v eps", "e"),
    ]


ROOT = [("Sqrt", "e", "t"), ("Reciprocal", "t", "r")]
# x (r g) + (b - m (r g)), as Keras computes every normalisation; g and b may have any shape that broadcasts.
KERAS = [("Mul", "r g", "rg"), ("Mul", "x rg", "p"), ("Mul", "m rg", "s"), ("Sub", "b s", "u"), ("Add", "p u", "y")]
NORMS = {
    "of columns": [*statistics([-1]), *ROOT, *KERAS],
    "of columns and rows": [*statistics([2, 3]), *ROOT, *KERAS],
    "of channels": [*statistics([1]), *ROOT, *KERAS],
    "of rows": [*statistics([2], "Pow"), *ROOT, *KERAS],
    "of all": [*statistics([1, 2, 3]), *ROOT, *KERAS],
    "by a power": [*statistics([1]), ("Pow", "e half", "r"), *KERAS],
    "by a quotient": [*statistics([1]), ("Sqrt", "e", "t"), ("Div", "g t", "rg"), *KERAS[1:]],
    "the mean, negative": [
        *statistics([-1]),
        *ROOT,
        ("Mul", "r g", "rg"),
        ("Neg", "m", "n"),
        ("Mul", "n rg", "s"),
        ("Add", "s b", "u"),
        ("Mul", "x rg", "p"),
        ("Add", "p u", "y"),
    ],
    "the mean of squares": [
        ("Mul", "x x", "xx"),
        ("ReduceMean", "xx", "q", {"axes": [1, 2]}),
        ("ReduceMean", "x", "m", {"axes": [1, 2]}),
        ("Mul", "m m", "mm"),
        ("Sub", "q mm", "v"),
        ("Add", "v eps", "e"),
        *ROOT,
        *KERAS,
    ],
}
PARTS = {"eps": np.float32(0.25), "two": np.float32(2), "half": np.float32(-0.5), "g": floats(5), "b": floats(4, 1, 5)}


@pytest.mark.parametrize("nodes", NORMS.values(), ids=NORMS)
def test_normalisation_in_parts_in_any_order(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, PARTS, opset=17), floats(3, *IMAGES) * 3
    model = io.import_onnx(path)
    assert repr(model).count("LayerNorm(") == 1
    assert "eps=0.25" in repr(model)
    assert_close(model.forward(x), run(path, x))
    assert np.array_equal(model.compile(x.shape)(x), model.forward(x))
    io.export_onnx(model, tmp_path / "again.onnx", IMAGES)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_normalisation_behind_a_sum_is_of_the_sum(tmp_path):
    """Sums before x are no parts of it."""
    nodes = [("Tanh", "x0", "h"), ("Add", "h x0", "x"), *NORMS["of channels"]]
    path = written(tmp_path / "model.onnx", nodes, PARTS, opset=17, inputs=("x0",))
    x = floats(3, *IMAGES)
    assert_close(io.import_onnx(path).forward(x), run(path, x))


ALIKE = {
    "another mean": [
        *statistics([1])[:3],
        ("ReduceMean", "q", "v", {"axes": [2]}),
        ("Add", "v eps", "e"),
        *ROOT,
        *KERAS,
    ],
    "another factor of the mean": [*statistics([1]), *ROOT, *KERAS[:2], ("Mul", "m r", "s"), *KERAS[3:]],
    "images' mean": [*statistics([0, 1]), *ROOT, *KERAS],
    "an eps for each column": [*statistics([1])[:4], ("Add", "v g", "e"), *ROOT, *KERAS],
    "another root": [*statistics([1]), ("Pow", "e two", "r"), *KERAS],
}


@pytest.mark.parametrize("nodes", ALIKE.values(), ids=ALIKE)
def test_what_only_looks_like_normalisation_is_not_read_as_one(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, PARTS, opset=17), floats(3, *IMAGES)
    if nodes != ALIKE["another root"]:
        with pytest.raises(ValueError, match="expected"):
            io.import_onnx(path)
        return
    model = io.import_onnx(path)  # each of its nodes is a layer
    assert "LayerNorm" not in repr(model)
    assert_close(model.forward(x), run(path, x))


def test_sums_of_sums_of_a_mean_take_no_time(tmp_path):
    """A polynomial that doubles its terms with each node."""
    nodes = [("ReduceMean", "x", "v0", {"axes": [1]}), ("Sqrt", "x", "r")]
    nodes += [("Mul", f"v{i} v{i}", f"v{i + 1}") for i in range(40)]
    nodes += [("Mul", "v40 r", "p"), ("Add", "p r", "y")]
    with pytest.raises(ValueError, match=r"\(Sqrt\): expected an operator that cnnx has a layer for"):
        io.import_onnx(written(tmp_path / "model.onnx", nodes, {}, opset=17))


REFUSED = [
    ([("Where", "c x x", "y")], {"c": np.float32(1)}, "no valid ONNX|condition: expected a constant"),
    ([("Max", "x a", "y")], {"a": floats(3, 1, 1, 1)}, r"input 1: expected a constant that goes with \(4, 6, 5\)"),
    ([("ReduceMean", "x", "a", {"axes": [3]}), ("Max", "x a", "y")], {}, "expected values of one shape"),
    (
        [("Expand", "x s", "y")],
        {"s": ints(7, 1, 1, 1)},
        r"shape: expected axes of one element to become more, got axis 0",
    ),
    (
        [("ReduceMean", "x", "a", {"axes": [1]}), ("Expand", "a s", "y")],
        {"s": ints(1, 9999, 1, 1)},
        "at most 4096 copies",
    ),
    (
        [("Expand", "m s", "w"), ("Where", "w x c", "y")],
        {"m": np.array(True), "s": ints(2**16, 2**16), "c": np.float32(0)},
        "at most 268435456",
    ),
    ([("Log", "x", "y")], {}, r"\(Log\): expected a Softmax before it, since there is no layer for logarithms"),
    ([("ReduceSum", "x", "y")], {}, r"\(ReduceSum\): axes: expected some behind the images', got None"),
    ([("ReduceL2", "x", "y", {"axes": [0]})], {}, r"axes: expected some behind the images', got \[0\]"),
    ([("Celu", "x", "y", {"alpha": 0.0})], {}, "alpha: expected a number above 0, got 0"),
    ([("Celu", "x", "y", {"alpha": -2.0})], {}, "alpha: expected a number above 0, got -2"),
    ([("MatMul", "w x", "y")], {"w": floats(3, 4, 2, 6)}, "expected a constant for any number of images"),
    ([("Exp", "x", "a"), ("Reciprocal", "a", "y")], {}, r"\(Exp\): expected an op.*\(Reciprocal\): expected an op"),
]


@pytest.mark.parametrize(("nodes", "constants", "message"), REFUSED)
def test_what_cannot_be_put_together_is_refused(tmp_path, nodes, constants, message):
    with pytest.raises(ValueError, match=message):
        io.import_onnx(written(tmp_path / "model.onnx", nodes, constants, opset=17))


def test_gradients_of_what_is_put_together(tmp_path):
    """Of Max, Where and a normalisation of channels, in float64, by differences."""
    nodes = [("Tanh", "x", "h"), ("Max", "h c", "l"), ("Where", "k l x", "z"), *NORMS["of channels"]]
    nodes = [(op, *(" ".join("z" if n == "x" and i > 2 else n for n in names.split()) for names in more[:2]), *more[2:])
             for i, (op, *more) in enumerate(nodes)]  # fmt: skip
    constants = {name: np.asarray(a, np.float64) for name, a in PARTS.items()}
    constants |= {"c": floats(6, 5).astype("float64"), "k": MASK}
    model = onnx.load(written(tmp_path / "model.onnx", nodes, constants, opset=17))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, tmp_path / "model.onnx")
    network = io.import_onnx(tmp_path / "model.onnx")
    assert sum(isinstance(layer, nn.Graph) for layer in network.layers) >= 2
    x, way, delta = np.random.default_rng(1).normal(size=(3, 2, *IMAGES))
    network.forward(x)
    grad_x = network.backward(delta)
    numeric = (delta * (network.forward(x + 1e-6 * way) - network.forward(x - 1e-6 * way))).sum() / 2e-6
    assert abs((grad_x * way).sum() - numeric) <= 1e-6 * abs(numeric)


HUGE = 2**40  # elements: a few bytes of a file, of what is the same everywhere


@pytest.mark.parametrize(
    "nodes",
    [
        [("ReduceMax", "huge", "c")],
        [("ReduceSum", "huge", "c")],
        [("Mod", "huge huge", "c")],
        [("Reshape", "one huge", "c")],
        [("Expand", "two halves", "d"), ("Reshape", "d flat", "c")],
        [("ConstantOfShape", "huge", "c")],
    ],
    ids=lambda nodes: nodes[0][0],
)
def test_what_is_the_same_everywhere_is_not_walked_through(nodes, tmp_path):
    constants = {
        "one": np.int64(1),
        "extent": ints(HUGE),
        "two": np.array([[1], [2]], np.int64),
        "halves": ints(2, HUGE),
        "flat": ints(-1),
    }
    graph = [("Expand", "one extent", "huge"), *nodes, ("Cast", "c", "f", {"to": 1}), ("Add", "x f", "y")]
    with pytest.raises(ValueError, match=r"expected constants of at most \d+ elements, got \d+"):
        io.import_onnx(written(tmp_path / "m.onnx", graph, constants))

"""ONNX graphs read: what exporters write in parts for want of an operator, and what acts on the last axes."""

import itertools
import math
import warnings

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import IMAGES, assert_close, floats, run, written  # noqa: E402

ROOT = np.float32(math.sqrt(2))
NUMBERS = {"half": np.float32(0.5), "one": np.float32(1), "root": ROOT, "turned": 1 / ROOT, "two": np.float32(2)}
ERF = [("Div", "x root", "t"), ("Erf", "t", "e"), ("Add", "e one", "f")]
CENTRED = [("ReduceMean", "x", "m", {"axes": [-1]}), ("Sub", "x m", "d")]
SPREAD = [("ReduceMean", "q", "v", {"axes": [-1]}), ("Add", "v eps", "a"), ("Sqrt", "a", "r"), ("Div", "d r", "n")]
WEIGHTS = {"eps": np.float32(0.5), "w": floats(5), "b": floats(5), **NUMBERS}
GELUS = {
    "half last": [*ERF, ("Mul", "x f", "p"), ("Mul", "p half", "y")],
    "half first": [*ERF, ("Mul", "half x", "p"), ("Mul", "p f", "y")],
    "half with the function": [*ERF, ("Mul", "f half", "p"), ("Mul", "x p", "y")],
    "times the root's inverse": [("Mul", "x turned", "t"), *ERF[1:], ("Mul", "x f", "p"), ("Mul", "half p", "y")],
}
NORMS = {
    "Pow": [*CENTRED, ("Pow", "d two", "q"), *SPREAD, ("Mul", "n w", "s"), ("Add", "s b", "y")],
    "Mul": [*CENTRED, ("Mul", "d d", "q"), *SPREAD, ("Mul", "n w", "s"), ("Add", "s b", "y")],
}


@pytest.mark.parametrize("nodes", GELUS.values(), ids=GELUS)
def test_gelu_in_parts_is_one_layer(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, NUMBERS, opset=17), floats(3, *IMAGES) * 3
    model = io.import_onnx(path)
    assert repr(model) == "Sequential(\n  (0) GELU()\n)"
    assert_close(model.forward(x), run(path, x))


@pytest.mark.parametrize(
    ("constants", "nodes"),
    [
        ({"half": np.float32(0.75)}, GELUS["half last"]),
        ({"root": np.float32(1.5)}, GELUS["half last"]),
        ({"one": np.float32(2)}, GELUS["half last"]),
        ({"half": floats(5)}, GELUS["half last"]),
        ({}, [*ERF, ("Tanh", "x", "z"), ("Mul", "z f", "p"), ("Mul", "p half", "y")]),
    ],
    ids=["another factor", "another root", "another sum", "a factor for each column", "of another value"],
)
def test_what_only_looks_like_gelu_is_refused(tmp_path, constants, nodes):
    path = written(tmp_path / "model.onnx", nodes, NUMBERS | constants, opset=17)
    with pytest.raises(ValueError, match=r"\(Erf\): expected an operator that cnnx has a layer for, got another"):
        io.import_onnx(path)


@pytest.mark.parametrize("second", ["self", "one"])
def test_long_products_are_read_as_they_are(tmp_path, second):
    """Of one value again and again, 2^40 factors; and of 1,500 constants."""
    count = 40 if second == "self" else 1500
    names = ["x", *(f"v{i}" for i in range(1, count)), "y"]
    nodes = [("Mul", f"{a} {a if second == 'self' else second}", b) for a, b in itertools.pairwise(names)]
    path, x = written(tmp_path / "model.onnx", nodes, NUMBERS, opset=17), floats(3, *IMAGES)
    x /= np.abs(x).max()
    model = io.import_onnx(path)
    assert len(model.layers) == count
    assert_close(model.forward(np.sign(x)), np.sign(x) ** 2 if second == "self" else np.sign(x))


@pytest.mark.parametrize("nodes", NORMS.values(), ids=NORMS)
def test_layer_normalisation_in_parts(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, WEIGHTS, opset=17), floats(3, *IMAGES) * 3
    model = io.import_onnx(path)
    assert [type(layer) for layer in model.layers] == [nn.LayerNorm, nn.Scale, nn.Bias]
    assert repr(model[0]) == "LayerNorm((5,), eps=0.5, affine=False)"
    assert_close(model.forward(x), run(path, x))


@pytest.mark.parametrize("changed", ["axes", "mean of another", "square of another", "kept axes"])
def test_what_only_looks_like_layer_normalisation_is_refused(tmp_path, changed):
    nodes = [*CENTRED, ("Pow", "d two", "q"), *SPREAD]
    if changed == "axes":
        nodes[0] = ("ReduceMean", "x", "m", {"axes": [-2]})
    if changed == "mean of another":
        nodes[:2] = [("Tanh", "x", "z"), ("ReduceMean", "z", "m", {"axes": [-1]}), ("Sub", "x m", "d")]
    if changed == "square of another":
        nodes[2] = ("Pow", "x two", "q")
    if changed == "kept axes":
        nodes[3:] = [("ReduceMean", "q", "v", {"axes": [-1], "keepdims": 0}), *SPREAD[1:]]
    nodes[-1] = ("Div", "d r", "y")
    path = written(tmp_path / "model.onnx", nodes, WEIGHTS, opset=17)
    if changed in ("axes", "mean of another"):  # by the root of the mean of squares, of whatever this is
        model, x = io.import_onnx(path), floats(3, *IMAGES)
        assert not any(isinstance(layer, nn.LayerNorm) for layer in model.layers)
        assert_close(model.forward(x), run(path, x))
        return
    with pytest.raises(ValueError, match=r"\(Div\): expected two operands, got 2 of which 2 depend on the images"):
        io.import_onnx(path)


OTHERS = {
    "MatMul over the last of four axes": ([("MatMul", "x w", "y")], {"w": floats(5, 3)}),
    "and a bias": ([("MatMul", "x w", "p"), ("Add", "p b", "y")], {"w": floats(5, 3), "b": floats(1, 1, 3)}),
    "a bias for each row": ([("MatMul", "x w", "p"), ("Add", "b p", "y")], {"w": floats(5, 3), "b": floats(6, 3)}),
    "Pow 1": ([("Pow", "x p", "y")], {"p": np.float32(1)}),
    "Pow 2": ([("Pow", "x p", "y")], {"p": np.float32(2)}),
    "Pow 3": ([("Pow", "x p", "y")], {"p": np.float32(3)}),
    "ReduceMean of columns": ([("ReduceMean", "x", "y", {"axes": [-1]})], {}),
    "ReduceMean of channels": ([("ReduceMean", "x", "y", {"axes": [1], "keepdims": 0})], {}),
    "ReduceMean of channels and columns": ([("ReduceMean", "x", "y", {"axes": [3, 1]})], {}),
    "ReduceMean of all": ([("ReduceMean", "x", "y", {"axes": [1, 2, 3], "keepdims": 0})], {}),
    "DepthToSpace": ([("DepthToSpace", "x", "y", {"blocksize": 2})], {}),
    "DepthToSpace of rows and columns": ([("DepthToSpace", "x", "y", {"blocksize": 2, "mode": "CRD"})], {}),
    "SpaceToDepth": ([("Concat", "x x", "a", {"axis": 3}), ("SpaceToDepth", "a", "y", {"blocksize": 2})], {}),
    "ReduceMax of maps": ([("ReduceMax", "x", "y", {"axes": [2, 3]})], {}),
    "ReduceMax of rows": ([("ReduceMax", "x", "y", {"axes": [2], "keepdims": 0})], {}),
}


@pytest.mark.parametrize(("nodes", "constants"), OTHERS.values(), ids=OTHERS)
def test_last_axes_powers_and_reductions(tmp_path, nodes, constants):
    path, x = written(tmp_path / "model.onnx", nodes, constants, opset=17), floats(3, *IMAGES) * 3
    model = io.import_onnx(path)
    assert_close(model.forward(x), run(path, x))
    assert_close(model.compile(x.shape)(x), run(path, x))
    io.export_onnx(model, tmp_path / "again.onnx", IMAGES)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_gelu_by_tanh(tmp_path):
    path = written(tmp_path / "model.onnx", [("Gelu", "x", "y", {"approximate": "tanh"})], opset=20)
    x = np.linspace(-6, 6, 120, dtype="float32").reshape(1, *IMAGES)
    exact = (
        0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x.astype("float64") + 0.044715 * x.astype("float64") ** 3)))
    )
    assert np.abs(io.import_onnx(path).forward(x) - exact).max() < 1e-6
    path = written(tmp_path / "model.onnx", [("Gelu", "x", "y", {"approximate": "erf"})], opset=20)
    with pytest.raises(ValueError, match="approximate: expected none or tanh, got 'erf'"):
        io.import_onnx(path)


REFUSED = [
    (
        [("DepthToSpace", "x", "y", {"blocksize": 2})],
        {},
        (6, 4, 4),
        r"divides images of \(6, 4, 4\) into blocks, got 2",
    ),
    (
        [("DepthToSpace", "x", "y", {"blocksize": 2})],
        {},
        ("c", 6, 4),
        "DepthToSpace.: expected a value of known",
    ),
    ([("Pow", "x p", "y")], {"p": np.float32(2.5)}, IMAGES, "exponent: expected 1, 2 or 3, or Abs, Pow and"),
    ([("ReduceMax", "x", "y", {"axes": [0, 1]})], {}, IMAGES, r"axes: expected some behind the images', got \[0, 1\]"),
    ([("ReduceL1", "x", "y", {"axes": [2]})], {}, (4, "h", "w"), "axes: expected axes whose extents are in the file"),
]


@pytest.mark.parametrize(("nodes", "constants", "shape", "message"), REFUSED)
def test_what_powers_and_reductions_refuse(tmp_path, nodes, constants, shape, message):
    with pytest.raises(ValueError, match=message):
        io.import_onnx(written(tmp_path / "model.onnx", nodes, constants, shape, opset=17))


@pytest.mark.parametrize("options", [{}, {"opset_version": 14}, {"opset_version": 17}], ids=["default", "14", "17"])
def test_torchs_networks_of_the_last_axis(tmp_path, capsys, options):
    """A block of ConvNeXt, and one of an MLP-Mixer with both forms of GELU."""
    torch = pytest.importorskip("torch", reason="it writes the file")
    if not options:
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    torch.manual_seed(0)
    layer, gelu = torch.nn, torch.nn.functional.gelu

    class Block(layer.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.deep = layer.Conv2d(3, 8, 2, 2), layer.Conv2d(8, 8, 7, padding=3, groups=8)
            self.norm, self.up, self.down = layer.LayerNorm(8), layer.Linear(8, 32), layer.Linear(32, 8)
            self.gamma, self.head = layer.Parameter(torch.rand(8)), layer.Linear(8, 5)

        def forward(self, x):
            x = self.stem(x)
            y = self.down(gelu(self.up(self.norm(self.deep(x).permute(0, 2, 3, 1))))) * self.gamma
            return self.head((x + y.permute(0, 3, 1, 2)).mean((2, 3)))

    class Mixer(layer.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm = layer.Conv2d(3, 8, 2, 2), layer.LayerNorm(8)
            self.a, self.b, self.c = layer.Linear(16, 4), layer.Linear(4, 16), layer.Linear(8, 8)

        def forward(self, x):
            x = self.stem(x).flatten(2).transpose(1, 2)
            x = x + self.b(gelu(self.a(self.norm(x).transpose(1, 2)))).transpose(1, 2)
            return gelu(self.c(x), approximate="tanh").mean(1)

    for network in Block().eval(), Mixer().eval():
        x = torch.randn(2, 3, 8, 8)
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(network, (x,), tmp_path / "model.onnx", dynamo=not options, **options)
        model = io.import_onnx(tmp_path / "model.onnx")
        assert_close(model.forward(x.numpy()), network(x).detach().numpy())

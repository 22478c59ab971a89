"""Normalisation by the root of the mean of squares, in parts, as torch and Keras write it."""

import warnings

import numpy as np
import pytest

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import IMAGES, assert_close, floats, run, written  # noqa: E402

CONSTANTS = {
    "eps": np.float32(0.25),
    "one": np.float32(1),
    "two": np.float32(2),
    "half": np.float32(-0.5),
    "g": floats(5),
    "b": floats(4, 1, 5),
}


def root(axes, square="Mul"):
    """The square root of the mean of squares."""
    squared = ("Mul", "x x", "q") if square == "Mul" else ("Pow", "x two", "q")
    return [squared, ("ReduceMean", "q", "v", {"axes": axes}), ("Add", "v eps", "e"), ("Sqrt", "e", "t")]


SCALED = [("Mul", "x r", "n"), ("Mul", "n g", "y")]
NORMS = {
    "of columns": [*root([-1]), ("Reciprocal", "t", "r"), *SCALED],
    "one by the root": [*root([-1]), ("Div", "one t", "r"), *SCALED],
    "by the root": [*root([-1], "Pow"), ("Div", "x t", "n"), ("Mul", "g n", "y")],
    "by a power": [*root([-1])[:3], ("Pow", "e half", "r"), *SCALED],
    "the scale first": [*root([-1]), ("Reciprocal", "t", "r"), ("Mul", "r g", "rg"), ("Mul", "x rg", "y")],
    "and a summand": [*root([-1]), ("Reciprocal", "t", "r"), ("Mul", "x r", "n"), ("Add", "n b", "y")],
    "of columns and rows": [*root([2, 3]), ("Reciprocal", "t", "r"), *SCALED],
    "of channels": [*root([1]), ("Reciprocal", "t", "r"), *SCALED],
    "of rows and channels": [*root([2, 1]), ("Reciprocal", "t", "r"), *SCALED],
    "alone": [*root([-1]), ("Div", "x t", "y")],
}


@pytest.mark.parametrize("nodes", NORMS.values(), ids=NORMS)
def test_in_parts(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, CONSTANTS, opset=17), floats(3, *IMAGES) * 3 + 1
    model = io.import_onnx(path)
    assert "eps=0.25" in repr(model)
    assert_close(model.forward(x), run(path, x))
    assert np.array_equal(model.compile(x.shape)(x), model.forward(x))
    io.export_onnx(model, tmp_path / "again.onnx", IMAGES)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


@pytest.mark.parametrize(
    "nodes",
    [
        [*root([0]), ("Div", "x t", "y")],  # of the images
        [("Add", "x one", "z"), *root([-1]), ("Div", "z t", "y")],  # by the squares of another
        [("Mul", "x x", "q"), ("Mul", "q x", "c"), ("ReduceMean", "c", "v", {"axes": [1]}), *root([1])[2:],
         ("Div", "x t", "y")],  # the mean of cubes
        [("Mul", "x x", "q"), ("ReduceMean", "q", "v", {"axes": [-1]}), ("Add", "v g", "e"), ("Sqrt", "e", "t"),
         ("Div", "x t", "y")],  # an eps for each column
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_refused(tmp_path, nodes):
    with pytest.raises(ValueError, match=r"\(Div\): expected"):
        io.import_onnx(written(tmp_path / "model.onnx", nodes, CONSTANTS, opset=17))


def test_its_gradient_is_its_derivative(tmp_path):
    """In float64, by differences."""
    constants = {name: np.asarray(array, np.float64) for name, array in CONSTANTS.items()}
    model = onnx.load(written(tmp_path / "model.onnx", NORMS["of channels"], constants, opset=17))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, tmp_path / "model.onnx")
    network = io.import_onnx(tmp_path / "model.onnx")
    x, way, delta = np.random.default_rng(1).normal(size=(3, 2, *IMAGES))
    network.forward(x)
    grad_x = network.backward(delta)
    numeric = (delta * (network.forward(x + 1e-6 * way) - network.forward(x - 1e-6 * way))).sum() / 2e-6
    assert abs((grad_x * way).sum() - numeric) <= 1e-6 * abs(numeric)


def networks(torch):
    class Llama(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(8) + 0.5)

        def forward(self, x):
            variance = x.to(torch.float32).pow(2).mean(-1, keepdim=True)
            return self.weight * (x * torch.rsqrt(variance + 1e-5)).to(x.dtype)

    class Channels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(1, 4, 1, 1) + 0.5)

        def forward(self, x):
            return x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-6) * self.weight

    torch.manual_seed(0)
    return [
        (Llama(), (5, 8)),
        (Channels(), (4, 5, 6)),
        (torch.nn.RMSNorm(8), (5, 8)),
        (torch.nn.RMSNorm((5, 8)), (5, 8)),
    ]


@pytest.mark.parametrize("how", ["older", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_as_torch_writes_it(tmp_path, how):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if how == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    options = {"external_data": False, "verbose": False} if how == "dynamo" else {"dynamo": False}
    for network, shape in networks(torch)[: None if how == "dynamo" else 2]:  # the older one does not take RMSNorm
        x, path = torch.randn(2, *shape), tmp_path / "model.onnx"
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(network.eval(), (x,), path, **options)
        model = io.import_onnx(path)
        assert "LayerNorm(" in repr(model)
        assert_close(model.forward(x.numpy()), run(path, x.numpy()))

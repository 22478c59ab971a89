"""ONNX graphs of sequences (N, C, L): windows along one axis."""

import warnings

import numpy as np
import pytest

from cnnx import audit

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import assert_close, floats, ints, run, written  # noqa: E402

W, DEPTHWISE, BACK = floats(6, 4, 3), floats(4, 1, 3), floats(4, 6, 3)
STATISTICS = {"g": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 1}
OPERATORS = {
    "Conv": ([("Conv", "x w b", "y", {"strides": [2], "pads": [2, 1], "dilations": [2]})], {"w": W, "b": floats(6)}),
    "Conv, depthwise": ([("Conv", "x w", "y", {"group": 4})], {"w": DEPTHWISE}),
    "Conv, SAME_UPPER": ([("Conv", "x w", "y", {"auto_pad": "SAME_UPPER", "strides": [2]})], {"w": W}),
    "Conv, SAME_LOWER": ([("Conv", "x w", "y", {"auto_pad": "SAME_LOWER", "strides": [2]})], {"w": W}),
    "ConvTranspose": (
        [("ConvTranspose", "x w", "y", {"strides": [2], "pads": [1, 0], "output_padding": [1]})],
        {"w": BACK},
    ),
    "ConvTranspose, output_shape": (
        [("ConvTranspose", "x w", "y", {"strides": [2], "output_shape": [14]})],
        {"w": BACK},
    ),
    "MaxPool": ([("MaxPool", "x", "y", {"kernel_shape": [3], "strides": [2], "pads": [1, 1], "ceil_mode": 1})], {}),
    "AveragePool": (
        [("AveragePool", "x", "y", {"kernel_shape": [3], "strides": [2], "pads": [1, 1], "count_include_pad": 1})],
        {},
    ),
    "LpPool": ([("LpPool", "x", "y", {"kernel_shape": [2], "p": 2})], {}),
    "GlobalAveragePool": ([("GlobalAveragePool", "x", "y")], {}),
    "GlobalMaxPool": ([("GlobalMaxPool", "x", "y")], {}),
    "Pad": ([("Pad", "x p", "y")], {"p": ints(0, 1, 2, 0, 0, 3)}),
    "Pad by reflection": ([("Pad", "x p", "y", {"mode": "reflect"})], {"p": ints(0, 0, 2, 0, 0, 3)}),
    "Pad by a number": ([("Pad", "x p c", "y")], {"p": ints(0, 0, 2, 0, 0, 0), "c": np.float32(1.5)}),
    "Pad along some axes": ([("Pad", "x p c a", "y")], {"c": np.float32(0), "p": ints(2, 1), "a": ints(-1)}),
    "BatchNormalization": ([("BatchNormalization", "x g b m v", "y")], STATISTICS),
}


@pytest.mark.parametrize("length", [9, "l"])
@pytest.mark.parametrize(("nodes", "constants"), OPERATORS.values(), ids=OPERATORS)
def test_windows_along_one_axis(tmp_path, nodes, constants, length):
    path = written(tmp_path / "model.onnx", nodes, constants, (4, length), opset=20)
    model = io.import_onnx(path)
    for extent in (9,) if length == 9 else (9, 8, 12):
        x = floats(3, 4, extent)
        assert_close(model.forward(x), run(path, x))
    io.export_onnx(model, tmp_path / "again.onnx", x.shape[1:])
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))


def test_rows_are_padded(tmp_path):
    """(N, L)."""
    for constants in {"p": ints(0, 2, 0, 3)}, {"p": ints(0, 1, 0, 0)}:
        path = written(tmp_path / "model.onnx", [("Pad", "x p", "y", {"mode": "edge"})], constants, ("l",))
        x = floats(3, 7)
        assert_close(io.import_onnx(path).forward(x), run(path, x))
    with pytest.raises(ValueError, match=r"\(Pad\): pads: expected some for rows and columns of images alone"):
        io.import_onnx(written(tmp_path / "model.onnx", [("Pad", "x p", "y")], {"p": ints(1, 0, 0, 0)}, (7,)))


def test_what_is_no_operator_of_one_axis_is_refused(tmp_path):
    for constants, attributes, message in (
        ({"w": W}, {"strides": [2, 2]}, r"\(Conv\): strides: expected 1 for one axis, got \[2, 2\]"),
        ({"w": W}, {"pads": [1, 1, 1, 1]}, r"\(Conv\): pads: expected 2 for one axis"),
        ({"w": W[:, :3]}, {}, r"expected"),
        ({"w": floats(6, 4, 3, 3)}, {}, r"expected"),
    ):
        path = written(tmp_path / "model.onnx", [("Conv", "x w", "y", attributes)], constants, (4, 9))
        with pytest.raises(ValueError, match=message):
            io.import_onnx(path)


def test_each_node_is_judged(tmp_path):
    nodes = [
        ("Conv", "x w", "c", {"pads": [1, 1]}),
        ("Relu", "c", "r"),
        ("AveragePool", "r", "p", {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
        ("GlobalMaxPool", "p", "y"),
    ]
    path = written(tmp_path / "model.onnx", nodes, {"w": W}, (4, 9), opset=17)
    report = audit.audit_model(path, inputs={"x": floats(1, 4, 9)}, backend="onnxruntime", in_place=False)
    assert [one.operator for one in report.results] == ["Conv", "Relu", "AveragePool", "GlobalMaxPool"]
    assert report.ok
    assert not report.unjudged


@pytest.mark.parametrize("how", ["older", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_as_torch_writes_it(tmp_path, how):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if how == "dynamo":
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    nn = torch.nn
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv1d(3, 8, 5, stride=2, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(8, 8, 3, padding=1, groups=8), nn.Conv1d(8, 12, 1), nn.SiLU(), nn.ConvTranspose1d(12, 6, 4, 2, 1)),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 5)),
    ).eval()
    network[1].running_var.uniform_(0.5, 2)
    x, path = torch.randn(2, 3, 32), tmp_path / "model.onnx"
    options = {"external_data": False, "verbose": False} if how == "dynamo" else {"dynamo": False}
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(network, (x,), path, **options)
    assert_close(io.import_onnx(path).forward(x.numpy()), run(path, x.numpy()))

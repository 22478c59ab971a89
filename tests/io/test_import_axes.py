"""ONNX graphs read in which the images' axis moves: transformers, as torch's exporters write them."""

import warnings

import numpy as np
import pytest

from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
pytest.importorskip("onnxruntime", reason="it says what is right")
io = pytest.importorskip("cnnx.io")

from onnx_models import assert_close, floats, ints, model_of, run, written  # noqa: E402

ROWS = (5, 8)
SCALE = np.float32(0.7071067690849304)
CONSTANTS = {
    "wi": floats(8, 24) / 2,
    "bi": floats(24),
    "wo": floats(8, 8),
    "bo": floats(8),
    "root": SCALE,
    "mask": np.triu(np.full((5, 5), -np.inf, "float32"), 1),
    **{f"i{i}": np.int64(i) for i in range(3)},
    **{f"l{i}": ints(i) for i in (0, 1, 2, -1, -2, 3, 8)},
    "packed": ints(5, -1, 3, 8),
    "heads": ints(5, -1, 4),
    "stack": ints(-1, 2, 5, 4),
    "flat": ints(-1, 8),
    "back": ints(5, -1, 8),
}


def attention(first):
    """Attention of (N, L, E) in (L, N, E), as torch 2.13's newer exporter writes it: q, k and v of one product,
    heads beside the images in one axis, then each in its own, and back. `first` gives (L, N, E) and its name."""
    split = [
        node
        for i, name in enumerate("qkv")
        for node in (
            ("Gather", f"squeezed i{i}", f"{name}0", {"axis": 0}),
            ("Reshape", f"{name}0 heads", f"{name}1"),
            ("Transpose", f"{name}1", f"{name}2", {"perm": [1, 0, 2]}),
            ("Reshape", f"{name}2 stack", name),
        )
    ]
    return [
        *first,
        ("MatMul", "rows wi", "p"),
        ("Add", "p bi", "linear"),
        ("Reshape", "linear packed", "view"),
        ("Unsqueeze", "view l0", "fives"),
        ("Transpose", "fives", "turned", {"perm": [3, 1, 2, 0, 4]}),
        ("Squeeze", "turned l-2", "squeezed"),
        *split,
        ("Transpose", "k", "kt", {"perm": [0, 1, 3, 2]}),
        ("Mul", "q root", "qs"),
        ("Mul", "kt root", "ks"),
        ("MatMul", "qs ks", "scores"),
        ("Add", "scores mask", "masked"),
        ("Softmax", "masked", "weights", {"axis": -1}),
        ("MatMul", "weights v", "o"),
        ("Transpose", "o", "o2", {"perm": [2, 0, 1, 3]}),
        ("Reshape", "o2 flat", "o3"),
        ("Gemm", "o3 wo bo", "o4"),
        ("Reshape", "o4 back", "o5"),
        ("Transpose", "o5", "y", {"perm": [1, 0, 2]}),
    ]


ATTENTION = attention([("Transpose", "x", "rows", {"perm": [1, 0, 2]})])


@pytest.mark.parametrize("opset", [14, 17, 20])
def test_attention_with_the_images_in_the_middle(tmp_path, opset):
    path, x = written(tmp_path / "model.onnx", ATTENTION, CONSTANTS, ROWS, opset=opset), floats(3, *ROWS)
    model = io.import_onnx(path)
    kinds = [type(layer) for layer in model.layers]
    assert kinds.count(nn.MatMul) == 2
    assert kinds.count(nn.Affine) == 2
    for count in 1, 2, 3:
        assert_close(model.forward(x[:count]), run(path, x[:count]))
    assert np.array_equal(model.compile(x.shape)(x), model.forward(x))
    io.export_onnx(model, tmp_path / "again.onnx", ROWS)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))
    again = io.import_onnx(tmp_path / "again.onnx")
    assert np.array_equal(again.forward(x), model.forward(x))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_attention_of_a_fixed_number_of_images(tmp_path, count):
    """As exporters write it by default: shapes are numbers, in which the images have no name. Any number is read."""
    shapes = {
        "packed": ints(5, count, 3, 8),
        "heads": ints(5, 2 * count, 4),
        "stack": ints(count, 2, 5, 4),
        "flat": ints(5 * count, 8),
        "back": ints(5, count, 8),
    }
    path = written(tmp_path / "model.onnx", ATTENTION, CONSTANTS | shapes, ROWS, opset=17, batch=count)
    model, x = io.import_onnx(path), floats(10, *ROWS)
    assert_close(model.forward(x), np.concatenate([run(path, x[i : i + count]) for i in range(0, 10, count)]))


def test_the_gradient_of_attention_is_its_derivative(tmp_path):
    constants = {name: a.astype("float64") if a.dtype == np.float32 else a for name, a in CONSTANTS.items()}
    model = onnx.load(written(tmp_path / "model.onnx", ATTENTION, constants, ROWS, opset=17))
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, tmp_path / "model.onnx")
    network = io.import_onnx(tmp_path / "model.onnx")
    random = np.random.default_rng(0)
    x, way, delta = random.normal(size=(3, 2, *ROWS))
    network.forward(x)
    grad_x = network.backward(delta)
    numeric = (delta * (network.forward(x + 1e-6 * way) - network.forward(x - 1e-6 * way))).sum() / 2e-6
    assert abs((grad_x * way).sum() - numeric) <= 1e-6 * abs(numeric)


TOKEN = {
    "cls": floats(1, 1, 8),
    "rest": ints(1, 8),
    "zero": ints(0),
    "one": ints(1),
    "pos": floats(1, 6, 8),
    "i": np.int64(0),
}
TOKENS = {
    "expanded": [
        ("Shape", "x", "s"),
        ("Slice", "s zero one", "n"),
        ("Concat", "n rest", "t", {"axis": 0}),
        ("Expand", "cls t", "token"),
        ("Concat", "token x", "c", {"axis": 1}),
        ("Add", "c pos", "p"),
        ("Gather", "p i", "y", {"axis": 1}),
    ],
    "behind": [
        ("Shape", "x", "s"),
        ("Slice", "s zero one", "n"),
        ("Concat", "n rest", "t", {"axis": 0}),
        ("Expand", "cls t", "token"),
        ("Transpose", "x", "r", {"perm": [1, 0, 2]}),
        ("Transpose", "token", "q", {"perm": [1, 0, 2]}),
        ("Concat", "r q", "c", {"axis": 0}),
        ("Transpose", "c", "y", {"perm": [1, 2, 0]}),
    ],
}


@pytest.mark.parametrize("nodes", TOKENS.values(), ids=TOKENS)
def test_a_token_beside_each_image(tmp_path, nodes):
    path, x = written(tmp_path / "model.onnx", nodes, TOKEN, ROWS, opset=17), floats(3, *ROWS)
    model = io.import_onnx(path)
    assert any("Constant((1, 8))" in repr(layer) for layer in model.layers)
    assert_close(model.forward(x), run(path, x))
    io.export_onnx(model, tmp_path / "again.onnx", ROWS)
    assert_close(run(tmp_path / "again.onnx", x), model.forward(x))
    assert np.array_equal(io.import_onnx(tmp_path / "again.onnx").forward(x), model.forward(x))


PLACES = {
    "softmax of rows in the middle": [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Softmax", "a", "b", {"axis": 0})],
    "rows after rows": [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Slice", "a l1 l3 l0", "b")],
    "a mean of rows": [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("ReduceMean", "a", "b", {"axes": [0]})],
    "split along the first axis": [
        ("Transpose", "x", "a", {"perm": [2, 0, 1]}),
        ("Split", "a", "c d", {"axis": 0}),
        ("Mul", "c d", "b"),
    ],
    "a summand of rows": [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Add", "column a", "b")],
    "images last": [("Transpose", "x", "a", {"perm": [1, 2, 0]}), ("Add", "a square", "b")],
    "chosen in any order": [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Gather", "a some", "b", {"axis": 0})],
    "chosen by a matrix": [("Transpose", "x", "a", {"perm": [2, 0, 1]}), ("Gather", "a table", "b", {"axis": 0})],
}


@pytest.mark.parametrize("nodes", PLACES.values(), ids=PLACES)
def test_axes_are_counted_as_the_file_has_them(tmp_path, nodes):
    constants = {
        **CONSTANTS,
        "column": floats(5, 1, 1),
        "square": floats(5, 8, 1),
        "some": ints(3, 3, -1, 0, 1),
        "table": np.array([[0, 1, 2], [7, -2, -8]]),
    }
    path = written(tmp_path / "model.onnx", [*nodes, ("Identity", "b", "y")], constants, ROWS, opset=13)
    x, found = floats(3, *ROWS), None
    expected = run(path, x)
    k = expected.shape.index(3) if nodes[-1][0] != "Gather" or "table" not in nodes[-1][1] else 2
    order = [k, *(i for i in range(expected.ndim) if i != k)]
    back = [("Transpose", "b", "y", {"perm": order})]
    found = io.import_onnx(written(tmp_path / "model.onnx", [*nodes, *back], constants, ROWS, opset=13)).forward(x)
    assert_close(found, np.ascontiguousarray(expected.transpose(order)))


REFUSED = [
    ([("Transpose", "x", "y", {"perm": [1, 0, 2]})], "output 'y': expected values with the images first, got axis 1"),
    ([("Reshape", "x flat", "y")], "output 'y': expected values with the images first, got axis 0, with others"),
    (
        [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Relu", "a", "y"), ("Add", "y x", "z")],
        r"'n2' \(Add\): expected values whose images are along the same axis, got axis 1, axis 0",
    ),
    (
        [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("ReduceMean", "a", "y", {"axes": [1]})],
        r"axes: expected some behind the images', got \[0\]",
    ),
    (
        [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Softmax", "a", "y", {"axis": 1})],
        r"\(Softmax\): axis: expected one behind the images', got 1",
    ),
    (
        [("Transpose", "x", "a", {"perm": [1, 2, 0]}), ("MatMul", "a wi", "y")],
        "images along another axis than the last",
    ),
    (
        [("Reshape", "x mixed", "a"), ("Transpose", "a", "y", {"perm": [1, 0]})],
        r"\(Reshape\): shape: expected the images' number first",
    ),
    (
        [("Transpose", "x", "a", {"perm": [1, 0, 2]}), ("Conv", "a w", "y")],
        r"\(Conv\): expected values with the images",
    ),
    ([("Gather", "x many", "y", {"axis": 1})], "indices: expected at most 256 pieces that lie side by side, got 300"),
    ([("Gather", "x i0", "y", {"axis": 0})], "axis: expected one behind the images'"),
]


@pytest.mark.parametrize(("nodes", "message"), REFUSED)
def test_what_mixes_images_or_leaves_them_elsewhere_is_refused(tmp_path, nodes, message):
    constants = CONSTANTS | {"mixed": ints(16, -1), "w": floats(4, 4, 1, 1), "many": np.array([0, 2] * 150)}
    path = written(tmp_path / "model.onnx", nodes, constants, ROWS, opset=13, outputs=(nodes[-1][2],))
    with pytest.raises(ValueError, match=message):
        io.import_onnx(path)


def networks(torch):
    layer, F = torch.nn, torch.nn.functional

    class Turned(layer.Module):
        """Attention and an encoder of (L, N, E) between turns."""

        def __init__(self):
            super().__init__()
            self.attention = layer.MultiheadAttention(8, 2)
            self.encoder = layer.TransformerEncoderLayer(8, 2, 16, activation="gelu", norm_first=True)

        def forward(self, x):
            x = x.transpose(0, 1)
            return self.encoder(self.attention(x, x, x, need_weights=False)[0]).transpose(0, 1)

    class Straight(layer.Module):
        def __init__(self):
            super().__init__()
            self.attention = layer.MultiheadAttention(8, 2, batch_first=True)
            self.encoder = layer.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x):
            return self.encoder(self.attention(x, x, x)[0])

    class ViT(layer.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.head = layer.Conv2d(3, 8, 4, 4), layer.LayerNorm(8), layer.Linear(8, 5)
            self.token, self.place = layer.Parameter(torch.randn(1, 1, 8)), layer.Parameter(torch.randn(1, 5, 8))
            self.qkv, self.out = layer.Linear(8, 24), layer.Linear(8, 8)

        def forward(self, x):
            x = self.stem(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
            N, L, E = x.shape
            q, k, v = self.qkv(x).reshape(N, L, 3, 2, E // 2).permute(2, 0, 3, 1, 4).unbind(0)
            x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(N, L, E))
            return self.head(self.norm(x)[:, 0])

    torch.manual_seed(0)
    return (Turned(), (5, 8)), (Straight(), (5, 8)), (ViT(), (3, 8, 8))


@pytest.mark.parametrize("count", [1, 2, "N"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"opset_version": 14}, marks=pytest.mark.slow),
        {"opset_version": 17},
        pytest.param({"opset_version": 20}, marks=pytest.mark.slow),
        {},
        pytest.param({"dynamo": True}, marks=pytest.mark.slow),
    ],
    ids=["14", "17", "20", "default", "dynamo"],
)
def test_torchs_transformers(tmp_path, capsys, options, count):
    torch = pytest.importorskip("torch", reason="it writes the file")
    if "dynamo" in options:
        pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    if count == "N":
        batch = torch.export.Dim("batch") if "dynamo" in options else "N"
        more = {"dynamic_shapes": ({0: batch},)} if "dynamo" in options else {"dynamic_axes": {"x": {0: "N"}}}
    for network, shape in networks(torch):
        network.eval()
        x = torch.randn(4, *shape)
        path = tmp_path / f"{type(network).__name__}.onnx"
        some = x[: 2 if count == "N" else count]
        with warnings.catch_warnings(action="ignore"):
            options = {"dynamo": False, "input_names": ["x"]} | options | (more if count == "N" else {})
            torch.onnx.export(network, (some,), path, **options)
        model = io.import_onnx(path)
        assert_close(model.forward(x.numpy()), network(x).detach().numpy())
        assert_close(model.forward(some.numpy()), run(path, some.numpy()))


SEQUENCES = {
    "attention": (ATTENTION[1:-1], 2),
    "a mean of rows": ([("Relu", "rows", "r"), ("ReduceMean", "r", "o5", {"axes": [0], "keepdims": 0})], 1),
    "nothing moves": ([("Tanh", "rows", "o5")], 2),
}


@pytest.mark.parametrize("count", [1, 3, "N"])
@pytest.mark.parametrize(("nodes", "rank"), SEQUENCES.values(), ids=SEQUENCES)
def test_files_that_take_the_images_along_another_axis(tmp_path, nodes, rank, count):
    """(L, N, E) in, and out; or what is left of it, with the images first."""
    shapes = {"packed": ints(5, 1, 3, 8), "heads": ints(5, 2, 4), "flat": ints(5, 8), "back": ints(5, 1, 8)}
    constants = CONSTANTS | (shapes if count == 1 else {})
    model = model_of(nodes, constants, ROWS, opset=17, batch=count, inputs=("rows",), outputs=("o5",))
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("rows", 1, [5, count, 8]))
    onnx.save(model, tmp_path / "model.onnx")
    network, x = io.import_onnx(tmp_path / "model.onnx", batch_axis=1), floats(1 if count == 1 else 3, *ROWS)
    expected = run(tmp_path / "model.onnx", np.ascontiguousarray(x.swapaxes(0, 1)))
    assert_close(network.forward(x), np.ascontiguousarray(expected.swapaxes(0, 1)) if rank == 2 else expected)
    assert_close(network.forward(x[:1]), network.forward(x)[:1])
    if rank == 2 and len(nodes) > 2:
        with pytest.raises(ValueError, match="expected"):
            io.import_onnx(tmp_path / "model.onnx")  # attention among the images


def test_shapes_of_files_that_take_the_images_along_another_axis(tmp_path):
    """Given as the file has them."""
    model = model_of(ATTENTION[1:-1], CONSTANTS, ROWS, opset=17, inputs=("rows",), outputs=("o5",))
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("rows", 1, ["l", 2, "e"]))
    onnx.save(model, tmp_path / "model.onnx")
    network, x = io.import_onnx(tmp_path / "model.onnx", batch_axis=1, input_shape=(5, 7, 8)), floats(2, *ROWS)
    expected = run(tmp_path / "model.onnx", np.ascontiguousarray(x.swapaxes(0, 1)))
    assert_close(network.forward(x), np.ascontiguousarray(expected.swapaxes(0, 1)))
    with pytest.raises(ValueError, match=r"input 'rows': expected axis 3, of the images, got 3 axes"):
        io.import_onnx(tmp_path / "model.onnx", batch_axis=3)
    with pytest.raises(ValueError, match=r"batch_axis: expected an integer from 0 to"):
        io.import_onnx(tmp_path / "model.onnx", batch_axis=-1)
    path = written(tmp_path / "model.onnx", [("Transpose", "x", "y", {"perm": [0, 2, 1]})], {}, ROWS)
    with pytest.raises(ValueError, match=r"output 'y': expected .*the images first, got axis 2"):
        io.import_onnx(path, batch_axis=1)


def test_torchs_encoder_of_sequences(tmp_path):
    """batch_first=False, the whole model."""
    torch = pytest.importorskip("torch", reason="it writes the file")
    pytest.importorskip("onnxscript", reason="torch's default exporter needs it")
    torch.manual_seed(0)
    encoder, x, path = torch.nn.TransformerEncoderLayer(8, 2, 16).eval(), torch.randn(5, 3, 8), tmp_path / "m.onnx"
    for options in {}, {"dynamic_shapes": ({1: torch.export.Dim("batch")},)}:
        with warnings.catch_warnings(action="ignore"):
            torch.onnx.export(encoder, (x,), path, external_data=False, verbose=False, **options)
        found = io.import_onnx(path, batch_axis=1).forward(np.ascontiguousarray(x.numpy().swapaxes(0, 1)))
        assert_close(np.ascontiguousarray(found.swapaxes(0, 1)), run(path, x.numpy()))

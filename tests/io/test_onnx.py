"""ONNX: onnxruntime computes what cnnx does, both ways; what cannot be said there, or here, is refused by name."""

import numpy as np
import pytest

import cnnx
from cnnx import nn

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="ONNX models need onnx")
ort = pytest.importorskip("onnxruntime", reason="it computes what was exported")
io = pytest.importorskip("cnnx.io")

from onnx_models import needs  # noqa: E402

IMAGES = (3, 8, 7)
WIDE = dict(stride=(2, 3), padding=((2, 0), (1, 1)))


def learned(layer):
    """Running statistics and biases that make a difference."""
    random = np.random.default_rng(7)
    for array in (*layer.parameters.values(), *layer.buffers.values()):
        if array.ndim == 1:
            array[:] = random.uniform(0.5, 2, array.shape)
    return layer


def run(path, x):
    """onnxruntime's output, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs() + session.get_outputs()] == ["input", "output"]
    return session.run(None, {"input": x})[0]


def draw(shape, dtype="float32", count=4):
    return np.random.default_rng(11).normal(0, 2, (count, *shape)).astype(dtype)


def assert_close(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


CASES = [
    (nn.Conv2d(3, 4, 3, seed=0), IMAGES),
    (nn.Conv2d(3, 4, (3, 2), padding=((1, 0), (2, 3)), stride=(1, 2), bias=False, seed=0), IMAGES),
    (nn.Conv2d(3, 6, 3, groups=3, padding="same", stride=2, seed=0), IMAGES),
    (nn.Conv2d(3, 4, (2, 3), dilation=(3, 2), padding="same", seed=0), IMAGES),
    (nn.Conv2d(3, 4, 3, padding=1, stride=2, seed=0), IMAGES),
    (nn.Conv2d(3, 4, 3, padding=1, algorithm="winograd", seed=0), IMAGES),
    (nn.ConvTranspose2d(3, 4, 2, stride=2, seed=0), IMAGES),
    (
        nn.ConvTranspose2d(3, 6, (3, 2), stride=(2, 1), padding=((1, 0), (0, 1)), dilation=(1, 2), groups=3, seed=0),
        IMAGES,
    ),
    (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=(1, 0), bias=False, seed=0), IMAGES),
    *((kind(2), IMAGES) for kind in (nn.MaxPool2d, nn.AvgPool2d)),
    *((kind((3, 4), **WIDE), IMAGES) for kind in (nn.MaxPool2d, nn.AvgPool2d)),
    *((kind(3, stride=2, padding=1, ceil_mode=True), IMAGES) for kind in (nn.MaxPool2d, nn.AvgPool2d)),
    *((kind(2, stride=3, ceil_mode=True), IMAGES) for kind in (nn.MaxPool2d, nn.AvgPool2d)),
    *((kind(3, stride=2, padding="same"), IMAGES) for kind in (nn.MaxPool2d, nn.AvgPool2d)),
    (nn.AvgPool2d((3, 4), count_include_pad=True, **WIDE), IMAGES),
    (nn.AvgPool2d(3, stride=2, padding="same", count_include_pad=True), IMAGES),
    (nn.AvgPool2d(2, ceil_mode=True, count_include_pad=True), (3, 8, 8)),
    *((nn.LpPool2d(rho, 2), IMAGES) for rho in (1, 2, 2.5, 3)),
    *((nn.LpPool2d(rho, (3, 4), normalize=mean, **WIDE), IMAGES) for rho in (1, 2, 3) for mean in (True, False)),
    (nn.LpPool2d(2, 3, stride=2, padding=1, ceil_mode=True), IMAGES),
    (nn.LpPool2d(2, 3, stride=2, ceil_mode=True, normalize=False), IMAGES),
    *((kind(), shape) for kind in (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.Identity) for shape in (IMAGES, (5,))),
    *((kind(), shape) for kind in (nn.Softplus, nn.GELU) for shape in (IMAGES, (5,))),
    *((kind(value), IMAGES) for kind in (nn.LeakyReLU, nn.ELU) for value in (0.3, 1.7)),
    *((kind(axis), IMAGES) for kind in (nn.Softmax, nn.LogSoftmax) for axis in (1, 2, -1)),
    (nn.Affine(6, 3, seed=0), (6,)),
    (nn.Affine(6, 3, seed=0, bias=False), (6,)),
    (nn.BatchNorm2d(3, eps=0.01, momentum=0.3), IMAGES),
    (nn.Dropout(0.3), IMAGES),
    (nn.Flatten(), IMAGES),
    (nn.Flatten(), (5,)),
    (nn.GlobalAvgPool2d(), IMAGES),
    (nn.GlobalMaxPool2d(), IMAGES),
    *((nn.GroupNorm(1, 3, eps=0.1, affine=affine), IMAGES) for affine in (True, False)),
    (nn.GroupNorm(3, 6), (6,)),
    (nn.InstanceNorm2d(3, eps=0.1, affine=True), IMAGES),
    (nn.InstanceNorm2d(3), IMAGES),
    (nn.LayerNorm((8, 7), eps=0.1), IMAGES),
    (nn.LayerNorm(7, affine=False), IMAGES),
    (nn.LocalResponseNorm(3, alpha=0.25, k=2), IMAGES),
    *((layer, IMAGES) for layer in (nn.SiLU(), nn.HardSwish(), nn.HardSigmoid(), nn.HardSigmoid(0.2, 0.25))),
    *(
        (layer, IMAGES)
        for layer in (nn.PReLU(3), nn.PReLU(), nn.Scale(3), nn.Bias((8, 7)), nn.Bias((1,), learned=False))
    ),
    *((layer, IMAGES) for layer in (nn.Reshape((4, -1)), nn.Transpose((0, 3, 1, 2)), nn.Slice(3, -4, -1))),
    (nn.ZeroPad2d(((1, 0), (0, 2))), IMAGES),
    *((nn.Pad2d(((1, 2), (0, 3)), mode, 1.5), IMAGES) for mode in ("reflect", "edge", "wrap", "constant")),
    (nn.Slice(3, None, None, -2), IMAGES),
    (nn.Slice(2, 1, "x[2] - 1", 2), IMAGES),
    (nn.Upsample2d((2, 3)), IMAGES),
    (nn.Upsample2d(2, coordinates="align_corners", rounding="floor"), IMAGES),
    *((nn.Upsample2d(size=(11, 5), rounding=r), IMAGES) for r in ("round_prefer_floor", "floor")),
    *((nn.Upsample2d((3, 2), mode="bilinear", coordinates=c), IMAGES) for c in ("half_pixel", "asymmetric")),
    *((nn.Upsample2d(size=(5, 12), mode="bilinear", coordinates=c), IMAGES) for c in ("half_pixel", "align_corners")),
    (nn.Upsample2d(size=(1, 9), mode="bilinear", coordinates="pytorch_half_pixel"), IMAGES),
    (nn.BatchNorm2d(3, momentum=1), IMAGES),
    *((layer, IMAGES) for layer in (nn.ReLU6(), nn.Clip(-1, 2.5), nn.Clip(None, 1.0), nn.Clip(-0.5, None))),
]
NETWORKS = [
    (nn.cn_network(seed=0, dropout=0.5), (1, 28, 28)),
    (
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding="same", bias=False, seed=0),
            nn.Sequential(nn.BatchNorm2d(4), nn.LeakyReLU(0.1), nn.Sequential(nn.AvgPool2d(2, ceil_mode=True))),
            nn.Conv2d(4, 6, 3, groups=2, seed=1),
            nn.BatchNorm2d(6),
            nn.GELU(),
            nn.LpPool2d(2, 2),
            nn.Flatten(),
            nn.Affine(6, 5, seed=2),
            nn.LogSoftmax(),
        ),
        IMAGES,
    ),
]
WIDER = {"dtype": "float64", "seed": 0}
DOUBLE = [
    (nn.Sequential(nn.Affine(6, 5, **WIDER), layer, nn.Affine(5, 3, **WIDER)), (6,))
    for layer in (nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.Identity(), nn.Softmax(), nn.LogSoftmax(), nn.Dropout())
]
NORMALISED = nn.Sequential(nn.BatchNorm2d(3, dtype="float64"), nn.MaxPool2d(2), nn.Flatten(), nn.Affine(36, 2, **WIDER))
DOUBLE.append((NORMALISED, IMAGES))
NAMED = [pytest.param(*case, id=repr(case[0])[:60]) for case in CASES + NETWORKS + DOUBLE]


@pytest.mark.parametrize(("model", "shape"), NAMED)
def test_onnxruntime_agrees_and_the_network_comes_back(tmp_path, model, shape):
    learned(model)
    dtype = next((array.dtype.name for array in model.parameters.values()), "float32")
    path, x = tmp_path / "model.onnx", draw(shape, dtype)
    model.train()
    io.export_onnx(model, path, shape)
    assert model.training
    expected = model.eval().forward(x)
    assert_close(run(path, x), expected)
    again = io.import_onnx(path)
    assert not again.training
    assert_close(again.forward(x), expected)
    for name, array in again.parameters.items():
        assert array.flags.writeable, name
    io.export_onnx(again, tmp_path / "again.onnx", shape)
    assert_close(run(tmp_path / "again.onnx", x), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_branches_branches_there_too(tmp_path, dtype):
    kind = dict(dtype=dtype, seed=0)
    lines = [
        ("a", nn.BatchNorm2d(3, dtype=dtype) if dtype == "float64" else nn.Conv2d(3, 3, 3, padding="same", **kind)),
        ("b/c", nn.Sequential(nn.Sigmoid(), nn.ReLU())),
        ("sum", nn.Add(), "a", "x", "b/c"),
        ("product", nn.Multiply(), "sum", "a"),
        ("twice", nn.Graph(("add", nn.Add(), "v", "v"), inputs="v")),
        ("both", nn.Concat(), "twice", "b/c", "x"),
        ("flat", nn.Flatten()),
        ("fc", nn.Affine(504, 3, **kind)),
    ]
    model, x = nn.Graph(*lines).eval(), draw(IMAGES, dtype)
    io.export_onnx(learned(model), tmp_path / "model.onnx", IMAGES)
    assert_close(run(tmp_path / "model.onnx", x), model.forward(x))
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert [(node.name, list(node.input)) for node in nodes if node.op_type in ("Add", "Concat")] == [
        ("sum.Add.0", ["a.Conv" if dtype == "float32" else "a.BatchNormalization", "input"]),
        ("sum.Add.1", ["sum.Add.0", "b/c.1.Relu"]),
        ("twice.add.Add", ["product.Mul", "product.Mul"]),
        ("both.Concat", ["twice.add.Add", "b/c.1.Relu", "input"]),
    ]


def test_several_inputs(tmp_path):
    """They keep their names, here and in what is read from the file; a layer alone numbers them."""
    lines = ("conv", nn.Conv2d(3, 4, 3, seed=0), "image"), ("pool", nn.GlobalAvgPool2d()), ("flat", nn.Flatten())
    more = ("fc", nn.Affine(5, 4, seed=1), "row"), ("sum", nn.Add(), "flat", "fc")
    model, path = nn.Graph(*lines, *more, inputs=("image", "row")).eval(), tmp_path / "model.onnx"
    io.export_onnx(model, path, ((3, 6, 7), (5,)))
    image, row = draw((3, 6, 7)), draw((5,))
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("image", ["N", 3, 6, 7]), ("row", ["N", 5])]
    assert_close(session.run(None, {"image": image, "row": row})[0], model(image, row))
    read = io.import_onnx(path)
    assert read.inputs == ("image", "row")
    assert read(image, row).tobytes() == model(image, row).tobytes()
    io.export_onnx(nn.Multiply(), path, ((2,), (2,)))
    assert [one.name for one in onnx.load(path).graph.input] == ["input0", "input1"]
    for shapes in ((3, 6, 7), ((3, 6, 7),), ((3, 6, 7), 5)):
        with pytest.raises(
            ValueError, match=r"input_shape: expected a shape for each of the inputs \['image', 'row'\]"
        ):
            io.export_onnx(model, path, shapes)
    clash = nn.Graph(("a", nn.Add(), "output", "a.Add"), inputs=("output", "a.Add"))
    with pytest.raises(ValueError, match=r"names that the file does not need itself, got \['output'\]"):
        io.export_onnx(clash, path, ((2,), (2,)))


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=needs("onnxruntime", "1.28"))])
def test_attention_of_matrix_products(tmp_path, dtype):
    """softmax(a b) c with a, b and c of x, as importers give it back too."""
    lines = [
        ("rows", nn.Reshape((3, 56)), "x"),
        ("columns", nn.Transpose((0, 2, 1)), "rows"),
        ("products", nn.MatMul(), "rows", "columns"),
        ("scaled", nn.Scale((1,), dtype=dtype)),
        ("weights", nn.Softmax(-1)),
        ("mixed", nn.MatMul(), "weights", "rows"),
    ]
    model, x = nn.Graph(*lines).eval(), 0.25 * draw(IMAGES, dtype)
    io.export_onnx(model, tmp_path / "model.onnx", IMAGES)
    found = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert found == ["Reshape", "Transpose", "MatMul", "Mul", "Softmax", "MatMul"]
    assert_close(run(tmp_path / "model.onnx", x), model.forward(x))
    again = io.import_onnx(tmp_path / "model.onnx")
    assert sum(isinstance(layer, nn.MatMul) for _, layer, *_ in again.lines) == 2
    np.testing.assert_array_equal(again.forward(x), model.forward(x))


def test_float64_is_held_to_more(tmp_path):
    model, shape = DOUBLE[1]
    io.export_onnx(model, tmp_path / "model.onnx", shape)
    x = draw(shape, "float64")
    assert np.abs(run(tmp_path / "model.onnx", x) - model.forward(x)).max() < 1e-13


def test_a_network_comes_back_as_it_was_written(tmp_path):
    model, shape = NETWORKS[0]
    io.export_onnx(model, tmp_path / "model.onnx", shape)
    again = io.import_onnx(tmp_path / "model.onnx")
    assert repr(again) == repr(model)
    for name, array in model.parameters.items():
        assert again.parameters[name].tobytes() == array.tobytes()
    for layer in (nn.BatchNorm2d(3, momentum=0.3, eps=0.01), nn.LpPool2d(2.5, 2), nn.LeakyReLU(0.3), nn.Dropout(0.3)):
        io.export_onnx(layer, tmp_path / "layer.onnx", IMAGES)
        assert repr(io.import_onnx(tmp_path / "layer.onnx")[0]) == repr(layer)


def test_the_file_says_what_it_is(tmp_path):
    io.export_onnx(NETWORKS[0][0], tmp_path / "model.onnx", (1, 28, 28))
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("cnnx", cnnx.__version__)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 20)]
    ends = [
        [each.dim_param or each.dim_value for each in end.type.tensor_type.shape.dim]
        for end in (model.graph.input[0], model.graph.output[0])
    ]
    assert ends == [["N", 1, 28, 28], ["N", 10]]
    assert model.graph.node[0].name == "0.Conv"
    assert {"0.weight", "0.bias", "7.weight"} <= {each.name for each in model.graph.initializer}


class Own(nn.ReLU, forward=cnnx.relu, backward=cnnx.relu_backward):
    """A class of one's own."""


@pytest.mark.parametrize(
    ("model", "shape", "message"),
    [
        (nn.Sequential(nn.ReLU(), nn.Step()), (3,), r"layer 1 \(Step\): expected a layer that is an operator of ONNX"),
        (Own(), (3,), r"layer 0 \(Own\): expected a layer of cnnx.nn"),
        (nn.LpPool2d(2.5, 2, normalize=False), IMAGES, "norm_type: expected an integer with normalize=False"),
        (
            nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=True),
            (1, 6, 6),
            "ceil_mode: exp",
        ),
        (nn.Affine(3, 2), (4,), r"layer 0 \(Affine\): "),
        (nn.Conv2d(1, 1, 5), (1, 3, 3), r"layer 0 \(Conv2d\): weight: expected a window"),
        (nn.Conv2d(3, 2, 3, dtype="float64"), IMAGES, r"layer 0 \(Conv2d\): expected float32, as onnxruntime .* Conv"),
        *(
            (nn.Sequential(nn.Affine(3, 3, dtype="float64"), layer), (3,), r"layer 1 .*: expected float32, as onnxrun")
            for layer in (nn.ELU(), nn.GELU(), nn.LeakyReLU(), nn.Softplus())
        ),
        *(
            (nn.Sequential(nn.BatchNorm2d(3, dtype="float64"), layer), IMAGES, r"layer 1 .*: expected float32, as onnx")
            for layer in (nn.AvgPool2d(2), nn.LpPool2d(2, 2), nn.LpPool2d(2, 2, normalize=False))
        ),
        (
            nn.Sequential(nn.Affine(3, 3), nn.Affine(3, 3, dtype="float64")),
            (3,),
            r"layer 1 \(Affine\): weight: ",
        ),
        (nn.Softmax(0), (5,), r"layer 0 \(Softmax\): x: expected at least one element along axis 0"),
        (nn.ReLU(), (0,), "input_shape: expected an integer from 1"),
    ],
)
def test_what_onnx_has_not_is_refused(tmp_path, model, shape, message):
    with pytest.raises(ValueError, match=message):
        io.export_onnx(model, tmp_path / "model.onnx", shape)
    assert not list(tmp_path.iterdir())


def test_the_list_of_float32_operators_is_onnxruntimes(tmp_path):
    """What is refused in float64 really has no kernel there; DOUBLE shows the others."""
    from cnnx.io._export import _SINGLE

    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    kernels = [each for each in state.get_all_opkernel_def() if each.provider == "CPUExecutionProvider"]
    for operator in _SINGLE - {"HardSwish"} | {"HardSigmoid"}:  # of which onnxruntime makes the other
        ours = [
            each for each in kernels if (each.op_name, each.domain) == (operator, "") and each.version_range[1] >= 20
        ]
        assert ours, operator
        assert not any("tensor(double)" in each.type_constraints.get("T", ()) for each in ours), operator


def test_types_of_arguments(tmp_path):
    with pytest.raises(TypeError, match="model: expected a Layer"):
        io.export_onnx("model", tmp_path / "model.onnx", (1,))
    with pytest.raises(TypeError, match="input_shape: expected a tuple of integers, got int"):
        io.export_onnx(nn.ReLU(), tmp_path / "model.onnx", 3)
    with pytest.raises(TypeError, match="input_shape: expected an integer, got str"):
        io.export_onnx(nn.ReLU(), tmp_path / "model.onnx", ("N", 3))


# ---------------------------------------------------------------------------- files by other programs


def written(path, nodes, constants, shape, opset=20, dtype=onnx.TensorProto.FLOAT):
    """A model made with onnx alone; nodes are (operator, inputs, output, attributes)."""
    rows = {"Flatten", "Reshape", "Gemm", "MatMul"} & {node[0] for node in nodes}
    result = ["n", "j"] if rows else ["n", *"chw"[: len(shape) - 1]]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, ins, [out], name=f"n{i}", **opts) for i, (op, ins, out, opts) in enumerate(nodes)],
        "g",
        [onnx.helper.make_tensor_value_info("input", dtype, shape)],
        [onnx.helper.make_tensor_value_info("output", dtype, result)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


RANDOM = np.random.default_rng(5)
W4, W3, B4, B3 = (
    RANDOM.normal(size=shape).astype("float32") for shape in ((4, 3, 3, 3), (6, 3), (4,), (3,))
)  # fmt: skip
POOL = dict(kernel_shape=[3, 2])
COUNTED = POOL | dict(strides=[2, 2], count_include_pad=1)


@pytest.mark.parametrize("opset", [13, 17, 20])
@pytest.mark.parametrize(
    ("nodes", "constants", "shape"),
    [
        ([("Conv", ["input", "w", "b"], "output", {})], {"w": W4, "b": B4}, IMAGES),
        ([("Conv", ["input", "w"], "output", dict(auto_pad="SAME_UPPER", strides=[2, 2]))], {"w": W4}, IMAGES),
        ([("Conv", ["input", "w"], "output", dict(auto_pad="VALID"))], {"w": W4}, IMAGES),
        ([("Conv", ["input", "w"], "output", dict(pads=[0, 1, 2, 3], dilations=[2, 1]))], {"w": W4}, IMAGES),
        ([("Gemm", ["input", "w", "b"], "output", dict(alpha=0.5, beta=2.0))], {"w": W3, "b": B3}, (6,)),
        ([("Gemm", ["input", "w", "b"], "output", dict(transB=1))], {"w": W3.T.copy(), "b": B3[:1]}, (6,)),
        ([("MatMul", ["input", "w"], "output", {})], {"w": W3}, (6,)),
        ([("MatMul", ["input", "w"], "y", {}), ("Add", ["b", "y"], "output", {})], {"w": W3, "b": B3[None]}, (6,)),
        ([("MaxPool", ["input"], "output", POOL)], {}, IMAGES),
        ([("MaxPool", ["input"], "output", POOL | dict(strides=[2, 2], pads=[1, 0, 1, 1], ceil_mode=1))], {}, IMAGES),
        ([("MaxPool", ["input"], "output", POOL | dict(strides=[2, 2], auto_pad="SAME_UPPER"))], {}, IMAGES),
        ([("AveragePool", ["input"], "output", POOL | dict(strides=[2, 2], pads=[1, 0, 1, 1]))], {}, IMAGES),
        ([("AveragePool", ["input"], "output", POOL | dict(pads=[1, 0, 1, 1], count_include_pad=1))], {}, IMAGES),
        ([("AveragePool", ["input"], "output", POOL | dict(strides=[2, 2], ceil_mode=1))], {}, IMAGES),
        ([("LpPool", ["input"], "output", POOL | dict(strides=[2, 2], p=3, pads=[1, 0, 1, 1]))], {}, IMAGES),
        ([("LpPool", ["input"], "output", POOL)], {}, IMAGES),
        ([("AveragePool", ["input"], "output", COUNTED | dict(auto_pad="SAME_UPPER"))], {}, IMAGES),
        ([("AveragePool", ["input"], "output", COUNTED | dict(auto_pad="VALID"))], {}, IMAGES),
        ([("LeakyRelu", ["input"], "output", {})], {}, IMAGES),
        ([("Elu", ["input"], "output", {})], {}, IMAGES),
        ([("Softmax", ["input"], "output", {})], {}, IMAGES),
        ([("Dropout", ["input"], "output", {})], {}, IMAGES),
        ([("Dropout", ["input", "r", "t"], "output", {})], {"r": np.float32(0.2), "t": np.array(False)}, IMAGES),
        ([("BatchNormalization", ["input", "v", "b", "b", "v"], "output", {})], {"v": abs(B3), "b": B3}, IMAGES),
        ([("Reshape", ["input", "s"], "output", {})], {"s": np.array([0, -1])}, IMAGES),
        ([("Reshape", ["input", "s"], "output", {})], {"s": np.array([-1, 168])}, IMAGES),
        ([("Flatten", ["input"], "x", {}), ("Relu", ["x"], "output", {})], {}, IMAGES),
    ],
)
def test_models_made_elsewhere_compute_the_same_here(tmp_path, nodes, constants, shape, opset):
    path = written(tmp_path / "model.onnx", nodes, constants, ["batch", *shape], opset)
    x = draw(shape)
    assert_close(io.import_onnx(path).forward(x), run(path, x))


def test_open_sizes_constants_in_nodes_and_a_newer_opset(tmp_path):
    value = onnx.numpy_helper.from_array(W4, "")
    nodes = [
        ("Constant", [], "c", dict(value=value)),
        ("Identity", ["c"], "w", {}),
        ("Conv", ["input", "w"], "y", {}),
        ("Gelu", ["y"], "output", {}),
    ]
    path = written(tmp_path / "model.onnx", nodes, {}, ["n", "c", "h", "w"], opset=21)
    model = io.import_onnx(path)
    for shape in IMAGES, (3, 5, 9):
        assert_close(model.forward(draw(shape)), run(path, draw(shape)))


def one(operator, *constants, **attributes):
    """A model of one node, whose constants are c0, c1, ..."""
    names = [f"c{i}" for i in range(len(constants))]
    return [(operator, ["input", *names], "output", attributes)], dict(zip(names, constants, strict=True))


@pytest.mark.parametrize(
    ("nodes", "constants", "shape", "message"),
    [
        (*one("Sin"), IMAGES, r"node 'n0' \(Sin\): expected an operator that cnnx has a layer for"),
        (*one("Add", np.ones((4, 3), "f")), (3,), r"node 'n0' \(Add\): expected a constant for any number of images"),
        (
            *one("Flatten", axis=2),
            IMAGES,
            "output 'output': expected values with the images first, got axis 0, with others",
        ),
        (*one("Reshape", np.array([0, 8])), IMAGES, r"node 'n0' \(Reshape\): shape: expected the 168 numbers"),
        (*one("Gelu", approximate="no"), IMAGES, r"node 'n0' \(Gelu\): approximate: expected none or tanh, got 'no'"),
        (*one("Conv", W4, auto_pad="SAME"), IMAGES, r"node 'n0' \(Conv\): auto_pad: expected NOTSET"),
        (*one("Conv", W4, pads=[0, 0, -1, 0]), IMAGES, r"node 'n0' \(Conv\): padding"),
        (*one("Conv", W4, kernel_shape=[2, 2]), IMAGES, r"node 'n0' \(Conv\): kernel_shape: expected \[3, 3\]"),
        (*one("Conv", W4, group=2), IMAGES, r"node 'n0' \(Conv\): groups: expected a divisor of the 3"),
        (*one("Conv", W4[0, 0]), (3, 8), r"node 'n0' \(Conv\): weight: expected four axes"),
        (*one("Conv", W4, B3), IMAGES, r"node 'n0' \(Conv\): bias: expected float32 \(4,\), got float32 \(3,\)"),
        (*one("Conv", W4.astype("float64")), IMAGES, r"node 'n0' \(Conv\): .*float"),
        (*one("Gemm", W3, transA=1), (6,), r"node 'n0' \(Gemm\): transA: expected 0, got 1"),
        (*one("Gemm", W3, np.ones((4, 3), "f")), (6,), r"node 'n0' \(Gemm\): bias: expected shape \(3,\)"),
        (*one("MatMul", W3), (6, 2), r"node 'n0' \(MatMul\): weight: expected 2 columns, as x has"),
        (*one("Gemm", W3), (2, 6), r"onnx's checker refuses it|node 'n0' \(Gemm\)"),
        (*one("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]), IMAGES, r"\(MaxPool\): dilations: expected \[1, 1\]"),
        (*one("MaxPool", kernel_shape=[2]), IMAGES, r"\(MaxPool\): kernel_shape: expected windows of rows and columns"),
        (*one("MaxPool", kernel_shape=[9, 9]), IMAGES, r"\(MaxPool\): kernel_size: expected a window no larger"),
        (
            *one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1),
            (3, "h", "w"),
            r"\(AveragePool\): ceil_mode: expected 0 with count_include_pad.* size is not in the file",
        ),
        (
            *one("AveragePool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, count_include_pad=1),
            IMAGES,
            r"\(AveragePool\): ceil_mode: expected no window beyond the padding with count_include_pad",
        ),
        (*one("Pow", np.float32(2.5)), IMAGES, r"node 'n0' \(Pow\): exponent: expected 1, 2 or 3"),
        (*one("BatchNormalization", B3, B3, B3, abs(B3)), (3, 4, 5, 6), r"\(BatchNormalization\): x: expected 4 axes"),
        (*one("Dropout", np.float32(1.0)), IMAGES, r"node 'n0' \(Dropout\): rate: expected a number from 0 to below 1"),
        (*one("Dropout", np.float32(0.5), np.array(True)), IMAGES, r"\(Dropout\): training_mode: expected False"),
        (*one("Softmax", axis=4), IMAGES, r"node 'n0' \(Softmax\): axis: expected"),
    ],
)
def test_graphs_that_are_no_network_of_cnnx_name_the_node(tmp_path, nodes, constants, shape, message):
    path = written(tmp_path / "model.onnx", nodes, constants, ["N", *shape])
    with pytest.raises(ValueError, match=message) as caught:
        io.import_onnx(path)
    assert str(caught.value).startswith(f"{path}: expected an ONNX model that cnnx has layers for: ")
    assert "\n" not in str(caught.value)


def test_other_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "model.onnx"
    io.export_onnx(NETWORKS[0][0], path, NETWORKS[0][1])
    data = path.read_bytes()
    model = onnx.load_model_from_string(data)
    twice = onnx.load_model_from_string(data)
    twice.graph.output.append(twice.graph.input[0])
    half = onnx.load_model_from_string(data)
    half.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    short = onnx.load_model_from_string(data)
    short.graph.initializer[0].dims[0] = 2**40
    elsewhere = onnx.load_model_from_string(data)
    onnx.external_data_helper.set_external_data(elsewhere.graph.initializer[0], "weights.bin")
    elsewhere.graph.initializer[0].ClearField("raw_data")  # in a file that is not there
    foreign = onnx.load_model_from_string(data)
    foreign.graph.node[1].domain = "com.example"
    foreign.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    old = onnx.load_model_from_string(data)
    old.opset_import[0].version = 6
    for spoiled, message in [
        (b"", "opset 0: expected one from 7 to"),
        (b"no model", "no ONNX"),
        (data[:-100], "no ONNX"),
        (data[:1000], "no ONNX"),
        (twice, "graph: expected one output, or which of them, got .'output', 'input'."),
        (half, "input 'input': expected float32 or float64"),
        (short, "0.weight"),
        (elsewhere, "0.weight: expected its numbers in 'weights.bin' beside the model: No such file"),
        (foreign, r"node '1.Relu' \(Relu\): expected an operator of ONNX itself"),
        (old, "opset 6: expected one from 7 to"),
    ]:
        path.write_bytes(spoiled if isinstance(spoiled, bytes) else spoiled.SerializeToString())
        with pytest.raises(ValueError, match=f"expected an ONNX model that cnnx has layers for: .*{message}") as caught:
            io.import_onnx(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="a directory"):
        io.import_onnx(tmp_path)
    assert model == onnx.load_model_from_string(data)


def test_mutated_files_are_refused_or_load(tmp_path):
    """Bits flipped and files cut: a model or a ValueError of one line."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, seed=0), nn.LpPool2d(2, 2), nn.Flatten(), nn.Affine(8, 3, seed=1))
    path = tmp_path / "model.onnx"
    io.export_onnx(model, path, (1, 6, 6))
    data, random, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(200):
        spoiled = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            spoiled[place] ^= 1 << random.integers(8)
        if random.random() < 0.2:
            del spoiled[random.integers(len(data)) :]
        path.write_bytes(spoiled)
        try:
            found = io.import_onnx(path)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error), error  # noqa: PT017
        else:
            assert isinstance(found, nn.Sequential)
    assert 50 <= refused < 200

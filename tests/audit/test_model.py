"""`cnnx audit --model`: faults put into an engine or a model on purpose are named, each at its own node."""

import subprocess
import sys
from fractions import Fraction
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version

from cnnx import backend

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="models need onnx")
pytest.importorskip("onnxruntime", reason="it computes the models")

from engines import ARRAYS, NODES, SHAPE, as_bfloat16, faults, floats, in_place_of, node_of, replaced, saved  # noqa: E402

from cnnx.audit import audit_model  # noqa: E402
from cnnx.audit.model.judge import command  # noqa: E402
from cnnx.audit.model.text import text  # noqa: E402


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path / "m.onnx")


# ------------------------------------------------------------------------------------------ what is right


def test_a_model_that_is_computed_as_its_equations_say(model):
    report = audit_model(model, backend="onnxruntime")
    assert report.verdict == (0, "all agree")
    alone = report.of("isolated")
    assert [one.name for one in alone] == [f"n{i}" for i in range(1, 15)]
    assert all(0 < one.checked <= one.total for one in report.results)
    assert {one.operator: one.share for one in alone if one.share is None}.keys() == {"Transpose", "Reshape"}
    assert max(one.share or 0.0 for one in report.results) > 0.1  # the bound is not far off
    assert max(one.distance for one in alone) < 1e-5
    together = {one.operator: one.nodes for one in report.of("in place")}
    assert together["Conv+BatchNormalization+Relu"] == ("n1", "n2", "n3")


@pytest.mark.slow
@pytest.mark.bare
def test_a_published_network_and_its_memory(tmp_path):
    """ResNet-50 of onnx's test data, with weights that differ: each node agrees, within a GiB."""
    path = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    if not path.exists():
        pytest.skip("this onnx comes without the networks")
    network, rng = onnx.load(path), np.random.default_rng(7)
    shapes = {one.name: onnx.numpy_helper.to_array(one) for one in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type == "ConstantOfShape":  # how the file writes a weight
            shape = shapes[node.input[0]]
            fan = max(1, int(np.prod(shape[1:])))
            weight = rng.normal(0, (2 / fan) ** 0.5, shape) if len(shape) > 1 else rng.uniform(0.5, 1, shape)
            tensor = onnx.numpy_helper.from_array(weight.astype(np.float32))
            node.CopyFrom(onnx.helper.make_node("Constant", [], list(node.output), name=node.name, value=tensor))
    onnx.save(network, tmp_path / "m.onnx")
    del network
    code = (
        "import resource, sys; from cnnx.cli import main; code = main(sys.argv[1:]); "
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    words = [sys.executable, "-c", code, "audit", "--model", str(tmp_path / "m.onnx"), "--elements", "16"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    found, kilobytes = map(int, printed[-1].split())
    assert (found, printed[-2].endswith("of 176 nodes (239 constant ones apart): all agree")) == (0, True), printed[-3:]
    assert kilobytes < 2**20


@pytest.mark.parametrize("name", ["optimized", "torch here"])
def test_back_ends_are_engines(name, model):
    if name == "optimized":
        report = audit_model(model, backend=name)
    else:
        pytest.importorskip("torch", reason="its kernels")
        from cnnx.adapters.of_torch import KERNELS

        with backend.registered(name, KERNELS):
            report = audit_model(model, backend=name)
        assert {one.operator for one in report.unjudged} == {
            "BatchNormalization",
            "AveragePool",
            "HardSigmoid",
        }  # what the adapter lacks
    assert report.verdict.code == 0
    assert report.notes == [f"{name} computes node by node: there is no run in place"]


def test_float64(tmp_path):
    nodes = [("Conv", "x w b", "c", {}), ("Relu", "c", "r", {}), ("MaxPool", "r", "y", {"kernel_shape": [2, 2]})]
    arrays = {name: ARRAYS[name].astype("float64") for name in ("w", "b")}
    report = audit_model(saved(tmp_path / "m.onnx", nodes, arrays, dtype=onnx.TensorProto.DOUBLE), backend="optimized")
    assert report.ok
    assert {one.dtype for one in report.results} == {"float64"}


def test_openvino_where_nothing_is_computed(tmp_path):
    """It leaves such a node out, and its input has no name any more."""
    pytest.importorskip("openvino", reason="extra test: an engine")
    path = saved(tmp_path / "m.onnx", [("Relu", "x", "r", {}), ("Dropout", "r", "y", {})], {}, (2, 3))
    report = audit_model(path, backend="openvino")
    assert report.ok
    assert [(one.operator, one.outcome) for one in report.of("isolated")] == [("Relu", "agrees"), ("Dropout", "agrees")]


def test_openvino(model):
    pytest.importorskip("openvino", reason="extra test: an engine")
    report = audit_model(model, backend="onnxruntime", against="openvino")
    assert report.verdict.code == 0, report.verdict.words
    assert len(report.of("isolated", "openvino")) == len(NODES)
    fused = [one.operator for one in report.of("in place", "openvino") if len(one.nodes) > 1]
    assert any(operators.startswith("Conv+BatchNormalization+Relu") for operators in fused), fused


# ------------------------------------------------------------------------------------------ planted faults


def test_a_flipped_bit_of_a_weight_in_the_second_engines_copy(model):
    def flip(weight):
        weight.view(np.uint32).reshape(-1)[7] ^= 1 << 18
        return weight

    how = {"alter": lambda proto: replaced(proto, "w2", flip)}
    found, report = faults(model, how, backend="onnxruntime", against="altered")
    assert found[0] == ("altered", "isolated", "n4")
    assert report.wrong[0].operator == "Conv"
    assert in_place_of(report, "n4")
    assert any("F[" in line for line in report.wrong[0].discrepancy.terms)


def test_a_wrong_attribute(model):
    def shifted(proto):
        node = node_of(proto, "n4")
        if node is not None:
            next(each for each in node.attribute if each.name == "pads").ints[:] = [0, 0, 2, 2]

    found, report = faults(model, {"alter": shifted})
    assert found[0] == ("altered", "isolated", "n4")
    assert in_place_of(report, "n4")

    def cropped(proto):
        node = node_of(proto, "n4")
        if node is not None and len(proto.graph.node) == 1:
            next(each for each in node.attribute if each.name == "pads").ints[:] = [0, 0, 1, 1]

    # An output of another shape, on which the nodes behind go on as well as they can.
    found, report = faults(model, {"alter": cropped}, nodes="n4")
    assert found == [("altered", "isolated", "n4")]
    assert "expected shape (2, 4, 12, 11), got (2, 4, 11, 10)" in report.wrong[0].discrepancy.what


def test_a_transposed_kernel(model):
    how = {"alter": lambda proto: replaced(proto, "w", lambda w: w.transpose(0, 1, 3, 2))}
    found, report = faults(model, how)
    assert found == [("altered", "isolated", "n1"), ("altered", "in place", "n3")]
    assert report.wrong[1].operator == "Conv+BatchNormalization+Relu"


def test_a_matrix_product_of_two_values(tmp_path):
    """softmax(x x^T) x: judged by the product's equation, and factors of fewer bits are found."""
    nodes = [
        ("Transpose", "x", "c", {"perm": [0, 1, 3, 2]}),
        ("MatMul", "x c", "p", {}),
        ("Softmax", "p", "w", {"axis": -1}),
        ("MatMul", "w x", "y", {}),
    ]
    path = saved(tmp_path / "m.onnx", nodes, {})
    clean = audit_model(path, backend="onnxruntime")
    assert clean.verdict == (0, "all agree")
    products = [one for one in clean.of("isolated") if one.operator == "MatMul"]
    assert [one.name for one in products] == ["n2", "n4"]
    assert all(one.checked and 0.05 < one.share <= 1 for one in products)

    def rounded(proto, inputs, outputs):
        if [node.op_type for node in proto.graph.node] != ["MatMul"]:
            return outputs
        a, b = (as_bfloat16(array) for array in inputs.values())
        return [np.matmul(a, b)]

    found, _ = faults(path, {"spoil": rounded}, in_place=False)
    assert found == [("altered", "isolated", "n2"), ("altered", "isolated", "n4")]


def test_bfloat16_that_an_engine_takes_by_itself(model):
    """Of the factors of products alone: the values themselves are what they were."""

    def rounded(proto):
        if [node.op_type for node in proto.graph.node] in (["Conv"], ["Gemm"]):
            for tensor in proto.graph.initializer:
                replaced(proto, tensor.name, as_bfloat16)

    found, _ = faults(model, {"alter": rounded})
    assert found == [("altered", "isolated", name) for name in ("n1", "n4", "n12")]


def test_bfloat16_in_a_sum_whose_bound_has_room_for_it(tmp_path):
    """Of 4,096 terms: off by more than roundings that know nothing of each other ever come to."""
    arrays = {"dense": floats(1, 16, 4096), "bias": floats(2, 16)}
    path = saved(tmp_path / "m.onnx", [("Gemm", "x dense bias", "y", {"transB": 1})], arrays, (4, 4096))
    clean = audit_model(path, backend="onnxruntime")
    assert clean.verdict == (0, "all agree")
    assert clean.results[0].chance < 0.1
    found, report = faults(path, {"alter": lambda proto: replaced(proto, "dense", as_bfloat16)}, in_place=False)
    assert found == []
    assert report.results[0].suspect
    assert report.verdict == (0, "all agree, 1 of them suspect")
    assert "suspect: n1 (altered" in text(report)


def test_only_the_fused_kernel_is_wrong(model):
    """Alone each node is right, and what Conv, BatchNormalization and Relu give as one is off by a thousandth."""

    def scaled(proto):
        if len(proto.graph.node) > 1:
            replaced(proto, "w", lambda w: w * np.float32(1.001))

    found, report = faults(model, {"alter": scaled})
    assert found == [("altered", "in place", "n3")]
    assert report.verdict.words.startswith("altered: only in place, where each node alone agrees: 1 group disagrees")
    assert "'n3' (Conv+BatchNormalization+Relu)" in report.verdict.words
    assert "nodes n1, n2, n3" in text(report)


def test_a_divisor_of_an_average_beyond_the_padding(tmp_path):
    """PyTorch and ONNX divide by what is within the padding; an engine that divides by the whole window is found."""
    options = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}
    nodes = [("Relu", "x", "r", {}), ("AveragePool", "r", "y", options)]
    path = saved(tmp_path / "m.onnx", nodes, {}, (1, 1, 6, 6))

    def whole(proto, inputs, outputs):
        if proto.graph.node[-1].op_type != "AveragePool":
            return outputs
        padded = np.pad(next(iter(inputs.values()))[0, 0], ((1, 2), (1, 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[::2, ::2]
        return [windows.mean(axis=(2, 3), dtype=np.float32)[None, None]]

    found, report = faults(path, {"spoil": whole}, inputs=abs(floats(1, 1, 1, 6, 6)), in_place=False)
    assert found == [("altered", "isolated", "n2")]
    assert report.wrong[0].wrong == 7  # the last row and column
    if Version(metadata.version("onnxruntime")) >= Version("1.29"):  # older ones do it themselves
        assert audit_model(path, backend="onnxruntime").ok


def test_onnxruntimes_sigmoid_of_large_negative_numbers(tmp_path):
    nodes = [("Relu", "x", "r", {}), ("Sigmoid", "x", "q", {}), ("Add", "r q", "y", {})]
    path = saved(tmp_path / "m.onnx", nodes, {}, (1, 8))
    x = np.array([[-30, -20, -19, -1, 0, 1, 2, 3]], np.float32)
    report = audit_model(path, backend="onnxruntime", inputs=x)
    if report.ok:
        pytest.skip("this onnxruntime has it right")
    assert {one.name for one in report.wrong} == {"n2"}
    found = report.wrong[0].discrepancy
    assert found.expected == pytest.approx(1 / (1 + np.exp(np.float64(-x[found.index]))), rel=1e-12)


def test_numbers_that_are_put_elsewhere(model):
    def swapped(proto, inputs, outputs):
        if [node.op_type for node in proto.graph.node] == ["Transpose"]:
            outputs = [np.ascontiguousarray(outputs[0][:, ::-1])]
        return outputs

    found, report = faults(model, {"spoil": swapped})
    assert found == [("altered", "isolated", "n10")]
    assert report.wrong[0].wrong > 100  # all are compared


def test_an_index_without_axes_and_integers(tmp_path):
    """Gather with one index leaves the axis out, alone as in the network; shapes that values say are compared too."""
    arrays = {"one": np.array(1, np.int64), "two": np.array(2, np.int64), "ones": np.array([1], np.int64)}
    nodes = [
        ("Gather", "x one", "g", {"axis": 1}),
        ("Relu", "g", "r", {}),
        ("ArgMax", "r", "a", {"axis": 1, "keepdims": 0}),
        ("Add", "a two", "s", {}),
        ("Unsqueeze", "s ones", "u", {}),
        ("Cast", "u", "f", {"to": 1}),
        ("Mul", "f r", "m", {}),
        ("Shape", "m", "h", {}),
        ("ReduceMax", "s", "o", {"keepdims": 0}),
        ("Sub", "o o", "p", {}),
        ("Add", "h p", "t", {}),
        ("Reshape", "m t", "y", {}),
    ]
    report = audit_model(
        saved(tmp_path / "m.onnx", nodes, arrays),
        backend="onnxruntime",
        nodes=[f"n{i}" for i in (1, 4, 5, 6, 10, 11, 12)],
    )
    assert [one.outcome for one in report.of("isolated")] == ["agrees"] * 7, text(report)
    assert report.of("in place")[-1].outcome == "agrees"  # a Reshape to a shape that is a value
    wrong = {"spoil": lambda proto, inputs, outputs: [a + (a.dtype.kind == "i") for a in outputs]}
    found, _ = faults(tmp_path / "m.onnx", wrong, nodes="n4", in_place=False)
    assert found == [("altered", "isolated", "n4")]


def test_the_expected_number_is_the_equations(model):
    """An element of a convolution in Fractions, and the bound of a sum of so many terms."""
    how = {"alter": lambda proto: replaced(proto, "w", lambda w: -w)}
    _, report = faults(model, how, inputs=floats(9, *SHAPE), in_place=False)
    found = report.wrong[0].discrepancy
    n, k, p, q = found.index
    x = np.pad(floats(9, *SHAPE), ((0, 0), (0, 0), (1, 1), (1, 1)))[n, :, p : p + 3, q : q + 3]
    terms = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(x.flat, ARRAYS["w"][k].flat, strict=True)]
    exact = sum(terms, Fraction(float(ARRAYS["b"][k])))
    assert found.expected == pytest.approx(float(exact), rel=1e-13)
    mass = float(sum(map(abs, terms))) + abs(float(ARRAYS["b"][k]))
    assert found.error == pytest.approx((1 + np.count_nonzero(x)) * 2.0**-24 * mass, rel=1e-6)


def test_a_groups_bound_and_number_are_its_equations_together(tmp_path):
    """Conv, BatchNormalization and Relu as one: the number is exact, and engines that fold the factor are within."""
    from cnnx.audit.model.graph import Graph
    from cnnx.audit.model.step import Step
    from cnnx.audit.model.truth import Given, Precision

    graph = Graph(saved(tmp_path / "m.onnx", NODES[:3]))
    x, precision = floats(9, *SHAPE), Precision(np.dtype("float32"))
    arrays = {"x": x.astype("float64")}
    elements = {"x": Given(arrays["x"], precision)}
    for line in graph.lines:
        step = Step(line.proto, graph.given(line, arrays), graph.opset)
        (source,) = (line.proto.input[i] for i in step.sources)
        run = step.run([(arrays[source], elements[source])], precision)
        arrays[line.outputs[0]], elements[line.outputs[0]] = run.arrays[0], run.elements[0]

    g, b, v = (ARRAYS[name].astype("float64") for name in "gbv")
    scale = g / np.sqrt(v + 1e-5)  # mean and b are one array here
    folded = (ARRAYS["w"] * scale.astype("float32")[:, None, None, None]).astype("float32")
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for n, k, p, q in [(0, 0, 0, 0), (1, 2, 5, 7), (0, 3, 11, 10), (1, 1, 6, 0), (0, 2, 3, 3)]:
        window = padded[n, :, p : p + 3, q : q + 3]
        terms = [Fraction(float(a)) * Fraction(float(w)) for a, w in zip(window.flat, ARRAYS["w"][k].flat, strict=True)]
        z = float(sum(terms, Fraction(float(b[k]))))
        expected = max(0.0, scale[k] * (z - b[k]) + b[k])
        one = elements["r"][n, k, p, q]
        assert one.value == pytest.approx(expected, rel=1e-12, abs=1e-300)
        sloppy = np.float32(0)
        for a, w in zip(window.flat, folded[k].flat, strict=True):
            sloppy = np.float32(sloppy + np.float32(a * w))
        off = abs(max(0.0, float(sloppy + np.float32(b[k]))) - expected)
        assert off <= one.error
        assert one.error < 1e-4 * (1 + abs(expected))


def test_what_a_layout_fuses_stays_fused(tmp_path):
    """onnxruntime fuses HardSwish with a convolution only where no output of the graph lies between or behind."""
    arrays = {"w": floats(1, 8, 8, 3, 3)}
    nodes = [("Conv", "x w", "c", {}), ("HardSwish", "c", "h", {}), ("Conv", "h w", "c2", {}), ("Relu", "c2", "y", {})]
    path = saved(tmp_path / "m.onnx", nodes, arrays, (1, 8, 12, 11))
    report = audit_model(path, backend="onnxruntime")
    assert report.ok
    groups = [one.operator for one in report.of("in place")]
    assert groups[-1] == "Conv+Relu"
    if groups[0] != "Conv+HardSwish":
        pytest.skip(f"this onnxruntime, or processor, has no layout that fuses them: {groups}")


def test_open_sizes_are_given(tmp_path):
    nodes = [onnx.helper.make_node("Relu", ["x"], ["y"])]
    ends = [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])]
    outs = [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", ends, outs), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, tmp_path / "m.onnx")
    report = audit_model(tmp_path / "m.onnx", backend="optimized", size=(5, 7))
    assert report.ok
    assert "x (1, 3, 5, 7)" in report.data
    assert "--size 5 7 --seed" in command(report, "relu")
    for options, message in (
        ({}, "or sizes"),
        ({"size": (5,)}, r"size: expected 2 for \(\?, 3, \?, \?\) of input 'x', got \[5\]"),
        ({"size": (5, 0)}, r"size\[1\]: expected an integer from 1"),
        ({"size": (5, 7), "inputs": np.zeros((1, 3, 5, 7), "f4")}, "size: expected none with inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            audit_model(tmp_path / "m.onnx", backend="optimized", **options)

"""`cnnx audit --model`: what cannot be judged, bad arguments, the command and what it writes."""

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from packages import install
from pages import needs_nothing

from cnnx.cli import main

pytestmark = pytest.mark.once
onnx = pytest.importorskip("onnx", reason="models need onnx")
pytest.importorskip("onnxruntime", reason="it computes the models")

from engines import FLOAT, SHAPE, altered, faults, floats, replaced, saved  # noqa: E402

from cnnx.audit import audit_model  # noqa: E402
from cnnx.audit.model.engines import registered  # noqa: E402
from cnnx.audit.model.text import text  # noqa: E402
from cnnx.audit.model.truth import Computed  # noqa: E402
from cnnx.audit.truth.arithmetic import UndecidedError  # noqa: E402


@pytest.fixture
def model(tmp_path):
    return saved(tmp_path / "m.onnx")


# ------------------------------------------------------------------------------------------ what cannot be judged


def test_an_operator_without_an_equation(tmp_path):
    nodes = [("Relu", "x", "r", {}), ("Erf", "r", "e", {}), ("Sigmoid", "e", "y", {})]
    report = audit_model(saved(tmp_path / "m.onnx", nodes, {}, (2, 3)), backend="onnxruntime")
    assert report.verdict == (0, "all that was judged agrees")
    assert {(one.name, one.run) for one in report.unjudged} == {("n2", "isolated"), ("n2", "in place")}
    assert "no equation here" in report.unjudged[0].why
    assert "not judged: n2 (Erf)" in text(report)


def test_a_graph_within_a_node(tmp_path):
    """It may take values that the node does not name: neither it nor what comes behind it is computed alone."""
    branch = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["r"], ["n"])], "b", [], [onnx.helper.make_tensor_value_info("n", FLOAT, None)]
    )
    nodes = [
        ("Relu", "x", "r", {}),
        ("If", "yes", "i", {"then_branch": branch, "else_branch": branch}),
        ("Relu", "i", "y", {}),
    ]
    report = audit_model(saved(tmp_path / "m.onnx", nodes, {"yes": np.array(True)}, (2, 3)), backend="onnxruntime")
    assert [(one.name, one.outcome) for one in report.results] == [
        ("n1", "agrees"), ("n2", "not judged"), ("n3", "not judged"),
    ]  # fmt: skip
    assert report.verdict == (0, "all that was judged agrees")
    assert "a graph within it" in report.results[1].why
    assert "behind 'n2' (If)" in report.results[2].why


def test_a_layer_that_copies_what_a_group_computed(model, monkeypatch):
    """The bound of what it takes would get lost on the way: alone it is judged, and in a group nothing is said."""
    from cnnx import nn, ops
    from cnnx.audit.model.step import OWN

    class Copying(nn.Layer):
        def _forward(self, x):
            return ops.relu(x.copy()), None

    monkeypatch.setitem(OWN, "Relu", lambda node: Copying())
    report = audit_model(model, backend="onnxruntime")
    assert report.verdict.code == 0
    assert {one.run for one in report.unjudged} == {"in place"}
    assert any("copies numbers" in one.why and "n3" in one.nodes for one in report.unjudged)


def test_large_equal_logits_have_a_softmax(tmp_path):
    model = saved(tmp_path / "m.onnx", [("Softmax", "x", "y", {})], {}, (2, 5))
    report = audit_model(model, backend="onnxruntime", inputs=np.full((2, 5), 3e9, "float32"))
    assert (report.verdict.code, report.unjudged) == (0, [])
    x = np.full((2, 5), 3e9, "float32")
    x[:, 2] *= 2
    assert audit_model(model, backend="onnxruntime", inputs=x).verdict.code == 0
    with registered("altered", altered(spoil=lambda model, given, found: [y + 1e-5 for y in found])):
        assert audit_model(model, backend="altered", inputs=x, in_place=False).verdict.code == 1


def test_bounds_that_leave_any_number_open_are_said(tmp_path, monkeypatch):
    """Of one element, which is left out, and of all."""
    model, known = saved(tmp_path / "m.onnx", [("Sigmoid", "x", "y", {})], {}, (2, 5)), Computed.__getitem__

    def undecided(self, index):
        if index in where:
            raise UndecidedError("division by 1 +- inf")
        return known(self, index)

    monkeypatch.setattr(Computed, "__getitem__", undecided)
    where = {(7,)}  # the kernel's index, of ten numbers in a row
    report = audit_model(model, backend="onnxruntime", in_place=False)
    assert [(one.outcome, one.checked, one.total) for one in report.results] == [("agrees", 9, 10)]
    where = set(np.ndindex(10))
    (one,) = audit_model(model, backend="onnxruntime", in_place=False).unjudged
    assert one.why == "its bound at (1, 4) leaves any number open: division by 1 +- inf"


def test_an_engine_that_fails(model):
    def failing(proto):
        if [node.op_type for node in proto.graph.node] == ["Gemm"]:
            raise RuntimeError("out of registers")

    found, report = faults(model, {"alter": failing}, in_place=False)
    assert found == [("altered", "isolated", "n12")]
    assert "RuntimeError: out of registers" in report.wrong[0].discrepancy.what


def test_bad_arguments(model, tmp_path):
    for message, options in (
        ("backend: expected one of", {"backend": "none"}),
        ("expected another than 'reference'", {"backend": "reference"}),
        ("against: expected another engine", {"against": "onnxruntime"}),
        ("nodes: expected a pattern", {"nodes": "nothing"}),
        ("expected shape", {"inputs": floats(1, 2, 3, 4, 5)}),
        ("expected \\['x'\\], got", {"inputs": {"a": floats(1, *SHAPE), "b": floats(1, *SHAPE)}}),
        ("elements: expected", {"elements": 0}),
    ):
        with pytest.raises(ValueError, match=message):
            audit_model(model, **options)
    (tmp_path / "no.onnx").write_bytes(b"none")
    with pytest.raises(ValueError, match="expected a valid ONNX model"):
        audit_model(tmp_path / "no.onnx")
    open_shape = saved(tmp_path / "open.onnx", [("Relu", "x", "y", {})], {}, ("N", "C"))
    with pytest.raises(ValueError, match="expected data"):
        audit_model(open_shape)
    assert audit_model(open_shape, inputs=floats(1, 3, 4)).ok


# ------------------------------------------------------------------------------------------ the command


def run(*words):
    return main(["audit", "--model", *map(str, words)])


def test_the_table_and_the_exit_codes(model, capsys):
    assert run(model) == 0
    printed = capsys.readouterr().out
    assert "input: random: normal numbers of seed 0; x (2, 3, 12, 11)" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["1", "n1", "Conv"] in [line[:3] for line in lines]
    assert next(line for line in lines if line[:1] == ["1"])[4] == "fused"
    assert printed.splitlines()[-1].endswith("all agree")
    assert run(model, "--backend", "nothing") == 2
    assert run(model.with_name("missing.onnx")) == 2
    assert run(model, "--op", "conv2d") == 2
    assert main(["audit", "--nodes", "n1"]) == 2
    assert "--nodes: expected --model with it" in capsys.readouterr().err
    assert run(model, "--nodes", "Conv", "--isolated") == 0
    assert "of 14 nodes" in capsys.readouterr().out
    how = {"alter": lambda proto: replaced(proto, "w", lambda w: -w)}
    with registered("altered", altered(**how)):
        assert run(model, "--backend", "altered", "--timeout", 0) == 1
    printed = capsys.readouterr().out
    assert "altered, isolated, n1 (Conv): c at (" in printed
    assert "C1: M17" in printed  # the equation that it broke
    assert "--nodes n1" in printed


def test_json_junit_and_the_page(model, capsys, tmp_path):
    pytest.importorskip("jinja2", reason="extra test: it makes the page")
    files = tmp_path / "m.html", tmp_path / "m.xml"
    how = {"alter": lambda proto: replaced(proto, "w", lambda w: -w)}
    with registered("altered", altered(**how)):
        code = run(model, "--backend", "altered", "--timeout", 0, "--json", "--report", files[0], "--junit", files[1])
    assert code == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["ok"], found["random"], found["nodes"]) == (1, False, True, 14)
    first = found["results"][0]
    assert (first["name"], first["verdict"], first["output"]) == ("n1", "discrepancy", "c")
    assert first["discrepancy"]["share"] > 1
    page = files[0].read_text()
    needs_nothing(page)
    assert "BEYOND" in page
    suites = ET.parse(files[1]).getroot()
    assert [suite.get("name") for suite in suites] == ["altered, isolated", "altered, in place"]
    assert suites[0].get("failures") == "1"
    assert suites[0].get("tests") == "14"


def test_data_of_the_users(model, capsys, tmp_path):
    np.savez(tmp_path / "x.npz", image=floats(1, *SHAPE))
    np.save(tmp_path / "x.npy", floats(1, *SHAPE).astype("float64"))
    for name in ("x.npz", "x.npy"):
        assert run(model, "--input", tmp_path / name, "--isolated") == 0
        printed = capsys.readouterr().out
        assert "random" not in printed
        assert f"{name}; x (2, 3, 12, 11)" in printed
    with registered("altered", altered(alter=lambda proto: replaced(proto, "w", lambda w: -w))):
        assert run(model, "--input", tmp_path / "x.npy", "--isolated", "--backend", "altered", "--timeout", 0) == 1
    assert f"--input {tmp_path / 'x.npy'}" in capsys.readouterr().out
    (tmp_path / "x.txt").write_text("none")
    assert run(model, "--input", tmp_path / "x.txt") == 2


def test_pictures(model, capsys, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="extra test: it reads pictures")
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "c.png"):
        image.fromarray(rng.integers(0, 256, (12, 11, 3), np.uint8)).save(tmp_path / name)
    assert run(model, "--input", tmp_path, "--isolated") == 0
    image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).save(tmp_path / "a.png")
    assert run(model, "--input", tmp_path) == 2
    assert "expected a picture of (12, 11) rows and columns, got (5, 5)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("os.abort()", "theirs's process died: SIGABRT"),
        ("time.sleep(999)", "theirs hangs: no result after 2 s"),
        ("1 / 0", "theirs raised ZeroDivisionError: division by zero"),
    ],
)
def test_an_engine_that_ends_in_a_node_is_a_finding_and_the_next_node_is_judged(tmp_path, monkeypatch, ends, words):
    install(
        tmp_path,
        "theirs",
        "import os, time\n"
        "import numpy as np\n"
        f"def relu(Z, Y):\n    {ends}\n"
        "def tanh(Z, Y):\n    Y[...] = np.tanh(Z)\n"
        "KERNELS = {'relu': relu, 'tanh': tanh}\n",
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = saved(tmp_path / "m.onnx", [("Relu", "x", "a", {}), ("Tanh", "a", "y", {})], {}, (2, 3))
    report = audit_model(model, backend="theirs", timeout=2.0)
    assert [(one.operator, one.outcome) for one in report.results] == [("Relu", "discrepancy"), ("Tanh", "agrees")]
    assert report.results[0].discrepancy.what.startswith(words)
    assert report.verdict.code == 1


def test_time_limits_that_are_none(tmp_path):
    model = saved(tmp_path / "m.onnx", [("Relu", "x", "y", {})], {}, (2, 3))
    for limit in 0, -1.0, float("nan"), float("inf"):
        with pytest.raises(ValueError, match="timeout: expected a number of seconds above 0, or None, got"):
            audit_model(model, backend="optimized", timeout=limit)
    with (
        registered("mine", lambda **_: None),
        pytest.raises(ValueError, match="an engine that another process can load"),
    ):
        audit_model(model, backend="mine", timeout=1.0)

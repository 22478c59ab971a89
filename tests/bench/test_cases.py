"""Files of cases for `cnnx bench --cases`: what they say, what is wrong with one, and the calls that they stand for."""

import math
import re
import tomllib

import numpy as np
import pytest
from paths import ROOT

import cnnx
from cnnx import nn
from cnnx.bench.cases import target
from cnnx.bench.cases_file import read
from cnnx.bench.figures import work
from cnnx.bench.record import LIMIT, Figure
from cnnx.bench.worker import Cnnx
from cnnx.cli import main

pytestmark = pytest.mark.once

TARGETS = read(ROOT / "benchmarks" / "targets.toml")
CONVOLUTIONS = ("A", "A2", "B", "C", "D", "E", "F", "G", "H", "I", "J")


def figure_of(key, threads=1):
    [found] = TARGETS.chosen(cases=[key], threads=[threads])
    return found


def ratio(key, threads, isa):
    return target(TARGETS.entry(figure_of(key)).target_ratio, threads, isa)


# --------------------------------------------------------------------------------- the committed targets


def test_the_groups_of_the_targets():
    sizes = {name: len(group.entries) for name, group in TARGETS.groups.items()}
    assert sizes == {
        "conv": 11,
        "peak": 3,
        "grad-input": 11,
        "grad-weight": 11,
        "winograd": 2,
        "pool": 8,
        "activation": 6,
        "affine": 6,
        "softmax": 2,
        "training": 2,
        "overhead": 1,
        "float64": 2,
    }
    assert [name for name, group in TARGETS.groups.items() if group.beside == LIMIT] == ["peak"]
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert f"groups: {', '.join(sizes)}" in text


def test_targets_by_threads_and_instruction_set():
    assert [ratio(f"conv {name}", 1, "v4") for name in ("A", "A2", "B", "H", "J")] == [4.5, 8.0, 1.0, 0.95, 3.0]
    assert {ratio(f"conv {name}", 2, "v4") for name in CONVOLUTIONS} == {1.0, 0.95}
    assert {ratio(f"conv {name}", 1, "v3") for name in CONVOLUTIONS} == {0.9}
    assert ratio("conv A", 1, "v2") is ratio("conv A", 2, "v3") is ratio("conv A", 4, "v4") is None
    assert ratio("training batch 10", 2, "v4") == 5.0
    assert ratio("overhead conv2d (1,1,3,3)", 2, "v4") is None
    assert (ratio("pool max 2x2 forward", 1, "v4"), ratio("pool average 3x3 backward", 2, "v4")) == (22.0, 7.0)
    means = {name: group.target_mean for name, group in TARGETS.groups.items()}
    assert (target(means["conv"], 2, "v4"), target(means["conv"], 1, "v3"), means["pool"]) == (1.85, 1.5, {})


def test_multiply_adds_of_the_shapes():
    """As worked out by hand, in units of 2 flops."""
    by_hand = {"peak H": 8 * 256 * 27 * 27 * 96 * 25, "peak E": 8 * 256 * 14 * 14 * 256 * 9}
    assert {key: work(TARGETS.call_of(figure_of(key)))[0] for key in by_hand} == by_hand


def test_the_same_arrays_every_time():
    for key in ("conv A2", "grad-weight A2", "softmax (64, 10)", "training batch 10"):
        once, again = (TARGETS.call_of(figure_of(key)).arrays for _ in range(2))
        assert once.keys() == again.keys()
        assert all(np.array_equal(once[name], again[name]) for name in once)
    assert set(TARGETS.call_of(figure_of("softmax (64, 10)")).arrays["target"]) == set(range(10))
    double = TARGETS.call_of(figure_of("float64 E"))
    assert {a.dtype.name for a in double.arrays.values()} == {"float64"}
    assert double.tolerance == 1e-12


# --------------------------------------------------------------------------------------- cnnx's calls


def prepared(key):
    figure = figure_of(key)
    call = TARGETS.call_of(figure)
    return call.arrays, Cnnx().prepare(figure.op, figure.direction, dict(call.arrays), dict(call.options))


def test_one_gradient_alone_is_that_of_the_public_call():
    for key, function, place, more in (
        ("grad-input A2", cnnx.conv2d_backward, 0, {"padding": 1}),
        ("affine 400->120 grad-input", cnnx.affine_backward, 0, {}),
        ("affine 400->120 grad-weight", cnnx.affine_backward, 1, {}),
    ):
        arrays, call = prepared(key)
        result = call()
        assert np.array_equal(result, function(**arrays, **more)[place]), key
        assert call() is not result
    arrays, call = prepared("grad-weight A2")
    assert call()[0] is None
    assert np.array_equal(call()[1], cnnx.conv2d_backward(**arrays, padding=1)[1])


def test_a_gradient_that_the_public_call_does_not_use():
    arrays = TARGETS.call_of(figure_of("grad-input B")).arrays
    with pytest.raises(NotImplementedError, match="does not use the kernel conv2d_grad_input"):
        Cnnx().prepare("conv2d", "grad_input", arrays, {"padding": 1, "algorithm": "winograd"})


def test_a_cost_and_its_gradient():
    arrays, call = prepared("softmax (64, 10)")
    value, gradient = call()
    assert value == cnnx.cross_entropy(**arrays)
    assert np.array_equal(gradient, cnnx.cross_entropy_backward(**arrays))


def test_an_update_is_that_of_a_step():
    arrays, call = prepared("training batch 10")
    model, cost = nn.cn_network(seed=0), nn.CrossEntropy()
    for name, value in model.parameters.items():
        value[...] = arrays[name]
    for _ in range(3):
        cost.forward(model.forward(arrays["x"]), arrays["target"])
        model.backward(cost.backward())
        for name, gradient in model.gradients.items():
            model.parameters[name][...] -= np.float32(0.01) * gradient
    changes = call.result()
    assert len(changes) == 8
    for change, (name, value) in zip(changes, model.parameters.items(), strict=True):
        assert np.any(change)
        assert np.allclose(change, value - arrays[name], atol=1e-7), name
    assert not np.allclose(call.result()[0], changes[0], atol=0), "it goes on from there"


# -------------------------------------------------------------------------------------------- the file

CONV = '[groups.conv]\nop = "conv2d"\n[groups.conv.cases.A]\nx = [1, 1, 3, 3]\nweight = [1, 1, 3, 3]\n'
ARRAYS = "x = [1, 1, 3, 3]\nweight = [1, 1, 3, 3]\n"
TWICE = f'{CONV}[groups.conv.cases."A B"]\n{ARRAYS}[groups."conv A".cases.B]\nop = "conv2d"\n{ARRAYS}'


def written(tmp_path, text):
    path = tmp_path / "cases.toml"
    path.write_text(text)
    return path


def test_what_a_case_has_from_where(tmp_path):
    """Its own over its group's over its shape's; targets by instruction set."""
    text = """
        [shapes]
        A = { x = [1, 2, 5, 5], weight = [2, 2, 3, 3], stride = 2, padding = [[1, 0], [0, 1]] }
        [groups.conv]
        op = "conv2d"
        stride = 1
        target_ratio = { v4 = [1.0, 2.0], v3 = [3.0] }
        [groups.conv.cases]
        A = { target_ratio = { v4 = [4.0] } }
        B = { shape = "A", padding = 2, dtype = "float64", tolerance = 1e-9 }
    """
    cases = read(written(tmp_path, text))
    a, b = cases.groups["conv"].entries
    assert a.case.options == {"stride": 1, "padding": ((1, 0), (0, 1))}
    assert b.case.options == {"stride": 1, "padding": 2}
    assert a.case.arrays == b.case.arrays == {"x": (1, 2, 5, 5), "weight": (2, 2, 3, 3)}
    assert a.target_ratio == {"v4": (4.0,), "v3": (3.0,)}
    assert b.target_ratio == {"v4": (1.0, 2.0), "v3": (3.0,)}
    assert (a.tolerance, b.tolerance, a.dtype, b.dtype) == (1e-4, 1e-9, "float32", "float64")
    assert cases.chosen(threads=(1, 2), dtypes=["float64"]) == [
        Figure("conv2d", "conv B", "forward", threads, "float64") for threads in (1, 2)
    ]
    with pytest.raises(ValueError, match="case: expected one of conv A, conv B, got 'A'"):
        cases.chosen(cases=["A"])
    with pytest.raises(ValueError, match="dtype: expected one of float32, got 'float64'"):
        cases.chosen(cases=["conv A"], dtypes=["float64"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups = [", "expected TOML, got none"),
        ("", "groups: expected at least one table [groups.NAME], got none"),
        ("[group.conv]", "expected some of shapes, groups, got 'group'"),
        ("[groups]\nconv = 3", "groups: expected a table of tables, got {'conv': 3}"),
        ('[groups.conv]\nop = "conv2d"', "groups.conv.cases: expected at least one case, got none"),
        (CONV.replace('"conv2d"', '"conv"'), "groups.conv.cases.A.op: expected one of conv2d, "),
        (CONV.replace('op = "conv2d"', ""), "groups.conv.cases.A.op: expected one of conv2d, "),
        (CONV + 'direction = "sideways"', "cases.A.direction: expected one of forward, backward, grad_input, "),
        (CONV + 'direction = "both"', "cases.A.direction: expected one of forward, backward, "),
        (CONV + "strides = 2", "groups.conv.cases.A: expected some of op, direction, "),
        (CONV.replace("x = [1, 1, 3, 3]", "x = [1, 0, 3, 3]"), "A.x: expected a shape, as [8, 64, 56, 56], got [1, 0,"),
        (CONV.replace("x = [1, 1, 3, 3]", ""), "A.x: expected the shape of an array of conv2d, got none"),
        (
            CONV.replace("x = [1, 1, 3, 3]", "x = { shape = 3 }"),
            "A.x.shape: expected a shape, as [8, 64, 56, 56], got 3",
        ),
        (
            CONV.replace("x = [1, 1, 3, 3]", 'x = { shape = [3], kind = "odd" }'),
            "A.x.kind: expected one of number, positive, ",
        ),
        (
            CONV.replace("x = [1, 1, 3, 3]", 'x = { shape = [3], kind = "index" }'),
            "A.x.high: expected an integer of at least 1, got 0",
        ),
        (CONV + 'dtype = "float16"', "A.dtype: expected one of float32, float64, got 'float16'"),
        (CONV + "tolerance = 2", "A.tolerance: expected a number between 0 and 1, as 1e-4, got 2"),
        (CONV + 'shape = "Z"', "A.shape: expected one of , got 'Z'"),
        (CONV + "target_ratio = 1.5", "A.target_ratio: expected a table, as { v4 = [1.5, 1.2] }, got 1.5"),
        (CONV + "target_ratio = { v5 = [1.0] }", "A.target_ratio: expected some of v2, v3, v4, baseline, got 'v5'"),
        (CONV + "target_ratio = { v4 = [1] }", "A.target_ratio.v4: expected ratios on 1 thread, 2, ..., as [1.5, 1.2]"),
        (CONV.replace("[groups.conv.c", "target_mean = 1\n[groups.conv.c"), "conv.target_mean: expected a table"),
        (
            CONV.replace("[groups.conv.c", 'beside = "me"\n[groups.conv.c'),
            "beside: expected one of torch, onnxruntime,",
        ),
        (TWICE, "groups: expected each \"group case\" once, got 'conv A B' 2 times"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, capsys, text, message):
    path = written(tmp_path, text)
    assert main(["bench", "--cases", str(path), "--vs", "numpy"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"cnnx: error: {path}: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONV + "stride = 0", "groups.conv.cases.A: stride: expected "),
        (CONV.replace("weight = [1, 1, 3, 3]", "weight = [1, 2, 3, 3]"), "groups.conv.cases.A: "),
        (
            '[groups.t.cases.A]\nop = "cn_network"\nx = [3, 28]',
            "groups.t.cases.A: x: expected a shape (N, C, H, W), got (3, 28)",
        ),
        (
            '[groups.t.cases.A]\nop = "cn_network"\nx = [3, 1, 1, 1]',
            "groups.t.cases.A: ",
        ),
    ],
)
def test_what_an_op_does_not_take_is_said_before_anything_is_measured(tmp_path, text, message):
    cases = read(written(tmp_path, text))
    [figure] = cases.chosen()
    with pytest.raises(ValueError, match=re.escape(message)):
        cases.call_of(figure)


def test_every_case_of_the_targets_is_used():
    """No shape is there for nothing."""
    found = tomllib.loads((ROOT / "benchmarks" / "targets.toml").read_text(encoding="utf-8"))
    used = {own.get("shape", name) for group in found["groups"].values() for name, own in group["cases"].items()}
    assert set(found["shapes"]) <= used
    assert math.prod(TARGETS.groups["conv"].entries[0].case.arrays["x"]) == 64 * 28 * 28

"""Explanations: every op's, by their terms; the worked values of D19; what padding removes, counted by hand."""

import inspect
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from cnnx import backend, cli
from cnnx.audit import explain
from cnnx.audit.data import draw, draw_like
from cnnx.audit.trace import backward_arguments, first, forward_arguments, traced
from cnnx.ops import OPS
from cnnx.pages import places as _places

pytestmark = pytest.mark.once


def calls_of(op, case, mode="integer"):
    """The kernel calls of a case, forward and backward."""
    rng = np.random.default_rng(1)
    arrays = draw(op, case, "float64", mode, rng)
    forward = traced(op.forward, forward_arguments(op, case, arrays), "optimized")
    delta = np.ones(1) if op.cost else draw_like(first(forward.result), "float64", mode, rng)
    backward = traced(op.backward, backward_arguments(op, case, arrays, delta, forward.result), "optimized")
    return (*forward.calls, *backward.calls)


def evaluated(text):
    """The value of an expression as it is printed, brackets and all."""
    python = re.sub(r"\|([^|]*)\|", r"abs(\1)", text).replace("^", "**")
    names = {name: getattr(math, name) for name in ("exp", "expm1", "log", "log1p", "sqrt", "erfc")}
    return eval(python, {"__builtins__": {}, "abs": abs, "nan": math.nan, "inf": math.inf, **names})


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_case_of_every_op(op):
    """Some elements of every output: the reference's value, bit by bit, and terms and words that make it."""
    explained = set()
    for case in op.cases:
        for call in calls_of(op, case):
            names = list(inspect.signature(backend.reference_kernel(call.kernel)).parameters)
            arrays = dict(zip(names, call.inputs, strict=False))
            objects = [a.astype(object) for a in call.inputs]
            for (name, element), output in zip(backend.equations(call.kernel).items(), call.outputs, strict=True):
                for flat in sorted({0, output.size // 2, output.size - 1} if output.size else ()):
                    index = tuple(map(int, np.unravel_index(flat, output.shape)))
                    explanation = explain(call.kernel, name, call.inputs, index, call.numbers)
                    assert explanation.value == element(*objects, *index, **call.numbers)
                    check(explanation, arrays)
                    explained.add(call.kernel)
    assert explained == set(op.kernels)


def check(explanation, arrays):
    total = math.fsum(term.product for term in explanation.terms if not term.removed)
    if explanation.terms:
        again = evaluated(explanation.frame_numbers.replace("{sum}", f"({total!r})"))
        assert explanation.value == pytest.approx(again, rel=1e-5, abs=1e-12)
    for term in explanation.terms[:30]:
        if not term.removed:
            product = math.prod(factor.value for factor in term.factors)
            assert math.isclose(term.product, product, rel_tol=1e-12, abs_tol=1e-300)
            # Six digits are printed, of numbers that may cancel.
            assert math.isclose(term.product, evaluated(term.numbers), rel_tol=1e-3, abs_tol=2e-4)
    for factor in (*(f for term in explanation.terms for f in term.factors), *explanation.looked_at):
        if factor.array is not None:
            shape = arrays[factor.array].shape
            assert factor.outside is not all(0 <= i < n for i, n in zip(factor.index, shape, strict=True))
            assert factor.outside or arrays[factor.array][factor.index] == factor.value
    assert explanation.equation
    assert re.search(r"[A-Z]\d|section \d", f"{explanation.source} {explanation.equation}")
    words = explanation.text(every=True)
    assert all(term.text in words or term.text.startswith("-") for term in explanation.terms)
    json.dumps(explanation.as_dict())


# --------------------------------------------------------------------------- D19's network, worked

O = np.array([[[[1.0, 1, 1], [1, 0, 1], [1, 1, 1]]]])  # noqa: E741
FILTERS = np.array([[[[1.0, 1], [1, -1]]], [[[1.0, -1], [-1, 1]]]])
PLAIN = dict(u=1, v=1, p_h=0, p_w=0, d_h=1, d_w=1, groups=1)
WINDOW = dict(R=2, S=2, u=1, v=1, p_h=0, p_w=0)


def test_the_convolution_of_d19():
    """Section 7 of the sheet: 3 1 / 1 1 and -1 1 / 1 -1, without bias."""
    for k, expected in enumerate(([3, 1, 1, 1], [-1, 1, 1, -1])):
        for (p, q), value in zip(itertools.product(range(2), repeat=2), expected, strict=True):
            assert explain("conv2d", "Y", (O, FILTERS, np.zeros(2)), (0, k, p, q), PLAIN).value == value


def test_the_terms_of_an_element_of_d19():
    explanation = explain("conv2d", "Y", (O, FILTERS, np.ones(2)), (0, 0, 0, 1), PLAIN)
    assert [term.text for term in explanation.terms] == [
        "b[0]",
        "F[0,0,0,0] Z[0,0,0,1]",
        "F[0,0,0,1] Z[0,0,0,2]",
        "F[0,0,1,0] Z[0,0,1,1]",
        "F[0,0,1,1] Z[0,0,1,2]",
    ]
    assert [term.numbers for term in explanation.terms] == ["1", "1 * 1", "1 * 1", "1 * 0", "(-1) * 1"]
    assert [term.product for term in explanation.terms] == [1, 1, 1, 0, -1]
    assert (explanation.value, explanation.removed) == (2, 0)
    assert explanation.equation.startswith("Y[n,k,p,q] = b[k] + sum_{c,r,s} F[k,c,r,s] Z~[n,c, u p")
    assert explanation.source.startswith("C1: M17 (4)")


def test_the_rest_of_d19():
    """Sigmoid, pooling, affine, cost and delta^O for the o, to the four digits printed."""

    def near(value):
        return pytest.approx(value, abs=6e-5)

    features = np.array([[[[4.0, 2], [2, 2]], [[0, 2], [2, 0]]]])  # the convolution with its bias of 1
    maps = np.array([explain("sigmoid", "Y", (features.ravel(),), (i,), {}).value for i in range(8)])
    assert maps == near([0.9820, 0.8808, 0.8808, 0.8808, 0.5, 0.8808, 0.8808, 0.5])
    maps = maps.reshape(features.shape)
    pooled = [explain("max_pool2d", "Y", (maps,), (0, c, 0, 0), WINDOW) for c in range(2)]
    assert [e.value for e in pooled] == near([0.9820, 0.8808])
    assert [e.terms[0].text for e in pooled] == ["Z[0,0,0,0]", "Z[0,1,0,1]"]
    assert [[f.text for f in e.looked_at] for e in pooled] == [
        ["Z[0,0,0,1]", "Z[0,0,1,0]", "Z[0,0,1,1]"],
        ["Z[0,1,0,0]", "Z[0,1,1,0]", "Z[0,1,1,1]"],
    ]
    a = np.array([[e.value for e in pooled]])
    w = np.array([[1.5, -4.2], [-2.6, 3.5]])
    assert [explain("affine", "Y", (a, w, np.zeros(2)), (0, i), {}).value for i in range(2)] == near([-2.2263, 0.5296])
    z = np.array([explain("affine", "Y", (a, w, np.ones(2)), (0, i), {}).value for i in range(2)])
    y = np.array([explain("sigmoid", "Y", (z,), (i,), {}).value for i in range(2)])
    assert y == near([0.2268, 0.8219])
    cost = explain("squared_error", "E", (y, np.array([1.0, 0.0])), (0,), dict(divisor=1.0))
    assert cost.value == near(0.6367)
    assert cost.frame == "({sum} / 2) / divisor" or cost.frame == "{sum} / 2 / divisor"
    dA = np.array(
        [explain("squared_error_grad_input", "dA", (y, np.eye(2)[0]), (i,), dict(divisor=1.0)).value for i in range(2)]
    )
    delta = [explain("sigmoid_grad_input", "dZ", (dA, z), (i,), {}).value for i in range(2)]
    assert delta == near([-0.1356, 0.1203])


def test_adam_by_hand():
    """The first update moves a weight by the rate, whatever the slope (up to eps)."""
    numbers = dict(rate=0.5, beta1=0.9, beta2=0.99, eps=1e-8, decay=0.0, t=1)
    inputs = (np.array([1.0]), np.array([4.0]), np.zeros(1), np.zeros(1))
    assert explain("adam", "w_new", inputs, (0,), numbers).value == pytest.approx(0.5, abs=1e-7)
    m1 = explain("adam", "m1_new", inputs, (0,), numbers)
    assert [term.text for term in m1.terms] == ["beta1 m1[0]", "(1 - beta1) dE[0]"]
    assert m1.value == pytest.approx(0.4)


# ------------------------------------------------------------------------- what padding removes

GEOMETRY = [
    # H, W, R, S, u, v, (top, bottom), (left, right), d_h, d_w, C, K, groups
    (5, 6, 3, 3, 1, 1, (1, 1), (1, 1), 1, 1, 2, 3, 1),
    (7, 6, 3, 2, 2, 3, (1, 1), (0, 0), 1, 1, 1, 2, 1),
    (6, 5, 3, 4, 2, 1, (0, 2), (3, 1), 1, 1, 2, 2, 1),
    (8, 9, 2, 3, 2, 3, (2, 2), (2, 2), 3, 2, 4, 6, 2),
    (3, 2, 3, 3, 1, 1, (3, 3), (4, 4), 1, 1, 2, 2, 2),
    (9, 9, 2, 2, 3, 4, (0, 1), (1, 0), 1, 2, 1, 1, 1),
]


@pytest.mark.parametrize("geometry", GEOMETRY)
def test_what_padding_removes(geometry):
    """The removed terms are those with a factor beyond the edge: found here from C1, C3 and C5 by trying all."""
    H, W, R, S, u, v, (top, bottom), (left, right), d_h, d_w, C, K, groups = geometry
    P, Q = (H + top + bottom - d_h * (R - 1) - 1) // u + 1, (W + left + right - d_w * (S - 1) - 1) // v + 1
    rng = np.random.default_rng(0)
    Z, Delta = rng.integers(-3, 4, (2, C, H, W)) * 1.0, rng.integers(-3, 4, (2, K, P, Q)) * 1.0
    F, b = rng.integers(-3, 4, (K, C // groups, R, S)) * 1.0, np.zeros(K)
    numbers = dict(u=u, v=v, p_h=top, p_w=left, d_h=d_h, d_w=d_w, groups=groups)
    reaches = {
        (p, q, r, s): (u * p + d_h * r - top, v * q + d_w * s - left)
        # outputs as far beyond the map as a kernel reaches
        for p, q, r, s in itertools.product(range(-9, P + 9), range(-9, Q + 9), range(R), range(S))
    }

    def removed(explanation, array):
        return sorted(f.index[2:] for t in explanation.terms if t.removed for f in t.factors if f.array == array)

    def outside(h, w):
        return not (0 <= h < H and 0 <= w < W)

    for p, q in itertools.product(range(P), range(Q)):
        e = explain("conv2d", "Y", (Z, F, b), (1, K - 1, p, q), numbers)
        expected = [at for (i, j, *_), at in reaches.items() if (i, j) == (p, q) and outside(*at)]
        assert removed(e, "Z") == sorted(expected * (C // groups))
        assert len(e.terms) == 1 + C // groups * R * S
    for r, s in itertools.product(range(R), range(S)):
        e = explain("conv2d_grad_weight", "dF", (Delta, Z), (0, 0, r, s), numbers)
        expected = [
            at for (p, q, *rs), at in reaches.items() if rs == [r, s] and 0 <= p < P and 0 <= q < Q and outside(*at)
        ]
        assert removed(e, "Z") == sorted(expected * 2)
        assert len(e.terms) == 2 * P * Q
    for h, w in itertools.product(range(H), range(W)):
        e = explain("conv2d_grad_input", "dZ", (Delta, F), (1, 0, h, w), numbers)
        expected = [(p, q) for (p, q, *_), at in reaches.items() if at == (h, w) and not (0 <= p < P and 0 <= q < Q)]
        assert removed(e, "Delta") == sorted(expected * (K // groups))


def test_what_padding_removes_in_closed_form():
    """At stride 1 a corner of the output loses all but (R - p)(S - p) of a channel's RS terms."""
    R, S, p, C = 5, 4, 2, 3
    Z, F = np.ones((1, C, 9, 9)), np.ones((2, C, R, S))
    e = explain("conv2d", "Y", (Z, F, np.zeros(2)), (0, 1, 0, 0), {**PLAIN, "p_h": p, "p_w": p})
    assert e.removed == C * (R * S - (R - p) * (S - p))
    assert e.value == C * (R - p) * (S - p)
    assert f"sum of 61 terms, {e.removed} of them removed" in e.text()


@pytest.mark.parametrize(
    ("kernel", "numbers", "expected"),
    [
        ("max_pool2d", {}, 4.0),
        ("avg_pool2d", dict(p_b=1, p_r=1, include_pad=0), 2.5),
        ("avg_pool2d", dict(p_b=1, p_r=1, include_pad=1), 10 / 9),
        ("lp_pool2d", dict(rho=2.0, normalize=0), math.sqrt(30)),
    ],
)
def test_windows_in_padding(kernel, numbers, expected):
    """A corner of a padded 3x3 pooling holds 4 pixels; 5 members lie in the padding."""
    Z = np.array([[[[1.0, 2], [3, 4]]]])
    e = explain(kernel, "Y", (Z,), (0, 0, 0, 0), dict(R=3, S=3, u=1, v=1, p_h=1, p_w=1) | numbers)
    assert e.value == pytest.approx(expected)
    places = {f.index[2:]: f.outside for t in e.terms for f in t.factors if f.array} | {
        f.index[2:]: f.outside for f in e.looked_at
    }
    if kernel == "lp_pool2d":  # |Z|^rho is no element
        assert (len(e.terms), e.removed) == (9, 5)
    else:
        assert places == {(h, w): h < 0 or w < 0 for h in (-1, 0, 1) for w in (-1, 0, 1)}
    assert e.text().count("removed by padding") == 5


def test_long_sums_are_cut_short():
    e = explain("conv2d_grad_bias", "db", (np.ones((2, 1, 30, 30)),), (0,), {})
    assert e.value == 1800
    assert "sum of 1,800 terms" in e.text()
    assert "... 1,788 more terms" in e.text()
    assert e.text().count("Delta[") < 20
    assert e.text(every=True).count(" = 1\n") == 1800


# ----------------------------------------------------------------------------------- command line


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    done = capsys.readouterr()
    return code, done.out, done.err


def test_command(capsys):
    code, out, err = run(
        capsys, "explain", "conv2d", "--at", "0,1,0,0", "--x", "1,2,5,5", "--weight", "3,2,3,3", "--padding", "1"
    )
    assert (code, err) == (0, "")
    assert "Y[n,k,p,q] = b[k] + sum_{c,r,s}" in out
    assert "C1: M17 (4)" in out
    assert "Y[0,1,0,0] = sum of 19 terms, 10 of them removed" in out


@pytest.mark.parametrize("op", [op.name for op in OPS if op.kernels])
def test_command_for_every_op(capsys, op):
    """The value printed is that of the public function on the same numbers."""
    code, out, _ = run(capsys, "explain", op, "--json", "--backend", "reference")
    found = json.loads(out)
    assert code == 0
    assert found["got"] == found["value"]
    code, out, err = run(capsys, "explain", op, "--of", "?")
    assert code == 2
    for name in re.search(r"expected one of (.*) for this case", err)[1].split(", "):
        assert run(capsys, "explain", op, "--of", name)[0] == 0


def test_command_gradients_and_shapes(capsys):
    for of, at in (("dF", "1,0,2,2"), ("db", "1"), ("dZ", "1,2,5,5")):
        code, out, _ = run(
            capsys, "explain", "conv2d", "--shape", "mb2ic4ih6oc6g2kh3ph1", "--of", of, "--at", at, "--json"
        )
        found = json.loads(out)
        assert (code, found["output"], found["got"]) == (0, of, found["value"])
    code, out, _ = run(capsys, "explain", "tanh", "--x", "2,3", "--at", "1,2")
    assert "Y[5] =" in out  # its kernel sees a flat array
    code, out, _ = run(
        capsys, "explain", "max_pool2d", "--kernel-size", "(2,3)", "--return-winners", "True", "--of", "B"
    )
    assert (code, "R = 2, S = 3" in out) == (0, True)
    code, out, _ = run(capsys, "explain", "conv2d", "--case", "Winograd, tiles of 4", "--of", "dZ")
    assert (code, "conv2d_winograd_grad_input" in out) == (0, True)


def test_command_all(capsys):
    short, long = (run(capsys, "explain", "conv2d", "--of", "db", *more)[1] for more in ((), ("--all",)))
    assert "more terms" in short
    assert "more terms" not in long
    assert long.count("Delta[") == 1 + 2 * 5 * 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lenet"], "OP: expected one of conv2d"),
        (["flatten"], "it computes nothing"),
        (["conv2d", "--at", "9,9,9,9"], "within Y of shape (2, 4, 5, 4), got (9, 9, 9, 9)"),
        (["conv2d", "--at", "0,0"], "within Y of shape (2, 4, 5, 4)"),
        (["conv2d", "--at", "a"], "--at: expected whole numbers"),
        (["conv2d", "--of", "dQ"], "--of: expected one of Y, dZ, dF, db"),
        (["conv2d", "--case", "none"], "--case: expected one of 52 names, got 'none'; did you mean one?"),
        (["conv2d", "--case", "empty batch"], "has no elements"),
        (["conv2d", "--x", "1,1,2,2"], "weight: expected"),
        (["conv2d", "--x", "1,-1,2,2"], "--x: expected extents of at least 0"),
        (["conv2d", "--x", "abc"], "--x: expected a shape"),
        (["conv2d", "--stride", "x"], "stride: expected an integer"),
        (["conv2d", "--axis", "1"], "--axis: conv2d has no such option"),
        (["relu", "--weight", "1"], "--weight: relu has no such array"),
        (["relu", "--shape", "ic3ih5kh3"], "--shape: expected one of conv2d"),
        (["conv2d", "--shape", "ic3oc2ih5kh9"], "kh9"),
        (["conv2d", "--shape", "ic3oc2ih5kh3", "--stride", "2"], "--shape: expected no case"),
        (["conv2d", "--backend", "nobody"], "nobody"),
        (["conv2d", "--seed", "-1"], "--seed"),
    ],
)
def test_command_refuses_in_one_line(capsys, arguments, says):
    code, out, err = run(capsys, "explain", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_command_with_a_back_end_that_raises(capsys):
    def broken(*arrays, **numbers):
        raise KeyError("out of order")

    backend.register_backend("explain-broken", {"relu": broken})
    code, out, err = run(capsys, "explain", "relu", "--backend", "explain-broken")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "out of order" in err


# ------------------------------------------------------------------------------------- equations


def test_the_whole_sheet(capsys):
    code, out, _ = run(capsys, "equations")
    assert code == 0
    assert out.startswith("# The equations of cnnx")
    assert out.count("\n## ") == 8


@pytest.mark.parametrize(
    ("key", "has", "has_not"),
    [
        ("C1", ["## 1 Convolution", "C1  Y[n,k,p,q] = b[k]", "g C/groups + c", "M17 (4)"], ["C2", "C3"]),
        ("p2", ["## 3 Pooling", "P2  backward", "B = 1 where"], ["P1", "P3"]),
        ("G3", ["Adam", "Kingma"], ["momentum"]),
        ("N3", ["db[c] = ", "dg[c] = "], ["N2", "N4"]),
        ("a3", ["softmax:", "backward:", "U19 footnote 4"], ["A4", "log-softmax"]),
        ("M17", ["宮本崇, 2017-04-07", "C1  Y", "F3  dZ", "| M17 table 1 |"], ["| W15, backward", "P4"]),
        ("W15", ["2015-09-23", "| W15, backward"], ["| M17 table 1"]),
        ("errata", ["## 6 Errata", "| M17 (4), (6) |", "| CN (1) |"], ["## 7"]),
        ("symbols", ["| p_h, p_w |"], ["C1"]),
        ("7", ["D19's network"], ["## 6"]),
        ("log_softmax", ["## 2 Activation"], ["## 3"]),
        ("flatten", ["(c H + h) W + w"], ["## 3"]),
    ],
)
def test_a_key(capsys, key, has, has_not):
    code, out, _ = run(capsys, "equations", key)
    sheet, stands, _ = out.partition("\nWhere ")
    assert code == 0
    assert all(words in sheet for words in has)
    assert not any(words in sheet for words in has_not)
    assert bool(stands) is bool(re.fullmatch(r"\w\d", key))  # an equation's


def test_every_key_that_the_ops_name(capsys):
    keys = {key for op in OPS for key in _places.cited(op.equations)}
    assert len(keys) > 40
    for key in sorted(keys):
        code, out, _ = run(capsys, "equations", key)
        assert (code, f"    {key}  " in out) == (0, True)


def test_where_an_equation_stands(capsys):
    _, out, _ = run(capsys, "equations", "N3")
    element = inspect.getsourcelines(backend.equations("batch_norm2d_grad_weight")["dg"])[1]
    lines = out.partition("Where N3 stands, below ")[2].splitlines()
    assert lines[0] == f"{_places.ROOT}:"
    places = {line.split()[-2]: line.split()[-1] for line in lines if re.search(r":\d+  ", line)}
    assert places[f"cnnx/reference/batch_norm2d.py:{element}"] == "batch_norm2d_dg"
    assert "batch_norm2d_grad_weight" in places.values()  # its twin
    assert "batch_norm2d_backward" in places.values()
    assert "test_batch_norm2d_by_hand" in places.values()
    assert lines[-1].startswith("audit      cnnx audit batch_norm2d: bound, layout, ")


def test_an_equation_of_no_op(capsys):
    _, out, _ = run(capsys, "equations", "G2")
    assert out.endswith("no op has this equation, and the audit judges ops: see the tests\n")


def test_where_the_tests_are(capsys, monkeypatch, tmp_path):
    clone = next(folder for folder in Path(__file__).resolve().parents if folder.name == "tests").parent
    monkeypatch.chdir(clone / "tests")
    assert _places.clone() in (clone, _places.ROOT)
    monkeypatch.chdir(tmp_path)
    assert _places.clone() == (clone if clone == _places.ROOT else None)
    monkeypatch.setattr(_places, "clone", lambda: None)
    code, out, _ = run(capsys, "equations", "C1")
    assert (code, "/test_" in out) == (0, False)
    assert "tests      not installed; call this within a clone" in out


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("N9", "the nearest are N7, N6, N5, N4, N3"),
        ("convd", "the nearest are conv2d"),
        ("X", "the keys are C1, C2,"),
        ("", "the keys are C1, C2,"),
    ],
)
def test_an_unknown_key(capsys, key, says):
    code, out, err = run(capsys, "equations", key)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"KEY: expected one of the sheet's keys, got {key!r}; {says}" in err

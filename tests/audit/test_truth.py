"""What results are held against: equations on integers, Fractions, balls, mpmath's numbers; the share of the bound."""

from contextlib import nullcontext
from fractions import Fraction

import numpy as np
import pytest

import cnnx
from cnnx import backend
from cnnx.audit import audit
from cnnx.audit.trace import KernelCall, traced
from cnnx.audit.truth import exact as truth
from cnnx.audit.truth.arithmetic import UndecidedError
from cnnx.audit.truth.balls import BallMath, ball, precision
from cnnx.audit.truth.error_bound import Comparison

mpmath = pytest.importorskip("mpmath")

pytestmark = pytest.mark.once

DIGITS, BALLS = "mpmath (60 digits)", "balls (python-flint, 256 bits)"


@pytest.fixture(params=[BALLS, DIGITS])
def functions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What exp and the like are computed in."""
    if request.param == DIGITS:
        monkeypatch.setattr("cnnx.audit.truth.exact.flint", lambda: None)
    else:
        pytest.importorskip("flint", reason="extra audit: python-flint's balls")
    return str(request.param)


def recorded(function, backend_name="reference", **arguments) -> list[KernelCall]:
    return traced(function, arguments, backend_name).calls


def values(calls: list[KernelCall], output: np.ndarray) -> tuple[str, list]:
    equation = truth.Truth(calls).of(output)
    found = equation.all().ravel().tolist()
    return equation.kind, found


def drawn(*shape, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 2.0 ** rng.integers(-30, 30, shape)).astype(dtype)


def test_a_convolution_runs_on_integers_and_equals_fractions_by_hand() -> None:
    x, weight, bias = drawn(1, 2, 4, 3), drawn(2, 2, 2, 2, seed=1), drawn(2, seed=2)
    (call,) = recorded(cnnx.conv2d, x=x, weight=weight, bias=bias)
    kind, found = values([call], call.outputs[0])
    assert kind == "integers"
    F = np.vectorize(Fraction, otypes=[object])
    X, W, b = (F(a.astype(float)) for a in (x, weight, bias))
    by_hand = [
        sum((W[k, c, r, s] * X[0, c, p + r, q + s] for c, r, s in np.ndindex(2, 2, 2)), b[k])
        for k, p, q in np.ndindex(2, 3, 2)
    ]
    assert found == by_hand


def test_a_bias_far_smaller_than_the_products_is_not_lost() -> None:
    x, weight, bias = np.full((1, 1, 1, 1), 2.0**20), np.full((1, 1, 1, 1), 3.0), np.array([2.0**-60])
    (call,) = recorded(cnnx.conv2d, x=x, weight=weight, bias=bias)
    assert values([call], call.outputs[0]) == ("integers", [3 * Fraction(2) ** 20 + Fraction(1, 2**60)])


def test_winners_are_no_scaled_numbers() -> None:
    x = drawn(1, 1, 4, 4)
    (call,) = recorded(cnnx.max_pool2d, x=x, kernel_size=2, return_winners=True)
    y, winners = call.outputs
    assert values([call], winners) == ("integers", winners.ravel().tolist())
    assert values([call], y) == ("integers", [Fraction(float(v)) for v in y.ravel()])


def test_an_average_runs_on_fractions() -> None:
    (call,) = recorded(cnnx.avg_pool2d, x=np.array([[[[0.1, 0.2, 0.7]]]]), kernel_size=(1, 3))
    kind, found = values([call], call.outputs[0])
    assert kind == "Fractions"
    assert found == [(Fraction(0.1) + Fraction(0.2) + Fraction(0.7)) / 3]


def test_an_exponential_runs_on_60_digits(functions: str) -> None:
    (call,) = recorded(cnnx.sigmoid, x=np.array([0.5, -3.25]))
    kind, found = values([call], call.outputs[0])
    assert kind == functions
    # bc -l: scale=70; 1/(1+e(-0.5)); 1/(1+e(3.25))
    digits = ("0.622459331201854593684692410009895785586421", "0.037326887344129457292359019020416063307893")
    context = mpmath.MPContext()
    context.dps = 60
    for value, expected in zip(found, digits, strict=True):
        written = context.mpf(str(value).strip("[").partition(" ")[0])
        assert abs(written - context.mpf(expected)) < context.mpf("1e-15")  # as far as bc's arguments are the doubles


def test_a_chain_passes_its_exact_numbers_on(functions: str) -> None:
    x = np.array([0.1, 0.2, 0.4, 0.9]).reshape(2, 1, 2, 1)
    calls = recorded(cnnx.batch_norm2d, x=x, weight=np.ones(1), bias=np.zeros(1), training=True, eps=0.25)
    assert [call.kernel for call in calls] == [
        "batch_norm2d_statistics_mean",
        "batch_norm2d_statistics_var",
        "batch_norm2d",
    ]
    exact = [Fraction(float(v)) for v in x.ravel()]
    mean = sum(exact) / 4
    var = sum((v - mean) ** 2 for v in exact) / 4
    assert values(calls, calls[0].outputs[0]) == ("Fractions", [mean])
    assert values(calls, calls[1].outputs[0]) == ("Fractions", [var])
    kind, y = values(calls, calls[2].outputs[0])
    assert kind == functions
    for v, found in zip(exact, y, strict=True):
        # found = (v - mean) / sqrt(var + 1/4), so its square is a fraction
        expected = (v - mean) ** 2 / (var + Fraction(1, 4))
        with precision() if functions == BALLS else nullcontext():
            near = abs(float(found**2 * expected.denominator / expected.numerator - 1)) < 1e-50
        assert near or float(found) == 0


def comparison(call: KernelCall, got: np.ndarray):
    return Comparison([call], got.dtype.name).worst(got, call.outputs[0])


def test_float64_is_held_against_more_than_float64() -> None:
    """A sum that double loses altogether: the equation on floats would confirm the wrong number."""
    x = np.array([[[[1.0, 2.0**-80]]]])
    weight = np.ones((1, 1, 1, 2))
    (call,) = recorded(cnnx.conv2d, x=x, weight=weight)
    use = comparison(call, call.outputs[0])
    assert call.outputs[0].item() == 1.0
    assert use.truth == "integers"
    assert 0 < use.share < 1e-6
    assert use.error <= 4 * 2.0**-53 * 1.1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_rounding_is_within_the_bound_and_two_steps_of_a_product_are_not(dtype) -> None:
    z = np.array([1.2345678901234567], dtype=dtype)
    (call,) = recorded(cnnx.leaky_relu, x=-z, negative_slope=0.75)
    right = call.outputs[0]
    assert comparison(call, right.copy()).share <= 1
    wrong = np.nextafter(np.nextafter(right, np.inf, dtype=dtype), np.inf, dtype=dtype)
    assert comparison(call, wrong).share > 1


def test_shares_are_exact_where_doubles_would_round() -> None:
    # 0.1 + 0.2 in double is off by 2.8e-17 from the sum of the two doubles: that share, and not 0.
    (call,) = recorded(cnnx.conv2d, x=np.array([[[[0.1, 0.2]]]]), weight=np.ones((1, 1, 1, 2)))
    use = comparison(call, call.outputs[0])
    off = abs(Fraction(0.1 + 0.2) - Fraction(0.1) - Fraction(0.2))
    assert off > 0
    assert use.share == pytest.approx(float(off) / use.error, rel=1e-12)


def test_the_reference_itself_is_judged() -> None:
    """Another back end equal to a reference that is wrong in double: both are held against the exact sum."""
    x = np.array([[[[1e17, 1.0, -1e17, 3.0]]]])
    (call,) = recorded(cnnx.conv2d, x=x, weight=np.ones((1, 1, 1, 4)))
    assert call.outputs[0].item() != 4.0  # cancellation, within its bound
    assert comparison(call, call.outputs[0]).share <= 1
    call.outputs[0][...] = 1000.0
    assert comparison(call, call.outputs[0]).share > 1


def test_the_report_says_which_truth_was_used(functions: str) -> None:
    report = audit(["affine", "squared_error", "sigmoid"], checks=["bound"], dtypes=["float64"], measure=False)
    affine, squared, sigmoid = (set(r.truth["float64"]) for r in report.results)
    assert affine == {"integers"}
    assert squared == {"Fractions"}
    assert sigmoid == {functions, "Fractions", "bounded doubles"}  # of large cases a part; by a saved output
    for result in report.results:
        worst = result.worst["float64"]
        assert 0 < worst.share <= 1
        assert abs(worst.got - worst.expected) <= worst.error
        assert worst.kernel in {k for op in cnnx.ops.OPS for k in op.kernels}


def test_without_either_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flint", "mpmath_context"):
        monkeypatch.setattr(f"cnnx.audit.truth.exact.{name}", lambda: None)
    ops = ["sigmoid", "affine", "squared_error", "batch_norm2d", "dropout"]
    report = audit(ops, checks=["bound"], dtypes=["float32"], measure=False)
    affine, sigmoid = sorted((r for r in report.results if r.op in ops[:2]), key=lambda r: r.op)
    assert report.ok, [str(d) for d in report.discrepancies()]
    assert set(sigmoid.truth["float32"]) == {"bounded doubles", "Fractions"}  # the latter by a saved output
    assert "neither python-flint nor mpmath is installed" in sigmoid.note
    assert set(affine.truth["float32"]) == {"integers"}
    assert affine.note == ""


def test_every_kernel_that_runs_on_integers_is_one() -> None:
    names = {kernel for op in cnnx.ops.OPS for kernel in op.kernels}
    assert set(truth.PRODUCTS) <= names
    for kernel, factors in truth.PRODUCTS.items():
        inputs = list(backend.equations(kernel).values())
        assert inputs, kernel
        assert set(factors) <= set(__import__("inspect").signature(backend.reference_kernel(kernel)).parameters)


# ------------------------------------------------------------------------------------------------- balls


def test_a_ball_holds_the_value_and_is_small() -> None:
    """e to 70 digits, as printed (OEIS A001113)."""
    pytest.importorskip("flint", reason="extra audit: python-flint's balls")
    e = Fraction("2.7182818284590452353602874713526624977572470936999595749669676277240766")
    with precision():
        value = BallMath().exp(1)
        assert value.says_enough
        assert abs(float(ball(e) - value)) < 1e-69
        assert value.off(2.5) == pytest.approx(float(e - Fraction(5, 2)), rel=1e-15)
        assert value.off(2.5) >= float(e - Fraction(5, 2))


def test_what_a_ball_does_not_decide() -> None:
    pytest.importorskip("flint", reason="extra audit: python-flint's balls")
    with precision():
        root = BallMath().sqrt(2)
        zero = root * root - 2
        assert zero != 1
        assert zero < 1
        assert zero > -1
        for compare in (lambda: zero > 0, lambda: zero <= 0, lambda: zero == 0):
            with pytest.raises(UndecidedError):
                compare()
        assert BallMath().sqrt(4) == 2
        assert BallMath().pow(2, Fraction(1, 2)) - root < 1e-60
        assert zero.says_enough
        assert not (1 / zero).says_enough
        assert not BallMath().log(-1).says_enough


def test_the_process_keeps_its_own_precision() -> None:
    flint = pytest.importorskip("flint", reason="extra audit: python-flint's balls")
    before = flint.ctx.prec
    assert audit(["sigmoid"], checks=["bound"], cases=["vector"], measure=False).ok
    assert flint.ctx.prec == before

"""Gradients: difference quotients, dual numbers, and what the check says where there is no derivative."""

from fractions import Fraction

import numpy as np
import pytest

import cnnx
from cnnx import data, nn
from cnnx.audit import audit, gradient_check
from cnnx.audit.truth.dual import Dual, DualMath, Slopes
from cnnx.ops import OPS, Op


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_difference_quotients_of_op(op: Op) -> None:
    # The optimized back end: the reference's gradients are held against dual numbers below.
    (result,) = audit([op.name], checks=["gradient"], measure=False).results
    assert result.ok, "\n".join(map(str, result.discrepancies))
    assert result.ran > 0


# No exp, log, sqrt or erf in them: the equations are checked without any rounding.
RATIONAL = {
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "upsample2d",
    "relu",
    "step",
    "identity",
    "leaky_relu",
    "clip",
    "hard_sigmoid",
    "hard_swish",
    "prelu",
    "affine",
    "add",
    "multiply",
    "matmul",
    "dropout",
    "squared_error",
}


@pytest.mark.once
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_dual_numbers_of_op(op: Op) -> None:
    (result,) = audit([op.name], checks=["dual"], measure=False).results
    assert result.ok, "\n".join(map(str, result.discrepancies))
    assert (result.ran > 0) == bool(op.kernels)
    assert (result.note == "Fractions") == (op.name in RATIONAL)
    if op.name in RATIONAL:
        assert result.share is None  # no tolerance


def ox_gradient_check(model: nn.Sequential, examples: data.Dataset, pattern=None):
    cost = nn.SquaredError(reduction="sum")
    parameters = model.parameters

    def cost_at(arrays):
        for name, value in arrays.items():
            parameters[name][...] = value
        return cost.forward(model.forward(examples.images), examples.labels)

    at = {name: value.copy() for name, value in parameters.items()}
    cost_at(at)
    model.backward(cost.backward())
    gradients = {name: value.copy() for name, value in model.gradients.items()}
    report = gradient_check(cost_at, at, gradients, step=2.0**-12, pattern=pattern)
    cost_at(at)
    return report


def one_update(model: nn.Sequential, examples: data.Dataset) -> None:
    cost = nn.SquaredError(reduction="sum")
    cost.forward(model.forward(examples.images), examples.labels)
    model.backward(cost.backward())
    for name, parameter in model.parameters.items():
        parameter -= 0.1 * model.gradients[name]


def with_ties(ties: str) -> nn.Sequential:
    model = nn.ox_network(dtype="float64")
    layers = [nn.MaxPool2d(2, ties=ties) if isinstance(layer, nn.MaxPool2d) else layer for layer in model.layers]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("ties", ["first", "all"])
def test_ox_network_at_its_start_reports_the_tied_maxima(ties: str) -> None:
    report = ox_gradient_check(with_ties(ties), data.ox_images("six", dtype="float64"))
    assert not report.ok
    assert report.kinks  # the second filter's maxima are tied
    assert all(kink.startswith("0.") for kink in report.kinks)  # and only the convolution feels it


def test_ox_network_with_first_passes_after_one_update() -> None:
    examples, model = data.ox_images("six", dtype="float64"), with_ties("first")
    one_update(model, examples)
    report = ox_gradient_check(model, examples)
    assert report.ok, (report.at, report.difference)
    assert report.checked == 8 + 2 + 4 + 2


def test_ox_network_with_all_fails_before_and_after_an_update() -> None:
    # equations.md section 7: the printed rule is no derivative; it is off by .29, then by .35.
    examples, model = data.ox_images("six", dtype="float64"), with_ties("all")
    before = ox_gradient_check(model, examples)
    one_update(model, examples)
    after = ox_gradient_check(model, examples)
    assert not before.ok
    assert not after.ok
    assert round(before.difference, 2) == 0.29
    assert round(after.difference, 2) == 0.35


def test_kink_of_relu_is_reported_and_not_compared() -> None:
    x = {"x": np.array([-1.0, 0.0, 2.0])}

    def cost(arrays):
        return float(cnnx.relu(arrays["x"]).sum())

    report = gradient_check(cost, x, {"x": cnnx.relu_backward(np.ones(3), x["x"])})
    assert report.kinks == ["x[1]"]
    assert not report.ok


@pytest.mark.parametrize("inside", [0.02, 0.2, 0.22, 0.26, 0.3, 0.45, 0.49, 0.51, 0.75, 0.95])
@pytest.mark.parametrize("side", [-1, 1])
def test_kink_within_the_step_is_reported(inside: float, side: int) -> None:
    h = 2.0**-8
    x = {"x": np.array([side * inside * h])}

    def cost(arrays):
        return float(np.maximum(arrays["x"], 0).sum())

    report = gradient_check(cost, x, {"x": (x["x"] > 0) * 1.0}, step=h)
    assert report.kinks == ["x[0]"]
    assert not report.ok


def test_kink_beyond_the_step_is_none() -> None:
    x = {"x": np.array([-0.01, 0.01])}
    assert gradient_check(lambda a: float(np.maximum(a["x"], 0).sum()), x, {"x": np.array([0.0, 1.0])}).ok


@pytest.mark.parametrize("wrong", [np.array([3.0]), np.array(3.0), np.full((2, 1), 3.0)])
def test_gradient_of_another_shape_is_an_error(wrong) -> None:
    with pytest.raises(ValueError, match=r"gradients\['x'\]: expected shape \(2,\), as its array has, got"):
        gradient_check(lambda a: float(3 * a["x"].sum()), {"x": np.zeros(2)}, {"x": wrong})


def test_gradient_of_an_unknown_array_is_an_error() -> None:
    with pytest.raises(ValueError, match="gradients: expected names of arrays"):
        gradient_check(lambda a: 0.0, {"x": np.zeros(2)}, {"y": np.zeros(2)})


def choices(model: nn.Sequential, examples: data.Dataset):
    """The winners of the maxima and the signs under the ReLUs of the o/x network, at given parameters."""

    def at(arrays):
        for name, value in arrays.items():
            model.parameters[name][...] = value
        taken, x = [], examples.images
        for layer in model.layers:
            if isinstance(layer, nn.MaxPool2d):
                taken.append(cnnx.max_pool2d(x, layer.kernel_size, return_winners=True)[1])
            elif isinstance(layer, nn.ReLU):
                taken.append(np.sign(x))
            x = layer.forward(x)
        return tuple(taken)

    return at


def test_ox_network_at_its_start_with_its_winners_watched() -> None:
    """Tied coordinates are excluded and counted; the others pass."""
    examples, model = data.ox_images("six", dtype="float64"), with_ties("first")
    watched = ox_gradient_check(model, examples, pattern=choices(model, examples))
    plain = ox_gradient_check(model, examples)
    assert watched.excluded == ["0.weight[1, 0, 0, 1]", "0.weight[1, 0, 1, 0]"] == plain.kinks
    assert not watched.kinks
    assert watched.share <= 1  # where no winner changes the gradient is right
    assert watched.checked == 8 + 2 + 4 + 2 - 2
    assert watched.ok


def test_ox_network_after_an_update_has_no_winner_that_changes() -> None:
    examples, model = data.ox_images("six", dtype="float64"), with_ties("first")
    one_update(model, examples)
    report = ox_gradient_check(model, examples, pattern=choices(model, examples))
    assert report.ok
    assert not report.excluded


@pytest.mark.parametrize(("kinks", "mistrusted"), [(0, False), (1, False), (2, False), (3, True), (10, True)])
def test_too_many_excluded_coordinates_are_mistrusted(kinks: int, mistrusted: bool) -> None:
    x = np.arange(1.0, 11.0)
    x[:kinks] = 0.0
    gradient = np.ones(10)
    report = gradient_check(lambda a: float(abs(a["x"]).sum()), {"x": x}, {"x": gradient}, pattern=lambda a: a["x"] > 0)
    assert report.excluded == [f"x[{i}]" for i in range(kinks)]
    assert report.checked == 10 - kinks
    assert report.share <= 1
    assert bool(report.mistrusted) == mistrusted
    assert report.ok != mistrusted


def test_a_wrong_gradient_beside_excluded_ones_is_still_seen() -> None:
    x, gradient = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.ones(5)
    gradient[4] = 1.001
    report = gradient_check(lambda a: float(abs(a["x"]).sum()), {"x": x}, {"x": gradient}, pattern=lambda a: a["x"] > 0)
    assert report.excluded == ["x[0]"]
    assert report.at == "x[4]"
    assert not report.ok


def test_a_kink_that_the_pattern_does_not_tell_of_is_seen_by_the_slopes() -> None:
    x = {"x": np.array([0.0, 1.0])}
    report = gradient_check(lambda a: float(abs(a["x"]).sum()), x, {"x": np.ones(2)}, pattern=lambda a: 0)
    assert report.kinks == ["x[0]"]


def test_gradients_that_are_all_zero_are_mistrusted() -> None:
    x = {"x": np.arange(3.0)}
    report = gradient_check(lambda a: 5.0, x, {"x": np.zeros(3)})
    assert report.share == 0
    assert report.mistrusted == "3 of 3 gradients are 0"
    assert not report.ok


def test_curvature_is_no_kink() -> None:
    # One-sided slopes of exp differ by h exp(x), which shrinks with h.
    x = {"x": np.array([5.0, -3.0])}
    report = gradient_check(lambda a: float(np.exp(a["x"]).sum()), x, {"x": np.exp(x["x"])}, size=np.exp(5.0))
    assert report.ok, report


@pytest.mark.parametrize("relative", [1e-5, -1e-4, 0.5, 2.0])
def test_a_gradient_that_is_a_little_off_is_seen(relative: float) -> None:
    x = {"x": np.array([1.0, 2.0, 3.0])}
    gradient = 3 * x["x"] ** 2
    gradient[1] *= 1 + relative
    report = gradient_check(lambda a: float((a["x"] ** 3).sum()), x, {"x": gradient})
    assert not report.ok
    assert report.at == "x[1]"


def test_large_arrays_are_checked_along_directions() -> None:
    x = {"x": np.linspace(-1, 1, 100)}
    right = 2 * x["x"]
    assert gradient_check(lambda a: float((a["x"] ** 2).sum()), x, {"x": right}, size=50).ok
    wrong = right.copy()
    wrong[57] += 1e-3
    assert not gradient_check(lambda a: float((a["x"] ** 2).sum()), x, {"x": wrong}, size=50).ok


def test_nothing_to_check_is_not_ok() -> None:
    assert not gradient_check(lambda a: 0.0, {"x": np.zeros(0)}, {"x": np.zeros(0)}).ok


def test_dual_numbers_know_the_rules_of_calculus() -> None:
    x = Dual(Fraction(3, 2), Fraction(1))
    assert (x * x * x).slope == 3 * Fraction(9, 4)
    assert (1 / x).slope == -Fraction(4, 9)
    assert ((2 * x - 1) / (x + 1)).slope == Fraction(3) / (Fraction(5, 2) ** 2)
    assert abs(-x).slope == 1
    assert abs(x - 2).slope == -1
    assert (7 - x).slope == -1
    import math

    m = DualMath(math)
    d = Dual(0.7, 1.0)
    assert m.exp(d).slope == pytest.approx(math.exp(0.7))
    assert m.log(d).slope == pytest.approx(1 / 0.7)
    assert m.log1p(d).slope == pytest.approx(1 / 1.7)
    assert m.expm1(d).slope == pytest.approx(math.exp(0.7))
    assert m.sqrt(d).slope == pytest.approx(0.5 / math.sqrt(0.7))
    assert m.erfc(d).slope == pytest.approx(-2 / math.sqrt(math.pi) * math.exp(-0.49))
    assert m.pow(d, 2.5).slope == pytest.approx(2.5 * 0.7**1.5)


def test_dual_numbers_carry_several_derivatives_at_once() -> None:
    x = Dual(Fraction(3), Slopes({0: Fraction(1)}))
    y = Dual(Fraction(2), Slopes({1: Fraction(1), 2: Fraction(5)}))  # along 1, and five times as fast along 2
    f = (x * x + 4) / y - y  # df/dx = 2 x / y, df/dy = -(x^2 + 4) / y^2 - 1
    assert [f.slope.along(direction) for direction in range(4)] == [3, Fraction(-17, 4), Fraction(-85, 4), 0]
    assert (0 + f.slope).along(0) == 3
    assert (-f).slope.along(0) == -3


@pytest.mark.parametrize("seed", [5, 6])
def test_winograds_tiles_are_noisier_than_the_values_are_large(seed) -> None:
    """Seed 5 was beyond a tolerance that heeded the values alone."""
    (result,) = audit(["conv2d"], cases=["Winograd, one"], checks=["gradient"], measure=False, seed=seed).results
    assert result.ok

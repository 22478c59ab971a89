"""Optimisers, schedules and initial weights, held against values worked out by hand."""

import math
import pickle

import numpy as np
import pytest

from cnnx import nn


class Given(nn.Layer):
    """A layer of one parameter, whose gradient the test gives."""

    def __init__(self, w, dtype="float64"):
        super().__init__()
        self._parameters["w"] = np.array(w, dtype)

    def step(self, optimizer, gradient, **options):
        self._gradients["w"] = np.array(gradient, self._parameters["w"].dtype)
        optimizer.step(self, **options)
        return self._parameters["w"].tolist()


def test_sgd_is_d19s_rule():
    model, sgd = Given([1.0, -2.0]), nn.SGD(0.5)
    array = model.parameters["w"]
    assert model.step(sgd, [4.0, 1.0]) == [-1.0, -2.5]
    assert model.step(sgd, [0.0, -1.0], factor=0.5) == [-1.0, -2.25]
    assert model.parameters["w"] is array  # in place
    assert sgd.updates == 2


def test_sgd_with_weight_decay():
    # w - eta (g + lambda w) = 8 - 0.5 (1 + 0.25 * 8)
    assert Given([8.0]).step(nn.SGD(0.5, weight_decay=0.25), [1.0]) == [6.5]


def test_sgd_with_momentum():
    model, sgd = Given([0.0]), nn.SGD(1.0, momentum=0.5)
    # v: 2, then 0.5 * 2 + 4 = 5, then 2.5
    assert [model.step(sgd, [g]) for g in (2.0, 4.0, 0.0)] == [[-2.0], [-7.0], [-9.5]]


def test_sgd_with_nesterov_s_momentum():
    model, sgd = Given([0.0]), nn.SGD(1.0, momentum=0.5, nesterov=True)
    # g + mu v: 2 + 1, then 4 + 2.5
    assert [model.step(sgd, [g]) for g in (2.0, 4.0)] == [[-3.0], [-9.5]]


def test_adam_s_first_two_steps():
    model, adam = Given([1.0]), nn.Adam(0.1)
    # m = 0.1 g and v = 0.001 g^2, each divided by the same: g / |g|, but for eps
    assert math.isclose(model.step(adam, [0.5])[0], 1 - 0.1 * 0.5 / (0.5 + 1e-8), rel_tol=1e-14)
    # m = 0.9 * 0.05 - 0.1 * 0.25 = 0.02, over 1 - 0.81
    # v = 0.999 * 0.00025 + 0.001 * 0.0625 = 0.00031225, over 1 - 0.998001
    second = 0.1 * (0.02 / 0.19) / (math.sqrt(0.00031225 / 0.001999) + 1e-8)
    assert math.isclose(model.step(adam, [-0.25])[0], 1 - 0.1 * 0.5 / (0.5 + 1e-8) - second, rel_tol=1e-12)


def test_adam_with_other_numbers_and_weight_decay():
    # b1 = b2 = 0: w - eta g / (|g| + eps), with g = 1 + 0.5 * 2
    adam = nn.Adam(0.5, betas=(0.0, 0.0), eps=2.0, weight_decay=0.5)
    assert Given([2.0]).step(adam, [1.0]) == [2 - 0.5 * 2 / 4]
    assert repr(adam) == "Adam(learning_rate=0.5, betas=(0.0, 0.0), eps=2.0, weight_decay=0.5)"


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1, momentum=0.9, weight_decay=0.01), nn.Adam()])
def test_float32_stays_float32_and_a_pickled_optimizer_goes_on(optimizer):
    model, twin = Given([1.0, 2.0], "float32"), Given([1.0, 2.0], "float32")
    model.step(optimizer, [0.5, -1.0])
    twin.parameters["w"][:] = model.parameters["w"]
    again = pickle.loads(pickle.dumps(optimizer))
    assert model.step(optimizer, [3.0, 1.0]) == twin.step(again, [3.0, 1.0])
    assert model.parameters["w"].dtype == np.float32


def test_a_step_without_gradients_or_for_another_model():
    layer = nn.Affine(2, 2, seed=0)
    sgd = nn.SGD(0.1, momentum=0.9)
    with pytest.raises(RuntimeError, match=r"SGD.step: expected a backward call first; no gradient of \['weight'"):
        sgd.step(layer)
    assert sgd.updates == 0
    Given([1.0]).step(sgd, [1.0])
    with pytest.raises(ValueError, match=r"w: expected shape \(1,\), float64, as at this optimiser's first step, got"):
        Given([1.0, 2.0]).step(sgd, [1.0, 2.0])


class Pair(nn.Layer):
    """Two parameters with gradients."""

    def __init__(self, *shapes):
        super().__init__()
        for name, shape in zip("ab", shapes, strict=True):
            self._parameters[name], self._gradients[name] = np.ones(shape), np.ones(shape)


def spoil_gradient(model):
    model._gradients["b"] = np.ones(3)


def spoil_state(model):
    model._parameters["b"], model._gradients["b"] = np.ones(3), np.ones(3)


def spoil_flags(model):
    model._parameters["b"].flags.writeable = False


@pytest.mark.parametrize("make", [lambda: nn.SGD(0.5, momentum=0.5), lambda: nn.Adam(0.5)])
@pytest.mark.parametrize(
    ("spoil", "factor", "error", "message"),
    [
        (spoil_gradient, 1.0, ValueError, r"gradient of b: expected shape \(2,\), float64, got \(3,\)"),
        (spoil_state, 1.0, ValueError, r"b: expected shape \(2,\), float64, as at this optimiser's first step"),
        (spoil_flags, 1.0, ValueError, "b: expected an array that can be changed"),
        (None, math.nan, ValueError, "factor: expected a finite number"),
        (None, -1, ValueError, "factor: expected a number of at least 0, got -1"),
        (None, "1", TypeError, "factor: expected a number"),
    ],
)
def test_a_step_that_fails_changes_nothing(make, spoil, factor, error, message):
    model, optimizer = Pair(2, 2), make()
    optimizer.step(model)
    if spoil:
        spoil(model)
    before = pickle.dumps((model.parameters, vars(optimizer)))
    with pytest.raises(error, match=message):
        optimizer.step(model, factor)
    assert pickle.dumps((model.parameters, vars(optimizer))) == before


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.SGD(-0.1), ValueError, "learning_rate: expected a number of at least 0, got -0.1"),
        (lambda: nn.SGD(math.nan), ValueError, "learning_rate: expected a finite number"),
        (lambda: nn.SGD("fast"), TypeError, "learning_rate: expected a number"),
        (lambda: nn.SGD(momentum=1), ValueError, "momentum: expected a number from 0 to below 1, got 1"),
        (lambda: nn.SGD(weight_decay=-1), ValueError, "weight_decay: expected"),
        (lambda: nn.SGD(nesterov=True), ValueError, "nesterov: expected a momentum above 0"),
        (lambda: nn.SGD(momentum=0.5, nesterov="no"), TypeError, "nesterov: expected True or False"),
        (lambda: nn.Adam(betas=0.9), TypeError, "betas: expected two numbers"),
        (lambda: nn.Adam(betas=(0.9, 1.0)), ValueError, r"betas\[1\]: expected"),
        (lambda: nn.Adam(eps=0), ValueError, "eps: expected a number above 0"),
        (lambda: nn.StepSchedule(0), ValueError, "every: expected"),
        (lambda: nn.StepSchedule(10, 0), ValueError, "factor: expected a number from above 0 to 1"),
        (lambda: nn.CosineSchedule(10, last=2), ValueError, "last: expected a number from 0 to 1"),
        (lambda: nn.he((3,)), TypeError, "shape: expected a tuple"),
        (lambda: nn.he((3, 0)), ValueError, "shape: expected"),
    ],
)
def test_bad_arguments_are_one_clear_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_schedules_by_hand():
    steps = nn.StepSchedule(every=3, factor=0.5)
    assert [steps(t) for t in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    cosine = nn.CosineSchedule(total=6, last=0.2)
    # cos(0), cos(60 degrees), cos(90), cos(120), cos(180): 1, 1/2, 0, -1/2, -1
    assert np.allclose([cosine(t) for t in (0, 2, 3, 4, 6, 7, 99)], [1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2], rtol=1e-14)
    assert pickle.loads(pickle.dumps((steps, cosine))) == (steps, cosine)


@pytest.mark.parametrize(
    ("draw", "variance"),
    [
        # 3 x 5 x 5 terms of an output; of two groups, each input reaches 32 / 2 x 5 x 5 outputs
        (lambda seed, dtype: nn.he((32, 3, 5, 5), seed, dtype=dtype), 2 / 75),
        (lambda seed, dtype: nn.xavier((32, 3, 5, 5), seed, groups=2, dtype=dtype), 2 / (75 + 400)),
        (lambda seed, dtype: nn.he((40, 60), seed, dtype=dtype), 2 / 60),
        (lambda seed, dtype: nn.xavier((40, 60), seed, dtype=dtype), 2 / 100),
    ],
)
def test_initial_weights_have_the_documented_variance(draw, variance):
    weights = draw(0, "float64")
    n = weights.size
    assert abs(weights.mean()) < 5 * math.sqrt(variance / n)
    assert abs(weights.var() / variance - 1) < 5 * math.sqrt(2 / n)  # five standard deviations
    assert np.array_equal(draw(0, "float32"), weights.astype("float32"))
    assert not np.array_equal(draw(1, "float64"), weights)
    assert np.array_equal(draw(np.random.default_rng(0), "float64"), weights)
    assert not np.array_equal(draw(None, "float64"), draw(None, "float64"))

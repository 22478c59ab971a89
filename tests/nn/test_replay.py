"""Layers that are given the same arrays again: their kernels run alone, unless anything has changed."""

import warnings

import numpy as np
import pytest

import cnnx
from cnnx import backend, nn

RNG = np.random.default_rng(8)


def same(a, b):
    return all(np.array_equal(p, q) and p.dtype == q.dtype for p, q in zip(a, b, strict=True))


def replaying():
    """Two networks of layers that do nothing but call ops, the second after three steps on the same arrays."""
    plain, reusing = (
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, seed=0),
            nn.LeakyReLU(0.25),
            nn.MaxPool2d(2),
            nn.Sequential(
                nn.AvgPool2d(2),
                nn.LpPool2d(2, 2, stride=1),
                nn.PReLU(4),
                nn.Clip(-2, 6.5),
                nn.LocalResponseNorm(3),
                nn.GroupNorm(2, 4),
                nn.InstanceNorm2d(4),
                nn.LayerNorm((2, 2)),
                nn.Flatten(),
            ),
            nn.Softmax(),
            nn.Affine(16, 5, seed=3),
        )
        for _ in range(2)
    )
    reusing.reuse_buffers()
    x, delta = RNG.random((6, 2, 12, 12), "float32"), RNG.random((6, 5), "float32")
    for _ in range(3):
        there_and_back(reusing, x, delta)
    return plain, reusing, x, delta


def there_and_back(model, x, delta):
    y = model.forward(x).copy()
    return [y, model.backward(delta).copy(), *(g.copy() for g in model.gradients.values())]


def test_the_same_arrays_again_run_the_kernels_alone(monkeypatch):
    plain, reusing, x, delta = replaying()
    RNG.random(out=x, dtype="float32")
    plain.parameters["0.weight"][:] *= 2
    reusing.parameters["0.weight"][:] *= 2
    expected = there_and_back(plain, x, delta)
    monkeypatch.setattr(backend, "kernel", None)
    assert same(there_and_back(reusing, x, delta), expected)


def other_weight(model):
    model.layers[0].parameters["weight"] = np.asfortranarray(model.parameters["0.weight"] + 1)


def direct_call(model):
    layer = model.layers[5]
    layer.forward(np.ones((2, 16), "float32"))
    layer.backward(np.ones((2, 5), "float32"))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.layers[0], "padding", ((2, 0), (1, 1))),
        lambda model: setattr(model.layers[1], "negative_slope", 0.5),
        lambda model: setattr(model.layers[2], "ties", "all"),
        lambda model: setattr(model.layers[3].layers[1], "norm_type", 3.0),
        lambda model: setattr(model, "backend", "reference"),
        other_weight,
        direct_call,
    ],
)
def test_what_changes_is_not_replayed(change):
    plain, reusing, x, delta = replaying()
    for model in (plain, reusing):
        change(model)
    for _ in range(3):
        assert same(there_and_back(reusing, x, delta), there_and_back(plain, x, delta))


def test_a_replay_heeds_the_back_end_and_who_looks_on():
    plain, reusing, x, delta = replaying()
    expected, seen = there_and_back(plain, x, delta), []
    with backend.intercept(lambda name, kernel: seen.append(name) or kernel):
        assert same(there_and_back(reusing, x, delta), expected)
    assert {"conv2d", "conv2d_grad_weight", "affine_grad_bias"} <= set(seen)
    missing = pytest.raises(NotImplementedError, match="nothing-in-it")
    with backend.registered("nothing-in-it", {}), cnnx.use_backend("nothing-in-it"), missing:
        reusing.forward(x)
    assert same(there_and_back(reusing, x, delta), expected)


def test_a_replay_heeds_shapes_set_in_place():
    _, reusing, x, _ = replaying()
    with warnings.catch_warnings(action="ignore"):  # NumPy 2.5 advises against it
        x.shape = 6, 2, 144
    with pytest.raises(ValueError, match="x: expected 4 axes"):
        reusing.forward(x)
    for _ in range(3):
        with pytest.raises(TypeError, match="x: expected a NumPy array"):
            reusing.forward("an image")


class Doubling(nn.ReLU, forward=cnnx.relu, backward=cnnx.relu_backward):
    def _forward(self, x):
        y, saved = super()._forward(x)
        return 2 * y, saved


class Plus(nn.Activation, forward=lambda x, backend: x + 1, backward=lambda grad_output, x, backend: grad_output):
    pass


@pytest.mark.parametrize(("layer", "phi"), [(Doubling(), lambda x: 2 * x), (Plus(), lambda x: x + 1)])
def test_what_does_more_than_call_ops_is_never_replayed(layer, phi):
    layer.reuse_buffers()
    x = np.ones(5)
    for i in range(5):
        x[:] = i
        assert np.array_equal(layer.forward(x), phi(x))

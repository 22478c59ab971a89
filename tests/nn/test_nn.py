"""Layers, costs and networks of cnnx.nn: forward and backward, parameters, modes, copies."""

import copy
import math
import pickle

import numpy as np
import pytest

import cnnx
from cnnx import data, nn

X = np.random.default_rng(5).normal(size=(4, 2, 6, 5))

LAYERS = [
    (nn.Conv2d(2, 4, (3, 2), stride=2, padding="same", groups=2, seed=1, dtype="float64"), X),
    (nn.Conv2d(2, 3, 2, dilation=2, bias=False, seed=1, dtype="float64"), X),
    (nn.ConvTranspose2d(2, 4, (3, 2), stride=2, padding=1, output_padding=1, groups=2, seed=1, dtype="float64"), X),
    (nn.ConvTranspose2d(2, 3, 2, dilation=2, padding=((0, 1), (2, 0)), bias=False, seed=1, dtype="float64"), X),
    (nn.Affine(5, 3, seed=1, dtype="float64"), X[0, 0]),
    (nn.Affine(5, 3, bias=False, seed=1, init="xavier", dtype="float64"), X[0, 0]),
    (nn.BatchNorm2d(2, dtype="float64"), X),
    (nn.Dropout(0.4, seed=1), X),
    (nn.Flatten(), X),
    (nn.MaxPool2d(2, padding=1), X),
    (nn.MaxPool2d((2, 3), stride=1, ties="all"), X),
    (nn.AvgPool2d(3, padding=1, ceil_mode=True, count_include_pad=True), X),
    (nn.LpPool2d(3, 2, normalize=False), X),
    (nn.GlobalAvgPool2d(), X),
    (nn.GlobalMaxPool2d(), X),
    (nn.ReLU(), X),
    (nn.Sigmoid(), X),
    (nn.Tanh(), X),
    (nn.Step(), X),
    (nn.Identity(), X),
    (nn.LeakyReLU(0.2), X),
    (nn.ELU(alpha=0.7), X),
    (nn.Softplus(), X),
    (nn.GELU(), X),
    (nn.Clip(-0.5, None), X),
    (nn.ReLU6(), X),
    (nn.HardSigmoid(0.5, beta=0.25), X),
    (nn.HardSwish(), X),
    (nn.SiLU(), X),
    (nn.PReLU(2, dtype="float64"), X),
    (nn.PReLU(slope=0.1, dtype="float64"), X),
    (nn.GroupNorm(2, 2, dtype="float64"), X),
    (nn.GroupNorm(1, 2, affine=False, eps=0.1, dtype="float64"), X),
    (nn.InstanceNorm2d(2, affine=True, dtype="float64"), X),
    (nn.InstanceNorm2d(2), X),
    (nn.LayerNorm((6, 5), dtype="float64"), X),
    (nn.LayerNorm(5, affine=False, dtype="float64"), X),
    (nn.LocalResponseNorm(2, alpha=0.5, k=0.5), X),
    (nn.Scale(2, dtype="float64"), X),
    (nn.Scale((6, 5), learned=False, dtype="float64"), X),
    (nn.Bias((1,), dtype="float64"), X),
    (nn.Constant((2, 3), dtype="float64"), X),
    (nn.Reshape((3, -1, 5)), X),
    (nn.Transpose((0, 3, 1, 2)), X),
    (nn.Slice(2, 1, -1), X),
    (nn.ZeroPad2d(((0, 1), (2, 0))), X),
    *((nn.Pad2d(((0, 1), (2, 1)), mode, 2.5), X) for mode in ("reflect", "edge", "wrap", "constant")),
    (nn.Slice(3, None, 0, -2), X),
    (nn.Upsample2d((2, 3)), X),
    (nn.Upsample2d(2, mode="bilinear"), X),
    (nn.Upsample2d(size=(3, 5), mode="bilinear", coordinates="align_corners"), X),
    (nn.Softmax(), X[0, 0]),
    (nn.LogSoftmax(axis=-1), X),
    (nn.Sequential(nn.Conv2d(2, 2, 3, seed=2, dtype="float64"), nn.Tanh(), nn.Flatten()), X),
]
every_layer = pytest.mark.parametrize(("layer", "x"), [pytest.param(*case, id=repr(case[0])) for case in LAYERS])


def numeric(function, array, step=1e-6):
    """Central differences of a number by every element of `array`, which is changed and put back."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        values = []
        for moved in (kept + step, kept - step):
            array[index] = moved
            values.append(function())
        array[index] = kept
        gradient[index] = (values[0] - values[1]) / (2 * step)
    return gradient


# ---------------------------------------------------------------------------------------- every layer


@every_layer
def test_gradients_are_the_cost_s_derivative(layer, x):
    layer, x = copy.deepcopy(layer), x.copy()
    direction = np.random.default_rng(3).normal(size=copy.deepcopy(layer).forward(x).shape)
    start = copy.deepcopy(layer)  # holds the state of the random numbers that a mask is drawn from

    def cost():
        again = copy.deepcopy(start)
        for name, w in again.parameters.items():
            w[...] = layer.parameters[name]
        return float((again.forward(x) * direction).sum())

    layer.forward(x)
    grad_x = layer.backward(direction)
    assert np.allclose(grad_x, numeric(cost, x), rtol=1e-6, atol=1e-7)
    assert layer.gradients.keys() == layer.parameters.keys()
    for name, w in layer.parameters.items():
        assert np.allclose(layer.gradients[name], numeric(cost, w), rtol=1e-6, atol=1e-7), name


@every_layer
def test_input_grad_false_changes_no_other_gradient(layer, x):
    layer = copy.deepcopy(layer)
    y = layer.forward(x)
    layer.backward(np.ones_like(y))
    full = dict(layer.gradients)
    layer.backward(np.ones_like(y), input_grad=False)
    for name, gradient in full.items():
        assert np.array_equal(layer.gradients[name], gradient)


@every_layer
def test_backward_needs_a_forward_call_that_came_to_an_end(layer, x):
    layer = copy.deepcopy(layer)
    with pytest.raises(RuntimeError, match=f"{type(layer).__name__}.backward: expected a forward call first"):
        layer.backward(x)
    layer.forward(x)
    with pytest.raises(TypeError):
        layer.forward("an image")
    with pytest.raises(RuntimeError, match="expected a forward call first"):
        layer.backward(x)


@every_layer
def test_a_pickled_layer_computes_the_same_and_is_small(layer, x):
    layer = copy.deepcopy(layer)
    untouched = len(pickle.dumps(layer))
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer)
    y = layer.forward(x)
    layer.backward(np.ones_like(y))
    assert np.array_equal(again.forward(x), y)
    assert len(pickle.dumps(layer)) <= untouched + 100  # neither the images nor the gradients
    assert pickle.loads(pickle.dumps(layer)).parameters.keys() == layer.parameters.keys()


@every_layer
def test_the_repr_is_the_call_that_makes_the_layer(layer, x):
    if not isinstance(layer, nn.Sequential):
        again = eval(repr(layer), vars(nn).copy())
        assert repr(again) == repr(layer)
        assert {k: w.shape for k, w in again.parameters.items()} == {k: w.shape for k, w in layer.parameters.items()}


@every_layer
def test_both_back_ends_and_an_unknown_one(layer, x):
    if isinstance(layer, (nn.Sequential, nn.Flatten)):  # choose none of their own
        return
    results = []
    for backend in "reference", "optimized":
        one = copy.deepcopy(layer)
        one.backend = backend
        y = one.forward(x)
        results.append([y, one.backward(np.ones_like(y)), *one.gradients.values()])
    for a, b in zip(*results, strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="backend: no back end is called 'none'"):
        one.backend = "none"


# ------------------------------------------------------------------------------------- single layers


def test_affine_by_hand():
    layer = nn.Affine(2, 1, dtype="float64")
    layer.parameters["weight"][:] = [[3, -1]]
    layer.parameters["bias"][:] = 0.5
    assert layer.forward(np.array([[1.0, 2.0], [0.0, 4.0]])).tolist() == [[1.5], [-3.5]]
    assert layer.backward(np.array([[1.0], [10.0]])).tolist() == [[3, -1], [30, -10]]
    assert layer.gradients["weight"].tolist() == [[1, 42]]
    assert layer.gradients["bias"].tolist() == [11]
    layer.backward(np.array([[1.0], [0.0]]))  # overwrites, does not add
    assert layer.gradients["weight"].tolist() == [[1, 2]]
    assert layer.gradients["bias"].tolist() == [1]


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_affine_over_the_last_of_several_axes_is_that_of_each_row(backend, dtype):
    rng = np.random.default_rng(3)
    x, grad_output = (rng.standard_normal((2, 3, 4, n)).astype(dtype) for n in (5, 6))
    layer = nn.Affine(5, 6, dtype=dtype, seed=1, backend=backend)
    y, grad_x = layer.forward(x), layer.backward(grad_output)
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    bound = 16 * np.finfo(dtype).eps
    assert (y.shape, grad_x.shape) == (grad_output.shape, x.shape)
    assert np.allclose(y, np.einsum("nabj,ij->nabi", x, weight) + bias, rtol=0, atol=16 * bound)
    assert np.allclose(grad_x, np.einsum("nabi,ij->nabj", grad_output, weight), rtol=0, atol=16 * bound)
    expected = np.einsum("nabi,nabj->ij", grad_output, x)
    assert np.allclose(layer.gradients["weight"], expected, rtol=0, atol=64 * bound)
    assert np.allclose(layer.gradients["bias"], grad_output.sum((0, 1, 2)), rtol=0, atol=64 * bound)
    rows = cnnx.affine(x.reshape(24, 5), weight, bias, backend=backend)
    assert np.array_equal(y.reshape(24, 6), rows)  # the same bits, since they are the same rows
    assert layer.forward(x[:0]).shape == (0, 3, 4, 6)
    assert np.array_equal(layer.forward(x.transpose(1, 0, 2, 3)), y.transpose(1, 0, 2, 3))
    assert layer.summary((3, 4, 5)).multiply_adds == 3 * 4 * 5 * 6


def test_the_ties_of_max_pooling():
    x = np.ones((1, 1, 2, 2))
    for ties, expected in ("first", [[1, 0], [0, 0]]), ("all", [[1, 1], [1, 1]]):
        layer = nn.MaxPool2d(2, ties=ties)
        layer.forward(x)
        assert layer.backward(np.ones((1, 1, 1, 1)))[0, 0].tolist() == expected
    with pytest.raises(ValueError, match="ties: expected one of 'first', 'all', got 'last'"):
        nn.MaxPool2d(2, ties="last")


def test_batch_norm_keeps_running_statistics():
    layer = nn.BatchNorm2d(2, momentum=0.25, dtype="float64")
    x = np.array([1.0, 3.0, 5.0, 7.0, 0.0, 0.0, 0.0, 4.0]).reshape(1, 2, 2, 2)
    # channel 0: mean 4, squares' sum 20; channel 1: mean 1, squares' sum 12
    y = layer.forward(x)
    assert np.allclose(y[0, 0], (x[0, 0] - 4) / math.sqrt(20 / 4 + 1e-5), rtol=1e-14)
    assert np.allclose(layer.buffers["running_mean"], [0.25 * 4, 0.25 * 1], rtol=1e-15)
    assert np.allclose(layer.buffers["running_var"], [0.75 + 0.25 * 20 / 3, 0.75 + 0.25 * 12 / 3], rtol=1e-15)
    layer.forward(x)
    assert np.allclose(layer.buffers["running_mean"], [0.75 * 1 + 1, 0.75 * 0.25 + 0.25], rtol=1e-15)

    kept = {name: value.copy() for name, value in layer.buffers.items()}
    y = layer.eval().forward(x)
    mean, var = kept["running_mean"][0], kept["running_var"][0]
    assert np.allclose(y[0, 0], (x[0, 0] - mean) / math.sqrt(var + 1e-5), rtol=1e-14)
    assert all(np.array_equal(kept[name], value) for name, value in layer.buffers.items())
    # by running statistics the layer is linear: dZ = g Delta / sqrt(var + eps)
    assert np.allclose(layer.backward(np.ones_like(x))[0, 0], 1 / math.sqrt(var + 1e-5), rtol=1e-14)


def test_batch_norm_in_training_needs_two_members_and_then_changes_nothing():
    layer = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="two"):
        layer.forward(np.ones((1, 3, 1, 1), "float32"))
    assert layer.buffers["running_mean"].tolist() == [0, 0, 0]
    assert layer.buffers["running_var"].tolist() == [1, 1, 1]
    assert layer.eval().forward(np.ones((1, 3, 1, 1), "float32")).shape == (1, 3, 1, 1)


def test_dropout_draws_in_training_only():
    x = np.arange(1.0, 100_001.0)
    layer = nn.Dropout(0.2, seed=7)
    y = layer.forward(x)
    kept = y != 0
    assert np.allclose(y[kept], x[kept] / 0.8, rtol=1e-15)
    assert abs(kept.mean() - 0.8) < 5 * math.sqrt(0.2 * 0.8 / len(x))  # five standard deviations
    assert np.array_equal(layer.backward(np.ones_like(x)), np.where(kept, 1 / (1 - 0.2), 0))
    assert not np.array_equal(layer.forward(x) != 0, kept)
    assert np.array_equal(nn.Dropout(0.2, seed=7).forward(x), y)
    assert np.array_equal(nn.Dropout(0.2, seed=7).forward(x.astype("float32")) != 0, kept)

    z = layer.eval().forward(x)
    assert np.array_equal(z, x)
    assert not np.shares_memory(z, x)
    assert np.array_equal(layer.backward(np.full_like(x, 3)), np.full_like(x, 3))
    for rate in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="rate: expected"):
            nn.Dropout(rate)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(0, 1, 3), ValueError, "in_channels: expected an integer from 1"),
        (lambda: nn.Conv2d(1, 2.0, 3), TypeError, "out_channels: expected an integer"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "groups: expected a divisor"),
        (lambda: nn.Conv2d(1, 1, (3, 0)), ValueError, r"kernel_size\[1\]: expected an integer from 1"),
        (lambda: nn.Conv2d(1, 1, 3, bias=1), TypeError, "bias: expected True or False"),
        (lambda: nn.Conv2d(1, 1, 3, dtype="float16"), TypeError, "dtype: expected float32 or float64, got 'float16'"),
        (lambda: nn.Conv2d(1, 1, 3, dtype="none"), TypeError, "dtype: expected float32 or float64, got 'none'"),
        (lambda: nn.Conv2d(1, 1, 3, seed=-1), ValueError, "seed: expected an integer of at least 0"),
        (lambda: nn.Conv2d(1, 1, 3, seed="a"), TypeError, "seed: expected an integer"),
        (lambda: nn.Conv2d(1, 1, 3, init="zeros"), ValueError, "init: expected one of 'he', 'xavier', got 'zeros'"),
        (lambda: nn.Affine(2, True), TypeError, "out_features: expected an integer"),
        (lambda: nn.BatchNorm2d(2, momentum=1.1), ValueError, "momentum: expected a number from 0 to 1"),
        (lambda: nn.BatchNorm2d(2, eps=0), ValueError, "eps: expected"),
        (lambda: nn.MaxPool2d(0), ValueError, "kernel_size: expected"),
        (lambda: nn.SquaredError(reduction="none"), ValueError, "reduction: expected one of 'mean', 'sum'"),
        (lambda: nn.Sequential(), ValueError, "layers: expected at least one layer"),
        (lambda: nn.Sequential(nn.ReLU), TypeError, "layers: expected layers, got type"),
        (lambda: nn.cn_network(image=(1, 3, 28)), ValueError, "image: expected rows and columns that can be halved 2"),
        (lambda: nn.cn_network(hidden=0), ValueError, "expected an integer from 1"),
    ],
)
def test_bad_arguments_are_one_clear_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_layer_of_ones_own():
    class Double(nn.Layer):
        def _forward(self, x):
            return 2 * x, True

        def _backward(self, grad_output, saved, input_grad):
            return 2 * grad_output

    model = nn.Sequential(Double(), Double())
    assert model.forward(np.array([1.0])).tolist() == [4]
    assert model.backward(np.array([1.0])).tolist() == [4]
    assert repr(model[0]) == "Double()"
    with pytest.raises(NotImplementedError):
        nn.Layer().forward(X)


# ----------------------------------------------------------------------------------------- sequences


def test_sequential_names_modes_and_order():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 2, seed=0), nn.BatchNorm2d(2), nn.Sequential(nn.Flatten(), nn.Affine(8, 3)), nn.Dropout(0.5)
    )
    assert list(model.parameters) == ["0.weight", "0.bias", "1.weight", "1.bias", "2.1.weight", "2.1.bias"]
    assert list(model.buffers) == ["1.running_mean", "1.running_var"]
    assert model.parameters["2.1.bias"] is model[2][1].parameters["bias"]
    assert model.gradients == {}
    assert len(model) == 4
    assert model.eval() is model
    assert not any(layer.training for layer in (model, *model.layers, *model[2].layers))
    model.train()
    assert all(layer.training for layer in (model, *model.layers, *model[2].layers))
    one = nn.ReLU()
    with pytest.raises(ValueError, match="none of them twice"):
        nn.Sequential(one, one)


def test_without_input_grad_the_way_back_ends_at_the_first_layer_that_learns():
    asked = []

    class Watch(nn.Identity, forward=cnnx.identity, backward=cnnx.identity_backward):
        def backward(self, grad_output, *, input_grad=True):
            asked.append((self.name, input_grad))
            return super().backward(grad_output, input_grad=input_grad)

    def watch(name):
        layer = Watch()
        layer.name = name
        return layer

    x = np.ones((2, 3))
    model = nn.Sequential(watch("before"), nn.Affine(3, 2, dtype="float64", seed=0), watch("behind"))
    model.forward(x)
    assert model.backward(np.ones((2, 2)), input_grad=False) is None
    assert asked == [("behind", True)]
    assert model.gradients["1.bias"].tolist() == [2, 2]
    assert model.backward(np.ones((2, 2))).shape == x.shape
    assert asked[1:] == [("behind", True), ("before", True)]

    nothing = nn.Sequential(watch("a"), nn.Sequential(watch("b")))
    nothing.forward(x)
    asked.clear()
    assert nothing.backward(x, input_grad=False) is None
    assert asked == []


def test_a_whole_network_against_central_differences():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, seed=rng, dtype="float64"),
        nn.BatchNorm2d(3, dtype="float64"),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 2, (1, 2), stride=(1, 2), bias=False, seed=rng, dtype="float64"),
        nn.ELU(),
        nn.LpPool2d(2, (2, 1)),
        nn.Flatten(),
        nn.Affine(2, 4, seed=rng, dtype="float64", init="xavier"),
        nn.LeakyReLU(),
        nn.Affine(4, 3, seed=rng, dtype="float64"),
    )
    x, target = rng.normal(size=(5, 1, 4, 4)), np.array([0, 2, 1, 1, 0])
    for cost in nn.CrossEntropy(), nn.CrossEntropy(reduction="sum"):
        cost.forward(model.forward(x), target)
        grad_x = model.backward(cost.backward())
        value = lambda: cost.forward(model.forward(x), target)  # noqa: B023, E731
        gradients = dict(model.gradients)
        assert np.allclose(grad_x, numeric(value, x), rtol=1e-5, atol=1e-8)
        for name, w in model.parameters.items():
            assert np.allclose(gradients[name], numeric(value, w), rtol=1e-5, atol=1e-8), name


# --------------------------------------------------------------------------------------------- costs


def test_costs_by_hand():
    y, target = np.array([[1.0, 4.0], [0.0, 1.0]]), np.array([[0.0, 2.0], [0.0, -1.0]])
    for reduction, over in ("sum", 1), ("mean", 2):
        cost = nn.SquaredError(reduction=reduction)
        with pytest.raises(RuntimeError, match="expected a forward call first"):
            cost.backward()
        assert cost.forward(y, target) == (1 + 4 + 4) / 2 / over
        assert cost.backward().tolist() == [[1 / over, 2 / over], [0, 2 / over]]

    logits = np.log(np.array([[1.0, 2.0, 5.0], [3.0, 3.0, 2.0]]))  # softmax: eighths
    for reduction, over in ("sum", 1), ("mean", 2):
        for target in np.array([2, 0]), np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]):
            cost = nn.CrossEntropy(reduction=reduction)
            assert math.isclose(cost.forward(logits, target), -(math.log(5 / 8) + math.log(3 / 8)) / over)
            assert np.allclose(cost.backward() * over * 8, [[1, 2, -3], [-5, 3, 2]], rtol=1e-13)
    again = pickle.loads(pickle.dumps(cost))
    assert repr(again) == "CrossEntropy()"
    assert repr(nn.SquaredError(reduction="sum")) == "SquaredError(reduction='sum')"
    with pytest.raises(RuntimeError, match="expected a forward call first"):
        again.backward()


# ------------------------------------------------------------------------------------------ networks


def test_ox_network_is_d19s_to_the_printed_digits():
    """equations.md section 7's table; C of both examples, delta^O."""
    two = data.ox_images("two")
    model, cost = nn.ox_network(), nn.SquaredError(reduction="sum")
    assert model[0].forward(two.images).tolist() == [
        [[[4, 2], [2, 2]], [[0, 2], [2, 0]]],
        [[[1, 3], [3, 1]], [[3, -1], [-1, 3]]],
    ]  # with the biases 1
    outputs = model.forward(two.images)
    assert outputs.round(4).tolist() == [[0.2268, 0.8219], [0.1719, 0.8650]]
    for i, printed in enumerate((0.6367, 0.0239)):
        assert round(cost.forward(outputs[i : i + 1], two.labels[i : i + 1]), 4) == printed
    cost.forward(outputs, two.labels)
    delta = model[5].backward(cost.backward())
    assert delta.round(4).tolist() == [[-0.1356, 0.1203], [0.0245, -0.0158]]
    for i in 4, 3, 2, 1:
        delta = model[i].backward(delta)
    # delta^P, with sigmoid' once: what reaches each map's only winner
    assert delta.sum((2, 3)).round(4).tolist() == [[-0.0091, 0.1040], [0.0035, -0.0071]]
    assert np.count_nonzero(delta, axis=(2, 3)).tolist() == [[1, 1], [1, 1]]
    six = data.ox_images("six")
    assert round(cost.forward(model.forward(six.images), six.labels), 4) == 1.9818


def test_cn_network_of_one_seed_in_both_dtypes():
    one, same, other = nn.cn_network(seed=3), nn.cn_network(seed=3), nn.cn_network(seed=4)
    double = nn.cn_network(seed=3, dtype="float64")
    shapes = {name: w.shape for name, w in one.parameters.items()}
    assert shapes == {
        "0.weight": (4, 1, 3, 3),
        "0.bias": (4,),
        "3.weight": (4, 4, 3, 3),
        "3.bias": (4,),
        "7.weight": (20, 196),
        "7.bias": (20,),
        "9.weight": (10, 20),
        "9.bias": (10,),
    }
    for name, w in one.parameters.items():
        assert w.dtype == np.float32
        assert np.array_equal(w, same.parameters[name])
        assert np.array_equal(w, double.parameters[name].astype("float32"))
        if name.endswith("bias"):
            assert not w.any()
        else:
            assert not np.array_equal(w, other.parameters[name])
    assert abs(one.parameters["7.weight"].std() / math.sqrt(2 / 196) - 1) < 0.05  # He's; 3,920 draws


def test_cn_network_of_another_shape():
    model = nn.cn_network(image=(3, 9, 8), classes=4, filters=5, conv_layers=3, hidden=6, dropout=0.5, seed=0)
    assert model.forward(np.ones((2, 3, 9, 8), "float32")).shape == (2, 4)
    assert [type(layer).__name__ for layer in model.layers].count("Conv2d") == 3
    assert [type(layer).__name__ for layer in model.layers[-3:]] == ["ReLU", "Dropout", "Affine"]
    with cnnx.use_backend("reference"):
        by_context = nn.cn_network(image=(1, 4, 4), seed=1).forward(np.ones((1, 1, 4, 4), "float32"))
    by_layer = nn.cn_network(image=(1, 4, 4), seed=1, backend="reference").forward(np.ones((1, 1, 4, 4), "float32"))
    assert np.array_equal(by_context, by_layer)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_cnn_of_many_kinds():
    options = dict(conv_channels=(2, 3), kernel_size=(4, 5), hidden_sizes=(7, 6), dropout=0.25)
    for activation in ["relu", "leaky_relu", "elu", "gelu", "softplus", "sigmoid", "tanh", "identity"]:
        for pooling, layer in ("max", ["MaxPool2d"]), ("avg", ["AvgPool2d"]), ("lp", ["LpPool2d"]), (None, []):
            model = nn.cnn((2, 9, 6), 4, activation=activation, pooling=pooling, seed=0, **options)
            name = kinds(model)[1]
            assert name.lower() == activation.replace("_", "")
            block = ["Conv2d", name, *layer]
            assert kinds(model) == [*block, *block, "Flatten", *["Affine", name, "Dropout"] * 2, "Affine"]
            assert model.forward(np.ones((3, 2, 9, 6), "float32")).shape == (3, 4)
            assert model.parameters["0.weight"].shape == (2, 2, 4, 5)
    wide = [nn.mlp(400, 100, hidden_sizes=(500,), activation=name, seed=0) for name in ("tanh", "relu")]
    stds = [float(model.parameters["1.weight"].std()) for model in wide]
    assert stds == pytest.approx([math.sqrt(2 / 900), math.sqrt(2 / 400)], rel=0.01)  # Xavier's and He's


def test_cnn_clips_kernels_and_windows_to_small_maps():
    model = nn.cnn((1, 1, 5), 2, conv_channels=(2, 2, 2, 2), kernel_size=5, seed=0)
    assert [layer.kernel_size for layer in model.layers if hasattr(layer, "kernel_size")] == [
        *((1, 5), (1, 2)),  # of 5 pixels
        *((1, 3), (1, 2)),  # 2: a fifth tap would meet none of them
        *(1, 1),  # 1, which needs no window
    ]
    assert model.forward(np.ones((3, 1, 1, 5), "float32")).shape == (3, 2)
    # What is clipped away would make no difference: a kernel of 3 on a single row is its middle row.
    clipped, full = nn.cnn((1, 1, 4), 2, conv_channels=(3,), seed=1)[0], nn.Conv2d(1, 3, 3, padding=1, seed=2)
    full.parameters["weight"][:, :, 1:2] = clipped.parameters["weight"]
    x = np.arange(4, dtype="float32").reshape(1, 1, 1, 4)
    assert np.array_equal(clipped.forward(x), full.forward(x))


def test_mlp_takes_rows_and_images():
    model = nn.mlp(6, 3, hidden_sizes=[5, 4], activation="tanh", dropout=0.5, dtype="float64", seed=0).eval()
    assert kinds(model) == ["Flatten", *["Affine", "Tanh", "Dropout"] * 2, "Affine"]
    x = np.arange(12.0).reshape(2, 6)
    assert np.array_equal(model.forward(x), model.forward(x.reshape(2, 1, 2, 3)))
    assert kinds(nn.mlp(6, 3, hidden_sizes=())) == ["Flatten", "Affine"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(conv_channels=()), ValueError, r"conv_channels: expected at least 1 of them, got \(\)"),
        (dict(conv_channels=4), TypeError, "conv_channels: expected a tuple of integers, got int 4"),
        (dict(conv_channels=(4, 0)), ValueError, r"conv_channels\[1\]: expected an integer from 1"),
        (dict(hidden_sizes="20"), TypeError, "hidden_sizes: expected a tuple of integers, got str '20'"),
        (dict(hidden_sizes=(2.5,)), TypeError, r"hidden_sizes\[0\]: expected an integer, got float"),
        (dict(kernel_size=0), ValueError, "kernel_size: expected an integer from 1"),
        (dict(activation="step"), ValueError, "activation: expected one of 'relu', .*, got 'step'"),
        (dict(activation=None), TypeError, "activation: expected one of"),
        (dict(pooling="sum"), ValueError, "pooling: expected one of 'max', 'avg', 'lp', got 'sum'"),
        (dict(dropout=1.0), ValueError, "dropout: expected a number from 0 to below 1"),
        (dict(dtype="int32"), TypeError, "dtype: expected float32 or float64"),
        (dict(backend="none"), ValueError, "none"),
    ],
)
def test_cnn_names_what_is_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.cnn((1, 8, 8), 2, **arguments)


def test_all_names_exist_and_are_documented():
    for module in nn, data:
        for name in module.__all__:
            assert getattr(module, name).__doc__, name


def test_cross_entropy_goes_back_from_the_indices_it_went_forward_with():
    logits, target = np.log(np.array([[0.25, 0.75], [0.5, 0.5]])), np.array([0, 1])
    for cost in (nn.CrossEntropy(), nn.CrossEntropy().reuse_buffers()):
        for _ in range(2):
            cost.forward(logits, target)
            expected = cost.backward().copy()
            cost.forward(logits, indices := target.copy())
            indices[:] = 77  # of no class
            assert np.array_equal(cost.backward(), expected)
    np.testing.assert_allclose(expected, [[-0.375, 0.375], [0.25, -0.25]])


def test_cross_entropy_notices_arrays_of_another_shape():
    logits, rows = np.zeros((2, 3)), np.full((2, 3), 1 / 3)
    for target, array in ((np.array([0, 1]), logits), (rows, rows)):
        cost = nn.CrossEntropy()
        cost.forward(logits, target)
        array.resize((3, 2), refcheck=False)
        with pytest.raises(ValueError, match="target: expected"):
            cost.backward()
        array.resize((2, 3), refcheck=False)
        assert cost.backward().shape == (2, 3)


def test_a_cost_derived_from_cross_entropy_uses_the_functions_it_names():
    class Doubled(
        nn.CrossEntropy,
        forward=lambda y, target, **options: 2 * cnnx.cross_entropy(y, target, **options),
        backward=lambda y, target, **options: 2 * cnnx.cross_entropy_backward(y, target, **options),
    ):
        pass

    logits, target = np.log(np.array([[0.25, 0.75]])), np.array([0])
    one, two = nn.CrossEntropy(), Doubled()
    assert two.forward(logits, target) == 2 * one.forward(logits, target)
    assert np.array_equal(two.backward(), 2 * one.backward())

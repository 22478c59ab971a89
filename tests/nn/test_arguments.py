"""What layers and networks of cnnx.nn refuse, and what they keep: modes, parameters, back ends."""

import pickle

import numpy as np
import pytest

import cnnx
from cnnx import nn

X = np.random.default_rng(5).normal(size=(4, 3))


# -------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "stride: expected an integer from 1"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, "padding: expected an integer from 0"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, "padding: expected one of 'same', 'valid'"),
        (lambda: nn.Conv2d(1, 1, 3, padding=((1, 2), 3)), ValueError, "padding: expected "),
        (lambda: nn.Conv2d(1, 1, 3, dilation=0), ValueError, "dilation: expected an integer from 1"),
        (lambda: nn.Conv2d(1, 1, 3, algorithm="foo"), ValueError, "algorithm: expected one of 'direct'"),
        (lambda: nn.Conv2d(1, 1, 3, backend="nope"), ValueError, "backend: no back end is called 'nope'"),
        (lambda: nn.Conv2d(1, 1, 3, backend=3), TypeError, "backend: expected the name of a back end, got int"),
        (lambda: nn.Conv2d(1, 1, 3, dtype=None), TypeError, "dtype: expected float32 or float64, got None"),
        (lambda: nn.BatchNorm2d(1, dtype=None), TypeError, "dtype: expected float32 or float64, got None"),
        (lambda: nn.MaxPool2d(2, stride=0), ValueError, "stride: expected an integer from 1"),
        (lambda: nn.MaxPool2d(2, padding=-1), ValueError, "padding: expected an integer from 0"),
        (lambda: nn.MaxPool2d(2, ceil_mode="no"), TypeError, "ceil_mode: expected True or False"),
        (lambda: nn.AvgPool2d(2, count_include_pad=1), TypeError, "count_include_pad: expected True or False"),
        (lambda: nn.LpPool2d(0.5, 2), ValueError, "norm_type: expected a number of at least 1, got 0.5"),
        (lambda: nn.LpPool2d(2, 2, normalize=None), TypeError, "normalize: expected True or False"),
        (lambda: nn.LeakyReLU("a"), TypeError, "negative_slope: expected a number"),
        (lambda: nn.ELU(float("inf")), ValueError, "alpha: expected a finite number"),
        (lambda: nn.Clip(True, 1), TypeError, "min: expected a number"),
        (lambda: nn.Clip(1, 0.5), ValueError, "max: expected a number of at least min, 1.0, got 0.5"),
        (lambda: nn.HardSigmoid(0), ValueError, "alpha: expected a number above 0, got 0"),
        (lambda: nn.HardSigmoid(1, "b"), TypeError, "beta: expected a number"),
        (lambda: nn.ConvTranspose2d(1, 0, 2), ValueError, "out_channels: expected an integer from 1"),
        (lambda: nn.ConvTranspose2d(4, 6, 2, groups=4), ValueError, "groups: expected a divisor of in_channels 4 and"),
        (
            lambda: nn.ConvTranspose2d(1, 2, 2, padding="same"),
            ValueError,
            "padding: expected an integer, .* got 'same'",
        ),
        (lambda: nn.ConvTranspose2d(1, 2, 2, output_padding=1), ValueError, "output_padding: expected fewer rows than"),
        (lambda: nn.ConvTranspose2d(1, 2, 2, init="zero"), ValueError, "init: expected one of"),
        (lambda: nn.PReLU(0), ValueError, "channels: expected an integer from 1"),
        (lambda: nn.PReLU(slope=None), TypeError, "slope: expected a number"),
        (lambda: nn.PReLU(dtype="int8"), TypeError, "dtype: expected float32 or float64"),
        (lambda: nn.GroupNorm(3, 4), ValueError, "num_groups: expected a divisor of the 4 channels, got 3"),
        (lambda: nn.GroupNorm(0, 4), ValueError, "num_groups: expected an integer from 1"),
        (lambda: nn.GroupNorm(2, 4, affine=1), TypeError, "affine: expected True or False"),
        (lambda: nn.InstanceNorm2d(0), ValueError, "channels: expected an integer from 1"),
        (lambda: nn.InstanceNorm2d(3, eps=0), ValueError, "eps: expected a number above 0, got 0"),
        (lambda: nn.LayerNorm(()), ValueError, r"normalized_shape: expected at least one extent, got \(\)"),
        (lambda: nn.LayerNorm((3, 0)), ValueError, r"normalized_shape\[1\]: expected an integer from 1"),
        (lambda: nn.LayerNorm(2.0), TypeError, "normalized_shape: expected an integer"),
        (lambda: nn.LayerNorm(3, dtype="int8"), TypeError, "dtype: expected float32 or float64"),
        (lambda: nn.LocalResponseNorm(0), ValueError, "size: expected an integer from 1"),
        (lambda: nn.LocalResponseNorm(5, alpha=-1), ValueError, "alpha: expected a number of at least 0, got -1"),
        (lambda: nn.LocalResponseNorm(5, beta=0), ValueError, "beta: expected a number above 0, got 0"),
        (lambda: nn.LocalResponseNorm(5, k=None), TypeError, "k: expected a number"),
        (lambda: nn.Scale((2, 0)), ValueError, r"shape\[1\]: expected an integer from 1"),
        (lambda: nn.Bias(2, learned="no"), TypeError, "learned: expected True or False"),
        (lambda: nn.Scale(2, dtype="int8"), TypeError, "dtype: expected float32 or float64"),
        (lambda: nn.Constant((2, 0)), ValueError, r"shape\[1\]: expected an integer from 1"),
        (lambda: nn.Constant(2).forward(np.array(3.0)), ValueError, r"x: expected at least 1 axis \(N, ...\)"),
        (lambda: nn.Reshape(3), TypeError, "shape: expected a tuple of integers, got int"),
        (lambda: nn.Reshape((-1, -1)), ValueError, "shape: expected -1 once at most"),
        (lambda: nn.Reshape((-2,)), ValueError, r"shape\[0\]: expected an integer from 1"),
        (
            lambda: nn.Reshape((4,)).forward(np.zeros((2, 3))),
            ValueError,
            r"x: expected images whose numbers fill \(4,\)",
        ),
        (lambda: nn.Reshape((4, -1)).forward(np.zeros((2, 6))), ValueError, "x: expected images whose numbers fill"),
        (lambda: nn.Transpose(3), TypeError, "axes: expected a tuple of integers, got int"),
        (lambda: nn.Transpose((1, 0)), ValueError, "axes: expected 0 first, then each further axis once"),
        (lambda: nn.Transpose((0, 2, 2)), ValueError, "axes: expected 0 first, then each further axis once"),
        (lambda: nn.Transpose((0, 1)).forward(np.zeros(3)), ValueError, "x: expected 2 axes"),
        (lambda: nn.Slice(0, 1), ValueError, "axis: expected an integer from 1"),
        (lambda: nn.Slice(1, 3).forward(np.zeros((2, 3))), ValueError, "x: expected something from 3 to None"),
        (lambda: nn.Slice(2, 3).forward(np.zeros((2, 3))), ValueError, "x: expected at least 3 axes"),
        (lambda: nn.Upsample2d(0), ValueError, "scale: expected an integer from 1"),
        (lambda: nn.Upsample2d(1.5), TypeError, "scale: expected an integer"),
        (lambda: nn.Upsample2d(), ValueError, "scale: expected a scale or a size, got none"),
        (lambda: nn.Upsample2d(2, size=3), ValueError, "scale: expected a scale or a size, got both"),
        (lambda: nn.Upsample2d(size=(3, 0)), ValueError, r"size\[1\]: expected an integer from 1"),
        (
            lambda: nn.Upsample2d(2, mode="cubic"),
            ValueError,
            "mode: expected one of 'nearest', 'bilinear', got 'cubic'",
        ),
        (lambda: nn.Upsample2d(2, coordinates="corner"), ValueError, "coordinates: expected one of"),
        (lambda: nn.Upsample2d(2, rounding=None), TypeError, "rounding: expected one of"),
        (lambda: nn.Upsample2d(2).forward(np.zeros((2, 3))), ValueError, "x: expected 4 axes"),
        (lambda: nn.Pad2d(1, "symmetric"), ValueError, "mode: expected"),
        (lambda: nn.Pad2d(1, "constant", "0"), TypeError, "value: expected a number"),
        (lambda: nn.Pad2d(3).forward(np.zeros((1, 1, 3, 5))), ValueError, "padding: expected at most 2 for 3 rows"),
        (lambda: nn.Pad2d((0, 6), "wrap").forward(np.zeros((1, 1, 3, 5))), ValueError, "at most 5 for 5 columns"),
        (lambda: nn.ZeroPad2d("same"), TypeError, "padding: expected integers, got str"),
        (lambda: nn.ZeroPad2d(-1), ValueError, "padding.*: expected an integer from 0"),
        (lambda: nn.ZeroPad2d(1).forward(np.zeros((2, 3))), ValueError, "x: expected 4 axes"),
        (lambda: nn.Reshape((6,)).forward(np.zeros((2, 6), "int64")), TypeError, "x: expected dtype float32"),
        (lambda: nn.Softmax(1.0), TypeError, "axis: expected an integer"),
        (lambda: nn.Flatten(backend="nope"), ValueError, "no back end is called 'nope'"),
        (lambda: nn.CrossEntropy(backend="nope"), ValueError, "no back end is called 'nope'"),
        (
            lambda: nn.cn_network(image=(28, 28)),
            TypeError,
            r"image: expected three integers \(C, H, W\), got \(28, 28\)",
        ),
        (lambda: nn.cn_network(image=28), TypeError, r"image: expected three integers \(C, H, W\), got 28"),
        (lambda: nn.cn_network(image="abc"), TypeError, "image: expected three integers"),
        (lambda: nn.cn_network(filters=0), ValueError, "filters: expected an integer from 1"),
        (lambda: nn.cn_network(classes=1.5), TypeError, "classes: expected an integer"),
        (lambda: nn.cn_network(dropout=1), ValueError, "dropout: expected a number from 0 to below 1"),
        (lambda: nn.cn_network(conv_layers=40), ValueError, "image: expected rows and columns that can be halved"),
    ],
)
def test_what_can_never_work_is_refused_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_paddings_that_work_are_kept_as_they_were_given():
    for padding in 1, (1, 2), ((1, 2), (0, 3)), "same", "valid":
        assert nn.Conv2d(1, 1, 3, padding=padding).padding == nn.MaxPool2d(4, padding=padding).padding == padding


def test_a_dtype_in_another_byte_order_is_the_native_one():
    for layer in nn.Affine(2, 1, dtype=">f4"), nn.Conv2d(1, 1, 2, dtype=">f4"), nn.BatchNorm2d(2, dtype=">f4"):
        assert layer.dtype == "float32"
        assert all(w.dtype.isnative and w.dtype == np.float32 for w in layer.parameters.values())


def test_numpy_s_small_integers_do_not_overflow():
    model = nn.cn_network(image=np.int8([1, 120, 120]).tolist(), filters=np.int8(8), hidden=np.int8(100), seed=0)
    assert model.parameters["7.weight"].shape == (100, 8 * 30 * 30)


def test_any_integer_from_0_is_a_seed():
    for seed in 0, 2**31, 10**30, np.uint64(2**63):
        one, same = nn.Affine(2, 2, seed=seed), nn.Affine(2, 2, seed=seed)
        assert np.array_equal(one.parameters["weight"], same.parameters["weight"])
    for seed, error in (-1, ValueError), (-(10**30), ValueError), (True, TypeError), (1.0, TypeError):
        with pytest.raises(error, match="seed: expected an integer"):
            nn.Affine(2, 2, seed=seed)


class Keeps(nn.Layer):
    """2 x; keeps whatever it is told to for the way back."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def _forward(self, x):
        return 2 * x, self.kept

    def _backward(self, grad_output, saved, input_grad):
        assert saved is self.kept
        return 2 * grad_output


def test_a_layer_may_keep_nothing():
    for kept in None, False, ():
        layer = Keeps(kept)
        with pytest.raises(RuntimeError, match="expected a forward call first"):
            layer.backward(X)
        layer.forward(X)
        assert np.array_equal(layer.backward(X), 2 * X)
        with pytest.raises(RuntimeError, match="expected a forward call first"):
            pickle.loads(pickle.dumps(layer)).backward(X)


# ----------------------------------------------------------------------------------------- sequences


def test_a_layer_is_not_used_twice_at_any_depth():
    one, block = nn.Affine(3, 3, seed=0), nn.Sequential(nn.ReLU())
    for layers in (
        (one, nn.Sequential(one)),
        (nn.Sequential(nn.ReLU(), one), nn.Sequential(nn.Sequential(one))),
        (block, nn.Tanh(), block),
        (block, block[0]),
    ):
        with pytest.raises(ValueError, match="none of them twice"):
            nn.Sequential(*layers)


def test_arrays_are_written_to_and_not_replaced():
    model = nn.Sequential(nn.Affine(3, 3, seed=0, dtype="float64"), nn.Sequential(nn.BatchNorm2d(2)))
    model[0].forward(X)
    model[0].backward(X)
    for arrays, name in (model.parameters, "0.weight"), (model.gradients, "0.bias"), (model.buffers, "1.0.running_var"):
        with pytest.raises(TypeError, match="does not support item assignment"):
            arrays[name] = np.ones(3)
    model.parameters["0.weight"][...] = np.eye(3)
    assert np.array_equal(model[0].forward(X), X)
    assert pickle.loads(pickle.dumps(model)).parameters.keys() == model.parameters.keys()


def test_a_slice_of_a_sequence_is_one_of_the_same_layers():
    model = nn.Sequential(nn.Affine(3, 3, seed=0), nn.ReLU(), nn.Affine(3, 2, seed=1))
    part = model[:2]
    assert isinstance(part, nn.Sequential)
    assert part.layers == model.layers[:2]
    assert list(part.parameters) == ["0.weight", "0.bias"]
    assert model[-1] is model.layers[2]
    with pytest.raises(ValueError, match="at least one layer"):
        model[3:]


def test_the_back_end_of_a_sequence_is_its_layers():
    model = nn.Sequential(nn.Affine(3, 3, seed=0), nn.Sequential(nn.Flatten(), nn.ReLU(backend="optimized")))
    with pytest.raises(ValueError, match="backend: no back end is called 'nope'"):
        model.backend = "nope"
    assert [layer.backend for layer in (model, model[0], model[1], *model[1].layers)] == [None] * 4 + ["optimized"]
    model.backend = "reference"
    assert {layer.backend for layer in (model, model[0], model[1], *model[1].layers)} == {"reference"}
    with cnnx.use_backend("optimized"):
        assert pickle.loads(pickle.dumps(model))[1][1].backend == "reference"


# --------------------------------------------------------------------------------------------- modes


def test_predict_and_evaluate_give_each_layer_its_own_mode_back():
    frozen, inner = nn.BatchNorm2d(3).eval(), nn.Dropout(0.5, seed=0)
    model = nn.Sequential(frozen, nn.Sequential(inner, nn.Flatten().eval()), nn.Affine(12, 2, seed=0))
    x = np.ones((2, 3, 2, 2), "float32")
    layers = [model, frozen, model[1], inner, model[1][1], model[2]]
    modes = [layer.training for layer in layers]
    assert modes == [True, False, True, True, False, True]
    nn.predict(model, x)
    nn.evaluate(model, nn.CrossEntropy(), x, np.array([0, 1]))
    assert [layer.training for layer in layers] == modes
    with pytest.raises(ValueError, match="per channel of x"):
        nn.predict(model, x[:, :2])
    assert [layer.training for layer in layers] == modes


def test_a_sequence_of_layers_in_evaluation_is_in_evaluation():
    assert not nn.Sequential(nn.Dropout().eval(), nn.ReLU().eval()).training
    assert nn.Sequential(nn.Dropout().eval(), nn.ReLU()).training
    layer = nn.Dropout().eval()
    nn.Sequential(layer, nn.ReLU())
    assert not layer.training


# ----------------------------------------------------------------------------------------- measuring


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.accuracy([[1.0, 2.0]], np.array([1])), TypeError, "y: expected a NumPy array, got list"),
        (lambda: nn.accuracy(X, [1, 0, 0, 2]), TypeError, "target: expected a NumPy array, got list"),
        (lambda: nn.accuracy(X, np.array([1])), ValueError, r"target: expected 4 class indices or shape \(4, 3\), got"),
        (lambda: nn.accuracy(X, np.ones((4, 1))), ValueError, r"got shape \(4, 1\)"),
        (lambda: nn.accuracy(X, np.ones(4)), ValueError, r"got shape \(4,\), float64"),
        (lambda: nn.predict(None, X), TypeError, "model: expected a Layer of cnnx.nn, got NoneType"),
        (lambda: nn.predict(nn.ReLU(), np.array(1.0)), ValueError, r"x: expected images \(N, ...\), got shape \(\)"),
        (lambda: nn.predict(nn.ReLU(), X, batch_size=0), ValueError, "batch_size: expected an integer from 1"),
        (lambda: nn.evaluate(None, nn.SquaredError(), X, X), TypeError, "model: expected a Layer"),
        (lambda: nn.evaluate(nn.ReLU(), None, X, X), TypeError, "cost: expected a Cost of cnnx.nn, got NoneType"),
    ],
)
def test_bad_arguments_are_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_cost_of_ones_own_may_take_targets_that_are_no_classes():
    class Sum(nn.Cost, forward=lambda y, target, **_: float((y * target[:, None]).sum()), backward=None):
        pass

    assert nn.evaluate(nn.Identity(), Sum(reduction="sum"), X, np.ones(4)) == (float(X.sum()), None)

"""The kernels of optimisers (G1 to G3), which belong to no op: what the audit does for ops is done for them here."""

import inspect
from fractions import Fraction

import numpy as np
import pytest

import cnnx
from cnnx import backend, native, nn
from cnnx.audit.data import LAYOUTS
from cnnx.audit.trace import KernelCall
from cnnx.audit.truth.error_bound import Comparison
from cnnx.ops import optimizer
from cnnx.ops.optimizer import Weight, adam_step, sgd_step

SGD = {"rate": 0.3, "decay": 0.0}
MOMENTUM = SGD | {"momentum": 0.9, "nesterov": 0}
ADAM = {"rate": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.0, "t": 1}
# A kernel, its numbers; dyadic ones, on which float32 is exact.
CALLS = [
    ("sgd", SGD),
    ("sgd", SGD | {"decay": 0.01}),
    ("sgd", SGD | {"rate": 0.0}),
    ("sgd_momentum", MOMENTUM),
    ("sgd_momentum", MOMENTUM | {"decay": 0.2, "nesterov": 1}),
    ("sgd_momentum", MOMENTUM | {"nesterov": 1}),
    ("sgd_momentum", MOMENTUM | {"decay": 0.2}),
    ("adam", ADAM),
    ("adam", ADAM | {"t": 1000, "decay": 0.1}),
    ("adam", ADAM | {"beta1": 0.0, "beta2": 0.0, "eps": 0.5, "t": 3}),
    ("adam", ADAM | {"eps": 1e-20, "t": 2_000_000_000}),
]
EXACT = [
    ("sgd", {"rate": 0.5, "decay": 0.25}),
    ("sgd_momentum", {"rate": 0.5, "momentum": 0.5, "decay": 0.25, "nesterov": 0}),
    ("sgd_momentum", {"rate": 0.5, "momentum": 0.5, "decay": 0.25, "nesterov": 1}),
]
KEPT = {"sgd": 0, "sgd_momentum": 1, "adam": 2}
# Vectors, blocks of 256 and what is left of each.
SIZES = (0, 1, 2, 3, 7, 16, 45, 255, 256, 257, 300)
DTYPES = ("float32", "float64")


def draw(kernel, size, dtype, far=False, integer=False):
    """w, dE and what is kept; a second moment is not negative. far: of all sizes, with zeros."""
    rng = np.random.default_rng([size, far, integer])
    arrays = []
    for i in range(2 + KEPT[kernel]):
        numbers = rng.integers(-9, 9, size) / 8 if integer else rng.standard_normal(size)
        if far:
            numbers = numbers * 2.0 ** rng.integers(-12, 9, size) * (rng.random(size) > 0.2)
        arrays.append((np.abs(numbers) if i == 3 else numbers).astype(dtype))
        arrays[-1].flags.writeable = False
    return arrays


def run(kernel, inputs, numbers, which):
    """One call; the outputs held NaN before, and the inputs are what they were."""
    outputs = tuple(np.full_like(inputs[0], np.nan) for _ in range(1 + KEPT[kernel]))
    before = [a.tobytes() for a in inputs]
    assert backend.kernel(kernel, inputs[0].dtype.name, which)(*inputs, *outputs, **numbers) is None
    assert [a.tobytes() for a in inputs] == before
    return KernelCall(kernel, tuple(inputs), outputs, numbers)


def worst(ours, theirs, finite=True):
    """The largest share of its error bound that an output uses."""
    comparison = Comparison([theirs], ours.inputs[0].dtype.name, finite=finite, doubles=True)
    uses = [comparison.worst(got, reference) for got, reference in zip(ours.outputs, theirs.outputs, strict=True)]
    return max(0.0 if use is None else use.share for use in uses)


def test_the_cases_are_of_all_kernels_with_all_their_numbers():
    assert {kernel for kernel, _ in CALLS} == set(optimizer.KERNELS)
    for kernel, numbers in (*CALLS, *EXACT):
        parameters = inspect.signature(backend.reference_kernel(kernel)).parameters.values()
        assert set(numbers) == {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
        for p in parameters:  # an output carries the name of the input that it may be
            assert p.kind is not p.POSITIONAL_OR_KEYWORD or p.name.removesuffix("_new") in {q.name for q in parameters}


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), CALLS)
def test_back_ends_agree_within_the_equations_bound(kernel, numbers, dtype, far):
    for size in SIZES:
        inputs = draw(kernel, size, dtype, far)
        ours, theirs = (run(kernel, inputs, numbers, which) for which in ("optimized", "reference"))
        assert worst(ours, theirs) <= 1, size


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), EXACT)
def test_back_ends_are_equal_on_integers(kernel, numbers, dtype):
    for size in SIZES:
        inputs = draw(kernel, size, dtype, integer=True)
        ours, theirs = (run(kernel, inputs, numbers, which) for which in ("optimized", "reference"))
        for got, expected in zip(ours.outputs, theirs.outputs, strict=True):
            assert np.array_equal(got, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), CALLS)
def test_what_is_not_finite_comes_out_at_its_place(kernel, numbers, dtype, value):
    for size in (1, 19, 260):
        for i, drawn in enumerate(draw(kernel, size, dtype)):
            if i == 3 and value < 0:
                continue  # a second moment is not negative
            inputs, spoilt = draw(kernel, size, dtype), drawn.copy()
            spoilt[size // 2] = value
            inputs[i] = spoilt
            with np.errstate(all="ignore"):
                ours, theirs = (run(kernel, inputs, numbers, which) for which in ("optimized", "reference"))
                assert worst(ours, theirs, finite=False) <= 1
            others = np.delete(np.array(ours.outputs), size // 2, axis=1)
            assert np.isfinite(others).all()


@pytest.mark.parametrize("which", ["optimized", "reference"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), CALLS)
def test_in_place_gives_the_same_bits(kernel, numbers, dtype, which):
    for size in (1, 300) if which == "reference" else (*SIZES, 20_001):
        inputs = draw(kernel, size, dtype)
        apart = run(kernel, inputs, numbers, which)
        arrays = [a.copy() for a in inputs]
        w, dE, *kept = arrays
        backend.kernel(kernel, dtype, which)(w, dE, *kept, w, *kept, **numbers)
        assert [a.tobytes() for a in (w, *kept)] == [a.tobytes() for a in apart.outputs]
        assert dE.tobytes() == inputs[1].tobytes()


@pytest.mark.parametrize("size", [3, 8192, 3 * 8192 + 261])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), CALLS)
def test_the_same_bits_from_any_number_of_threads(kernel, numbers, dtype, size, each_threads):
    inputs = draw(kernel, size, dtype)
    cnnx.set_num_threads(1)
    one = [a.tobytes() for a in run(kernel, inputs, numbers, "optimized").outputs]
    for _ in each_threads(2, 3):
        with native.always_parallel():
            assert [a.tobytes() for a in run(kernel, inputs, numbers, "optimized").outputs] == one


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "numbers"), CALLS)
def test_many_weights_change_as_few_do(kernel, numbers, dtype):
    """Wherever an element lies, it changes as it does alone, to rounding."""
    inputs = draw(kernel, 20_000, dtype)
    whole = run(kernel, inputs, numbers, "optimized")
    for start in (0, 8190, 16383, 19_990):
        some = slice(start, start + 5)
        few = run(kernel, [a[some] for a in inputs], numbers, "reference")
        for got, expected in zip(whole.outputs, few.outputs, strict=True):
            assert np.allclose(got[some], expected, rtol=16 * np.finfo(dtype).eps, atol=16 * np.finfo(dtype).eps)


def test_a_wrong_kernel_is_noticed():
    """The bounds are worth something: small mistakes use more than all of them."""
    inputs = draw("adam", 45, "float32")
    theirs = run("adam", inputs, ADAM, "reference")
    for mistake in {"t": 2}, {"beta2": 0.99899}, {"eps": 1e-4}, {"rate": 0.01001}, {"decay": 1e-3}:
        ours = run("adam", inputs, ADAM | mistake, "optimized")
        assert worst(KernelCall("adam", ours.inputs, ours.outputs, ADAM), theirs) > 1, mistake


def test_equations_by_hand_in_fractions():
    """G1 to G4."""
    half, w, dE, v = Fraction(1, 2), [Fraction(3)], [Fraction(1, 3)], [Fraction(2, 5)]
    assert backend.equations("sgd")["w_new"](w, dE, 0, rate=half, decay=half) == Fraction(25, 12)
    numbers = {"rate": half, "momentum": Fraction(1, 4), "decay": 0}
    new = backend.equations("sgd_momentum")
    assert new["v_new"](w, dE, v, 0, nesterov=0, **numbers) == Fraction(13, 30)
    assert new["w_new"](w, dE, v, 0, nesterov=0, **numbers) == 3 - Fraction(13, 60)
    assert new["w_new"](w, dE, v, 0, nesterov=1, **numbers) == 3 - (Fraction(1, 3) + Fraction(13, 120)) / 2
    numbers = {"rate": half, "beta1": half, "beta2": Fraction(3, 4), "eps": 0, "decay": 0, "t": 2}
    new = backend.equations("adam")
    assert new["m1_new"](w, dE, v, v, 0, **numbers) == Fraction(1, 5) + Fraction(1, 6)
    assert new["m2_new"](w, dE, v, v, 0, **numbers) == Fraction(3, 10) + Fraction(1, 36)


# ---------------------------------------------------------------------------------------- the face


def stepped(array, gradient, momentum=0.0):
    """An array after one step; v was 1."""
    weight = Weight("w", array, (np.ones(array.shape, array.dtype.newbyteorder("=")),) if momentum else ())
    sgd_step([weight], [weight.gradient(gradient)], rate=0.5, momentum=momentum, decay=0.25)
    return array


@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_of_weights_and_gradients(layout, dtype, momentum):
    w, dE = (np.arange(24.0).reshape(2, 3, 4).astype(dtype) + i for i in range(2))
    expected = stepped(w.copy(), dE, momentum)
    assert np.allclose(expected, w - 0.5 * (dE + 0.25 * w + momentum))
    laid = LAYOUTS[layout](w)
    assert np.array_equal(stepped(laid, LAYOUTS[layout](dE), momentum), expected)
    frozen = dE.copy()
    frozen.flags.writeable = False
    assert np.array_equal(stepped(w.copy(), frozen, momentum), expected)


def test_a_weight_that_is_set_between_steps_goes_on_from_there():
    for laid in np.zeros((2, 2)), np.zeros((2, 2)).T[::-1], np.zeros((2, 2), ">f8"):
        weight, ones = Weight("w", laid, ()), np.ones((2, 2))
        for start in 3, 5:
            laid[...] = start
            sgd_step([weight], [weight.gradient(ones)], rate=1.0)
            assert laid.tolist() == np.full((2, 2), start - 1).tolist()


def test_gradients_of_other_dtypes_are_cast():
    assert stepped(np.zeros(3, "float32"), np.arange(3)).tolist() == [0, -0.5, -1]
    assert stepped(np.zeros(3, "float32"), np.arange(3.0)).dtype == np.float32


@pytest.mark.parametrize(
    ("array", "gradient", "error", "message"),
    [
        ([1.0], None, TypeError, "w: expected a NumPy array, got list"),
        (np.ones(2, "float16"), None, TypeError, "w: expected dtype float32 or float64, got float16"),
        (np.ones(2, int), None, TypeError, "w: expected dtype float32 or float64, got int64"),
        (np.broadcast_to(1.0, 3), None, ValueError, "w: expected an array that can be changed, got a read-only one"),
        (np.ones(2), [1.0, 2.0], TypeError, "gradient of w: expected a NumPy array, got list"),
        (np.ones(2), np.ones(3), ValueError, r"gradient of w: expected shape \(2,\), float64, got \(3,\), float64"),
        (np.ones((2, 1)), np.ones(2), ValueError, r"gradient of w: expected shape \(2, 1\), float64, got \(2,\)"),
        (np.ones(2), np.ones(2) * 1j, ValueError, "gradient of w: expected .* got .*complex128"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(array, gradient, error, message):
    with pytest.raises(error, match=message):
        Weight("w", array, ()).gradient(gradient)


def test_mixed_dtypes_and_a_back_end_that_lacks_kernels():
    pair = [
        Weight("a", np.ones(2, "float32"), (np.zeros(2, "float32"),) * 2),
        Weight("b", np.ones(3), (np.zeros(3),) * 2),
    ]
    slopes = [weight.gradient(np.ones_like(weight.array)) for weight in pair]
    numbers = {"rate": 0.5, "beta1": 0.5, "beta2": 0.5, "eps": 1.0, "t": 1}
    cnnx.register_backend("empty", {})
    for step in (
        lambda: sgd_step(pair, slopes, rate=1.0, backend="empty"),
        lambda: adam_step(pair, slopes, backend="empty", **numbers),
    ):
        with pytest.raises(NotImplementedError, match="back end 'empty' has no kernel"):
            step()
    sgd_step(pair, slopes, rate=0.25)
    assert [weight.array.tolist() for weight in pair] == [[0.75] * 2, [0.75] * 3]


def test_models_step_alike_in_both_back_ends():
    rng = np.random.default_rng(3)
    for make in nn.SGD, lambda **b: nn.SGD(momentum=0.9, nesterov=True, weight_decay=0.1, **b), nn.Adam:
        ends = []
        for which in "optimized", "reference", None:
            model = nn.Sequential(nn.Sequential(nn.Affine(3, 2, seed=0, dtype="float64")), nn.ReLU())
            optimizer, x = make(backend=which), rng.standard_normal((4, 3))
            for _ in range(3):
                model.forward(np.cos(np.arange(12.0)).reshape(4, 3))
                model.backward(np.ones((4, 2)))
                optimizer.step(model)
            ends.append(model.forward(x * 0 + 1))
        assert np.allclose(ends[0], ends[1], rtol=1e-13)
        assert np.array_equal(ends[0], ends[2])
    with pytest.raises(ValueError, match="no back end is called 'fast'"):
        nn.SGD(backend="fast")
    assert repr(nn.Adam(backend="reference")) == "Adam(backend='reference')"


def test_an_optimizer_notices_what_changes_in_its_model():
    """What was checked is remembered: a new array, other momenta and another model have to be seen all the same."""
    layer = nn.Affine(2, 1, seed=0, dtype="float64")
    sgd = nn.SGD(1.0)

    def step(model):
        model.forward(np.ones((1, 2)))
        model.backward(np.ones((1, 1)))
        sgd.step(model)

    step(layer)
    old = layer.parameters["weight"]
    kept = old.copy()
    layer._parameters["weight"] = np.zeros((1, 2))
    step(layer)
    assert layer.parameters["weight"].tolist() == [[-1, -1]]
    assert np.array_equal(old, kept)
    sgd.momentum = 0.5  # v: 1, then 1.5
    step(layer)
    step(layer)
    assert layer.parameters["weight"].tolist() == [[-3.5, -3.5]]
    step(nn.Sequential(layer))  # its names are others, so it starts with v = 0
    assert layer.parameters["weight"].tolist() == [[-4.5, -4.5]]
    assert sorted(sgd._state) == ["0.bias", "0.weight", "bias", "weight"]

"""Exponentials, powers and kin in vectors: how far from the truth, at every size of number, at the ends of the range,
and the same wherever a number stands in its array.

The truth is mpmath's. An error is counted in units in the last place of the result's dtype, those of subnormal results
included.
"""

import math
import shutil
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

import cnnx
from cnnx import native, nn

mp = pytest.importorskip("mpmath").mp.clone()
mp.prec = 200

DTYPES = ("float32", "float64")
FARTHEST = {"float32": 110.0, "float64": 760.0}  # beyond it every exponential here is 0


def normal(z):
    """The normal distribution's Phi."""
    return mp.erfc(-z / mp.sqrt(2)) / 2


def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + mp.exp(-z))


FORWARD = {
    "sigmoid": (sigmoid, 2.0),
    "tanh": (mp.tanh, 2.6),
    "elu": (lambda z: z if z > 0 else mp.expm1(z), 1.1),
    "softplus": (lambda z: mp.log1p(mp.exp(z)) if z < 0 else z + mp.log1p(mp.exp(-z)), 2.5),
    "gelu": (lambda z: z * normal(z), 4.5),  # a product of three functions; 3.8 where there is a fused multiply-add
    "silu": (lambda z: z * sigmoid(z), 3.0),
}
BACKWARD = {
    "sigmoid": (lambda z: sigmoid(z) * sigmoid(-z), 3.5),
    "elu": (lambda z: mp.mpf(1) if z > 0 else mp.exp(z), 1.2),
    "softplus": (sigmoid, 2.0),
}
# These cancel, as their equations do: errors are counted in units of numbers of about 1.
CANCELLING = {
    "tanh": (lambda z: 1 - mp.tanh(z) ** 2, 4.0),
    "gelu": (lambda z: normal(z) + z * mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi), 4.0),
    "silu": (lambda z: sigmoid(z) + z * sigmoid(z) * sigmoid(-z), 3.0),
}


def sweep(dtype, count=400):
    """Numbers of both signs: of every exponent, and dense where the functions bend."""
    rng = np.random.default_rng(20)
    info, far = np.finfo(dtype), FARTHEST[dtype]
    exponents = np.arange(info.minexp - info.nmant, int(np.log2(far)) + 1, dtype=float)
    every = 2.0**exponents * rng.uniform(1, 2, exponents.size)
    dense = [rng.uniform(0, most, count) for most in (1, 3, 10, 16, 40, far)]
    numbers = np.concatenate([[0.0, far], every, *dense]).clip(0, far)
    return np.concatenate([numbers, -numbers]).astype(dtype)


def error(got, truth, *, least=0.0):
    """The largest, in units in the last place (of `least`, for what is smaller)."""
    info = np.finfo(got.dtype)
    worst = 0.0
    for value, exact in zip(got.tolist(), truth, strict=True):
        exponent = mp.frexp(max(abs(exact), mp.mpf(least)))[1] - 1 if exact or least else info.minexp
        unit = mp.ldexp(1, max(exponent, int(info.minexp)) - info.nmant)
        worst = max(worst, float(abs(value - exact) / unit))
    return worst


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_forward(name, dtype):
    exact, bound = FORWARD[name]
    z = sweep(dtype)
    assert error(getattr(cnnx, name)(z), [exact(mp.mpf(v)) for v in z.tolist()]) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [*BACKWARD, *CANCELLING])
def test_backward(name, dtype):
    exact, bound = (BACKWARD | CANCELLING)[name]
    z = sweep(dtype)
    got = getattr(cnnx, f"{name}_backward")(np.ones_like(z), z)
    assert error(got, [exact(mp.mpf(v)) for v in z.tolist()], least=name in CANCELLING) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(9, 5), (3, 100)], ids=["narrow", "wide"])
def test_softmax(shape, dtype):
    """exp of a difference that is rounded once: compared where it is exact."""
    z = -np.abs(sweep(dtype))[: shape[0] * shape[1]].reshape(shape)
    z[:, 0] = 0  # the maximum
    rows = [[mp.exp(v) for v in row] for row in z.tolist()]
    truth = [e / mp.fsum(row) for row in rows for e in row]
    assert error(cnnx.softmax(z).reshape(-1), truth) <= 2.0
    columns = cnnx.softmax(np.ascontiguousarray(z.T), axis=0).T
    assert error(columns.reshape(-1), truth) <= 2.0
    truth = [mp.log(mp.fsum(row)) - row_z[1] for row, row_z in zip(rows, z.tolist(), strict=True)]
    got = [cnnx.cross_entropy(z[n : n + 1], np.array([1])) for n in range(shape[0])]
    assert np.allclose(got, [float(t) for t in truth], rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rho", [1.0625, 1.5, 2.0, 2.5, 3.0, 7.0, 40.0, 301.7])
def test_powers(rho, dtype):
    """Pairs of numbers of all sizes: sum, power and root, of which the root makes little of the others' errors."""
    rng = np.random.default_rng(23)
    far = min(280 / rho, 280.0 if dtype == "float64" else 27.0)
    z = (10 ** (rng.uniform(-far, far, (500, 1)) + rng.uniform(-10, 10, (500, 2)) / rho)).astype(dtype)
    got = cnnx.lp_pool2d(z.reshape(1, 1, 1, 1000), rho, (1, 2), normalize=False).reshape(-1)
    exact = [(mp.mpf(a) ** rho + mp.mpf(b) ** rho) ** (1 / mp.mpf(rho)) for a, b in z.tolist()]
    assert error(got, exact) <= (0.51 if dtype == "float32" else 2.5)
    delta = np.ones((1, 1, 1, 500), dtype)
    grad = cnnx.lp_pool2d_backward(delta, z.reshape(1, 1, 1, 1000), rho, (1, 2), normalize=False).reshape(-1, 2)
    slopes = [(mp.mpf(v) / y) ** (rho - 1) for row, y in zip(z.tolist(), exact, strict=True) for v in row]
    # The quotient's error of some units becomes rho - 1 times as many.
    assert error(grad.reshape(-1), slopes) <= (0.51 if dtype == "float32" else 1.5 + 3.5 * (rho - 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [0.0, 5e-324, 1e-310, 1.0, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("rho", [1.5, 2.5, 1e3, 1e300])
def test_powers_of_ends_of_the_range(rho, number, dtype):
    """A single number has its absolute value; what has no power that is a double is 0 or infinite."""
    z = np.full((1, 1, 1, 1), number, dtype)
    got, expected = (cnnx.lp_pool2d(z, rho, 1, backend=b).item() for b in ("optimized", "reference"))
    assert (
        np.isnan(got)
        if np.isnan(expected)
        else got == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-13)
    )


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) is not installed")
def test_no_function_comes_from_the_c_library():
    """It would choose one by the processor, and another version has other bits."""
    functions = {"acos", "asin", "atan", "cos", "cosh", "erf", "erfc", "exp", "exp2", "expm1", "fma", "log", "log10"}
    functions |= {"log1p", "log2", "pow", "rint", "round", "sin", "sinh", "sqrt", "tan", "tanh", "tgamma"}
    functions |= {f"{name}f" for name in functions}
    kernels = [*Path(native.kernels("conv2d").__file__).parent.iterdir()]
    assert len(kernels) > 10
    for path in kernels:
        nm = ["nm", "--dynamic", "--undefined-only", "--format=posix", path]
        names = {
            line.split()[0].partition("@")[0] for line in run(nm, capture_output=True, text=True).stdout.splitlines()
        }
        assert "PyErr_Occurred" in names  # they were found
        assert not names & {f"{prefix}{name}" for name in functions for prefix in ("", "_")}, path.name


@pytest.mark.parametrize("dtype", DTYPES)
def test_ends_of_the_range(dtype):
    inf, nan = np.inf, np.nan
    most, sixth = float(np.finfo(dtype).max), 1 / 6
    z = np.array([-inf, -most, -0.0, 0.0, most, inf, nan], dtype)
    ones = np.ones_like(z)
    expected = {
        "sigmoid": ([0, 0, 0.5, 0.5, 1, 1, nan], [0, 0, 0.25, 0.25, 0, 0, nan]),
        "tanh": ([-1, -1, -0.0, 0.0, 1, 1, nan], [0, 0, 1, 1, 0, 0, nan]),
        "elu": ([-1, -1, 0, 0, most, inf, nan], [0, 0, 1, 1, 1, 1, nan]),
        "gelu": ([0, 0, 0, 0, most, inf, nan], [0, 0, 0.5, 0.5, 1, 1, nan]),
        "relu": ([0, 0, 0, 0, most, inf, nan], [0, 0, 0, 0, 1, 1, 0]),
        "hard_sigmoid": ([0, 0, 0.5, 0.5, 1, 1, nan], [0, 0, sixth, sixth, 0, 0, 0]),
        "hard_swish": ([0, 0, 0, 0, most, inf, nan], [0, 0, 0.5, 0.5, 1, 1, nan]),
        "silu": ([0, 0, 0, 0, most, inf, nan], [0, 0, 0.5, 0.5, 1, 1, nan]),
    }
    for name, (forward, backward) in expected.items():
        np.testing.assert_array_equal(getattr(cnnx, name)(z), np.array(forward, dtype), name)
        np.testing.assert_array_equal(getattr(cnnx, f"{name}_backward")(ones, z), np.array(backward, dtype), name)
    assert np.signbit(cnnx.tanh(z)).tolist() == [True, True, True, False, False, False, bool(np.signbit(z[-1]))]
    log_2 = np.log(2).astype(dtype)
    np.testing.assert_array_almost_equal_nulp(cnnx.softplus(z[2:4]), np.array([log_2, log_2]), 2)
    np.testing.assert_array_equal(cnnx.softplus(z)[[0, 1, 4, 5, 6]], np.array([0, 0, most, inf, nan], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [1e300, -1e300, 1e-300, 1e-40, 0.0, -0.5])
def test_a_number_that_is_no_float32(number, dtype):
    """alpha and negative_slope are doubles, whatever the dtype of the array."""
    z = np.array([-2.0, -1e-3, -0.0, 0.0, 3.0], dtype)
    for name in ("elu", "leaky_relu"):
        for call in (
            getattr(cnnx, name),
            lambda *a, n=name, **k: getattr(cnnx, f"{n}_backward")(np.ones_like(z), *a, **k),
        ):
            got, expected = (call(z, number, backend=b) for b in ("optimized", "reference"))
            np.testing.assert_allclose(
                got, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).smallest_subnormal
            )


NAMES = ("relu", "sigmoid", "tanh", "step", "identity", "leaky_relu", "elu", "softplus", "gelu", "clip", "hard_sigmoid")
NAMES += ("hard_swish", "silu")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_value_does_not_depend_on_its_place(name, dtype):
    """Beginnings of an array of every length, and the array from every element on: tails, and other alignments."""
    rng = np.random.default_rng(21)
    z = (rng.standard_normal(200) * 2.0 ** rng.integers(-6, 7, 200)).astype(dtype)
    delta = rng.standard_normal(200).astype(dtype)
    forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
    options = {"min": -0.1, "max": 0.7} if name == "clip" else {}
    y, d = forward(z, **options), backward(delta, z, **options)
    for n in range(1, 200):
        for part in (slice(n), slice(n, None)):
            assert forward(z[part], **options).tobytes() == y[part].tobytes()
            assert backward(delta[part], z[part], **options).tobytes() == d[part].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("M", [1, 10, 32, 33, 70])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_row_does_not_depend_on_its_place(name, M, dtype):
    rng = np.random.default_rng(22)
    z, delta = (rng.standard_normal((75, M)).astype(dtype) * 4 for _ in range(2))
    forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")
    y, d = forward(z), backward(delta, z)
    across = forward(z.T.copy(), axis=0).T
    for part in (slice(1), slice(1, None), slice(40), slice(33, 66), slice(74, None)):
        assert forward(z[part]).tobytes() == y[part].tobytes()
        assert backward(delta[part], z[part]).tobytes() == d[part].tobytes()
        if y[part].shape[0] > 1:  # a single row lies in one piece, and is summed in another order
            assert forward(z[part].T.copy(), axis=0).T.tobytes() == across[part].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("M", "B"), [(5, 300), (33, 300), (64, 257), (128, 95), (129, 95)], ids=str)
def test_rows_side_by_side_have_the_bits_of_a_few_of_them(M, B, dtype, each_threads):
    """In tiles of several strips, a last one that is not full, and strip by strip; a few rows are one strip."""
    rng = np.random.default_rng(23)
    z, delta = (rng.standard_normal((2, M, B)).astype(dtype) * 4 for _ in range(2))
    few = [np.ascontiguousarray(a[..., -7:]) for a in (z, delta)]
    first = [np.ascontiguousarray(a[..., :40]) for a in (z, delta)]
    for name in ("softmax", "log_softmax"):
        forward, backward = getattr(cnnx, name), getattr(cnnx, f"{name}_backward")

        def all_of(z, delta, forward=forward, backward=backward):
            y = forward(z)
            return y, backward(delta, z), backward(delta, z, output=y)

        for _ in each_threads(1, 3):
            with native.always_parallel():
                for whole, last, beginning in zip(all_of(z, delta), all_of(*few), all_of(*first), strict=True):
                    assert whole[..., -7:].tobytes() == last.tobytes()
                    assert whole[..., :40].tobytes() == beginning.tobytes()


@pytest.mark.parametrize("backend", ["reference", "optimized"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_slopes_of_saturated_units(dtype, backend):
    """4 t / (1 + t)^2 with t = exp(-2 |z|), and t / (1 + t)^2 with t = exp(-|z|): here 1 + t is 1 in float32."""
    z = np.array([9.5, -12, 20, -36], dtype)
    delta = np.ones_like(z)
    for op, layer, factor, scale in (
        (cnnx.tanh, nn.Tanh(backend=backend), 4, 2),
        (cnnx.sigmoid, nn.Sigmoid(backend=backend), 1, 1),
    ):
        t = [math.exp(-scale * abs(float(v))) for v in z]
        expected = [factor * v / (1 + v) ** 2 for v in t]
        backward = cnnx.tanh_backward if op is cnnx.tanh else cnnx.sigmoid_backward
        layer.forward(z)
        for found in (backward(delta, z, backend=backend), layer.backward(delta)):
            assert np.allclose(found, expected, rtol=8 * np.finfo(dtype).eps, atol=0)
    assert cnnx.tanh_backward(delta, z, output=np.ones_like(z), backend=backend).tolist() == [0] * 4

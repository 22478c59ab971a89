"""Winograd's algorithm: against the direct one, where it fits, the same bits, transformed kernels, frozen layers."""

import copy
import pickle
from fractions import Fraction

import numpy as np
import pytest

import cnnx
from cnnx import backend, native, nn
from cnnx.audit import audit
from cnnx.ops import _winograd

SHAPES = [  # x, K, groups, padding
    ((1, 1, 3, 3), 1, 1, 0),
    ((2, 3, 5, 5), 4, 1, 1),
    ((1, 1, 1, 1), 1, 1, 1),
    ((3, 5, 17, 13), 9, 1, ((0, 2), (3, 1))),
    ((2, 20, 14, 14), 70, 1, 1),
    ((1, 2, 3, 130), 3, 1, (0, 1)),
    ((5, 6, 9, 4), 18, 2, "same"),
    ((2, 3, 6, 7), 3, 3, 2),
    ((1, 2, 2, 3), 2, 1, (5, 7)),
    ((0, 2, 6, 6), 3, 1, 1),
    ((1, 200, 3, 4), 200, 1, 1),  # transformed kernels of more than 4 MiB
]


BY_FIVE = [  # with kernels of 5x5
    ((1, 1, 5, 5), 1, 1, 0),
    ((2, 3, 9, 8), 9, 1, 2),
    ((1, 1, 1, 1), 1, 1, 2),
    ((3, 6, 17, 13), 18, 2, ((0, 3), (5, 1))),
    ((2, 20, 14, 14), 70, 1, 2),
    ((1, 2, 5, 130), 3, 1, (0, 1)),
    ((2, 3, 6, 7), 3, 3, "same"),
    ((1, 2, 2, 3), 2, 1, (6, 9)),
    ((0, 2, 6, 6), 3, 1, 1),
    ((1, 200, 3, 4), 200, 1, 2),
]
ALL_SHAPES = [(3, *options) for options in SHAPES] + [(5, *options) for options in BY_FIVE]
TILES = [(2, 3), (4, 3), (2, 5)]  # t, R


def drawn(x, K, groups, dtype, seed=0, R=3):
    rng = np.random.default_rng(seed)
    shapes = x, (K, x[1] // groups, R, R), (K,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def scale(*arrays):
    return max(1.0, *(float(np.abs(a).max(initial=0.0)) for a in arrays))


@pytest.mark.parametrize(("R", "shape", "K", "groups", "padding"), ALL_SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 5e-5)])
def test_same_result_as_direct(R, shape, K, groups, padding, dtype, tolerance):
    x, weight, bias = drawn(shape, K, groups, dtype, R=R)
    options = {"padding": padding, "groups": groups}
    y = cnnx.conv2d(x, weight, bias, **options)
    delta = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    direct = (y, *cnnx.conv2d_backward(delta, x, weight, **options))
    options["algorithm"] = "winograd"
    winograd = (cnnx.conv2d(x, weight, bias, **options), *cnnx.conv2d_backward(delta, x, weight, **options))
    for got, expected in zip(winograd, direct, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale(expected))


@pytest.mark.parametrize(("t", "R"), TILES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tile_for_any_shape(t, R, dtype):
    for shape, K, groups, padding in SHAPES if R == 3 else BY_FIVE:
        x, weight, bias = drawn(shape, K, groups, dtype, R=R)
        expected = cnnx.conv2d(x, weight, bias, padding=padding, groups=groups)
        rows, columns = cnnx._check.paddings(padding, shape[2:], (R, R), (1, 1))
        y = np.full_like(expected, np.nan)
        numbers = {"t": t, "p_h": rows[0], "p_w": columns[0], "groups": groups}
        backend.kernel("conv2d_winograd", dtype)(x, weight, bias, y, **numbers)
        np.testing.assert_allclose(y, expected, rtol=0, atol=scale(y) * (1e-13 if dtype == "float64" else 5e-5))
        # What a frozen layer calls gives the same bits.
        U = np.full((groups * -(-(K // groups) // 8), t + R - 1, t + R - 1, shape[1] // groups, 8), np.nan, dtype)
        backend.kernel("conv2d_winograd_weight", dtype)(weight, U, t=t, groups=groups)
        frozen = np.full_like(y, np.nan)
        backend.kernel("conv2d_winograd_frozen", dtype)(x, U, bias, frozen, **numbers)
        assert y.tobytes() == frozen.tobytes()


@pytest.mark.parametrize(("t", "R"), TILES)
def test_transformed_kernels_are_w1(t, R):
    """W1."""
    _, weight, _ = drawn((1, 6, R, R), 10, 2, "float64", R=R)
    ours, theirs = (np.full((2, t + R - 1, t + R - 1, 3, 8), np.nan) for _ in range(2))
    backend.kernel("conv2d_winograd_weight", "float64")(weight, ours, t=t, groups=2)
    backend.reference_kernel("conv2d_winograd_weight")(weight, theirs, t=t, groups=2)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=4e-15)
    assert not ours[..., 5:].any()  # five kernels in a group


@pytest.mark.parametrize(("t", "R"), TILES)
@pytest.mark.parametrize("p_h", [0, 1, 3])
def test_the_algorithm_is_c1_exactly(t, R, p_h):
    """W1-W3 on fractions equal C1: its matrices are right."""
    rng = np.random.default_rng(t)
    Z, F, b = (
        np.array([Fraction(int(i), 7) for i in rng.integers(-9, 10, int(np.prod(shape)))]).reshape(shape)
        for shape in ((1, 2, R + 2, R + 2), (2, 1, R, R), (2,))
    )
    numbers = {"t": t, "groups": 2}
    u = backend.equations("conv2d_winograd_weight")["U"]
    U = np.empty((2, t + R - 1, t + R - 1, 1, 8), dtype=object)
    for index in np.ndindex(U.shape):
        U[index] = u(F, *index, **numbers)
    numbers |= {"p_h": p_h, "p_w": 1}
    y, c1 = (backend.equations(f"conv2d_winograd{kernel}")["Y"] for kernel in ("_frozen", ""))
    for index in np.ndindex(1, 2, 3 + p_h, 5):
        assert y(Z, U, b, *index, **numbers) == c1(Z, F, b, *index, **numbers)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("R", [3, 5])
def test_the_reference_is_c1_and_c5_whatever_the_algorithm(groups, R):
    """Against NumPy's windows, on integers."""
    x, weight, bias = (np.round(4 * a) for a in drawn((2, 4, 5, 4), 6, groups, "float64", R=R))
    border = ((0, 0), (0, 0), (R // 2, R // 2), (R // 2, R // 2))
    view = np.lib.stride_tricks.sliding_window_view
    windows = view(np.pad(x, border), (R, R), axis=(2, 3)).reshape(2, groups, -1, 5, 4, R, R)
    w = weight.reshape(groups, -1, 4 // groups, R, R)
    y = np.einsum("ngcpqrs,gkcrs->ngkpq", windows, w).reshape(2, 6, 5, 4) + bias[:, None, None]
    delta = np.round(4 * np.random.default_rng(1).standard_normal(y.shape))
    windows = view(np.pad(delta, border), (R, R), axis=(2, 3)).reshape(2, groups, -1, 5, 4, R, R)
    grad_x = np.einsum("ngkpqrs,gkcrs->ngcpq", windows, w[..., ::-1, ::-1]).reshape(x.shape)
    options = {"padding": R // 2, "groups": groups, "algorithm": "winograd", "backend": "reference"}
    np.testing.assert_array_equal(cnnx.conv2d(x, weight, bias, **options), y)
    np.testing.assert_array_equal(cnnx.conv2d_backward(delta, x, weight, **options)[0], grad_x)


def test_a_back_end_without_it_says_so():
    kernel = backend.kernel("conv2d", "float32", "optimized")
    cnnx.register_backend("no-winograd", {"conv2d": kernel})
    x, weight, _ = drawn((1, 2, 5, 4), 2, 1, "float32")
    with pytest.raises(NotImplementedError, match="back end 'no-winograd' has no kernel 'conv2d_winograd'"):
        cnnx.conv2d(x, weight, algorithm="winograd", backend="no-winograd")


@pytest.mark.parametrize(
    ("extents", "options", "got"),
    [
        ((2, 3), {}, "kernels of 2x3"),
        ((3, 5), {}, "kernels of 3x5"),
        ((7, 7), {"stride": 2}, "kernels of 7x7 and stride 2x2"),
        ((5, 5), {"dilation": 2}, "dilation 2x2"),
        ((3, 3), {"stride": (1, 2)}, "stride 1x2"),
        ((3, 3), {"dilation": 2}, "dilation 2x2"),
    ],
)
def test_where_it_does_not_fit(extents, options, got):
    x, weight = np.ones((1, 1, 9, 9)), np.ones((1, 1, *extents))
    message = f"algorithm: expected 'direct', since 'winograd' is for kernels of 3x3 and 5x5, .*got {got}$"
    with pytest.raises(ValueError, match=message):
        cnnx.conv2d(x, weight, algorithm="winograd", **options)
    y = cnnx.conv2d(x, weight, **options)
    with pytest.raises(ValueError, match=message):
        cnnx.conv2d_backward(y, x, weight, algorithm="winograd", **options)
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(1, 1, extents, algorithm="winograd", **options)


def test_tiles_follow_the_shape():
    assert [_winograd.tile(n, n, 3) for n in range(1, 11)] == [2, 2, 4, 4, 2, 2, 4, 4, 4, 4]
    assert _winograd.tile(14, 14, 3) == _winograd.tile(56, 56, 3) == 4
    assert {_winograd.tile(n, n, 5) for n in range(1, 11)} == {2}


@pytest.mark.usefixtures("needs_threads")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 40, 30, 30), (1, 40, 8, 8), (7, 9, 14, 14)])
@pytest.mark.parametrize("R", [3, 5])
def test_same_bits_for_any_number_of_threads(shape, R, dtype, each_threads):
    x, weight, bias = drawn(shape, 70, 1, dtype, R=R)
    results = set()
    for _ in each_threads(1, 2, 3, 5):
        with native.always_parallel():
            y = cnnx.conv2d(x, weight, bias, padding=1, algorithm="winograd")
            grad_x, *_ = cnnx.conv2d_backward(y, x, weight, padding=1, algorithm="winograd")
        results.add((y.tobytes(), grad_x.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("groups", [1, 2])
def test_tiles_in_padding_are_left_out(groups, dtype):
    """A hundred of 3,500 tiles meet an image; outputs of the others are the biases, and the rest what it is anyway."""
    rng = np.random.default_rng(6)
    x = rng.integers(-4, 5, (2, 1500 * groups, 5, 37)).astype(dtype)
    weight = rng.integers(-4, 5, (3 * groups, 1500, 3, 3)).astype(dtype)
    bias = rng.integers(-4, 5, 3 * groups).astype(dtype)
    left, above, options = 206, 121, {"groups": groups, "algorithm": "winograd"}
    y = cnnx.conv2d(x, weight, bias, padding=((above, 9), (left, 101)), **options)
    inside = np.zeros(y.shape, bool)
    inside[:, :, above - 6 : above + 9, left - 6 : left + 41] = True  # and what else is in their tiles
    assert (y[~inside] == np.broadcast_to(bias[:, None, None], y.shape)[~inside]).all()
    # Tiles of 4 x 4 begin at multiples of 4 in both.
    near = cnnx.conv2d(x, weight, bias, padding=((above % 4 + 4, 9), (left % 4 + 4, 101)), **options)
    assert y[:, :, above - above % 4 - 4 :, left - left % 4 - 4 :].tobytes() == near.tobytes()


def test_nan_stays_within_its_tile():
    x, weight, _ = drawn((1, 1, 14, 14), 1, 1, "float32")
    x[0, 0, 5, 5] = np.nan
    y = cnnx.conv2d(x, weight, padding=1, algorithm="winograd")
    bad = np.isnan(y[0, 0])
    assert bad[4:7, 4:7].all()
    assert not bad[8:].any()
    assert not bad[:, 8:].any()
    assert not bad[:4].any()


@pytest.mark.parametrize("shape", [(2, 64, 28, 28), (2, 256, 14, 14)])
def test_error_of_float32(shape):
    """The figures in conv2d's docstring, with room for other processors."""
    for t, R, most in ((2, 3, 2e-6), (4, 3, 3e-5), (2, 5, 2e-5)):
        x, weight, _ = drawn(shape, 32, 1, "float32", R=R)
        exact = cnnx.conv2d(x.astype("float64"), weight.astype("float64"), padding=R // 2)
        largest = np.abs(exact).max()
        y, numbers = np.empty(exact.shape, "float32"), {"t": t, "p_h": R // 2, "p_w": R // 2, "groups": 1}
        backend.kernel("conv2d_winograd", "float32")(x, weight, np.zeros(32, "float32"), y, **numbers)
        assert np.abs(y - exact).max() < most * largest


# ----------------------------------------------------------------------------------------------- layers


def network():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, algorithm="winograd", seed=0),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(3, 4, 3, algorithm="winograd", seed=1), nn.Flatten()),
    )


def kernels_of(call):
    used = []
    with backend.intercept(lambda name, kernel: used.append(name) or kernel):
        call()
    return [name for name in used if name.startswith("conv2d")]


def test_layer_and_model_take_the_algorithm():
    model = nn.cn_network(algorithm="winograd", seed=0)
    direct = nn.cn_network(seed=0)
    assert "Conv2d(1, 4, 3, padding=1, algorithm='winograd')" in repr(model)
    x = np.random.default_rng(0).standard_normal((3, 1, 28, 28)).astype("float32")
    assert kernels_of(lambda: model.forward(x)) == ["conv2d_winograd"] * 2
    np.testing.assert_allclose(model.forward(x), direct.forward(x), rtol=0, atol=1e-4)
    assert "conv2d_winograd_grad_input" in kernels_of(lambda: model.backward(np.ones((3, 10), "float32")))


@pytest.mark.parametrize("name", ["optimized", "reference"])
def test_frozen_layer_transforms_its_kernels_once(name):
    model, x = network(), drawn((1, 2, 6, 5), 1, 1, "float32")[0]
    model.backend = name
    before = model.forward(x)
    assert model.freeze() is model
    assert model.frozen
    first = kernels_of(lambda: model.forward(x))
    assert first == ["conv2d_winograd_weight", "conv2d_winograd_frozen"] * 2
    assert kernels_of(lambda: model.forward(x)) == ["conv2d_winograd_frozen"] * 2
    np.testing.assert_allclose(model.forward(x), before, rtol=0, atol=0 if name == "optimized" else 1e-5)
    # An image of another size takes other tiles.
    assert "conv2d_winograd_weight" in kernels_of(lambda: model.forward(np.ones((1, 2, 8, 8), "float32")))
    assert not model.unfreeze().frozen
    assert kernels_of(lambda: model.forward(x)) == ["conv2d_winograd"] * 2


def test_what_was_kept_is_dropped():
    model, x = network(), drawn((1, 2, 6, 5), 1, 1, "float32")[0]
    before = model.freeze().forward(x)
    model.unfreeze()
    model.parameters["0.weight"][...] *= 2
    after = model.freeze().forward(x)
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, model.unfreeze().forward(x))


def test_frozen_layer_does_not_learn():
    model, x = network(), drawn((1, 2, 6, 5), 1, 1, "float32")[0]
    grad = np.ones_like(model.forward(x))
    model.backward(grad)
    model[2].freeze()  # a part is enough
    with pytest.raises(RuntimeError, match=r"Sequential\.backward: expected a layer that may change, got a frozen one"):
        model.backward(grad)
    with pytest.raises(RuntimeError, match=r"SGD\.step: expected .*call unfreeze\(\) first"):
        nn.SGD(0.1).step(model)
    model.unfreeze()
    model.backward(grad)
    nn.SGD(0.1).step(model)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_frozen_layers_are_not_frozen(again):
    model, x = network().freeze(), drawn((1, 2, 6, 5), 1, 1, "float32")[0]
    expected = model.forward(x)
    size = len(pickle.dumps(network()))
    assert len(pickle.dumps(model)) < size + 100  # what was kept stays here
    other = again(model)
    assert not any(layer.frozen for layer in other._walk())
    np.testing.assert_array_equal(other.forward(x), expected)
    other.backward(np.ones_like(expected))
    assert model.frozen


# ---------------------------------------------------------------------------------------------- its budget


def test_the_audit_has_a_budget_per_tile():
    (result,) = audit(["conv2d"], checks=["bound"], dtypes=["float32"], measure=False).results
    assert result.ok
    assert result.share < 1


@pytest.mark.parametrize(("number", "t", "R"), [((3, 1), 4, 3), ((1, 0), 4, 3), ((3, 1), 2, 3), ((4, 1), 2, 5)])
def test_one_wrong_number_of_a_matrix_is_caught(number, t, R):
    """The algorithm with a number of A doubled, or 1 where 0 should be, but otherwise without fault."""
    A, B, G = (np.array(matrix, dtype=float) for matrix in backend.winograd_matrices(t, R))
    A[number] = 2 * A[number] if A[number] else 1

    def wrong(Z, F, b, Y, *, t, p_h, p_w, groups):
        a, (P, Q) = t + R - 1, Y.shape[2:]
        rows, columns = -(-P // t), -(-Q // t)
        padded = np.zeros((*Z.shape[:2], t * rows + a + p_h + Z.shape[2], t * columns + a + p_w + Z.shape[3]))
        padded[:, :, p_h : p_h + Z.shape[2], p_w : p_w + Z.shape[3]] = Z
        if A.shape != (a, t) or F.shape[2] != R or groups > 1:
            return backend.kernel("conv2d_winograd", Z.dtype.name, "optimized")(
                Z, F, b, Y, t=t, p_h=p_h, p_w=p_w, groups=groups
            )
        for p, q in np.ndindex(rows, columns):
            V = B.T @ padded[:, :, t * p : t * p + a, t * q : t * q + a] @ B
            y = A.T @ np.einsum("kcij,ncij->nkij", G @ F.astype(float) @ G.T, V) @ A
            y = y[:, :, : P - t * p, : Q - t * q]
            Y[:, :, t * p : t * p + t, t * q : t * q + t] = y + b[:, None, None]
        return None

    cnnx.register_backend("wrong-winograd", {"conv2d_winograd": wrong})
    (result,) = audit(["conv2d"], backend="wrong-winograd", checks=["bound"], dtypes=["float32"], measure=False).results
    assert {d.what.split(" at ")[0] for d in result.discrepancies} == {"conv2d_winograd"}

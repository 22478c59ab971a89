"""Strides, paddings, dilations and windows far beyond the image, up to options that no image fits.

The truth adds up, per axis, the pairs of outputs and taps that meet a pixel: it never looks at the padding.
"""

import ast
import itertools
import os
import shutil
import subprocess
import sys
import time

import geometries
import numpy as np
import pytest

import cnnx

LARGEST = 2**31 - 1
EXTENTS = (1, 2, 3, 5)
OPTIONS = (*range(1, 6), 1000, 20_000, 2**16, 2**30 - 1, 2**30, LARGEST - 1, LARGEST, 2**31, 2**32, 2**40, 2**62)


def met(outputs, taps, extent, step, before, apart):
    """(output, tap, place) of all that lies in an axis of `extent` places."""
    return [
        (p, r, step * p + apart * r - before)
        for p in range(outputs)
        for r in range(taps)
        if 0 <= step * p + apart * r - before < extent
    ]


def sums(x, weight, grad, u, v, p_h, p_w, d_h, d_w):
    """C1 without bias, C5 and C3 in double."""
    rows = met(grad.shape[2], weight.shape[2], x.shape[2], u, p_h, d_h)
    columns = met(grad.shape[3], weight.shape[3], x.shape[3], v, p_w, d_w)
    y, grad_x, grad_weight = np.zeros(grad.shape), np.zeros(x.shape), np.zeros(weight.shape)
    for (p, r, h), (q, s, w) in itertools.product(rows, columns):
        y[:, :, p, q] += x[:, :, h, w] @ weight[:, :, r, s].T
        grad_x[:, :, h, w] += grad[:, :, p, q] @ weight[:, :, r, s]
        grad_weight[:, :, r, s] += grad[:, :, p, q].T @ x[:, :, h, w]
    return y, grad_x, grad_weight


def axis(rng):
    """Image, kernel, stride, padding on both sides, dilation, and how many outputs that gives (C2)."""
    extent, taps = rng.choice(EXTENTS, 2).tolist()
    step, apart = (OPTIONS[i] for i in rng.integers(len(OPTIONS), size=2))
    span = apart * (taps - 1) + 1
    drawn = [OPTIONS[i] for i in rng.integers(len(OPTIONS), size=2)]
    near = [max(0, span - extent), step, span - 1, step * int(rng.integers(1, 4)), 0]
    before, after = (near[rng.integers(len(near))] if rng.random() < 0.7 else n for n in drawn)
    return extent, taps, step, (before, after), apart, (extent + before + after - span) // step + 1


def refused(name, call):
    """Whether a call that cannot be done is refused, in words and at once."""
    start = time.process_time()
    with pytest.raises((ValueError, MemoryError), match=r"\w") as raised:
        call()
    assert time.process_time() - start < 2, (name, raised.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(20))
def test_convolution(seed, dtype):
    """C1, C3, C5 of 25 geometries each: the right numbers within 2 s of processor time, or an error."""
    rng = np.random.default_rng(seed)
    for _ in range(25):
        H, R, u, rows, d_h, P = axis(rng)
        W, S, v, columns, d_w, Q = axis(rng)
        C, K = rng.choice([1, 2, 17], 2).tolist()
        x = rng.integers(-4, 5, (2, C, H, W)).astype(dtype)
        weight = rng.integers(-4, 5, (K, C, R, S)).astype(dtype)
        options = {"stride": (u, v), "padding": (rows, columns), "dilation": (d_h, d_w)}
        given = max(u, v, *rows, *columns, d_h, d_w)
        if given > LARGEST or min(P, Q) < 1:
            refused(options, lambda x=x, weight=weight, options=options: cnnx.conv2d(x, weight, **options))
            continue
        if P * Q * K > 10_000:  # outputs, and not padding, take the time
            continue
        grad = rng.integers(-4, 5, (2, K, P, Q)).astype(dtype)
        y, grad_x, grad_weight = sums(x, weight, grad, u, v, rows[0], columns[0], d_h, d_w)
        start = time.process_time()
        np.testing.assert_array_equal(cnnx.conv2d(x, weight, **options), y, str(options))
        got = cnnx.conv2d_backward(grad, x, weight, **options)
        assert time.process_time() - start < 2, options
        np.testing.assert_array_equal(got[0], grad_x, str(options))
        np.testing.assert_array_equal(got[1], grad_weight, str(options))


@pytest.mark.parametrize(("stride", "padding", "outputs", "met"), [(LARGEST, 2**30, 2, 0), (20_000, 20_000, 3, 1)])
@pytest.mark.parametrize("K", [1, 16])
def test_gradient_of_weights_of_one_pixel(stride, padding, outputs, met, K):
    x, weight = np.ones((1, 1, 1, 1), "float32"), np.ones((K, 1, 1, 1), "float32")
    grad = np.ones((1, K, outputs, outputs), "float32")
    grad_weight = cnnx.conv2d_backward(grad, x, weight, stride=stride, padding=padding)[1]
    assert grad_weight.ravel().tolist() == [met] * K


def test_gradient_of_weights_between_far_outputs_and_taps():
    # Neither the stride nor the dilation is beyond what the other spans: a copy would hold 4e18 numbers.
    far = 10**9
    x, weight = np.ones((1, 1, 1, 1), "float32"), np.ones((1, 1, 2, 2), "float32")
    grad = np.arange(1, 5, dtype="float32").reshape(1, 1, 2, 2)
    options = {"stride": far, "dilation": far, "padding": far}
    assert cnnx.conv2d(x, weight, **options).tolist() == [[[[1, 1], [1, 1]]]]
    assert cnnx.conv2d_backward(grad, x, weight, **options)[1].tolist() == [[[[4, 3], [2, 1]]]]


def test_phases_of_very_many_output_channels(each_threads):
    """Weights of more than a cache, which each of a stride's phases has its part of: no bit depends on the blocks."""
    rng = np.random.default_rng(4)
    x, weight = rng.integers(1, 5, (2, 3, 7, 5)).astype("float32"), rng.integers(-4, 5, (65_535, 3, 4, 3))
    grad = rng.integers(-4, 5, (2, 65_535, 3, 2)).astype("float32")
    options = {"stride": (3, 32_768), "padding": ((2, 3), (32_768, 2))}
    grad_x = sums(x, weight, grad, 3, 32_768, 2, 32_768, 1, 1)[1]
    for _ in each_threads(1, 3):
        got, _, _ = cnnx.conv2d_backward(grad, x, weight.astype("float32"), **options)
        np.testing.assert_array_equal(got, grad_x)


def test_kernels_far_larger_than_the_image():
    """Of 10^11 products 14 meet the image: what they take is no more than to read the weights."""
    rng = np.random.default_rng(3)
    x, weight = rng.integers(1, 5, (1, 2, 3, 1)).astype(float), rng.integers(1, 5, (7, 2, 32768, 7)).astype(float)
    grad = rng.integers(1, 5, (1, 7, 3, 13107)).astype(float)
    options = {"stride": (3, 5), "padding": ((1_015_781, 0), (65_536, 0)), "dilation": (31, 1)}
    y, grad_x, grad_weight = sums(x, weight, grad, 3, 5, 1_015_781, 65_536, 31, 1)
    assert 0 < np.count_nonzero(grad_weight) < 100
    start = time.process_time()
    np.testing.assert_array_equal(cnnx.conv2d(x, weight, **options), y)
    got = cnnx.conv2d_backward(grad, x, weight, **options)
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(got[0], grad_x)
    np.testing.assert_array_equal(got[1], grad_weight)


def test_gradient_of_many_weights_that_hardly_meet_the_image():
    """30 million weights, of which 93 meet three pixels of 31 channels."""
    x, grad = np.ones((2, 31, 1, 3), "float32"), np.arange(1, 13, dtype="float32").reshape(2, 1, 3, 2)
    weight = np.broadcast_to(np.float32(2), (1, 31, 31, 32_768))
    options = {"stride": (2, 65_536), "padding": ((64, 0), (0, 98_301)), "dilation": (2, 1)}
    start = time.process_time()
    grad_weight = cnnx.conv2d_backward(grad, x, weight, input_grad=False, **options)[1]
    assert time.process_time() - start < 2
    # Row 30 meets the image from output row 2, columns 0 to 2 from output column 0.
    assert (grad_weight[0, :, 30, :3] == grad[0, 0, 2, 0] + grad[1, 0, 2, 0]).all()
    assert np.count_nonzero(grad_weight) == 93


def test_outputs_that_hardly_meet_the_image():
    """98,000 outputs of 10^11 products, of which all but some hundred outputs' are with padding."""
    rng = np.random.default_rng(4)
    x, weight = (
        rng.integers(1, 5, (1, 32_767, 31, 2)).astype(float),
        rng.integers(1, 5, (3, 32_767, 2, 3)).astype(float),
    )
    options = {"stride": (1, 5), "padding": ((32_769, 0), (15, 0)), "dilation": (7, 3)}
    grad = np.zeros((1, 3, 32_793, 3))
    start = time.process_time()
    y = cnnx.conv2d(x, weight, **options)
    grad_x, _, _ = cnnx.conv_transpose2d_backward(x, grad, weight, **options)  # its gradient is such a convolution
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(y, sums(x, weight, grad, 1, 5, 32_769, 15, 7, 3)[0])
    np.testing.assert_array_equal(grad_x, y)
    assert 0 < np.count_nonzero(y) < 500


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_winners_beyond_32_bits(dtype):
    # Two windows of 4 x (2^31 - 1) hold the image's only column, at either end; the last row wins both.
    x, grad = np.arange(1, 5, dtype=dtype).reshape(1, 1, 4, 1), np.array([[[[1, 2]]]], dtype)
    padding = ((0, 0), (2**30 - 1, 2**31 - 2))
    grad_x = cnnx.max_pool2d_backward(grad, x, (4, LARGEST), stride=2**30 - 1, padding=padding)
    assert grad_x.ravel().tolist() == [0, 0, 0, 3]
    x[0, 0, 1:] = np.nan
    grad_x = cnnx.max_pool2d_backward(grad, x, (4, LARGEST), stride=2**30 - 1, padding=padding)
    assert grad_x.ravel().tolist() == [0, 3, 0, 0]


def clipped(outputs, extent, span, step, before):
    return [slice(max(0, step * i - before), min(extent, step * i - before + span)) for i in range(outputs)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(10))
def test_pooling(seed, dtype):
    """P1-P3 of those that are valid among 100 geometries each."""
    rng, done = np.random.default_rng(seed), 0
    for _ in range(100):
        shape, spans, steps, pads, outputs = [], [], [], [], []
        for _ in range(2):
            extent = int(rng.choice(EXTENTS))
            span, step = (OPTIONS[i] for i in rng.integers(len(OPTIONS), size=2))
            step = max(1, span // 2) if rng.random() < 0.4 else step
            count = int(rng.integers(1, 4))
            before = min(span - 1, step * (count - 1)) if rng.random() < 0.7 else 0
            after = max(0, step * (count - 1) + span - extent - before)
            for found, n in zip((shape, spans, steps, pads), (extent, span, step, (before, after)), strict=True):
                found.append(n)
            outputs.append((extent + before + after - span) // step + 1)
        x = rng.integers(-9, 10, (2, 3, *shape)).astype(dtype)
        options = {"kernel_size": tuple(spans), "stride": tuple(steps), "padding": tuple(pads)}
        windows = [
            clipped(n, extent, span, step, pad[0])
            for n, extent, span, step, pad in zip(outputs, shape, spans, steps, pads, strict=True)
        ]
        empty = any(s.stop <= s.start for s in (*windows[0], *windows[1]))
        if max(*spans, *steps, *pads[0], *pads[1]) > LARGEST or empty:
            refused(options, lambda x=x, options=options: cnnx.max_pool2d(x, **options))
            continue
        done += 1
        delta = rng.integers(-9, 10, (2, 3, *outputs)).astype(dtype)
        first, mean = np.zeros_like(x), np.zeros(delta.shape)
        for (p, rows), (q, columns) in itertools.product(*map(enumerate, windows)):
            pixels = x[:, :, rows, columns]
            mean[:, :, p, q] = pixels.mean(axis=(2, 3))
            at = pixels.reshape(2, 3, -1).argmax(axis=-1)
            n, c = np.indices(at.shape)
            wide = pixels.shape[3]
            first[n, c, at // wide + rows.start, at % wide + columns.start] += delta[:, :, p, q]
        start = time.process_time()
        np.testing.assert_allclose(cnnx.avg_pool2d(x, **options), mean, rtol=1e-5, atol=1e-6)
        got = cnnx.max_pool2d_backward(delta, x, **options)
        assert time.process_time() - start < 2, options
        np.testing.assert_array_equal(got, first, str(options))
    assert done > 2


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count addresses otherwise, or not at all")
def test_random_geometries():
    """Calls of geometries.py, in processes of their own; GEOMETRIES says how many, GEOMETRIES_SEED from where."""
    seed, count = int(os.environ.get("GEOMETRIES_SEED", "1")), int(os.environ.get("GEOMETRIES", "300"))
    computed, wrong = geometries.tried(seed, count)
    assert computed > 0
    assert not wrong, "\n".join(wrong)


BROKEN = """
import os, time

PRODUCTS = 1


def sound():
    return None


def refused():
    raise ValueError("x: expected another")


def nameless():
    raise ValueError("no")


def wrong():
    return "another shape"


def slow():
    end = time.process_time() + 2.1
    while time.process_time() < end:
        pass


CALLS = sound, refused, nameless, wrong, slow, os.abort
KINDS = [lambda rng, call=call: (call.__name__, 0.0, call) for call in CALLS]
"""


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count addresses otherwise, or not at all")
def test_what_is_wrong_with_a_call_is_named(tmp_path):
    shutil.copy(geometries.__file__, tmp_path)
    (tmp_path / "geometry_calls.py").write_text(BROKEN)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import geometries; print(geometries.tried(7, int(sys.argv[2])))"
    )

    def said(count):
        return subprocess.check_output([sys.executable, "-c", code, str(tmp_path), str(count)], text=True)

    assert said(2) == "(1, [])\n"
    computed, wrong = ast.literal_eval(said(6))
    assert computed == 0  # the process did not say
    assert wrong[0] == "7 2 nameless: WRONG: ValueError('no')"
    assert wrong[1] == "7 3 wrong: WRONG: another shape"
    assert wrong[2].startswith("7 4 slow: WRONG: 2.")
    assert wrong[3].startswith("7 5 abort: ended its process, -6")

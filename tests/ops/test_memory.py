"""What kernels take beside their arguments: at most 16 MiB for each thread whatever the shape, and little of the stack.

Memory is measured as Linux counts it, each case in a process of its own. Data are such that the sums are known: images
and weights that are constant, or whose numbers are small integers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_conv_large import SHAPES, windows

import cnnx
from cnnx import native

SCRATCH = 16  # MiB for each thread
SLACK = 2  # MiB that the count may be off
needs_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system has no clear_refs")

# x, weight, options: shapes whose copies, tables or sums took up to gigabytes.
LARGE = {
    "wide rows": ((1, 64, 1, 200_000), (8, 64, 1, 9), {}),
    "a wide kernel": ((1, 1, 1, 200_000), (8, 1, 1, 257), {}),
    "tall": ((1, 8, 500_000, 1), (8, 8, 9, 1), {"padding": (4, 0)}),
    "a kernel as large as its image": ((1, 3, 1000, 1000), (4, 3, 1000, 1000), {}),
    "a large image": ((1, 64, 224, 224), (16, 64, 3, 3), {"padding": 1}),
    "a large image, strides": ((1, 64, 224, 224), (16, 64, 3, 3), {"padding": 1, "stride": (2, 3)}),
    "wide planes, one by one": ((1, 4, 3, 600_000), (4, 1, 3, 3), {"padding": 1, "groups": 4}),
    "many weights": ((1, 512, 7, 7), (1024, 512, 3, 3), {"padding": 1}),
    "far more padding than image": ((1, 1, 1, 1), (1, 1, 1000, 1000), {"padding": 999}),
    "many input channels": ((1, 2**21, 1, 1), (2, 2**21, 1, 1), {}),
    "many output channels": ((1, 2, 1, 1), (2**21, 2, 1, 1), {}),
    "Winograd, many kernels": ((1, 512, 12, 12), (512, 512, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "Winograd, many channels": ((1, 8000, 6, 6), (8, 8000, 3, 3), {"padding": 1, "algorithm": "winograd"}),
}

CHILD = """
import json, sys
import numpy as np
import cnnx

call, dtype, threads = json.loads(sys.argv[1])
cnnx.set_num_threads(threads)


def count(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def beside(function, *arrays, **options):
    function(*(np.ones((1,) * a.ndim, a.dtype) for a in arrays))  # its code is there then
    open("/proc/self/clear_refs", "w").write("5")
    before = count("VmRSS")
    made = function(*arrays, **options)
    results = [a for a in (made if isinstance(made, tuple) else (made,)) if isinstance(a, np.ndarray)]
    more = count("VmHWM") - before - sum(a.nbytes for a in results) / 2**20
    return results, more
"""

CONVOLUTION = (
    CHILD
    + """
shape, kernel, options = call
options = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
x, weight = np.full(shape, 0.5, dtype), np.full(kernel, 0.25, dtype)
(y,), forward = beside(cnnx.conv2d, x, weight, **options)
(grad_x, grad_weight, grad_bias), backward = beside(cnnx.conv2d_backward, np.full(y.shape, 0.5, dtype), x, weight,
                                                    **options)
print(json.dumps([forward, backward, *(float(a.sum(dtype="f8")) for a in (y, grad_x, grad_weight, grad_bias))]))
"""
)


def child(code, *call):
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(call)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def met(extent, taps, pad, step):
    """How many pairs of an output and a tap meet the image, along an axis: what the padding leaves of them."""
    outputs = (extent + 2 * pad - taps) // step + 1
    first = step * np.arange(outputs) - pad
    return int((np.minimum(extent, first + taps) - np.maximum(0, first)).clip(0).sum()), outputs


@pytest.mark.bare
@needs_linux
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LARGE)
def test_convolutions_beside_their_arrays(name, dtype, threads, set_threads):
    shape, kernel, options = LARGE[name]
    set_threads(threads)  # the child's number, if there are so many
    forward, backward, *sums = child(CONVOLUTION, (shape, kernel, options), dtype, threads)
    pads, steps = ((a, a) if isinstance(a, int) else a for a in (options.get("padding", 0), options.get("stride", 1)))
    (rows, P), (columns, Q) = (met(*axis) for axis in zip(shape[2:], kernel[2:], pads, steps, strict=True))
    products = shape[0] * kernel[0] * kernel[1] * rows * columns
    expected = [products / 8, products / 8, products / 4, shape[0] * kernel[0] * P * Q / 2]
    np.testing.assert_allclose(sums, expected, rtol=1e-4 if "algorithm" in options else 1e-6)
    assert max(forward, backward) <= SCRATCH * threads + SLACK, f"{forward:.0f}, {backward:.0f} MiB beside the arrays"


AFFINE = (
    CHILD
    + """
N, I, J = call
x, weight = np.full((N, J), 0.5, dtype), np.full((I, J), 0.25, dtype)
(y,), forward = beside(cnnx.affine, x, weight)
(grad_x, grad_weight, grad_bias), backward = beside(cnnx.affine_backward, np.full(y.shape, 0.5, dtype), x, weight)
print(json.dumps([forward, backward, *(float(a.sum(dtype="f8")) for a in (y, grad_x, grad_weight, grad_bias))]))
"""
)


@pytest.mark.bare
@needs_linux
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 20, 600_000), (1_000_000, 30, 20), (2000, 300, 5000)])
def test_affine_beside_its_arrays(shape, dtype, threads, set_threads):
    set_threads(threads)
    forward, backward, *sums = child(AFFINE, shape, dtype, threads)
    N, I, J = shape  # noqa: E741
    np.testing.assert_allclose(sums, [N * I * J / 8, N * I * J / 8, N * I * J / 4, N * I / 2], rtol=1e-6)
    assert max(forward, backward) <= SCRATCH * threads + SLACK, f"{forward:.0f}, {backward:.0f} MiB beside the arrays"


# ------------------------------------------------------------------------------------------ the same bits

CUTS = {
    **SHAPES,
    "strides, dilation, padding": ((2, 3, 9, 8), (4, 3, 5, 3), dict(stride=(2, 3), padding=(4, 5), dilation=(3, 2))),
    "a kernel nearly as large as its image": ((2, 3, 30, 31), (5, 3, 29, 28), dict(padding=1)),
    "a kernel far larger than its image": ((2, 3, 4, 3), (5, 3, 20, 28), dict(padding=(20, 26))),
    "such, strides, groups": ((2, 6, 4, 3), (4, 3, 20, 28), dict(padding=(20, 26), stride=(2, 3), groups=2)),
    "such, dilation": ((3, 2, 4, 5), (4, 2, 11, 12), dict(padding=(24, 33), stride=(2, 1), dilation=(2, 3))),
    "outputs mostly in padding": ((2, 3, 5, 4), (5, 3, 2, 3), dict(padding=((90, 0), (5, 70)), dilation=(7, 3))),
    "outputs mostly in padding, strides, groups": (
        (2, 6, 5, 4),
        (4, 3, 3, 2),
        dict(padding=((0, 99), (60, 4)), stride=(2, 3), groups=2),
    ),
    "wide": ((2, 4, 3, 1000), (3, 4, 3, 9), dict(padding=(1, 4), stride=(1, 2))),
    "tall": ((2, 4, 1000, 3), (3, 4, 9, 1), dict(padding=(4, 0), stride=(3, 1))),
}


@pytest.fixture
def limit():
    """Sets how many bytes of scratch memory make a convolution one that is cut."""
    kernels = native.kernels("conv2d")
    yield kernels._limit_scratch
    kernels._limit_scratch(SCRATCH << 20)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CUTS)
def test_cut_convolutions_have_the_same_bits(name, dtype, limit, each_threads):
    """Whatever they are cut into, and on any number of threads; integers where another path adds in another order."""
    shape, kernel, options = CUTS[name]
    rng = np.random.default_rng(3)
    whole = name not in SHAPES or "depthwise" in name or name == "one plane"

    def array(shape):
        return (rng.integers(-4, 5, shape) if whole else rng.standard_normal(shape)).astype(dtype)

    x, weight, bias = array(shape), array(kernel), array(kernel[:1])
    y = cnnx.conv2d(x, weight, bias, **options)
    grad = array(y.shape)
    expected = [y, *cnnx.conv2d_backward(grad, x, weight, **options)]
    if options.get("padding", 0) == 0:
        parts = zip(windows(x, weight, **options), np.split(weight, options.get("groups", 1)), strict=True)
        truth = np.concatenate([np.einsum("ncpqrs,kcrs->nkpq", z, f, optimize=True) for z, f in parts], axis=1)
        np.testing.assert_allclose(y, truth + bias[:, None, None], rtol=1e-3, atol=1e-3)
    for most in (2**20, 2**16, 2**13):
        for threads in each_threads(1, 2):
            limit(most)
            found = [cnnx.conv2d(x, weight, bias, **options), *cnnx.conv2d_backward(grad, x, weight, **options)]
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b, f"{most} bytes, {threads} threads")


# ------------------------------------------------------------------------------------------ small stacks

STACK = """
import sys, threading
sys.path.insert(0, sys.argv[1])
import cnnx
from cnnx import native
from cnnx.ops import OPS
from test_threads import large_call, sound, variants

cnnx.set_num_threads(int(sys.argv[2]))
calls = [
    (function, arguments)
    for op in OPS if op.kernels
    for dtype in ("float32", "float64")
    for case in op.cases if sound(case)
    for function in (op.forward, op.backward)
    for arguments in variants(function, case, large_call(op, function, case, 100, dtype))
]
done = []


def work():
    with native.always_parallel():
        for function, arguments in calls:
            function(**arguments)
            done.append(function)


threading.stack_size(int(sys.argv[3]) * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
assert len(done) == len(calls) > 500
"""


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other smallest stacks")
@pytest.mark.parametrize(("threads", "stack", "of_openmp"), [(1, 64, "4M"), (2, 1024, "16k")])
def test_small_stacks(threads, stack, of_openmp, set_threads):
    """All ops in a thread with the smallest stack that Python's documentation is sure of, or OpenMP's with less."""
    set_threads(threads)
    done = subprocess.run(
        [sys.executable, "-c", STACK, str(Path(__file__).parent), str(threads), str(stack)],
        env=os.environ | {"OMP_STACKSIZE": of_openmp},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])

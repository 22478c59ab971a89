"""Convolutions and poolings whose extents and options are boundary values up to 2^62, one call after another.

    python tests/ops/geometries.py SEED COUNT

prints a line for each call before it is made, and whatever is wrong with it: slower than 2 s of processor time, an
error that names nothing, gradients that are not the adjoint's. Arrays beyond memory are views of one number.
test_geometry.py runs it in processes with a limit on their address space.
"""

import sys
import time

import numpy as np

import cnnx

BOUNDARIES = [1, 2, 3, 5, 7, 31, *(2**n + d for n in (15, 16, 31, 32, 62) for d in (-1, 0, 1))]
FEW = BOUNDARIES[:6]
ELEMENTS = 2**20  # of an array that holds numbers of its own
OUTPUTS = 2**22, 2**31  # so many take their time; more are refused by a limit on memory
PRODUCTS = 2 * 10**8  # likewise, without those of padding


def number(rng, few=0.6):
    """A boundary value, mostly one of the small ones."""
    values = FEW if rng.random() < few else BOUNDARIES
    return values[rng.integers(len(values))]


def array(rng, shape, dtype):
    """Small integers; where they would be too many, one of them everywhere; None where no array has that shape."""
    try:
        if np.prod([float(n) for n in shape]) <= ELEMENTS:
            return rng.integers(-4, 5, shape).astype(dtype)
        return np.broadcast_to(np.array(2, dtype), shape)
    except ValueError:
        return None


def axis(rng, window=False):
    """Extent, taps, stride, padding on both sides, dilation: some drawn, some such that outputs are few."""
    extent, taps, step = number(rng, 0.7), number(rng, 0.4 if window else 0.75), number(rng)
    apart = 1 if window else number(rng)
    span = apart * (taps - 1) + 1
    before, after = (number(rng) if rng.random() < 0.4 else 0 for _ in range(2))
    if rng.random() < 0.7:  # a few outputs
        need = span + step * int(rng.integers(0, 3)) - extent
        before = min(max(0, need), span - 1 if window else max(0, need))
        after = max(0, need - before)
        if rng.random() < 0.3:
            before, after = after, before
    return extent, taps, step, (before, after), apart


def outputs(extent, taps, step, pads, apart):
    return (extent + sum(pads) - apart * (taps - 1) - 1) // step + 1


def met(extent, taps, step, pads, apart, count):
    """How many pairs of an output and a tap meet the image."""
    if min(taps, count) > ELEMENTS:
        return float("inf")
    if taps <= count:
        first = pads[0] - np.arange(taps, dtype=object) * apart
        return sum(max(0, min(count, -(-(n + extent) // step)) - max(0, -(-n // step))) for n in first)
    first = pads[0] - np.arange(count, dtype=object) * step
    return sum(max(0, min(taps, -(-(n + extent) // apart)) - max(0, -(-n // apart))) for n in first)


def products(planes, C, rows, columns, P, Q):
    """How many a call has; infinity if its outputs take too long, 0 if there are none or it is to be refused."""
    if min(P, Q, planes) < 1 or planes * P * Q > OUTPUTS[1]:
        return 0.0
    if planes * P * Q > OUTPUTS[0]:
        return float("inf")
    return float(planes * C) * met(*rows, P) * met(*columns, Q)


def convolution(rng):
    rows, columns = axis(rng), axis(rng)
    N, groups = int(rng.integers(0, 3)), int(rng.choice([1, 1, 2]))
    C, K = (number(rng, 0.9) for _ in range(2))
    dtype = ("float32", "float64")[rng.integers(2)]
    shape, kernel = (N, C * groups, rows[0], columns[0]), (K * groups, C, rows[1], columns[1])
    options = dict(
        stride=(rows[2], columns[2]), padding=(rows[3], columns[3]), dilation=(rows[4], columns[4]), groups=groups
    )
    P, Q = outputs(*rows), outputs(*columns)
    said = f"conv2d x {shape} weight {kernel} {dtype} {options}"
    work = products(N * groups * K, C, rows, columns, P, Q)

    def call():
        x, weight = array(rng, shape, dtype), array(rng, kernel, dtype)
        if x is None or weight is None:
            return None
        y = cnnx.conv2d(x, weight, **options)
        grad = array(rng, y.shape, dtype)
        found = cnnx.conv2d_backward(grad, x, weight, **options)
        if x.size <= ELEMENTS and weight.size <= ELEMENTS and y.size:  # <grad, L x> is <L* grad, x>, in integers
            product = np.vdot(grad.astype("f8"), y)
            for name, gradient, of in (("x", found[0], x), ("weight", found[1], weight)):
                if abs(np.vdot(gradient.astype("f8"), of) - product) > 1e-6 * np.vdot(abs(grad.astype("f8")), abs(y)):
                    return f"grad_{name} is not the adjoint's"
        return None

    return said, work, call


def pooling(rng):
    rows, columns = axis(rng, window=True), axis(rng, window=True)
    shape = (int(rng.integers(0, 3)), number(rng, 0.9), rows[0], columns[0])
    dtype = ("float32", "float64")[rng.integers(2)]
    kind = ("max", "avg", "lp")[rng.integers(3)]
    options = dict(kernel_size=(rows[1], columns[1]), stride=(rows[2], columns[2]), padding=(rows[3], columns[3]))
    given = (2,) if kind == "lp" else ()
    P, Q = outputs(*rows), outputs(*columns)
    work = products(shape[0] * shape[1], 1, rows, columns, P, Q)

    def call():
        x = array(rng, shape, dtype)
        if x is None:
            return None
        forward, backward = getattr(cnnx, f"{kind}_pool2d"), getattr(cnnx, f"{kind}_pool2d_backward")
        y = forward(x, *given, **options)
        grad = array(rng, y.shape, dtype)
        gradient = backward(grad, x, *given, **options)
        if kind != "lp" and x.size <= ELEMENTS and y.size:  # both are linear where the winners stay
            product, found = np.vdot(grad.astype("f8"), y), np.vdot(gradient.astype("f8"), x)
            if abs(found - product) > 1e-5 * (1 + np.vdot(abs(grad.astype("f8")), abs(y))):
                return "the gradient is not the adjoint's"
        return None

    return f"{kind}_pool2d x {shape} {dtype} {options}", work, call


def main(seed, count):
    cnnx.set_num_threads(1)
    done = wrong = 0
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        said, work, call = (convolution, convolution, pooling)[i % 3](rng)
        print(f"{seed} {i} {said}", flush=True)
        if work > PRODUCTS:
            continue
        start, found = time.process_time(), None
        try:
            found = call()
            done += found is None
        except (ValueError, MemoryError) as error:
            found = None if ": " in str(error) else repr(error)
        except Exception as error:
            found = repr(error)
        took = time.process_time() - start
        if took > 2:
            found = f"{took:.1f} s"
        if found is not None:
            wrong += 1
            print(f"WRONG: {found}", flush=True)
    print(f"done: {done} computed, {wrong} wrong")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))

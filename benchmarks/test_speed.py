"""How fast is every op? OPS x bench cases x directions x threads x back ends, in float32.

    pytest benchmarks

Each result's `extra_info` has what the equation asks for (multiply-adds, bytes), the rates, the share of the machine's
limit and the speed-up over the reference, all measured in the same run. `cnnx bench` measures the same in turns and in
several processes, for those who compare; this is for those who know pytest-benchmark.
No time is asserted, as a machine that is busy must not fail a test; that every call gives finite numbers of the right
shapes is, with --benchmark-disable too.
"""

import functools
import math
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx.bench import limits, reference
from cnnx.bench.figures import Call, call_of, chosen, parts, work
from cnnx.bench.peers._asked import in_full, window
from cnnx.bench.record import Figure
from cnnx.ops import OPS

pytestmark = pytest.mark.once

BACKENDS = ("reference", "optimized")
THREADS = tuple(dict.fromkeys((1, cnnx.get_num_threads())))
CASES = [
    pytest.param(figure, backend, id=f"{figure.op}-{figure.case}-{figure.direction}-{figure.threads}-{backend}")
    for figure in chosen(threads=THREADS)
    for backend in BACKENDS
    # The reference is Python on one thread, and where there are no kernels both are the same.
    if backend == "optimized" or (figure.threads == 1 and parts(figure)[0].kernels)
]


@functools.cache
def speed_of_reference(figure: Figure) -> tuple[float | None, bool]:
    """Seconds, and whether they come from one row of the output; the reference does not care about threads."""
    return reference.seconds(call_of(figure))


def about(figure: Figure, call: Call, seconds: float) -> dict[str, Any]:
    """What `extra_info` says of a time of the optimized back end; None where there is no such thing."""
    count, moved = work(call)
    bound, limit, amount = limits.binding((count, moved), figure.dtype)
    slow, extrapolated = speed_of_reference(Figure(figure.op, figure.case, figure.direction, 1, figure.dtype))
    return {
        "multiply_adds": count,
        "bytes": moved,
        "gflops": 2e-9 * count / seconds,
        "gbytes_per_second": 1e-9 * moved / seconds,
        "bound": bound,
        "share_of_limit": None if limit is None else limit.seconds() * amount / seconds,
        "speed_up": None if slow is None else slow / seconds,
        "extrapolated": extrapolated,
    }


def shapes(call: Call) -> list[tuple[int, ...]]:
    """What each result of the call has to be like."""
    op, _ = parts(call.figure)
    arrays = call.arrays
    if call.figure.direction == "backward":  # gradients are like their arrays, which not every call is given
        missing = {"x": lambda: arrays["grad_output"].shape, "bias": lambda: (len(arrays["weight"]),)}
        if op.name == "conv_transpose2d":
            missing["bias"] = lambda: arrays["grad_output"].shape[1:2]
        return [arrays[name].shape if name in arrays else missing[name]() for name in op.differentiable]
    if op.cost:
        return [()]
    if op.name == "matmul":
        return [np.matmul(arrays["a"], arrays["b"]).shape]
    if op.broadcasts:
        return [np.broadcast_shapes(*(a.shape for a in arrays.values()))]
    x = arrays["x"].shape
    if op.name == "flatten":
        return [(x[0], math.prod(x[1:]))]
    if op.name.startswith("global_"):
        return [(*x[:2], 1, 1)]
    if op.name == "conv_transpose2d":
        o = in_full(op.name, "forward", dict(call.options))
        w, sizes = window(dict(arrays), o), zip(x[2:], arrays["weight"].shape[2:], strict=True)
        spans = [u * (n - 1) + d * (size - 1) + 1 for (n, size), u, d in zip(sizes, w.stride, w.dilation, strict=True)]
        ends = np.broadcast_to(o["output_padding"], 2)
        outputs = (span - sum(p) + int(end) for span, p, end in zip(spans, (w.rows, w.columns), ends, strict=True))
        return [(x[0], arrays["weight"].shape[1] * o["groups"], *outputs)]
    if op.name == "upsample2d":
        return [(*x[:2], *np.broadcast_to(dict(call.options)["size"], 2).tolist())]
    if op.name in ("conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d"):
        w = window(dict(arrays), in_full(op.name, "forward", dict(call.options)))
        spans = [d * (size - 1) + 1 for d, size in zip(w.dilation, w.size, strict=True)]
        padded = [n + sum(p) for n, p in zip(x[2:], (w.rows, w.columns), strict=True)]
        channels = (len(arrays["weight"]),) if "weight" in arrays else x[1:2]
        outputs = ((n - span) // u + 1 for n, span, u in zip(padded, spans, w.stride, strict=True))
        return [(x[0], *channels, *outputs)]
    return [(x[0], len(arrays["weight"])) if op.name == "affine" else x]


def check(call: Call, result: Any) -> None:
    """Finite numbers of the right shapes."""
    results = result if isinstance(result, tuple) else (result,)
    for number, shape in zip(results, shapes(call), strict=True):
        assert np.isfinite(number).all()
        assert np.shape(number) == shape


def test_every_op_is_walked() -> None:
    walked = {(case.values[0].op, case.values[0].direction) for case in CASES}
    assert walked == {(op.name, direction) for op in OPS for direction in ("forward", "backward")}
    with_kernels = {op.name for op in OPS if op.kernels}
    assert {case.values[0].op for case in CASES if case.values[1] == "reference"} == with_kernels


def test_a_wrong_result_is_seen() -> None:
    call = call_of(Figure("affine", "64 x 196 to 20", "forward", 1))
    result = call()
    check(call, result)
    for wrong in (result * np.nan, result[1:], (result, result)):
        with pytest.raises((AssertionError, ValueError)):
            check(call, wrong)


@pytest.mark.parametrize(("figure", "backend"), CASES)
def test_speed(benchmark: Any, speed_ups: list[tuple[str, ...]], figure: Figure, backend: str) -> None:
    benchmark.group = f"{figure.op}, {figure.case}"
    benchmark.extra_info |= {**vars(figure), "backend": backend}
    cnnx.set_num_threads(figure.threads)
    call = call_of(figure)
    if backend == "reference":
        seconds = reference.estimate(call)
        if seconds is not None and seconds > reference.PATIENCE:
            pytest.skip(f"the reference takes about {seconds:.1f} s, as one row of its output says")
        result = benchmark.pedantic(call, kwargs={"backend": "reference"}, rounds=3)
    else:
        # By its name, as CNNX_BACKEND may say otherwise; what has no kernels has no back end either.
        result = benchmark(call, **({"backend": backend} if parts(figure)[0].kernels else {}))
    check(call, result)
    if benchmark.stats is None or backend == "reference":  # or --benchmark-disable
        return
    found = about(figure, call, benchmark.stats.stats.median)
    benchmark.extra_info |= found
    speed_ups.append(row(figure, benchmark.stats.stats.median, found))


def row(figure: Figure, seconds: float, found: dict[str, Any]) -> tuple[str, ...]:
    """A line of the table that follows pytest-benchmark's own."""
    share, speed_up = found["share_of_limit"], found["speed_up"]
    return (
        *(figure.op, figure.case, figure.direction, str(figure.threads)),
        f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us",
        f"{found['gflops']:.1f}" if found["multiply_adds"] else "-",
        f"{found['gbytes_per_second']:.1f}" if found["bytes"] else "-",
        "-" if share is None else f"{100 * share:.0f} % of {found['bound']}",
        "-" if speed_up is None else f"{'~' * found['extrapolated']}{speed_up:,.0f}x",
    )

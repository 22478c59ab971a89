"""How fast is every op? OPS x bench cases x directions x threads x back ends, in float32.

    pytest benchmarks

Each result's `extra_info` has what the equation asks for (multiply-adds, bytes), the rates, the share of the machine's
limit and the speed-up over the reference, all measured in the same run. `cnnx bench` measures the same in turns and in
several processes, for those who compare; this is for those who know pytest-benchmark.
No time is asserted: a machine that is busy must not fail a test.
"""

import functools
from typing import Any

import pytest

import cnnx
from cnnx.bench import limits, reference
from cnnx.bench.figures import Call, call_of, chosen, parts, work
from cnnx.bench.record import Figure

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
        benchmark.pedantic(call, kwargs={"backend": "reference"}, rounds=3)
    else:
        # By its name, as CNNX_BACKEND may say otherwise; what has no kernels has no back end either.
        benchmark(call, **({"backend": backend} if parts(figure)[0].kernels else {}))
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

"""The whole audit: ops x checks."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from .. import backend as _backend
from .. import native as _native
from ..ops import OPS, Op
from .agreement import Sides, bound, exact
from .calls import forward_arguments
from .data import draw
from .exact import adjoint, dual
from .gradient import gradient
from .invariance import layout, special, threads
from .result import Report, Result

Check = Callable[[Op, tuple[str, ...], Sides, np.random.Generator], Result]

CHECKS: dict[str, Check] = {
    check.__name__: check for check in (exact, bound, layout, special, threads, gradient, dual, adjoint)
}
T = TypeVar("T")

DTYPES = ("float32", "float64")


def audit(
    ops: Iterable[str] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    backend: str = "optimized",
    against: str = "reference",
    checks: Iterable[str] | None = None,
    seed: int = 0,
    measure: bool = True,
    progress: Callable[[str, str], None] | None = None,
) -> Report:
    """Judge a back end: hold it against another and against mathematics.

    Parameters
    ----------
    ops : names of ops, or None for all of `cnnx.ops.OPS`
    dtypes : of "float32", "float64"
    backend, against : str
        The back end under audit and the one it is compared with.
    checks : names of checks, or None for all
        exact: equal on integers. bound: within a derived error bound on real numbers. layout: any
        memory layout of the input gives the same bits. special: NaN and infinities come out at the
        same places. threads: any thread count gives the same bits. gradient: central differences.
        dual: the reference's backward equations against dual numbers. adjoint: <A x, d> = <x, A* d>.
    seed : int
        Every random number comes from it.
    measure : bool
        Also measure how many times as fast as `against` the back end is.
    progress : callable or None
        Called with the op's and the check's name before each check.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        An op, dtype, check or back end of that name does not exist, or a list of names is empty; `against`
        is `backend`.

    Examples
    --------
    >>> from cnnx.audit import audit
    >>> report = audit(["relu"], measure=False)
    >>> report.ok, report.ran > 100
    (True, True)
    """
    chosen = _select("op", ops, {op.name: op for op in OPS})
    chosen_checks = _select("check", checks, CHECKS)
    kinds = tuple(_select("dtype", dtypes, {name: name for name in DTYPES}).values())
    for name in (backend, against):
        with _backend.use_backend(name):
            pass  # an unknown name is an error now, not a discrepancy later
    if backend == against:
        raise ValueError(f"against: expected another back end than {backend!r}, got the same")
    report = Report(backend, against, seed)
    sides = Sides(backend, against)
    try:
        for op in chosen.values():
            for check_name, check in chosen_checks.items():
                if progress is not None:
                    progress(op.name, check_name)
                # Each check has its own stream of numbers, so that it sees the same ones when run alone.
                rng = np.random.default_rng([seed, *op.name.encode(), *check_name.encode()])
                with np.errstate(all="ignore"):
                    report.results.append(check(op, kinds, sides, rng))
            if measure and op.kernels:
                if progress is not None:
                    progress(op.name, "speed")
                _measure(report, op, sides)
    except KeyboardInterrupt:
        report.interrupted = True
    return report


def _select(what: str, names: Iterable[str] | None, known: dict[str, T]) -> dict[str, T]:
    if names is None:
        return known
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not chosen:
        raise ValueError(f"{what}: expected some of {', '.join(known)}, got none")
    for name in chosen:
        if name not in known:
            raise ValueError(f"{what}: expected one of {', '.join(known)}, got {name!r}")
    return {name: known[name] for name in chosen}


def _measure(report: Report, op: Op, sides: Sides) -> None:
    """How many times as fast the back end is on the op's first benchmark case, forward, float32, on one thread."""
    arrays = draw(op, op.bench[0], "float32", "real", np.random.default_rng(report.seed))
    arguments = forward_arguments(op, op.bench[0], arrays)

    def seconds(backend: str, budget: float) -> float:
        times: list[float] = []
        with _backend.use_backend(backend):
            while not times or (sum(times) < budget and len(times) < 50):
                start = time.perf_counter()
                op.forward(**arguments)
                times.append(time.perf_counter() - start)
        return float(np.median(times))

    threads = None
    try:
        threads = _native.get_num_threads()
        _native.set_num_threads(1)
        seconds(sides.backend, 0.0)  # loads what has to be loaded
        slow = seconds(sides.against, 0.05)
        report.speed_up[op.name] = slow / seconds(sides.backend, 0.05)
    except Exception:
        return  # what cannot be called was found by the checks already
    finally:
        if threads is not None:
            _native.set_num_threads(threads)

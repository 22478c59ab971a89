"""Normalisation by an example's own statistics: a function computes at once what cnnx does in two kernels."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Op
from .._signature import signature
from ..data import Array

OPS = ("layer_norm", "group_norm", "instance_norm")
BASE, STATISTICS = "group_norm", "group_norm_statistics"  # the kernels that all three share


def kernel_of(op: str) -> str:
    """The name of the kernel that does it at once."""
    return f"{op}_whole"


def equation(op: str) -> _backend.Kernel:
    """The kernel, as the reference would have it: its statistics are those of each element's set."""
    mean_of, var_of = _backend.equations(STATISTICS).values()
    (of_given,) = _backend.equations(BASE).values()
    ieee = _backend.reference_math()

    def whole_Y(Z: Any, g: Any, b: Any, n: int, s: int, d: int, p: int, *, eps: Any, m: Any = ieee) -> Any:
        mean, var = {(n, s): mean_of(Z, n, s)}, {(n, s): var_of(Z, n, s)}
        return of_given(Z, g, b, mean, var, n, s, d, p, eps=eps, m=m)

    def stub(Z: Any, g: Any, b: Any, /, Y: Any, *, eps: float) -> None: ...

    whole_Y.__doc__ = f"{(of_given.__doc__ or '').rstrip()}\n\n    mean and var of the element's own set."
    stub.__name__ = kernel_of(op)
    return _backend.computed(stub, {"Y": whole_Y})


def forward(base: Op, captured: Callable[[Op, Mapping[str, Any]], Any]) -> Callable[..., Any]:
    """The op's forward function, which calls that kernel instead of the two."""
    own = signature(base.forward)

    def run(*given: Any, **options: Any) -> Any:
        bound = own.bind(*given, **options).arguments
        result, (Z, g, b, _, _, Y), numbers = captured(base, bound)
        _backend.kernel(kernel_of(base.name), str(Y.dtype), bound.get("backend"))(Z, g, b, Y, **numbers)
        return result

    run.__signature__ = own  # type: ignore[attr-defined]
    run.__name__ = base.name
    return run


def plain(op: str, a: Array) -> Array:
    """An array of sets, or of their parameters, as functions get it: of layers as rows, else as (N, C, places)."""
    if a.ndim == 2:
        return a.reshape(-1)
    N, S, D, P = a.shape
    return a.reshape(N, D) if op == "layer_norm" else np.asarray(a.reshape(N, S * D, P))

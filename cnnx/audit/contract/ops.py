"""The public functions that an audit calls for a contract: an op's own, with the arrays of a tail, or without a way."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case, Op
from .._signature import signature
from ..data import Array, draw
from ..trace import forward_arguments
from . import call, whole

UNSAID = "no kernel of it was given"


def output_shape(base: Op, case: Case) -> tuple[int, ...] | None:
    """The shape of an op's result, of which nothing is computed; None where it does not take the case."""
    try:
        arrays = draw(base, case, "float32", "real", np.random.default_rng(0))
        return tuple(np.shape(_captured(base, forward_arguments(base, case, arrays))[0]))
    except (TypeError, ValueError):
        return None


def _captured(base: Op, arguments: Mapping[str, Any]) -> tuple[Any, tuple[Array, ...], dict[str, Any]]:
    """What an op's forward function returns, empty; and the arrays and numbers with which it calls its kernel."""
    calls: list[tuple[tuple[Array, ...], dict[str, Any]]] = []

    def note(name: str, kernel: _backend.Kernel) -> _backend.Kernel:
        return lambda *arrays, **numbers: calls.append((arrays, numbers))

    with _backend.use_backend("reference"), _backend.intercept(note):
        result = base.forward(**{n: v for n, v in arguments.items() if n != "backend"})
    arrays, numbers = calls[-1] if calls else ((), {})
    return result, arrays, numbers


def with_tail(base: Op, label: str, more: tuple[str, ...]) -> Callable[..., Any]:
    """The op's forward function with the arrays of a tail, which calls the fused kernel instead of its own."""
    own = [p for p in signature(base.forward).parameters.values() if not (p.name == "bias" and "bias" in more)]
    extra = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in more]
    made = inspect.Signature([*own, *extra])

    def forward(*given: Any, **options: Any) -> Any:
        bound = made.bind(*given, **options).arguments
        beside = [bound.pop(name) for name in more]
        result, (*inputs, output), numbers = _captured(base, bound)
        shaped = []
        for name, a in zip(more, beside, strict=True):
            expected = np.shape(result) if name == "residual" else output.shape[1:2]
            if a.shape != expected:
                raise ValueError(f"{name}: expected shape {expected}, got {a.shape}")
            own_shape = output.shape if name == "residual" else expected
            shaped.append(np.ascontiguousarray(a, output.dtype).reshape(own_shape))
        kernel = _backend.kernel(label, str(output.dtype), bound.get("backend"))
        kernel(*inputs, *shaped, output, **numbers)
        return result

    forward.__signature__ = made  # type: ignore[attr-defined]
    forward.__name__ = label
    return forward


def whole_forward(base: Op) -> Callable[..., Any]:
    """The forward function of a norm whose statistics are its function's own."""
    return whole.forward(base, _captured)


def no_backward(base: Op, label: str) -> Callable[..., Any]:
    """A backward function that there is no kernel for."""

    def backward(*given: Any, **options: Any) -> Any:
        what = f"gradients of {label}"
        raise _backend.MissingKernelError(f"{what}: {UNSAID}", what, UNSAID)

    backward.__signature__ = signature(base.backward)  # type: ignore[attr-defined]
    return backward


def in_public(base: Op) -> Callable[..., Any]:
    """An op's backward function, of which kernels can look up what it was called with."""
    own, forward = signature(base.backward), signature(base.forward).parameters

    def wrapped(*given: Any, **options: Any) -> Any:
        arguments = own.bind(*given, **options).arguments
        try:
            numbers = _captured(base, {n: v for n, v in arguments.items() if n in forward})[2]
        except TypeError:  # the backward function is not handed all that the forward one wants
            numbers = {}
        call.public.set(({n: a for n, a in arguments.items() if isinstance(a, np.ndarray)}, numbers))
        return base.backward(*given, **options)

    wrapped.__signature__ = own  # type: ignore[attr-defined]
    return wrapped


def without_cases(base: Op, label: str, kernels: tuple[str, ...], tail: tuple[str, ...] | None, *, back: bool) -> Op:
    """The op of a contract, but for its cases.

    tail : the arrays of what is fused, or None. back : whether it has gradients.
    """
    return replace(
        base, name=label, kernels=kernels, frozen_kernels=(), large=(), edge=False, multiply_adds=None,
        forward=base.forward if tail is None else with_tail(base, label, tail),
        backward=in_public(base) if back else no_backward(base, label),
        linear=base.linear if back else (),
    )  # fmt: skip

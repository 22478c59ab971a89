"""Calls of an op, watched: which kernels ran, on what; and the same run again on other numbers."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import backend as _backend
from .. import native as _native
from ..ops import Case, Op
from ._signature import signature
from .data import Array, Arrays


@dataclass(frozen=True)
class KernelCall:
    """One call of a kernel, split by the contract `kernel(inputs, /, outputs, *, numbers)`."""

    kernel: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    numbers: Mapping[str, float]
    missing: bool = (
        False  # the back end does not have it; the reference's ran instead, so that the others can be judged
    )


@dataclass
class Trace:
    """What a call of a public function returned, the kernels it called on the way, and what the back end lacked."""

    result: Any = None
    calls: list[KernelCall] = field(default_factory=list)
    lacking: list[_backend.MissingKernelError] = field(default_factory=list)

    @property
    def judged(self) -> bool:
        """Whether any of it is the back end's own work."""
        return not self.calls or not all(call.missing for call in self.calls)


class ContractError(Exception):
    """A kernel broke its contract: it returned something, wrote to its inputs, or ended the process."""


class BreachError(ContractError):
    """What a kernel did was seen from outside of its process: whatever it computes, it may not do that."""


def parameter_names(kernel: str) -> list[str]:
    """The names of a kernel's arrays, inputs first, and numbers in the reference's signature."""
    return list(signature(_backend.reference_kernel(kernel)).parameters)


def inputs_count(kernel: str) -> int:
    """How many of a kernel's arrays are inputs: those before the `/` of the reference's signature."""
    parameters = signature(_backend.reference_kernel(kernel)).parameters.values()
    return sum(p.kind is p.POSITIONAL_ONLY for p in parameters)


def named_inputs(call: KernelCall) -> Arrays:
    """A call's inputs by their names in the reference's signature."""
    return dict(zip(parameter_names(call.kernel), call.inputs, strict=False))


def traced(
    function: Callable[..., Any], arguments: Mapping[str, Any], backend: str, *, substitute: bool = True
) -> Trace:
    """Call a public function with a back end. Its kernels find NaN in their outputs and read-only inputs.

    substitute=False: where the back end lacks a kernel, its outputs stay NaN; the reference's does not run instead.
    """
    trace = Trace()

    def watch(name: str, kernel: Callable[..., Any]) -> Callable[..., None]:
        count = inputs_count(name)

        def watched(*arrays: Array, **numbers: float) -> None:
            inputs, outputs = arrays[:count], arrays[count:]
            for output in outputs:
                output.fill(np.nan if output.dtype.kind == "f" else np.iinfo(output.dtype).min)
            before = [a.tobytes() for a in inputs]
            views = [a.view() for a in inputs]
            for view in views:
                view.flags.writeable = False
            missing, flushing = False, _native.flushes()
            with _backend.intercept(None):  # a kernel may call others: that is its own business
                try:
                    returned = kernel(*views, *outputs, **numbers)
                except SystemExit as error:  # else the audit would end here, and well
                    raise ContractError(f"kernel {name} ended the process, with exit code {error.code}") from None
                except _backend.MissingKernelError as error:
                    trace.lacking.append(error)
                    missing = True
                    returned = _backend.reference_kernel(name)(*views, *outputs, **numbers) if substitute else None
            if _native.flushes() and not flushing:
                _native.stop_flushing()
                raise ContractError(f"kernel {name} switched flush-to-zero on and left it on")
            if returned is not None:
                raise ContractError(f"kernel {name}: expected None, got {type(returned).__name__}")
            if before != [a.tobytes() for a in inputs]:
                raise ContractError(f"kernel {name} wrote to its inputs")
            trace.calls.append(KernelCall(name, tuple(inputs), tuple(outputs), dict(numbers), missing))

        return watched

    with _backend.use_backend(backend), _backend.intercept(watch):
        trace.result = function(**arguments)
    return trace


def traced_own(op: Op, function: Callable[..., Any], arguments: Mapping[str, Any], backend: str) -> Trace:
    """`traced` for a result that counts only where some of it is the back end's own work.

    Where none of it is, the outputs stay NaN, and the reference, a thousand times slower, does not run.
    """
    if not set(op.kernels) <= set(_backend.kernel_names(backend)):
        with suppress(Exception):  # of kernels that were handed the NaN
            trace = traced(function, arguments, backend, substitute=False)
            if not (trace.judged and trace.lacking):
                return trace
    return traced(function, arguments, backend)


def known(op: Op, function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the arguments that one of an op's functions knows; each has to be known to one of them."""
    parameters = [signature(f).parameters for f in (op.forward, op.backward)]
    for name in arguments:
        if not any(name in p for p in parameters) and name not in ("grad_output", "winners"):
            raise ValueError(f"{op.name}: a case gives {name!r}, which neither of its functions knows")
    mine = signature(function).parameters
    return {name: value for name, value in arguments.items() if name in mine}


def forward_arguments(op: Op, case: Case, arrays: Arrays) -> dict[str, Any]:
    """What the op's forward function is called with."""
    return known(op, op.forward, {**arrays, **case.options})


def backward_arguments(op: Op, case: Case, arrays: Arrays, grad_output: Array, result: Any) -> dict[str, Any]:
    """What the op's backward function is called with, after a forward call gave `result`."""
    arguments: dict[str, Any] = {**arrays, **case.options, "grad_output": grad_output}
    if isinstance(result, tuple):
        arguments["winners"] = result[1]
    if arguments.get("output") is True:  # a case can only say that it is wanted
        arguments["output"] = result
    return known(op, op.backward, arguments)


def first(result: Any) -> Any:
    """The output proper of a forward call that may return more."""
    return result[0] if isinstance(result, tuple) else result


def gradients(op: Op, case: Case, result: Any) -> Arrays:
    """The gradients that a backward call returned, by the name of their argument."""
    values = result if isinstance(result, tuple) else (result,)
    return {name: g for name, g in zip(op.differentiable, values, strict=True) if name in case.arrays}


# -------------------------------------------------------------------------------------- run again


def address(a: Array) -> tuple[int, int]:
    """Where an array's numbers lie: the same for a reshaped view, so that calls can be linked."""
    return a.__array_interface__["data"][0], a.nbytes


def lifted(a: Array, make: Callable[[float], Any]) -> Array:
    """An array of inputs as an object array of `make(number)`; integers stay as they are."""
    numbers = a.astype(object)
    if a.dtype.kind == "f":
        for index in np.ndindex(a.shape):
            numbers[index] = make(float(a[index]))
    return numbers


def replay(
    calls: list[KernelCall], lift: Callable[[Array, KernelCall], Array], number: Callable[[float], Any], m: Any
) -> dict[tuple[int, int], Array]:
    """Run the equations of recorded calls on other numbers.

    lift : turns an array of a call's inputs into an object array of such numbers (integers stay as they are). It is
        also handed what an earlier call computed.
    number : turns a number argument into one.
    m : the functions of such numbers.

    Returns the outputs by address. An output that is a later call's input goes there as it is.
    """
    computed: dict[tuple[int, int], Array] = {}
    for call in calls:
        inputs = []
        for a in call.inputs:
            earlier = computed.get(address(a)) if a.size else None
            inputs.append(lift(a if earlier is None else earlier.reshape(a.shape), call))
        numbers = {k: number(v) if isinstance(v, float) else v for k, v in call.numbers.items()}
        elements = _backend.equations(call.kernel)
        for output, element in zip(call.outputs, elements.values(), strict=True):
            extra = {"m": m} if "m" in signature(element).parameters else {}
            values = np.empty(output.shape, dtype=object)
            for index in np.ndindex(output.shape):
                values[index] = element(*inputs, *index, **numbers, **extra)
            computed[address(output)] = values
    return computed

"""A function called by its contract, as a kernel of cnnx: arrays laid out and converted, results held to its words."""

import ctypes
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from ... import backend as _backend
from ..data import Array
from ..kinds import carrier, numbers
from ..trace import ContractError
from . import names
from .command import Command
from .kernel import IN_INTS, Constant, Kernel
from .names import Signature
from .tail import arrays_of

Shape = tuple[int, ...]
NOT_SUPPORTED = "its contract says so"
LINE = 64  # bytes of a cache line: where in it an array began, a copy begins

# What a public backward function was last called with: arrays and numbers that a gradient is not handed and its
# function wants. It outlasts the call, since checks repeat single kernels.
public: ContextVar[tuple[Mapping[str, Array], Mapping[str, Any]]] = ContextVar("cnnx_contract_public")


def as_kernel(kernel: Kernel, which: int) -> Callable[..., None]:
    """`kernel(inputs, /, outputs, *, numbers)` of cnnx, for one of the function's results."""
    sig = kernel.signatures[which]

    def called(*arrays: Array, **given: Any) -> None:
        beside = arrays_of(kernel.tail)
        known = dict(zip((*sig.inputs, *beside), arrays, strict=False))
        _Call(kernel, sig, known, arrays[-1], given).run()

    called.__name__ = called.__qualname__ = sig.kernel
    return called


def lacking(kernel: Kernel, what: str) -> _backend.MissingKernelError:
    """What the function does not do."""
    words = f"{kernel.op} with {what}"
    return _backend.MissingKernelError(f"{kernel.name} does not have {words}", words, NOT_SUPPORTED)


class _Call:
    """One call: of carriers in cnnx's order, whose result goes into one."""

    def __init__(
        self, kernel: Kernel, sig: Signature, arrays: Mapping[str, Array], output: Array, given: Mapping[str, Any]
    ):
        self.kernel, self.sig, self.output = kernel, sig, output
        more, numbers_ = public.get() if kernel.gradients else ({}, {})
        self.arrays, self.numbers = {**more, **arrays}, {**numbers_, **given}
        if kernel.op in names.ROWWISE:
            self.arrays = {name: _rows(kernel, a) for name, a in self.arrays.items()}
            self.output = _rows(kernel, output)
        self.dtype = (
            next(d for d in kernel.dtypes if carrier(d) == output.dtype.name)
            if len(kernel.dtypes) > 1
            else kernel.dtypes[0]
        )
        shapes = {name: a.shape for name, a in self.arrays.items()} | {sig.output: self.output.shape}
        self.extents = names.extents(kernel.op, shapes)
        ceil = "pool" in kernel.op and kernel.fixed.get(names.CEIL_MODE) != (False,)
        self.several = names.windows(kernel.op, self.numbers, self.extents, ceil=ceil)

    def run(self) -> None:
        """Call it, and put what it gave into the output."""
        kernel, mine = self.kernel, self.sig.output
        shapes = {s.output: self._shape_of(s) for s in kernel.signatures}
        if not self.output.size or not all(self.arrays[name].size for name in self.sig.inputs):
            self.output[...] = 0  # nothing to compute, as cnnx has it: functions are not asked
            return
        self.results = {name: self._empty(name, shape) for name, shape in shapes.items() if shape is not None}
        values = {at: self._value(value) for at, value in kernel.arguments.items()}
        inputs = [value for value in values.values() if isinstance(value, _Laid) and value.is_input]
        before = [value.array.tobytes() for value in inputs]
        if isinstance(kernel.function, Command):
            given = {str(at): v.array if isinstance(v, _Laid) else v for at, v in values.items() if at not in shapes}
            kernel.function(outputs=self.results, **given)
            returned = None
        else:
            returned = self._called(values)
        for value, bytes_before in zip(inputs, before, strict=True):
            if value.array.tobytes() != bytes_before:
                raise ContractError(f"{kernel.name} wrote to its input {value.name!r}")
        found = self._returned(returned, mine) if kernel.returns else self.results[mine]
        layout = kernel.layouts.get(mine)
        self.output[...] = found if layout is None else layout.take(found, self.output.shape)

    def _shape_of(self, sig: Signature) -> Shape | None:
        """The shape of one of the results; None of one of which nothing says it."""
        one = sig.output
        found = self.output if one == self.sig.output else self.arrays.get(one.removeprefix("grad_"))
        if found is not None:
            shape: Shape = found.shape
            return shape
        if sig.output == "grad_bias" and "K" in self.extents:
            return (self.extents["K"],)
        return None

    def _empty(self, name: str, shape: tuple[int, ...]) -> Array:
        """A result's array before the call: NaN, in its layout and dtype, where in a cache line the output begins."""
        layout = self.kernel.layouts.get(name)
        if layout is not None:
            self._check_rank(name, len(shape))
            shape = layout.shape(shape)
        made = self._placed(name, shape, self.output)
        made[...] = np.nan
        return made

    def _placed(self, name: str, shape: Shape, like: Array) -> Array:
        """Memory for an array in the contract's dtype, that begins where in a cache line another does."""
        dtype = numbers(self.kernel.kind(name, self.dtype))
        made: Array = placed(math.prod(shape) * dtype.itemsize, like).view(dtype).reshape(shape)
        return made

    def _check_rank(self, name: str, rank: int) -> None:
        layout = self.kernel.layouts[name]
        if rank != len(layout.axes):
            raise lacking(self.kernel, f"{name} of {rank} axes, which {layout.word} has not")

    def _value(self, value: Any) -> Any:
        """What an argument stands for."""
        if isinstance(value, Constant):
            return value.value
        if not isinstance(value, str):
            return value
        if value.startswith(IN_INTS):
            pair = self._number(value[len(IN_INTS) : -1])
            if not isinstance(pair, tuple):
                return pair
            if len(set(pair)) > 1:
                raise lacking(self.kernel, f"{value[len(IN_INTS) : -1]} that differs between rows and columns")
            return pair[0]
        if value in self.results:
            return _Laid(value, self.results[value], is_input=False)
        if value in self.arrays:
            return _Laid(value, self._laid(value, self.arrays[value]), is_input=True)
        return self._number(value)

    def _laid(self, name: str, a: Array) -> Array:
        """A writable copy in the layout and dtype of the contract, that begins where in a cache line the array does."""
        layout = self.kernel.layouts.get(name)
        laid = a
        if layout is not None:
            self._check_rank(name, a.ndim)
            laid = layout.put(a)
        copy = self._placed(name, laid.shape, a)
        with np.errstate(over="ignore", under="ignore"):
            copy[...] = laid
        return copy

    def _number(self, name: str) -> Any:
        own = names.SINGLE.get(name, name)
        if own in self.numbers:
            return self.numbers[own]
        if name in self.several:
            return self.several[name]
        if name in self.extents:
            return self.extents[name]
        if name == "padding":
            raise lacking(self.kernel, "padding that differs by side")
        raise lacking(self.kernel, f"{name} that is not known in a call of {self.sig.kernel} alone")

    def _called(self, values: Mapping[str | int, Any]) -> Any:
        kernel = self.kernel
        function: Any = kernel.function
        in_order = [value for at, value in values.items() if isinstance(at, int)]
        by_name = {at: value for at, value in values.items() if isinstance(at, str)}
        if isinstance(function, ctypes._CFuncPtr):  # type: ignore[attr-defined]
            return function(*_for_c(function, in_order, kernel))
        make = kernel.convert or (lambda a: a)
        ready = [make(v.array) if isinstance(v, _Laid) else v for v in in_order]
        return function(*ready, **{at: make(v.array) if isinstance(v, _Laid) else v for at, v in by_name.items()})

    def _returned(self, returned: Any, mine: str) -> Array:
        kernel = self.kernel
        if returned is None:
            raise ContractError(f"{kernel.name}: expected it to return {mine}, got None; returns=False if it writes it")
        if len(kernel.signatures) > 1:
            if not isinstance(returned, (tuple, list)) or len(returned) != len(kernel.signatures):
                got = f"{len(returned)} of them" if isinstance(returned, (tuple, list)) else type(returned).__name__
                raise ContractError(f"{kernel.name}: expected a tuple of {len(kernel.signatures)} gradients, got {got}")
            returned = returned[[s.output for s in kernel.signatures].index(mine)]
        try:
            found = np.asarray(returned)
        except Exception as error:
            raise ContractError(
                f"{kernel.name}: expected {mine} as an array, got {type(returned).__name__} ({error})"
            ) from None
        expected = self.results[mine]
        if found.shape != expected.shape:
            laid = f" ({kernel.layouts[mine].word})" if mine in kernel.layouts else ""
            raise ContractError(f"{kernel.name}: expected {mine} of shape {expected.shape}{laid}, got {found.shape}")
        if found.dtype != expected.dtype:
            raise ContractError(f"{kernel.name}: expected {mine} of {expected.dtype}, got {found.dtype}")
        return found


class _Laid:
    """An array as the function gets it."""

    def __init__(self, name: str, array: Array, *, is_input: bool):
        self.name, self.array, self.is_input = name, array, is_input


def placed(nbytes: int, like: Array) -> Array:
    """Bytes that begin where in a cache line an array does."""
    memory = np.empty(nbytes + 2 * LINE, np.uint8)
    start = (like.ctypes.data - memory.ctypes.data) % LINE
    return memory[start : start + nbytes]


def _rows(kernel: Kernel, a: Array) -> Array:
    """An array of (before the axis, axis, behind it) as rows."""
    if a.ndim != 3 or a.shape[2] != 1:
        raise lacking(kernel, "another axis than the last one")
    return a.reshape(a.shape[:2])


def _for_c(function: Any, values: list[Any], kernel: Kernel) -> list[Any]:
    """Arguments as ctypes takes them: pointers of arrays, by the function's argtypes."""
    types = function.argtypes
    if types is None:
        raise ContractError(f"{kernel.name}: expected argtypes of a function of ctypes, which it does not have")
    if len(types) != len(values):
        raise ContractError(f"{kernel.name}: expected {len(types)} arguments by its argtypes, got {len(values)}")
    made = []
    for kind, value in zip(types, values, strict=True):
        if not isinstance(value, _Laid):
            made.append(value)
        elif isinstance(kind, type) and issubclass(kind, (ctypes._Pointer, ctypes.c_void_p)):
            made.append(value.array.ctypes.data_as(kind))
        else:
            made.append(value.array)  # of numpy.ctypeslib
    return made

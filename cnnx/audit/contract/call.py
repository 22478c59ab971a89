"""A function called by its contract, as a kernel of cnnx: arrays laid out and converted, results held to its words."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Op
from ..data import Array
from ..kinds import carrier, numbers
from ..trace import ContractError, KernelCall, inputs_count
from . import names, whole
from .callee import BrokenError, Laid, Values
from .checked import IN_INTS
from .kernel import Constant, Kernel
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

    def run(*arrays: Array, **given: Any) -> None:
        called(kernel, which, arrays, given).run()

    run.__name__ = run.__qualname__ = kernel.signatures[which].kernel
    return run


def called(kernel: Kernel, which: int, arrays: Sequence[Array], given: Mapping[str, Any]) -> "Call":
    """A call of the function for one of its results, on the arrays and numbers of cnnx's kernel."""
    sig, beside = kernel.signatures[which], arrays_of(kernel.tail)
    return Call(kernel, sig, dict(zip((*sig.inputs, *beside), arrays, strict=False)), arrays[-1], given)


def empty_call(op: Op, arguments: Mapping[str, Any], backend: str) -> KernelCall:
    """The kernel that an op calls forward, and with what; it does not run."""
    found: list[KernelCall] = []

    def note(name: str, kernel: _backend.Kernel) -> _backend.Kernel:
        def noted(*arrays: Array, **numbers: Any) -> None:
            count = inputs_count(name)
            found.append(KernelCall(name, tuple(a.copy() for a in arrays[:count]), arrays[count:], numbers))

        return noted

    with _backend.use_backend(backend), _backend.intercept(note):
        op.forward(**arguments)
    return found[0]


def lacking(kernel: Kernel, what: str) -> _backend.MissingKernelError:
    """What the function does not do."""
    words = f"{kernel.op} with {what}"
    return _backend.MissingKernelError(f"{kernel.name} does not have {words}", words, NOT_SUPPORTED)


@dataclass(frozen=True)
class Prepared:
    """What a function is called with: `values`, and the arrays of its results, of which one is wanted.

    real : of the wanted one's elements, those that are no filling of a layout; None: all.
    """

    values: Values
    results: Mapping[str, Array]
    mine: str
    real: Array | None = None

    @property
    def inputs(self) -> list[Laid]:
        """The arrays that are handed to it to be read."""
        return [value for value in self.values.values() if isinstance(value, Laid) and value.is_input]


class Call:
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
        groups = {names.NUM_GROUPS: output.shape[1]} if kernel.op == "group_norm" else {}
        if kernel.op in whole.OPS:
            self.arrays = {name: whole.plain(kernel.op, a) for name, a in self.arrays.items()}
            self.output = whole.plain(kernel.op, output)
        self.dtype = (
            next(d for d in kernel.dtypes if carrier(d) == self.arrays[sig.inputs[0]].dtype.name)
            if len(kernel.dtypes) > 1
            else kernel.dtypes[0]
        )
        shapes = {name: a.shape for name, a in self.arrays.items()} | {sig.output: self.output.shape}
        self.extents = names.extents(kernel.op, shapes)
        ceil = "pool" in kernel.op and kernel.fixed.get(names.CEIL_MODE) != (False,)
        self.several = {**names.windows(kernel.op, self.numbers, self.extents, ceil=ceil), **groups}

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute, of which functions are not asked."""
        return not self.output.size or not all(self.arrays[name].size for name in self.sig.inputs)

    def run(self) -> None:
        """Call it, and put what it gave into the output."""
        if self.empty:
            self.output[...] = 0  # as cnnx has it
            return
        self.take(self._apart() if self.kernel.remote is not None else self._here())

    def prepared(self, arrays: Mapping[str, Array] | None = None) -> Prepared:
        """What the function is called with: copies, in its layouts and dtypes. arrays : others of the same shapes."""
        arrays, mine = self.arrays if arrays is None else arrays, self.sig.output
        shapes = {s.output: self._shape_of(s) for s in self.kernel.signatures}
        results = {name: self._empty(name, shape) for name, shape in shapes.items() if shape is not None}
        values = {at: self._value(value, arrays, results) for at, value in self.kernel.arguments.items()}
        layout = self.kernel.layouts.get(mine)
        real = None
        if layout is not None and self.kernel.remote is not None:
            real = layout.put(np.ones(self.output.shape, bool))
        return Prepared(values, results, mine, real)

    def take(self, found: Array) -> None:
        """Put a result, as the function gives it, into the output."""
        layout = self.kernel.layouts.get(self.sig.output)
        self.output[...] = found if layout is None else layout.take(found, self.output.shape)

    def _here(self) -> Array:
        given = self.prepared()
        inputs = given.inputs
        before = [value.array.tobytes() for value in inputs]
        try:
            found = self.kernel.callee.call(given.values, given.results, given.mine)
        except BrokenError as error:
            raise ContractError(str(error)) from None
        for value, bytes_before in zip(inputs, before, strict=True):
            if value.array.tobytes() != bytes_before:
                raise ContractError(f"{self.kernel.name} wrote to its input {value.name!r}")
        return found

    def _apart(self) -> Array:
        def others() -> Prepared:
            return self.prepared({name: other(a) for name, a in self.arrays.items()})

        found: Array = self.kernel.remote.run(self.kernel, self.prepared(), others)
        return found

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

    def _value(self, value: Any, arrays: Mapping[str, Array], results: Mapping[str, Array]) -> Any:
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
        if value in results:
            return Laid(value, results[value], is_input=False)
        if value in arrays:
            return Laid(value, self._laid(value, arrays[value]), is_input=True)
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


def other(a: Array) -> Array:
    """Numbers that a kernel can be called with as well: the same ones the other way round, half as large. Integers,
    which may be indices, stay."""
    if a.dtype.kind != "f":
        return a
    flip: Any = (*(slice(None, None, -1) for _ in a.shape), ...)
    return np.asarray(a[flip] * a.dtype.type(0.5))

"""The contract of one function that somebody else wrote: what it computes, of what, in which order and arithmetic."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..._text import expected_one_of
from .._signature import signature
from ..kinds import HALVES, numbers
from ..truth.precision import Precision
from . import names
from .callee import Callee
from .command import Command
from .layout import Layout
from .names import Signature
from .tail import Step, arrays_of

DTYPES = ("float16", "bfloat16", "float32", "float64")
IN_INTS = "int("
MOST_VALUES = 4  # that are named


@dataclass(frozen=True)
class Constant:
    """An argument that is always the same string: a plain string in `arguments` is a name."""

    value: Any


@dataclass(frozen=True, repr=False, eq=False)
class Kernel:
    """A function and its contract, as `kernel` made it: what `audit(backend=...)` takes.

    origin : FILE.py:NAME that it comes from, or "". remote : what calls it in a process of its own, where it is
    isolated (`cnnx.audit.isolation.contracts`).
    """

    op: str
    function: Callable[..., Any]
    name: str
    dtypes: tuple[str, ...]
    accumulators: Mapping[str, str]
    kinds: Mapping[str, str]
    layouts: Mapping[str, Layout]
    returns: bool
    arguments: Mapping[str | int, Any]
    tail: tuple[Step, ...]
    gradients: tuple[str, ...]
    fixed: Mapping[str, tuple[Any, ...]]
    convert: Callable[[Any], Any] | None
    origin: str = ""
    remote: Any = None

    @property
    def callee(self) -> Callee:
        """The function as it is called in this process."""
        words = {s.output: self.layouts[s.output].word for s in self.signatures if s.output in self.layouts}
        outputs = tuple(s.output for s in self.signatures)
        return Callee(self.name, self.function, outputs, self.returns, self.convert, words)

    @property
    def label(self) -> str:
        """The op's name in reports: with what is fused."""
        return "+".join([self.op, *(step.name for step in self.tail)])

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """The kernels of cnnx that the function stands for: the op's own, or those of its gradients."""
        op = names.op_of(self.op)
        if not self.gradients:
            return (names.of_kernel(op.kernels[0]),)
        known = names.gradients_of(op)
        return tuple(names.of_kernel(known[gradient]) for gradient in self.gradients)

    def kind(self, array: str, dtype: str) -> str:
        """The dtype of an array, where the inputs are judged in `dtype`."""
        return self.kinds.get(array, dtype)

    def precision(self, dtype: str, *, flushed: bool) -> Precision:
        """The arithmetic that follows from the contract."""
        outputs = {self.kind(s.output, dtype) for s in self.signatures}
        return Precision(dtype, self.accumulators[dtype], outputs.pop(), flushed)

    def __repr__(self) -> str:
        return f"<Kernel {self.words()}>"

    def words(self) -> str:
        """The contract in a line."""
        what = f"{self.op}, gradients of {', '.join(self.gradients)}" if self.gradients else self.op
        steps = f", then {', '.join(map(str, self.tail))}" if self.tail else ""
        laid = "".join(f", {name} {layout.word}" for name, layout in self.layouts.items())
        given = "".join(f", {name} {kind}" for name, kind in self.kinds.items())
        sums = ", ".join(
            dtype if dtype == self.accumulators[dtype] else f"{dtype} summed in {self.accumulators[dtype]}"
            for dtype in self.dtypes
        )
        how = "returned" if self.returns else "written"
        only = "".join(
            f"; {n} {' or '.join(map(str, v))}" for n, v in self.fixed.items() if not _is_default(self.op, n, v)
        )
        return f"{self.name}: {what}{steps}; {sums}{laid}{given}, {how}{only}"


def kernel(
    op: str,
    function: Callable[..., Any] | Command,
    *,
    name: str | None = None,
    layouts: Mapping[str, str] | None = None,
    returns: bool | None = None,
    arguments: Sequence[Any] | Mapping[str, Any] | None = None,
    dtype: str | Sequence[str] | Mapping[str, str] = "float32",
    accumulator: str | None = None,
    tail: Sequence[Any] = (),
    only: Mapping[str, Any] | None = None,
    gradients: str | Sequence[str] = (),
    convert: Callable[[Any], Any] | None = None,
) -> Kernel:
    """Describe a function that computes an op of cnnx in its own way, so that `audit(backend=...)` can judge it.

    Parameters
    ----------
    op : str
        The op, by its name in cnnx: "conv2d", "max_pool2d", "relu", "softmax", "affine", "matmul", ...
    function : callable
        Python's, numba's, one of a library that ctypes loaded (with `argtypes` and `restype`), or a `Command`.
    name : str or None
        What reports call it; None: the function's own name.
    layouts : mapping or None
        How arrays lie in memory, by their names: {"x": "NHWC", "weight": "HWIO", "y": "NHWC"}, in blocks "nChw16c"
        (filled up with zeros). Those that are not named are as in cnnx: NCHW and OIHW (of affine NC and OI). Arrays
        are always C-contiguous, and writable copies: what was changed of an input afterwards is a finding.
    returns : bool or None
        Whether the function returns its result, a tuple of several gradients, or writes into an argument, which is full
        of NaN before. None: it writes if the result is among its arguments.
    arguments : sequence or mapping or None
        What the function is called with, in order, or by its own names for it: {"inp": "x", "w": "weight"}. Strings are
        names: of arrays ("x", "weight", "bias", "y"; of a tail "residual", "scale", "shift", "mean", "variance"; of a
        gradient "grad_output", "grad_x", ...; of add, multiply and matmul "a" and "b"); of numbers, cnnx's own (u, v,
        p_h, p_w, d_h, d_w, groups, R, S, ...) or public ones, which are pairs (stride, padding, dilation, kernel_size,
        output_padding), "pads" (top, left, bottom, right), or "int(stride)" for one number where both are alike; of
        extents (N, C, H, W, K, R, S, P, Q; of affine N, J, I). All others are constants, and so is `Constant("same")`.
        None: the arrays in cnnx's order, then the tail's, then the result if it is written.
    dtype : str, sequence or mapping
        Of the data: "float16", "bfloat16" (ml_dtypes; extra `audit`), "float32" or "float64"; several of the last two
        for a function that takes both. A mapping says it array by array, x among them: {"x": "bfloat16", "y":
        "float32"}; those that it does not name are as x.
    accumulator : str or None
        In which the function computes, before it rounds to the result's dtype at last. The error budget follows from
        both. None is the data's own; for float16 and bfloat16 it has to be said.
    tail : sequence
        What is done with each sum before it is handed out, in order: "bias", "scale", "shift" (by channel),
        "batch_norm" or ("batch_norm", eps) with scale, shift, mean and variance, "add" (of `residual`), "relu",
        "relu6", ("clip", low, high), ("leaky_relu", slope), "sigmoid", "tanh", "gelu", "silu", "hard_swish", ...; and
        "round", where the sum is rounded to the result's dtype on the way.
    only : mapping or None
        What the function is limited to, by option or extent: {"kernel_size": 3, "stride": 1, "C": range(16, 512, 16)};
        a value, or a list, set or range of them. An option that it is not handed is fixed: at what `only` says, else
        at cnnx's default. Cases are made to fit, and what the function does not do is listed as not covered.
    gradients : str or sequence
        What the function gives instead of the op's result: the gradients of "x", "weight", "bias", ... in that order.
    convert : callable or None
        What makes of each array what the function takes: `torch.from_numpy`, or a pointer of cffi. Results come back by
        NumPy's asarray.

    Returns
    -------
    Kernel

    Raises
    ------
    TypeError, ValueError
        An argument does not fit; the message says what was expected. ImportError: bfloat16 without ml_dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx.audit import audit, kernel
    >>> def dense(x, w):  # rows of half precision, summed in single
    ...     return (x.astype("float32") @ w.astype("float32")).astype("float16")
    >>> contract = kernel("affine", dense, layouts={"weight": "IO"}, arguments=["x", "weight"],
    ...                   dtype="float16", accumulator="float32")
    >>> audit(backend=contract, checks=["bound"])
    <Report of dense against reference: 30 cases of 1 op, all agree>
    """
    if op not in names.CONTRACTED:
        raise ValueError(f"op: {expected_one_of(names.CONTRACTED, op)}")
    if not callable(function):
        raise TypeError(f"function: expected something to call, got {type(function).__name__}")
    steps = tuple(Step.parse(step) for step in tail)
    beside = arrays_of(steps)
    wanted = (gradients,) if isinstance(gradients, str) else tuple(gradients)
    base = names.op_of(op)
    known_gradients = names.gradients_of(base)
    for gradient in wanted:
        if gradient not in known_gradients:
            raise ValueError(f"gradients: {expected_one_of(known_gradients, gradient)}")
    if wanted and steps:
        raise ValueError("gradients: expected none of a kernel with a tail")
    forward = names.of_kernel(base.kernels[0])
    signatures = [names.of_kernel(known_gradients[g]) for g in wanted] or [forward]
    outputs = tuple(s.output for s in signatures)
    if isinstance(function, Command):
        if arguments is not None or returns:
            raise ValueError(
                "arguments: expected none of a Command, whose words name them, and which writes its result"
            )
        arguments = function.names
    inputs = tuple(dict.fromkeys(("grad_output", *forward.inputs) if wanted else (*forward.inputs, *beside)))
    dtypes, kinds, accumulators = _dtypes(dtype, accumulator, (*inputs, *outputs), outputs)
    given = _arguments(arguments, signatures, inputs, outputs, op, returns)
    spoken = {_name(value) for value in given.values() if isinstance(value, str)}
    writes = set(outputs) & spoken
    if returns is None:
        returns = not writes
    if returns == bool(writes) or (writes and writes != set(outputs)):
        expected = "no result among them" if returns else f"{' and '.join(outputs)} among them"
        raise ValueError(f"arguments: expected {expected}, since the function {'returns' if returns else 'writes'} it")
    own = getattr(function, "__name__", type(function).__name__)
    return Kernel(
        op, function, own if name is None else name, dtypes, accumulators, kinds,
        _layouts(layouts, op, (*inputs, *outputs)), returns, given, steps, wanted,
        _fixed(op, only, spoken), convert,
    )  # fmt: skip


def _name(value: str) -> str:
    return value[len(IN_INTS) : -1] if value.startswith(IN_INTS) and value.endswith(")") else value


def _dtypes(
    dtype: Any, accumulator: str | None, arrays: Collection[str], outputs: Collection[str]
) -> tuple[tuple[str, ...], dict[str, str], dict[str, str]]:
    """The dtypes that inputs may have, those of arrays that have one of their own, and the accumulators."""
    kinds: dict[str, str] = {}
    if isinstance(dtype, Mapping):
        for array in dtype:
            if array not in arrays:
                raise ValueError(f"dtype: {expected_one_of(arrays, array)}")
        first = next(iter(arrays))
        if first not in dtype:
            raise ValueError(f"dtype: expected that of {first!r} among them, got {', '.join(dtype)}")
        kinds, dtype = dict(dtype), dtype[first]
    dtypes = (dtype,) if isinstance(dtype, str) else tuple(dtype)
    said = [accumulator] if accumulator is not None else []
    for where, kind in [*(("dtype", d) for d in (*dtypes, *kinds.values())), *(("accumulator", a) for a in said)]:
        if kind not in DTYPES:
            raise ValueError(f"{where}: {expected_one_of(DTYPES, kind)}")
        numbers(kind)
    if not dtypes or (len(dtypes) > 1 and (set(dtypes) & set(HALVES) or kinds)):
        raise ValueError(f"dtype: expected one, or float32 and float64, got {dtype!r}")
    results = {kinds.get(output, dtypes[0]) for output in outputs}
    if len(results) > 1:
        raise ValueError(f"dtype: expected one for all results, got {', '.join(sorted(results))}")
    if accumulator is None and (set(dtypes) | results) & set(HALVES):
        raise ValueError(
            f"accumulator: expected the dtype in which a {dtypes[0]} kernel sums, such as 'float32': its error budget "
            "follows from it"
        )
    return dtypes, {k: v for k, v in kinds.items() if v != dtypes[0]}, {d: accumulator or d for d in dtypes}


def _layouts(layouts: Mapping[str, str] | None, op: str, arrays: Sequence[str]) -> dict[str, Layout]:
    found = {}
    for array, word in (layouts or {}).items():
        axes = names.axes_of(op, array) if array in arrays else None
        if axes is None:
            known = [a for a in arrays if names.axes_of(op, a)]
            if not known:
                raise ValueError(f"layouts: expected none of {op}, got one of {array!r}")
            raise ValueError(f"layouts: {expected_one_of(known, array)}")
        found[array] = Layout.parse(word, axes, f"layouts[{array!r}]")
    return found


def _arguments(
    arguments: Any, signatures: Sequence[Signature], inputs: Sequence[str], outputs: Sequence[str], op: str,
    returns: bool | None,
) -> dict[str | int, Any]:  # fmt: skip
    if arguments is None:
        needed = tuple(dict.fromkeys(i for s in signatures for i in s.inputs))
        arrays = needed + tuple(i for i in inputs if i not in needed and not outputs[0].startswith("grad_"))
        arguments = arrays if returns or returns is None else (*arrays, *outputs)
    if isinstance(arguments, str) or not isinstance(arguments, (Sequence, Mapping)):
        raise TypeError(f"arguments: expected a sequence or a mapping, got {type(arguments).__name__}")
    found = dict(arguments.items() if isinstance(arguments, Mapping) else enumerate(arguments))
    numbers_ = {n for s in signatures for n in s.numbers}
    pairs = {p for p, own in names.PAIRS.items() if set(own) <= {*numbers_, *("R", "S")}}
    more = {names.PADS, names.CEIL_MODE} if "p_h" in numbers_ else set()
    more |= {names.OUTPUT_PADDING} if op == "conv_transpose2d" else set()
    letters = set("NJI") if op == "affine" else set("NCHWKRSPQ")
    singles = {public for public, own in names.SINGLE.items() if own in numbers_}
    known = (*inputs, *outputs, *sorted(numbers_ | pairs | more | singles | (letters - numbers_)))
    for value in found.values():
        if isinstance(value, str) and _name(value) not in known:
            raise ValueError(f"arguments: {expected_one_of(known, value)}; a string is Constant({value!r})")
    return found


def _fixed(op: str, only: Mapping[str, Any] | None, spoken: set[str]) -> dict[str, tuple[Any, ...]]:
    """By option the values that the function takes, where not all."""
    options = _options(op)
    known = (*options, *names.LIMITED.get(op, ()))
    fixed: dict[str, tuple[Any, ...]] = {}
    for option, values in (only or {}).items():
        if option not in known:
            raise ValueError(f"only: {expected_one_of(known, option)}")
        fixed[option] = tuple(values) if isinstance(values, (list, set, frozenset, range)) else (values,)
        if not fixed[option]:
            raise ValueError(f"only: expected some value of {option!r}, got none")
    handed = {option for option in options if spoken & (names.SAID.get(option, set()) | {option})}
    for option, default in options.items():
        if option not in handed and option not in fixed:
            if default is signature(names.op_of(op).forward).empty:
                raise ValueError(f"arguments: expected {option!r} among them, or its value in `only`")
            fixed[option] = (default,)
    return fixed


def _options(op: str) -> dict[str, Any]:
    """An op's options that make another equation, with their defaults."""
    base = names.op_of(op)
    arrays = set(base.differentiable) | {"x", "backend", "algorithm", "return_winners"}
    found = {n: p.default for n, p in signature(base.forward).parameters.items() if n not in arrays}
    if op in names.ROWWISE:
        found["axis"] = -1  # their functions are handed rows
    if "kernel_size" in found and "stride" in found:
        found["stride"] = None
    return found


def listed(values: Sequence[Any], between: str = ", ") -> str:
    """Values in words; of many the first and the last."""
    if len(values) > MOST_VALUES:
        return f"{values[0]}, {values[1]}, ..., {values[-1]}"
    return between.join(map(str, values))


def _is_default(op: str, option: str, values: tuple[Any, ...]) -> bool:
    return values == (_options(op).get(option, ()),)

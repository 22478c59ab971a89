"""The contract of one function that somebody else wrote: what it computes, of what, in which order and arithmetic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..._text import expected_one_of
from ..truth.precision import Precision
from . import checked, names, whole
from .callee import Callee
from .command import Command
from .layout import Layout
from .names import Signature
from .tail import Step, arrays_of


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
            return (names.forward_signature(op, self.variant),)
        known = names.gradients_of(op, self.variant)
        return tuple(names.of_kernel(known[gradient]) for gradient in self.gradients)

    @property
    def variant(self) -> str:
        """Which of an op's forward kernels it is, where there are several: "nearest", "bilinear", "index"; or ""."""
        return checked.variant(self.op, self.kinds, self.fixed)

    def kind(self, array: str, dtype: str) -> str:
        """The dtype of an array, where the inputs are judged in `dtype`."""
        return self.kinds.get(array, names.KINDS.get(array, dtype))

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
            f"; {n} {' or '.join(map(str, v))}" for n, v in self.fixed.items() if not checked.is_default(self.op, n, v)
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
        gradient "grad_output", "grad_x", ...; of add, multiply and matmul "a" and "b"; of batch_norm2d, which is
        inference, "running_mean" and "running_var"; of dropout "mask", bool; of costs "y" or "logits", "target" and
        the result "loss"); of numbers, cnnx's own (u, v, p_h, p_w, d_h, d_w, groups, R, S, ..., the divisor of a cost,
        N or 1) or public ones, which are pairs (stride, padding, dilation, kernel_size, output_padding, of upsample2d
        size), "pads" (top, left, bottom, right), or "int(stride)" for one number where both are alike; of extents (N,
        C, H, W, K, R, S, P, Q; of affine N, J, I; of cross_entropy N, M). All others are constants, and so is
        `Constant("same")`. None: the arrays in cnnx's order, then the tail's, then the result if it is written.
        Activations, dropout and squared_error have arrays of one axis; layer_norm has rows and group_norm and
        instance_norm (N, C, places), whatever else x had.
    dtype : str, sequence or mapping
        Of the data: "float16", "bfloat16" (ml_dtypes; extra `audit`), "float32" or "float64"; several of the last two
        for a function that takes both. A mapping says it array by array, x among them: {"x": "bfloat16", "y":
        "float32"}; those that it does not name are as x. A cross_entropy of class indices has a "target" of "int64"
        or "int32".
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
        at cnnx's default; of upsample2d one "mode". Cases are made to fit, and what the function does not do is listed
        as not covered.
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
    variant = checked.variant(op, dtype if isinstance(dtype, Mapping) else {}, only or {})
    known_gradients = names.gradients_of(base, variant)
    for gradient in wanted:
        if gradient not in known_gradients:
            known = expected_one_of(known_gradients, gradient) if known_gradients else f"expected none of {op}"
            raise ValueError(f"gradients: {known}")
    if wanted and steps:
        raise ValueError("gradients: expected none of a kernel with a tail")
    if steps and (base.cost or op in whole.OPS):
        raise ValueError(f"tail: expected none of {op}")
    forward = names.forward_signature(base, variant)
    signatures = [names.of_kernel(known_gradients[g]) for g in wanted] or [forward]
    outputs = tuple(s.output for s in signatures)
    if isinstance(function, Command):
        if arguments is not None or returns:
            raise ValueError(
                "arguments: expected none of a Command, whose words name them, and which writes its result"
            )
        arguments = function.names
    delta = () if base.cost else ("grad_output",)
    inputs = tuple(dict.fromkeys((*delta, *forward.inputs) if wanted else (*forward.inputs, *beside)))
    dtypes, kinds, accumulators = checked.dtypes(
        dtype, accumulator, (*inputs, *outputs), outputs, indices=op == "cross_entropy"
    )
    given = checked.arguments(arguments, signatures, inputs, outputs, op, returns)
    spoken = {checked.name(value) for value in given.values() if isinstance(value, str)}
    writes = set(outputs) & spoken
    if returns is None:
        returns = not writes
    if returns == bool(writes) or (writes and writes != set(outputs)):
        expected = "no result among them" if returns else f"{' and '.join(outputs)} among them"
        raise ValueError(f"arguments: expected {expected}, since the function {'returns' if returns else 'writes'} it")
    own = getattr(function, "__name__", type(function).__name__)
    return Kernel(
        op, function, own if name is None else name, dtypes, accumulators, kinds,
        checked.layouts(layouts, op, (*inputs, *outputs)), returns, given, steps, wanted,
        checked.fixed(op, only, spoken), convert,
    )  # fmt: skip

"""Contracts as a back end, for as long as an audit lasts: its ops, their cases, their arithmetic."""

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ... import backend as _backend
from ...ops import Case, Op
from .. import known
from ..kinds import HALVES, limits
from ..truth.precision import Precision
from . import call, names, whole
from .cases import adapted
from .checked import listed
from .kernel import Kernel
from .ops import whole_forward, without_cases
from .tail import arrays_of, fused

# Checks that say nothing of a function that is called by a contract, and why.
NEVER = {
    "layout": "a contract says in which layout arrays come, and they come in no other",
    "dual": "it judges cnnx's own equations, not a kernel",
    "isa": "a contract does not say how a function is held to an instruction set",
}
HALVED = {
    "gradient": "central differences need float64",
    "worked": "printed figures are no numbers of two bytes",
}


class Contracts:
    """Some kernels as one back end: `cnnx.audit.known.Own`."""

    def __init__(self, kernels: Iterable[Kernel]):
        self.kernels = tuple(kernels)
        if not self.kernels:
            raise ValueError("backend: expected some kernels, got none")
        for kernel in self.kernels:
            if not isinstance(kernel, Kernel):
                raise TypeError(
                    "backend: expected the name of a back end or what cnnx.audit.kernel made, got "
                    f"{type(kernel).__name__}"
                )
        self.name = "+".join(dict.fromkeys(kernel.name for kernel in self.kernels))
        origins = {kernel.origin for kernel in self.kernels}
        self.origin = origins.pop() if len(origins) == 1 else ""
        self.isolated = all(kernel.remote is not None for kernel in self.kernels)
        self.by_op: dict[str, list[Kernel]] = {}
        for kernel in self.kernels:
            self.by_op.setdefault(kernel.label, []).append(kernel)
        self.bases = {label: names.op_of(some[0].op) for label, some in self.by_op.items()}
        self._check()
        self.made = {
            label: fused(self._base_kernel(some), label, some[0].tail, self._precision_of(some[0]))
            for label, some in self.by_op.items()
            if some[0].tail
        }
        self.made |= {whole.kernel_of(label): whole.equation(label) for label in self.by_op if label in whole.OPS}
        self.ops: dict[str, Op] = {}

    def _check(self) -> None:
        """One kernel for each of cnnx's kernels, and the same dtypes for those of an op."""
        taken: dict[str, str] = {}
        for label, some in self.by_op.items():
            if len({(k.dtypes, tuple(k.accumulators.values())) for k in some}) > 1:
                raise ValueError(
                    f"backend: expected kernels of {label} to be of the same dtypes; audit others by themselves"
                )
            for kernel in some:
                for sig in kernel.signatures:
                    name = label if kernel.tail else sig.kernel
                    if name in taken:
                        raise ValueError(
                            f"backend: expected one kernel for {name}, got {taken[name]} and {kernel.name}; audit each "
                            "by itself"
                        )
                    taken[name] = kernel.name

    def _base_kernel(self, some: list[Kernel]) -> str:
        return some[0].signatures[0].kernel

    def _precision_of(self, kernel: Kernel) -> Callable[[Any], Precision]:
        """The arithmetic by a bounded number's rounding error, where a tail rounds on the way."""
        by_eps = {limits(kernel.accumulators[d]).u: kernel.precision(d, flushed=False) for d in kernel.dtypes}
        return lambda bounded: by_eps[bounded.eps]

    def backend(self) -> _backend.Kernels:
        """The functions as kernels of cnnx."""
        found: dict[str, Any] = {}
        for label, some in self.by_op.items():
            for kernel in some:
                for i, sig in enumerate(kernel.signatures):
                    found[label if kernel.tail else sig.kernel] = call.as_kernel(kernel, i)
        return _backend.Kernels(found)

    def prepare(self) -> None:
        """Make the ops, now that the reference has their equations."""
        for label in self.by_op:
            self.ops[label] = self._op(label)
        for label, op in self.ops.items():
            self.ops[label] = replace(op, cases=self._cases(label, op.cases), bench=self._cases(label, op.bench))

    def _cases(self, label: str, cases: Iterable[Case]) -> tuple[Case, ...]:
        """Cases as the contract has them, each shape and option once."""
        found: dict[str, Case] = {}
        for case in cases:
            made = self.adapted(label, case)
            if made is not None:
                same = repr(
                    (sorted(made.arrays.items(), key=lambda item: item[0]), sorted(made.options.items(), key=str))
                )
                found.setdefault(same, made)
        return tuple(found.values())

    def _op(self, label: str) -> Op:
        some = self.by_op[label]
        kernels = tuple(label if k.tail else s.kernel for k in some for s in k.signatures)
        tail = arrays_of(some[0].tail) if some[0].tail else None
        made = without_cases(self.bases[label], label, kernels, tail, back=any(k.gradients for k in some))
        return replace(made, forward=whole_forward(made)) if label in whole.OPS else made

    # ------------------------------------------------------------------------- what known.Own has

    def kinds(self, op: str) -> tuple[str, ...]:
        """The dtypes of its kernels."""
        return self.by_op[op][0].dtypes

    def precision(self, op: str, dtype: str, *, flushed: bool) -> Precision:
        """The arithmetic of its kernels."""
        return self.by_op[op][0].precision(dtype, flushed=flushed)

    def adapted(self, op: str, case: Case) -> Case | None:
        """The case with what the contract fixes, and with the arrays of its tail."""
        return adapted(self.by_op[op], self.bases[op], case)

    def why_not(self, op: str, check: str) -> str:
        """Why a check says nothing of an op."""
        kernel = self.by_op[op][0]
        if check in NEVER:
            return NEVER[check]
        if check == "gradient" and "float64" not in kernel.dtypes:
            return HALVED[check]
        if check == "worked" and (kernel.tail or set(kernel.dtypes) & set(HALVES)):
            return "printed figures are of ops alone" if kernel.tail else HALVED[check]
        if check == "worked" and kernel.variant == names.INDEX:
            return "printed figures are of rows of probabilities"
        if (
            check == "worked"
            and kernel.op in whole.OPS
            and not {"weight", "bias"} <= {*map(str, kernel.arguments.values())}
        ):
            return "printed figures have a weight and a bias"
        if check in ("exact", "adjoint") and set(kernel.accumulators.values()) & set(HALVES):
            return f"integers' sums are rounded in {kernel.accumulators[kernel.dtypes[0]]}"
        if check == "adjoint" and set(kernel.dtypes) & set(HALVES):
            return "integers' sums are rounded to two bytes"
        return ""

    def lacks(self, op: str) -> Mapping[str, str]:
        """What the contracts of an op leave out."""
        found = {}
        for kernel in self.by_op[op]:
            for option, values in kernel.fixed.items():
                if option == "axis" or (option == "stride" and values == (None,)):
                    words = "another axis than the last one" if option == "axis" else "a stride other than the window"
                else:
                    words = f"{option} other than {listed(values)}"
                found[f"{kernel.op} with {words}"] = call.NOT_SUPPORTED
        return found

    def words(self) -> list[str]:
        """The contracts, a line each."""
        return [kernel.words() for kernel in self.kernels]

    def command(self, words: str, options: Mapping[str, str]) -> str:
        """What judges a case again: a command line of a file's kernel, else a line of Python."""
        if self.origin:
            apart = ["--isolated"] if self.isolated else []
            more = [part for name, value in options.items() for part in (f"--{name}", value)]
            return shlex.join(["cnnx", "audit", "--kernel", self.origin, *apart, *more, "--repro", words])
        module, expression = _expression(self.kernels)
        given = "".join(f", {name}={value!r}" for name, value in options.items())
        given += ", isolated=True" if self.isolated else ""
        imports = "cnnx.audit" + (f", {module}" if module else "")
        return f"import {imports}; print(cnnx.audit.again({words!r}, backend={expression}{given}))"


def _expression(kernels: tuple[Kernel, ...]) -> tuple[str, str]:
    """A module and an expression that gives the kernels there, as far as their names can be found."""
    found = []
    modules = [getattr(kernel.function, "__module__", "") for kernel in kernels]
    for kernel, module in zip(kernels, modules, strict=True):
        space = vars(sys.modules[module]) if module in sys.modules else {}
        name = next((n for n, v in space.items() if isinstance(v, Kernel) and v.function is kernel.function), None)
        found.append((module if name else "", name or "KERNEL"))
    where = {module for module, name in found if module and module != "__main__"}
    words = [f"{module}.{name}" if module and module != "__main__" else name for module, name in found]
    return ", ".join(sorted(where)), words[0] if len(words) == 1 else f"[{', '.join(words)}]"


@contextmanager
def in_force(given: Kernel | Iterable[Kernel]) -> Iterator[str]:
    """Within the block the kernels are a back end, whose name is given."""
    contracts = Contracts([given] if isinstance(given, Kernel) else given)
    name = contracts.name
    taken = {*_backend.backends()}
    if name in taken:
        raise ValueError(f"name: expected one that no back end has, got {name!r}")
    with _backend.defined(contracts.made), _backend.registered(name, contracts.backend()):
        contracts.prepare()
        with known.judged(name, contracts):
            yield name

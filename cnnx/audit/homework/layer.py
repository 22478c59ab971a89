"""A layer judged: each of its results on small cases, exactly and within its bound, in any memory layout."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import OPS, Case, Op
from .. import contract
from ..data import LAYOUTS, Array, draw, draw_like, frozen
from ..explain.explain import explain
from ..report.result import Discrepancy
from ..run import audit
from ..trace import backward_arguments, first, forward_arguments, gradients
from .answer import RIGHT, WRONG, Example, Result
from .compared import ratio_of, same
from .mistakes import CONVENTIONS, DIGITS, MISTAKES
from .probes import Probe, probes
from .settle import settle
from .unit import RaisedError, UnclearError, Unit

SHRINKING = 8.0  # seconds for a finding, of a budget that has them
ELEMENTS = 30  # that are looked at for one to show
NAMES = {"y": "Y", "x": "dZ", "weight": "dF", "bias": "db"}  # of results, by what they are or are the gradient of


class Layer:
    """A layer whose kernels have contracts."""

    def __init__(self, unit: Unit, end: float):
        self.unit, self.end = unit, end
        self.op: Op = next(op for op in OPS if op.name == unit.op)
        self.probes: list[Probe] = []
        self.writes: set[str] = set()  # results whose function writes to what it was given

    def results(self) -> Iterator[Result]:
        unit = self.unit
        why = settle(unit)
        if why is not None:
            yield why
            return
        self.probes = list(probes(unit))
        done: list[Result] = []
        for what in self._outputs():
            done.append(self._one(what))
            yield done[-1]
        if any(r.status in WRONG for r in done):
            return
        if unit.has_forward and unit.gives and not any(r.mistake not in ("", DIGITS) for r in done):
            yield self._gradient()
        yield self._layout()

    def _outputs(self) -> Iterator[str]:
        if self.unit.has_forward:
            yield "y"
        if self.unit.has_backward:
            yield from self.unit.gives

    # ---------------------------------------------------------------------------------- one result

    def _one(self, what: str) -> Result:
        """One result on all probes; what is wrong with it."""
        names = [probe.case.name for probe in self.probes]
        kernel = self._contract(what)
        checks = ["exact", "bound"] if self.probes[0].case.exact else ["bound"]
        found = self._audited([kernel], [probe.case for probe in self.probes], checks)
        output = self._named(what)
        if not found and what in self.writes:
            return Result(output, "wrong", mistake="writes", cases=len(names), what=what)
        if not found:
            return Result(output, RIGHT, cases=len(names))
        bad = {d.case for d in found}
        failing = [probe for probe in self.probes if probe.case.name in bad]
        mistake, ratio = self._mistake(what, failing)
        if mistake in CONVENTIONS:
            return Result(output, "convention", mistake=mistake, cases=len(names), what=what)
        example, words = self._example(kernel, failing[0], found, what)
        shape = self._shapes(what, failing[0])
        return Result(
            output, "wrong" if example is not None else "shape" if shape else "raised", mistake=mistake,
            suspects=() if mistake else tuple(probe.feature for probe in failing), ratio=ratio, example=example,
            words=words, cases=len(names), what=what, plain=any(not probe.feature for probe in failing), shape=shape,
        )  # fmt: skip

    def _contract(self, what: str) -> contract.Kernel:
        """The contract of one of the unit's results."""
        unit = self.unit
        numbers = [f"int({name})" for name in unit.options]
        options = unit.options
        only: dict[str, Any] = {} if "kernel_size" in options or "pool" not in unit.op else {"kernel_size": 2}
        if unit.op == "softmax":
            numbers = []

        def forward(*values: Any) -> Any:
            arrays = dict(zip(unit.arrays, values, strict=False))
            with self._spared("y", arrays) as mine:
                return np.asarray(unit.forward(mine, dict(zip(options, values[len(unit.arrays) :], strict=True))))

        def backward(delta: Array, *values: Any) -> Any:
            arrays = dict(zip(unit.arrays[:2], values, strict=False))
            given = dict(zip(options, values[len(unit.arrays[:2]) :], strict=True))
            with self._spared(what, {"delta": delta, **arrays}) as mine:
                found = unit.backward(mine.pop("delta"), mine, given)
            if found.get(what) is None:
                raise RaisedError(f"{unit.name}: no gradient of {what}")
            return np.asarray(found[what])

        if what == "y":
            return contract.kernel(
                unit.op, forward, name=f"homework {unit.name}", dtype="float64", returns=True,
                arguments=[*unit.arrays, *numbers], only=only,
            )  # fmt: skip
        # One gradient alone: of several a check would stop at the first that is wrong. That of the bias is not handed
        # x and the stride, which its function wants: they are known of the public call, once a contract names them.
        all_of_them = contract.kernel(
            unit.op, backward, name=f"homework {unit.name}", dtype="float64", returns=True, gradients=unit.arrays,
            arguments=["grad_output", *unit.arrays[:2], *numbers], only=only,
        )  # fmt: skip
        return replace(all_of_them, gradients=(what,))

    @contextmanager
    def _spared(self, what: str, arrays: dict[str, Array]) -> Iterator[dict[str, Array]]:
        """Copies for homework to write to, which is one thing to tell; whether its numbers are right is another."""
        mine = {name: a.copy(order="K") for name, a in arrays.items()}
        handed = dict(mine)
        yield mine
        if any(not np.array_equal(a, handed[name], equal_nan=True) for name, a in arrays.items()):
            self.writes.add(what)

    def _audited(
        self, kernels: list[contract.Kernel], cases: list[Case], checks: list[str], shrink: float = 0.0
    ) -> list[Discrepancy]:
        report = audit(
            [self.op.name], backend=kernels, cases=cases, checks=checks, dtypes=["float64"], measure=False,
            shrink=shrink,
        )  # fmt: skip
        if not report.ran and not any(result.failing for result in report.results):
            raise RuntimeError(f"{self.unit.name}: nothing was compared")
        return [one for result in report.results for one in result.failing]

    def _named(self, what: str) -> str:
        return "dw" if what == "weight" and self.unit.op == "affine" else NAMES[what]

    # ------------------------------------------------------------------------------------ why

    def _calls(self, probe: Probe, what: str) -> tuple[dict[str, Array], Array, Any, Array]:
        """A probe's arrays and Delta, what homework gives on them, and what is right."""
        rng = np.random.default_rng([7, *probe.case.name.encode()])
        mode: Any = "integer" if probe.case.exact else "real"
        arrays = draw(self.op, probe.case, "float64", mode, rng)
        with _backend.use_backend("reference"):
            result = self.op.forward(**forward_arguments(self.op, probe.case, arrays))
            delta = draw_like(first(result), "float64", mode, rng)
            right = first(result)
            if what != "y":
                back = self.op.backward(**backward_arguments(self.op, probe.case, arrays, delta, result))
                right = gradients(self.op, probe.case, back)[what]
        mine = {name: a.copy() for name, a in arrays.items()}
        if what == "y":
            got = self.unit.forward(mine, probe.numbers)
        else:
            got = self.unit.backward(delta.copy(), mine, probe.numbers).get(what)
        return arrays, delta, None if got is None else np.asarray(got), right

    def _mistake(self, what: str, failing: list[Probe]) -> tuple[str, float | None]:
        """The mistake whose numbers homework gives on all cases that fail, or a factor that it is off by."""
        maker = MISTAKES.get((self.unit.op, what))
        keys: list[str] | None = None
        ratios: set[float] = set()
        asked = equal = 0
        for probe in failing:
            try:
                arrays, delta, got, right = self._calls(probe, what)
            except (RaisedError, UnclearError):
                continue
            asked += 1
            if got is None or same(got, right):
                equal += got is not None
                continue
            try:
                made = [] if maker is None else list(maker(arrays, probe.numbers, delta))
            except (ValueError, IndexError):  # of a shape for which the mistake has no result
                made = []
            here = [key for key, value in made if same(got, value) and not same(value, right)]
            keys = here if keys is None else [key for key in keys if key in here]
            ratios.add(ratio_of(got, right))
        if keys:
            return keys[0], None
        if equal == asked == len(failing):
            return DIGITS, None
        (ratio,) = ratios if len(ratios) == 1 else (np.nan,)
        return ("factor", ratio) if np.isfinite(ratio) else ("", None)

    def _shapes(self, what: str, probe: Probe) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The shape that came and the right one, where they differ."""
        try:
            _, _, got, right = self._calls(probe, what)
        except (RaisedError, UnclearError):
            return None
        return None if got is None or got.shape == right.shape else (got.shape, right.shape)

    def _example(
        self, kernel: contract.Kernel, probe: Probe, found: list[Discrepancy], what: str
    ) -> tuple[Example | None, str]:
        """The smallest case that still fails, with the equation's terms there; or what was raised."""
        seconds = min(SHRINKING, max(0.0, (self.end - time.monotonic()) / 4))
        checks = ["exact", "bound"] if probe.case.exact else ["bound"]
        small = self._audited([kernel], [probe.case], checks, seconds)
        one = next((d for d in (*small, *found) if d.arrays is not None and d.index is not None), None)
        if one is None or one.arrays is None or one.index is None:
            return None, self._raised(probe, what)
        inputs, got = one.arrays.values(), np.nan if one.got is None else one.got
        shown, expected = explain(one.kernel, one.output, inputs, one.index, one.numbers), one.expected or 0.0
        if one.results is not None and probe.case.exact:  # the element with most terms says most
            apart = np.argwhere(one.results["got"] != one.results["expected"])[:ELEMENTS]
            for at in (tuple(int(i) for i in index) for index in apart):
                other = explain(one.kernel, one.output, inputs, at, one.numbers)
                if len(other.terms) - other.removed > len(shown.terms) - shown.removed:
                    shown, got, expected = other, one.results["got"][at], one.results["expected"][at]
        return Example(one.arrays, one.numbers, float(expected), float(got), shown), ""

    def _raised(self, probe: Probe, what: str) -> str:
        try:
            self._calls(probe, what)
        except (RaisedError, UnclearError) as error:
            return str(error)
        return ""

    # -------------------------------------------------------------------------------- what is asked of all

    def _gradient(self) -> Result:
        """The backward pass beside difference quotients of the reader's own forward pass."""
        kernels = [self._contract("y"), *(self._contract(what) for what in self.unit.gives)]
        by_name = [replace(k, name=f"homework {self.unit.name}") for k in kernels]
        kinds = [probe.case for probe in self.probes if probe.feature in ("", "all", "batch")]
        found = self._audited(by_name, kinds, ["gradient"])
        if found:
            return Result("gradient", "wrong", words=found[0].what, mistake="", what="gradient")
        return Result("gradient", RIGHT, cases=len(kinds))

    def _layout(self) -> Result:
        """The same numbers for input in any memory layout, and input that cannot be written to."""
        probe = next((p for p in reversed(self.probes) if p.feature == "all"), self.probes[-1])
        outputs = list(self._outputs())
        layouts: dict[str, Callable[[Array], Array]] = {**LAYOUTS, "read-only": np.array}
        for name, lay_out in layouts.items():
            for what in outputs:
                arrays, delta, got, _ = self._calls(probe, what)
                laid = {n: frozen(lay_out(a)) if name == "read-only" else lay_out(a) for n, a in arrays.items()}
                try:
                    again: Any
                    if what == "y":
                        again = self.unit.forward(laid, probe.numbers)
                    else:
                        again = self.unit.backward(lay_out(delta), laid, probe.numbers).get(what)
                except RaisedError as error:
                    return Result("layout", "raised", words=str(error), mistake=f"layout_{_word(name)}", what=what)
                if got is None or not same(np.asarray(again), got):
                    return Result("layout", "wrong", mistake=f"layout_{_word(name)}", what=what)
        return Result("layout", RIGHT, cases=len(LAYOUTS) + 1)


def _word(name: str) -> str:
    return name.lower().replace("-", "_")

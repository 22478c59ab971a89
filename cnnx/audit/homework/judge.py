"""Homework judged: each result of each layer on small cases, exactly and within its bound, in any memory layout."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ... import backend as _backend
from ...lang import text
from ...ops import OPS, Case, Op
from .. import contract
from ..data import LAYOUTS, Array, draw, draw_like, frozen
from ..explain.explain import explain
from ..report.result import Discrepancy
from ..run import audit
from ..trace import backward_arguments, first, forward_arguments, gradients
from . import find
from .answer import Answer, Example, Result
from .mistakes import CONVENTIONS, MISTAKES
from .probes import Probe, probes
from .roles import COSTS
from .unit import RaisedError, UnclearError, Unit

SHRINKING = 8.0  # seconds for a finding, of a budget that has them
DIGITS = "digits"  # right, but not to the last digits
INTERRUPTIONS = 6  # that homework may catch
ELEMENTS = 30  # that are looked at for one to show
RIGHT = "right"
NAMES = {"y": "Y", "x": "dZ", "weight": "dF", "bias": "db"}  # of results, by what they are or are the gradient of


class _TimeUpError(BaseException):
    """The budget is spent: no `except Exception` of homework is to catch it."""


def check(path: str, *, mapping: tuple[str, ...] = (), seconds: float = 50.0) -> Answer:
    """Run a homework file and judge the layers in it.

    Parameters
    ----------
    path : str
        A Python file. It is run: whatever it does when it is imported is done, without what it prints.
    mapping : tuple of str
        "conv2d=MyConv", "conv2d.backward=my_grad": which of its names stand for which op, where names do not say it.
    seconds : float
        How long it may take, the file itself included. What is not judged by then is said.

    Returns
    -------
    Answer

    Raises
    ------
    ValueError
        There is no such file, a mapping is none, or `seconds` is not above 0.
    ImportError
        The file cannot be run.
    TimeoutError
        The file itself takes longer.
    """
    if not seconds > 0:
        raise ValueError(f"--seconds: expected more than 0, got {seconds:g}")
    end = time.monotonic() + seconds
    answer = Answer(path)
    with np.errstate(all="ignore"):
        try:
            with _alarm(seconds):
                module = find.loaded(path)
        except _TimeUpError:
            raise TimeoutError(
                f"{path}: expected it to be run in {seconds:g} s, which it was not: move training under "
                'if __name__ == "__main__":'
            ) from None
        found = find.units(module, mapping)
        for i, unit in enumerate(found):
            results: list[Result] = []
            answer.units.append((unit, results))
            share = (end - time.monotonic()) / (len(found) - i)
            try:
                with _alarm(max(share, 0.1)), find.silent():
                    for result in _judged(unit, time.monotonic() + share):
                        results.append(result)  # noqa: PERF402  what is there when time is up stays
            except _TimeUpError:
                results.append(Result("", "slow", seconds=share))
    _costs_and_layers(answer)
    return answer


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """A block that is interrupted when its time is up, wherever homework is in it, and again if it goes on.

    Where it catches that again and again, with a bare `except` in a loop, the process ends.
    """
    times = 0

    def up(number: int, frame: object) -> None:
        nonlocal times
        times += 1
        if times > INTERRUPTIONS:
            words = f"cnnx: {text('errors.error')}: {text('check.cannot_stop', seconds=seconds)}\n"
            os.write(2, words.encode(errors="backslashreplace"))
            os._exit(2)
        raise _TimeUpError

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _judged(unit: Unit, end: float) -> Iterator[Result]:
    """The results of a unit, one after another: the forward pass, each gradient, and what is asked of all."""
    if unit.op in COSTS:
        yield from _Cost(unit, end).results()
    else:
        yield from _Layer(unit, end).results()


class _Layer:
    """A layer whose kernels have contracts."""

    def __init__(self, unit: Unit, end: float):
        self.unit, self.end = unit, end
        self.op: Op = next(op for op in OPS if op.name == unit.op)
        self.probes: list[Probe] = []

    def results(self) -> Iterator[Result]:
        unit = self.unit
        why = _settle(unit)
        if why is not None:
            yield why
            return
        self.probes = list(probes(unit))
        done: list[Result] = []
        for what in self._outputs():
            done.append(self._one(what))
            yield done[-1]
        if any(r.status in ("wrong", "raised", "shape") for r in done):
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
            return np.asarray(unit.forward(arrays, dict(zip(options, values[len(unit.arrays) :], strict=True))))

        def backward(delta: Array, *values: Any) -> Any:
            arrays = dict(zip(unit.arrays[:2], values, strict=False))
            given = dict(zip(options, values[len(unit.arrays[:2]) :], strict=True))
            found = unit.backward(delta, arrays, given)
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
        asked = same = 0
        for probe in failing:
            try:
                arrays, delta, got, right = self._calls(probe, what)
            except (RaisedError, UnclearError):
                continue
            asked += 1
            if got is None or _same(got, right):
                same += got is not None
                continue
            try:
                made = [] if maker is None else list(maker(arrays, probe.numbers, delta))
            except (ValueError, IndexError):  # of a shape for which the mistake has no result
                made = []
            here = [key for key, value in made if _same(got, value) and not _same(value, right)]
            keys = here if keys is None else [key for key in keys if key in here]
            ratios.add(_ratio(got, right))
        if keys:
            return keys[0], None
        if same == asked == len(failing):
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
                if got is None or not _same(np.asarray(again), got):
                    return Result("layout", "wrong", mistake=f"layout_{_word(name)}", what=what)
        return Result("layout", RIGHT, cases=len(LAYOUTS) + 1)


class _Cost(_Layer):
    """A cost: its value and its gradient, of scores or outputs and targets."""

    def results(self) -> Iterator[Result]:
        self.probes = list(probes(self.unit))
        try:
            arrays, _, _, _ = self._calls(self.probes[-1], "y")
        except (RaisedError, UnclearError) as error:
            yield _cannot(error)
            return
        del arrays
        done = []
        for what in ("y", *(("x",) if self.unit.has_backward else ())):
            done.append(self._one(what))
            yield done[-1]

    def _named(self, what: str) -> str:
        return "E" if what == "y" else "dA" if self.unit.op == "squared_error" else "dZ"

    def _audited(self, kernels: Any, cases: list[Case], checks: list[str], shrink: float = 0.0) -> list[Discrepancy]:
        what = kernels[0]
        unit, base = self.unit, self.op.name + ("_index" if self.op.name == "cross_entropy" else "")

        def value(Z: Array, t: Array, E: Array, *, divisor: float) -> None:
            got = np.asarray(unit.loss(*_shaped(Z, t, self.shape))[0], dtype=float)
            E[0] = got.reshape(()) if got.size == 1 else np.nan

        def gradient(Z: Array, t: Array, dZ: Array, *, divisor: float) -> None:
            got = np.asarray(unit.loss(*_shaped(Z, t, self.shape))[1])
            if got.size != dZ.size:
                raise ValueError(f"expected a gradient of shape {self.shape}, got {got.shape}")
            dZ[...] = got.reshape(dZ.shape)

        name = f"homework {unit.name}"
        kernels_ = {base: value} if what == "y" else {f"{base}_grad_input": gradient}
        found: list[Discrepancy] = []
        with _backend.registered(name, kernels_):
            for case in cases:
                spec = case.arrays.get("logits", case.arrays.get("y"))
                assert isinstance(spec, tuple)
                self.shape = spec
                report = audit(
                    [self.op.name], backend=name, cases=[case], checks=checks, dtypes=["float64"], measure=False
                )
                found += [one for result in report.results for one in result.failing]
        return found

    def _contract(self, what: str) -> Any:
        return what  # costs have no contracts: they take integers and give numbers

    def _calls(self, probe: Probe, what: str) -> tuple[dict[str, Array], Array, Any, Array]:
        rng = np.random.default_rng([7, *probe.case.name.encode()])
        arrays = draw(self.op, probe.case, "float64", "real", rng)
        with _backend.use_backend("reference"):
            right: Any = self.op.forward(**forward_arguments(self.op, probe.case, arrays))
            if what != "y":
                right = self.op.backward(**backward_arguments(self.op, probe.case, arrays, np.ones(1), right))
        x, target = (arrays[name] for name in probe.case.arrays)
        x, target = _shaped(x, target, x.shape)
        got = self.unit.loss(x, target)[0 if what == "y" else 1]
        got = None if got is None else np.asarray(got)
        return {"x": x, "target": target}, np.ones(1), got, np.asarray(right)


def _shaped(x: Array, target: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A cost's arrays in their shape, indices of classes as rows of zeros and a one."""
    x = np.array(x).reshape(shape)
    return x, np.eye(shape[1])[target] if target.ndim == 1 and target.dtype.kind == "i" else target.reshape(shape)


def _settle(unit: Unit) -> Result | None:
    """Find out how a unit wants its arrays, and which gradients it gives; what it raises, if it takes none."""
    error: Exception | None = None
    for planar in (False, True) if unit.op in ("conv2d", "max_pool2d", "avg_pool2d") else (False,):
        for transposed in (True, False) if unit.op == "affine" else (False,):
            unit.planar, unit.transposed = planar, transposed
            try:
                if _tried(unit):
                    return None
            except (RaisedError, UnclearError) as raised:
                error = error or raised
            except ValueError as raised:
                error = error or RaisedError(str(raised))
    unit.planar = False
    if error is None:
        return None
    return _cannot(error)


def _cannot(error: Exception) -> Result:
    """Homework that cannot be called: it raises, or what a parameter is is not clear."""
    return Result("", "unclear" if isinstance(error, UnclearError) else "raised", words=str(error))


def _tried(unit: Unit) -> bool:
    """Run both passes on a case whose extents all differ."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"x": (2, 3, 6, 7)}
    numbers: dict[str, Any] = {"kernel_size": 2, "stride": 2, "padding": 0}
    out: tuple[int, ...] = (2, 3, 3, 3)
    if unit.op == "conv2d":
        shapes, numbers, out = (
            {"x": (2, 3, 6, 7), "weight": (4, 3, 2, 2), "bias": (4,)},
            {"stride": 1, "padding": 0},
            (2, 4, 5, 6),
        )
    elif unit.op == "affine":
        shapes, numbers, out = {"x": (5, 3), "weight": (2, 3), "bias": (2,)}, {}, (5, 2)
    elif "pool" not in unit.op:
        shapes, numbers, out = {"x": (3, 4)}, {}, (3, 4)
    if unit.planar:
        shapes = {n: (1, 1, *s[2:]) if len(s) == 4 else (1,) for n, s in shapes.items()}
        out = (1, 1, *out[2:])
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    numbers = {name: value for name, value in numbers.items() if name in (*unit.options, "kernel_size")}
    if unit.has_forward:
        y = np.asarray(unit.forward(arrays, numbers))
        if y.ndim != len(out):
            if unit.planar or unit.op == "affine":
                raise RaisedError(f"{unit.name}: shape {out}, got {y.shape}")
            return False
    unit.gives = ()
    if unit.has_backward:
        try:
            given = unit.backward(rng.standard_normal(out), arrays, numbers)
            unit.gives = tuple(of for of in unit.arrays if given.get(of) is not None)
        except RaisedError:
            if unit.planar or unit.transposed:
                raise
            unit.gives = unit.arrays[:1] if unit.kind is None else unit.arrays
    return True


def _costs_and_layers(answer: Answer) -> None:
    """What is right by itself and wrong together: 1/N in a layer's gradients and in its cost's, or in neither."""
    layers = [r for unit, results in answer.units if unit.op not in COSTS for r in results if r.mistake == "mean_n"]
    for unit, results in answer.units:
        if unit.op not in COSTS:
            continue
        value = next((r for r in results if r.output == "E"), None)
        gradient = next((r for r in results if r.output in ("dZ", "dA")), None)
        if gradient is None or value is None:
            continue
        sums = {r.output: r.mistake == "sum_not_mean" for r in (value, gradient)}
        settled = {RIGHT, "convention"}
        if {value.status, gradient.status} <= settled and len(set(sums.values())) > 1:
            gradient.status = "wrong"
            gradient.mistake = "mean_missing" if sums[gradient.output] else "mean_only_gradient"
        if layers and gradient.status == RIGHT:
            for result in layers:
                result.status, result.mistake = "wrong", "mean_n_and_cost"


def _same(a: Any, b: Any) -> bool:
    """Whether two results are the same numbers but for rounding: it only tells mistakes apart, and judges nothing."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype.kind not in "fiub":
        return False
    size = float(np.abs(b).max(initial=0.0))
    return bool(np.allclose(a, b, 1e-9, 1e-12 * (size or 1.0), equal_nan=True))


def _ratio(got: Array, right: Array) -> float:
    """The factor between what came and what is right, to some digits; NaN if there is none."""
    if got.shape != right.shape or not np.any(right) or not np.all(np.isfinite(got)):
        return float(np.nan)
    at = np.unravel_index(np.argmax(np.abs(right)), right.shape)
    factor = float(got[at] / right[at])
    return round(factor, 9) if factor and _same(got, factor * right) else float(np.nan)


def _word(name: str) -> str:
    return name.lower().replace("-", "_")

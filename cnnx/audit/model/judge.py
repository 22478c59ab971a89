"""What an engine gave held against the equations: which elements, and how much of their bounds they use."""

import math
import shlex
from typing import Any

import numpy as np

from ..._check import shown
from ..data import Array
from ..explain.explain import explain
from ..report.result import Discrepancy
from ..spot.spot import places
from ..truth.arithmetic import Bounded, UndecidedError
from ..truth.error_bound import DOUBLE_TRUTH, share_of
from .result import Index, Judged
from .step import Run
from .truth import Computed, Elements, Reshaped, is_sum

LIKELY = 6.0
MOVED = "the number that stands there, moved"


def judge(judged: Judged, got: Array, run: Run, output: int, elements: int, seed: int, again: str) -> None:
    """Judge an output of a node or a group: `got` is the engine's, `run` what the equations make of the same inputs."""
    expected, judged.dtype = run.arrays[output], str(got.dtype)
    if not _alike(judged, got, expected, again):
        return
    if not run.calls:
        _equal(judged, got, expected, again)
        return
    rng = np.random.default_rng([seed, judged.number])
    truth, slack = run.elements[output], DOUBLE_TRUTH.get(str(got.dtype), 1.0)
    finite = bool(np.isfinite(expected).all())
    found: list[tuple[float, Index, float, float]] = []
    products = is_sum(truth)
    undecided = ""
    for index in chosen(got, expected, elements, rng):
        try:
            with np.errstate(all="ignore"):
                b = truth[index]
        except UndecidedError as why:  # numbers so large that their roundings decide all
            undecided = f"its bound at {index} leaves any number open: {why}"
            continue
        if products:
            judged.chance = max(judged.chance or 0.0, _chance(float(got[index]), b))
        found.append((share_of(float(got[index]), b.value, b.error * slack, finite=finite), index, b.value, b.error))
    judged.checked += len(found)
    judged.total += got.size
    if not found:
        judged.why = judged.why or undecided or "it has no elements"
        return
    share, index, value, error = max(found, key=lambda one: one[0])
    judged.wrong += sum(one[0] > 1 for one in found)
    if judged.share is None or share > judged.share:
        judged.share, judged.worst = share, index
    if share > 1 and judged.discrepancy is None:
        terms, kernel, name = _terms(truth, index)
        what = (
            f"{judged.output} at {index} of {got.shape}: expected {value!r} +- {error:.1e}, got {float(got[index])!r}"
        )
        judged.discrepancy = _discrepancy(
            judged, what, again, kernel=kernel, output=name, index=index, expected=value, got=float(got[index]),
            error=error, share=share, terms=terms,
        )  # fmt: skip


def _chance(got: float, b: Bounded) -> float:
    """How far a sum of products is off, in units of what roundings of n terms that know nothing of each other come to.

    They are off by at most n u sum |terms|, the bound, and hardly ever by more than 6 sqrt(n) u sum |terms|: once in
    10^8 / 2n (Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019, theorem 2.4).
    """
    likely = LIKELY * math.sqrt(b.error * b.eps * b.mass)
    return abs(got - b.value) / likely if likely else 0.0


def equal(judged: Judged, got: Array, expected: Array, again: str) -> None:
    """Judge a movement of data: every element, by equality."""
    judged.dtype = str(got.dtype)
    if _alike(judged, got, expected, again):
        _equal(judged, got, expected, again)


def failed(judged: Judged, what: str, again: str) -> None:
    """Note that an engine did not do what it was to do at all."""
    judged.discrepancy = _discrepancy(judged, what, again)


def chosen(got: Array, expected: Array, count: int, rng: np.random.Generator) -> list[Index]:
    """Corners, edges and random elements; the largest; where engine and double differ most, also for their size."""
    if got.size <= count:
        return list(np.ndindex(got.shape))
    found = dict.fromkeys(places(got.shape, count - count // 2, rng))
    with np.errstate(all="ignore"):
        size = np.abs(expected)
        apart = np.nan_to_num(np.abs(got - expected), nan=np.inf)
        measures = [(size, 1), (apart, count // 4), (apart / (size + np.finfo(got.dtype).tiny), count // 4)]
    for measure, most in measures:
        flat = measure.reshape(-1)
        most = max(1, min(most, flat.size))
        for place in np.argpartition(-np.nan_to_num(flat, nan=np.inf), most - 1)[:most]:
            found[tuple(int(i) for i in np.unravel_index(place, got.shape))] = None
    return list(found)


def distance(got: Array, truth: Array | None) -> float | None:
    """The largest difference, in units of the largest element of the truth."""
    if truth is None or truth.shape != got.shape or not got.size or got.dtype.kind != "f":
        return None
    with np.errstate(all="ignore"):
        apart, largest = float(np.abs(got - truth).max()), float(np.abs(truth).max())
    return apart / largest if largest else (0.0 if apart == 0 else math.inf)


def command(report: Any, name: str) -> str:
    """The command line that judges a node again."""
    words = ["cnnx", "audit", "--model", report.model, "--backend", report.backend, "--nodes", name]
    words += [] if report.random else ["--input", report.source or "..."]
    words += ["--size", *map(str, report.size)] if report.size else []
    return shlex.join([*words, "--seed", str(report.seed), "--elements", str(report.elements)])


def _alike(judged: Judged, got: Array, expected: Array, again: str) -> bool:
    if got.shape == expected.shape:
        return True
    judged.checked, judged.total = 1, 1
    failed(judged, f"{judged.output}: expected shape {expected.shape}, got {got.shape}", again)
    return False


def _equal(judged: Judged, got: Array, expected: Array, again: str) -> None:
    same = got == expected
    if got.dtype.kind == "f":
        same |= np.isnan(got) & np.isnan(expected)
    judged.checked, judged.total = judged.checked + got.size, judged.total + got.size
    judged.wrong += int(np.count_nonzero(~same))
    if not got.size:
        judged.why = judged.why or "it has no elements"
    if judged.wrong and judged.discrepancy is None:
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(~same)), same.shape))
        what = (
            f"{judged.output} at {index} of {got.shape}: expected {shown(expected[index].item())}, {MOVED}, got "
            f"{shown(got[index].item())}"
        )
        judged.worst = index
        judged.discrepancy = _discrepancy(judged, what, again, index=index)


def _terms(truth: Elements, index: Index) -> tuple[tuple[str, ...], str, str]:
    """The equation with its numbers, and whose it is."""
    while isinstance(truth, Reshaped):
        truth, index = truth.inner(index)
    if not isinstance(truth, Computed):
        return (), "", ""
    call = truth.call
    explanation = explain(call.kernel, truth.output, call.inputs, index, call.numbers)
    return tuple(explanation.text().splitlines()), call.kernel, truth.output


def _discrepancy(judged: Judged, what: str, again: str, **where: Any) -> Discrepancy:
    return Discrepancy(judged.operator, judged.run, judged.name, judged.dtype, what, repro=again, **where)

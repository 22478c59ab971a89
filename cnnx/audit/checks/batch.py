"""Does an image's result depend on the batch that it comes in?"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...ops import Case, Op
from ..data import Array, Arrays, draw, frozen, shape_of
from ..report.axes import ALONE, PLACED
from ..trace import Trace, gradients
from ..trial import Attempt, Check, Trial
from ._compare import ulps

MOST = 33  # images of a batch: beyond two blocks of 16
NUMBERS = 2**18  # of a whole batch's input; larger images come fewer together
# Arguments that all images have in common; the last ones are those of what a contract says is fused.
SHARED = {"weight", "bias", "running_mean", "running_var", "scale", "shift", "mean", "variance"}
SIZES = (2, 3, 4, 5, 8, 16, 32)  # of batches out of the whole one


def _batch(trial: Trial) -> None:
    """Some images alone, and batches out of a larger one: the same bits as in it, forward and in x's gradient."""
    case = _many(trial.op, trial.case)
    count = shape_of(case, _images(trial.op, case)[0])[0]
    whole = trial.run(trial.sides.backend, draw(trial.op, case, trial.dtype, "bits", trial.rng), "bits")
    worst: tuple[float, str] | None = None
    for start, stop in _parts(count):
        expected = _part(trial, whole, start, stop)
        got = trial.repeat(trial.sides.backend, expected)
        if trial.op.cost:
            expected.forward = None  # it is a sum over the batch
        got.backward = _of_images(trial, got.backward)
        directions = [direction for direction, _, _ in got.pairs(expected)]
        trial.ran(*directions, batch=ALONE if stop - start == 1 else PLACED)
        apart = ulps(got, expected)
        if apart is not None and (worst is None or apart > worst[0]):
            which = f"image {start}" if stop - start == 1 else f"images {start} to {stop - 1}"
            worst = apart, f"other bits than in a batch of {count}: {which} alone"
    if worst is not None:
        trial.found(worst[1], ulp=worst[0])


def _parts(count: int) -> Iterator[tuple[int, int]]:
    for image in dict.fromkeys((0, 1, count // 2, count - 1)):
        yield image, image + 1
    for size in SIZES:
        if size < count:
            start = min(count - size, size // 2 + 1)
            yield start, start + size


def _images(op: Op, case: Case) -> list[str]:
    """The arguments that have a row for each image."""
    names = [name for name in case.arrays if name not in SHARED]
    if op.broadcasts:  # one that has not a row for each is repeated
        axes = {name: shape_of(case, name)[: -2 if op.matrices else None] for name in names}
        shape = np.broadcast_shapes(*axes.values())
        names = [name for name in names if axes[name][:1] == shape[:1] != () and len(axes[name]) == len(shape)]
    return names


def _many(op: Op, case: Case) -> Case:
    """The case with more images."""
    images = _images(op, case)
    one = math.prod(shape_of(case, images[0])[1:])
    count = max(3, min(MOST, NUMBERS // max(one, 1)))
    arrays: dict[str, Any] = dict(case.arrays)
    for name in images:
        shape, spec = (count, *shape_of(case, name)[1:]), case.arrays[name]
        arrays[name] = shape if isinstance(spec, tuple) else replace(spec, shape=shape)
    return replace(case, arrays=arrays)


def _part(trial: Trial, whole: Attempt, start: int, stop: int) -> Attempt:
    """Some images of a batch, and what came of them in it."""

    def rows(a: Array) -> Array:
        return frozen(a[start:stop].copy())

    images = _images(trial.op, _many(trial.op, trial.case))
    arrays = {name: rows(a) if name in images else a for name, a in whole.arrays.items()}
    part = Attempt(arrays, None if whole.grad_output is None else rows(whole.grad_output))
    if whole.forward is not None:
        result = whole.forward.result
        if isinstance(result, tuple):
            result = tuple(map(rows, result))
        elif not trial.op.cost:
            result = rows(result)
        part.forward = Trace(result, whole.forward.calls)
    part.backward = _of_images(trial, whole.backward, slice(start, stop))
    return part


def _of_images(trial: Trial, backward: Trace | None, rows: slice = slice(None)) -> Trace | None:
    """The gradients that have a row for each image."""
    if backward is None:
        return None
    found: Arrays = gradients(trial.op, trial.case, backward.result)
    images = _images(trial.op, _many(trial.op, trial.case))
    return Trace(tuple(g[rows] for name, g in found.items() if name in images), backward.calls)


def _why_not(op: Op, case: Case) -> str:
    """Why an image's result is to depend on the others, by the equation; or ""."""
    images = _images(op, case)
    rank = len(shape_of(case, images[0])) if images else 0
    if rank == 0:
        return "no batch"
    if case.options.get("training"):
        return "statistics over the batch"
    if "axis" in case.options and case.options["axis"] % rank == 0:
        return "a sum along the batch"
    return "a mean over the batch" if op.cost and case.options.get("reduction", "mean") == "mean" else ""


CHECK = Check("batch", _batch, takes=lambda op, case: not _why_not(op, case), bench=True)

"""An update whose sums over a batch are sums over its parts in a fixed order, whatever number of ranks computes them.

Each part has a copy of the model, which shares the parameters: forward, cost and backward are those of a small batch.
Where a layer needs a sum over the whole batch (`meet`), all parts of this rank come to that place before one goes on.
"""

import contextvars
import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import Array
from ._gradient_sum import GradientSum
from ._layer import Layer
from ._share import Share, meet, share
from ._source import Batch
from .cost import Cost
from .evaluate import right
from .parallel import Ranks

Part = Callable[[], Array]


class ExactUpdate:
    """Gradients of a model by parts of each batch; the model's own arrays receive the sums."""

    def __init__(self, ranks: Ranks, model: Layer, cost: Cost, summed: GradientSum) -> None:
        self._ranks, self._summed = ranks, summed
        self._model, self._buffers = model, model.buffers
        shared = {id(w): w for w in model.parameters.values()}
        parts = len(ranks.parts(0))
        self._copies = [(model, cost)]
        for _ in range(1, parts):
            self._copies.append((copy.deepcopy(model, dict(shared)), copy.deepcopy(cost)))
        for one in self._copies[1:]:
            for what in one:
                what.reuse_buffers(True)
        self._found = np.empty((parts, summed.width), summed.dtype)

    def __call__(self, batch: Batch, asked: bool) -> list[float]:
        """Forward and backward; the sums of cost, right answers and `asked` over all ranks."""
        rows = self._ranks.parts(batch.images)
        self._alike()
        work = [self._part(i, batch, part, rows[0].start, asked) for i, part in enumerate(rows)]
        found = in_step(work, self._ranks.add_parts) if self._buffers else [one() for one in work]
        for into, one in zip(self._found, found, strict=True):
            into[:] = one
        return self._summed.of_parts(self._found)

    def _alike(self) -> None:
        """What the model moves in an update (generators, running statistics), its copies have as it does."""
        for model, _ in self._copies[1:]:
            model.training = self._model.training
            for name, generator in self._model.generators.items():
                model.generators[name].bit_generator.state = generator.bit_generator.state
            for name, array in self._buffers.items():
                model.buffers[name][...] = array

    def _part(self, i: int, batch: Batch, rows: slice, start: int, asked: bool) -> Part:
        model, cost = self._copies[i]
        x, y = (a[rows.start - start : rows.stop - start] for a in (batch.x, batch.y))
        weight = len(x) / batch.images if cost.reduction == "mean" else 1.0

        def run() -> Array:
            try:
                share.set(Share(rows, batch.images))
                output = model.forward(x)
            finally:
                share.set(None)
            loss, correct = cost.forward(output, y), right(output, y)
            # Weighted on its way into the model: a layer that sums over the batch needs the batch's own.
            model.backward(cost.backward() * weight, input_grad=False)
            return self._summed.fill(model, 1.0, weight * loss, correct, asked and i == 0).copy()

        return run


def in_step(parts: list[Part], add_parts: Callable[[Array], Array]) -> list[Array]:
    """Run parts, one at a time; at each `meet` all wait until the sum over every rank's parts is there."""
    runs = [_Run(part) for part in parts]
    try:
        total: Array | None = None
        while True:
            arrays = [run.go_on(total) for run in runs]
            waiting = [a for a in arrays if a is not None]
            if not waiting:
                return [run.result for run in runs]
            if len(waiting) < len(runs) or len({a.shape for a in waiting}) > 1:
                raise RuntimeError("ranks: expected the same layers for every part of a batch, got different ones")
            total = add_parts(np.stack([a.ravel() for a in waiting])).reshape(waiting[0].shape)
    finally:
        for run in runs:
            run.end()


class _Left(BaseException):
    """Raised where a part waits that is not to go on."""


class _Run:
    """One part in a thread of its own, which runs while the others wait."""

    def __init__(self, part: Part) -> None:
        self.result: Any = None
        self._part = part
        self._error: BaseException | None = None
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._given: Array | None = None  # what the part has come to a meeting with
        self._total: Array | None = None
        self._left = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self._thread.start()

    def go_on(self, total: Array | None) -> Array | None:
        """Let it run to its next meeting, and return what it has for that; None: it came to its end."""
        self._total, self._given = total, None
        self._mine.release()
        self._theirs.acquire()
        if self._error is not None:
            raise self._error
        return self._given

    def end(self) -> None:
        """Leave the part where it waits."""
        self._left = True
        self._mine.release()
        self._thread.join()

    def _meet(self, array: Array) -> Array:
        self._given = array
        self._theirs.release()
        self._mine.acquire()
        if self._left:
            raise _Left
        assert self._total is not None
        return self._total

    def _run(self) -> None:
        self._mine.acquire()
        try:
            if not self._left:
                meet.set(self._meet)
                self.result = self._part()
        except _Left:
            return
        except BaseException as error:
            self._error = error
        self._theirs.release()

"""The training loop: passes, their updates, and what is kept for a bad end."""

import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from .._check import Array
from ._arguments import not_negative
from ._exact import ExactUpdate
from ._gradient_sum import GradientSum
from ._interrupt import Interrupt
from ._layer import Layer
from ._log import Log
from ._progress import Progress
from ._share import share
from ._source import Batch, Images, Source
from .checkpoint import FORMAT, Checkpoints, State, learnt, momenta, put_back
from .cost import Cost
from .evaluate import Tally, measure, right
from .history import Epoch, History
from .optimizer import Optimizer
from .parallel import Ranks
from .schedule import Schedule


@dataclass
class Training:
    """One call of `fit`, its arguments checked; `run` does it.

    Where it stands is always within a pass, whose number is that of the passes in the history. What ends a pass
    (validation, the line in the log, `on_epoch`) is done again by who goes on from a checkpoint of its last update.
    """

    model: Layer
    cost: Cost
    optimizer: Optimizer
    source: Source
    images: Images
    random: np.random.Generator
    updates: int | None  # how many are to be done; or
    epochs: int | None
    validation: tuple[Array, Array] | None
    schedule: Schedule | None
    on_epoch: Callable[[Epoch], object] | None
    bar: Progress
    log: Log
    checkpoints: Checkpoints | None
    described: dict[str, str]
    ranks: Ranks | None

    history: History = field(default_factory=History)
    batches: int = 0  # done of the pass
    seconds: float = 0.0  # that they took
    passes: int = 0  # that came to their end

    def __post_init__(self) -> None:
        self.tally = Tally(self.cost)
        self.began = self.random.bit_generator.state  # when the pass began, before its order was drawn
        self._summed = None if self.ranks is None else GradientSum(self.ranks, self.model, numbers=3)
        self._exact: ExactUpdate | None = None  # made when the training begins, of a model that is as all ranks have it
        self._generators: dict[str, Any] = {}  # a checkpoint's states, to be set after the order is drawn
        self._good: dict[str, Array] = {}
        self._keep = False  # whether the next finite cost speaks for weights that are to be kept
        self._asked = False  # Ctrl-C, on any rank

    def run(self) -> History:
        """Train; returns the history."""
        stopped, history = False, self.history
        self.model.train()
        try:
            with ExitStack() as held, Interrupt() as interrupt, self.bar, _reusing(self.model, self.cost, True):
                self._start(held)
                # A checkpoint's last pass is still to be ended, even if no update is left.
                while self.batches or not (self._finished or self._asked or stopped):
                    self._pass(interrupt)
                    stopped = self._end_of_pass(interrupt)
            history.stopped = stopped
            history.interrupted |= not (self._finished or stopped)
        except BaseException as error:
            diverged = isinstance(error, FloatingPointError)
            if diverged and self._good:
                for name, array in learnt(self.model).items():
                    array[...] = self._good[name]
            self.log.end("diverged" if diverged else "failed", history.updates, f"{type(error).__name__}: {error}")
            raise
        finally:
            self.model.eval()
        self.log.end("stopped" if stopped else "interrupted" if history.interrupted else "done", history.updates)
        return history

    @property
    def _finished(self) -> bool:
        if self.updates is not None:
            return self.history.updates >= self.updates
        return self.epochs is not None and self.passes >= self.epochs

    # ------------------------------------------------------------------------------------ passes

    def _start(self, held: ExitStack) -> None:
        """Go on from a checkpoint, where there is one, and let all ranks begin alike; `held` gets the folder's lock."""
        ranks, checkpoints = self.ranks, self.checkpoints
        found = None
        if ranks is not None:
            ranks.agree(self.described | {"exact": str(ranks.exact)})
        if checkpoints is not None:

            def newest() -> State | None:
                held.enter_context(checkpoints.locked())
                return checkpoints.newest(self.described)

            found = newest() if ranks is None else ranks.first(newest)
        if found is not None:
            self._go_on(found)
            self.history.resumed = self.history.updates
        elif ranks is not None:
            self._go_on(ranks.first(self._state))
        if ranks is not None and ranks.exact:
            assert self._summed is not None
            self._exact = ExactUpdate(ranks, self.model, self.cost, self._summed)
        self._keep_good()
        begin = partial(self.log.start, self.history.epochs)
        if ranks is None:
            begin()
        else:
            ranks.first(begin)  # all have the error, so that it is told once
        self.bar.begin(self.history.updates)

    def _pass(self, interrupt: Interrupt) -> None:
        """The pass's updates that are left, or as many as are wanted."""
        history = self.history
        self.began = self.random.bit_generator.state
        stream = self.source.batches(len(history.epochs), self.batches, history.updates + 1)
        for name, generator in self.model.generators.items() if self._generators else ():
            generator.bit_generator.state = self._generators[name]
        self._generators = {}
        left = None if self.updates is None else self.updates - history.updates
        every = None if self.checkpoints is None else self.checkpoints.every
        self._keep = history.updates > 0
        start = time.perf_counter() - self.seconds
        for batch in islice(stream, left):
            self._asked = self._update(batch, interrupt)
            if every is not None and history.updates % every == 0:
                self.seconds = time.perf_counter() - start
                self._save()
            if self._asked:
                break
        else:
            self.passes += 1  # counted where `epochs` are, and nothing but their end ends the stream
        self.seconds = time.perf_counter() - start

    def _update(self, batch: Batch, interrupt: Interrupt) -> bool:
        """Forward, cost, backward and one step; whether Ctrl-C came."""
        model, optimizer, history = self.model, self.optimizer, self.history
        loss, correct, asked = self._differentiated(batch, interrupt)
        if self._keep:
            self._check_weights()
            self._keep_good()
        factor = 1.0
        if self.schedule is not None:
            done = optimizer.updates
            factor = not_negative(f"schedule({done})", self.schedule(done))
        with interrupt.shield():
            optimizer.step(model, factor)
        history.losses.append(loss)
        self.batches += 1
        self.tally.add(loss, batch.images, correct)
        self.bar.show(history.updates, loss, self.tally)
        return interrupt.asked if self._summed is None else asked > 0

    def _differentiated(self, batch: Batch, interrupt: Interrupt) -> tuple[float, float, float]:
        """The model's gradients, of all ranks; the cost, right answers, and whether Ctrl-C came to any before."""
        model, cost, update = self.model, self.cost, f"update {self.history.updates + 1}"
        if self._exact is not None:
            loss, correct, asked = self._exact(batch, interrupt.asked)
            self._check_cost(loss, update)
            return loss, correct, asked
        try:
            share.set(batch.share)
            output = model.forward(batch.x)
        finally:
            share.set(None)
        loss = cost.forward(output, batch.y)
        correct = right(output, batch.y)
        if self._summed is None:
            self._check_cost(loss, update)
            model.backward(cost.backward(), input_grad=False)
            return loss, correct, False
        model.backward(cost.backward(), input_grad=False)
        # The mean of a share's terms is their sum over its images; the batch's has all images below the line.
        weight = len(batch.x) / batch.images if cost.reduction == "mean" else 1.0
        loss, correct, asked = self._summed(weight, weight * loss, correct, interrupt.asked)
        self._check_cost(loss, update)
        return loss, correct, asked

    def _end_of_pass(self, interrupt: Interrupt) -> bool:
        """Validate, tell, and begin the next; whether `on_epoch` wants none."""
        history, ranks, tally = self.history, self.ranks, self.tally
        if self.checkpoints is not None and (self._finished or self._asked or self.checkpoints.every is None):
            self._save()
        else:
            self._check_weights()
        interrupt.asked |= self._asked
        measured: tuple[float | None, float | None] = None, None
        if self.validation is not None:
            x, y = self.validation
            exact = ranks is not None and ranks.exact
            rows = [slice(None)] if ranks is None else ranks.parts(len(x)) if exact else [ranks.share(len(x))]
            tests = [measure(self.model, self.cost, x[r], y[r], stop=lambda: interrupt.asked) for r in rows]
            test = tests[0]
            if ranks is not None:
                numbers = [one.numbers for one in tests]
                summed = ranks.add_parts(np.array(numbers, np.float64)).tolist() if exact else ranks.total(numbers[0])
                test = Tally(self.cost, summed)
            if test.images == len(x):
                self._check_cost(test.loss, f"the validation after update {history.updates}")
                measured = test.loss, test.accuracy
            else:
                history.interrupted = True
        epoch = Epoch(history.updates, tally.images, self.seconds, tally.loss, tally.accuracy, *measured)
        self.log.epoch(epoch)
        stop = False
        if self.on_epoch is not None and (ranks is None or ranks.rank == 0):
            self.bar.clear()
            with _reusing(self.model, self.cost, False):
                said = self.on_epoch(epoch)
                stop = isinstance(said, (bool, np.bool_)) and bool(said)
        self._asked = interrupt.asked
        if ranks is not None:
            stop, self._asked = self._agreed(ranks, stop, interrupt.asked)
        if stop and self.checkpoints is not None:
            self._save()
        history.epochs.append(epoch)
        self.batches, self.seconds, self.tally = 0, 0.0, Tally(self.cost)
        if self.updates is None and self.epochs is not None and self.passes:
            self.bar.total = history.updates * self.epochs // self.passes
        return stop

    def _agreed(self, ranks: Ranks, stop: bool, asked: bool) -> tuple[bool, bool]:
        """Whether any rank wants to stop, or was asked to; all must have the same weights."""
        checksum = 0
        for w in self.model.parameters.values():
            checksum = zlib.crc32(np.ascontiguousarray(w).tobytes(), checksum)
        stops, asks, checksums = ranks.total((stop, asked, checksum))
        if checksums != ranks.size * checksum:
            raise RuntimeError("ranks: expected the same weights on all of them, got different ones; is MPI the same?")
        return stops > 0, asks > 0

    # ------------------------------------------------------------------------------------ what is kept

    def _keep_good(self) -> None:
        """Keep the weights as they are, over those that were kept."""
        self._keep = False
        for name, array in learnt(self.model).items():
            if name in self._good:
                np.copyto(self._good[name], array)
            else:
                self._good[name] = array.copy()

    def _state(self) -> State:
        history = self.history
        arrays = learnt(self.model) | momenta(self.optimizer) | {"losses": np.array(history.losses, np.float64)}
        rest = {
            "format": FORMAT,
            "run": self.described,
            "optimizer": self.optimizer.updates,
            "random": self.began,
            "generators": {name: one.bit_generator.state for name, one in self.model.generators.items()},
            "augment": self.images.seed,
            "epochs": [asdict(epoch) for epoch in history.epochs],
            "batches": self.batches,
            "seconds": self.seconds,
            "tally": self.tally.numbers,
        }
        return State(arrays, rest)

    def _go_on(self, state: State) -> None:
        """Stand where `state` was taken."""
        history, arrays, rest = self.history, state.arrays, state.rest
        wanted, done = self.updates, len(arrays["losses"])
        if wanted is None:
            wanted, done = self.epochs, len(rest["epochs"])
        if wanted is not None and done > wanted:
            raise ValueError(f"updates, epochs: expected at least the {done} that the checkpoint has, got {wanted}")
        for name, array in learnt(self.model).items():
            array[...] = arrays[name]
        put_back(self.optimizer, rest["optimizer"], arrays)
        self.random.bit_generator.state = rest["random"]
        self._generators = rest["generators"]
        self.images.seed = rest["augment"]
        history.losses[:] = arrays["losses"].tolist()
        history.epochs[:] = [Epoch(**epoch) for epoch in rest["epochs"]]
        self.passes, self.batches, self.seconds = len(history.epochs), rest["batches"], rest["seconds"]
        self.tally = Tally(self.cost, rest["tally"])

    def _save(self) -> None:
        """A checkpoint, of weights that are numbers."""
        self._check_weights()
        assert self.checkpoints is not None
        self._keep = True
        if self.ranks is None or self.ranks.rank == 0:
            self.checkpoints.write(self.history.updates, self._state())

    def _check_weights(self) -> None:
        """Raise where a weight is no number, or a running statistic: a cost in training mode does not show those."""
        for name, w in (*self.model.parameters.items(), *self.model.buffers.items()):
            flat = w.reshape(-1)  # of several axes old releases of NumPy would have a buffer
            if w.size and not (np.isfinite(flat.min()) and np.isfinite(flat.max())):  # which allocate nothing
                raise FloatingPointError(f"update {self.history.updates}: {name} is not finite any more; {_ADVICE}")

    def _check_cost(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(f"{where}: the cost is {loss}; {_ADVICE}")


_ADVICE = (
    "try a smaller learning rate, images scaled to 0..1, another seed, "
    "and look for numbers in the images and targets that are not finite"
)


@contextmanager
def _reusing(model: Layer, cost: Cost, on: bool) -> Iterator[None]:
    """A block in which the model and the cost reuse their buffers, or do not; afterwards each does what it did before.

    Who is given arrays in a block in which they are not reused has them for good.
    """
    switched = [one for one in (model, cost) if one.reuses_buffers is not on]
    try:
        for one in switched:
            one.reuse_buffers(on)
        yield
    finally:
        for one in switched:
            one.reuse_buffers(not on)

"""Training: mini-batches, passes, and a way to stop."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from ..ops import _check
from ..ops._check import Array
from ..ops._plan import Buffers
from ._arguments import Seed, generator, instance, not_negative
from ._interrupt import Interrupt
from ._layer import Layer
from ._progress import Progress
from .cost import Cost
from .evaluate import Tally, batches, examples, measure
from .history import Epoch, History
from .optimizer import Optimizer
from .schedule import Schedule


def fit(
    model: Layer,
    cost: Cost,
    optimizer: Optimizer,
    x: Array,
    y: Array,
    *,
    batch_size: int,
    updates: int | None = None,
    epochs: int | None = None,
    validation: tuple[Array, Array] | None = None,
    seed: Seed = None,
    shuffle: bool = True,
    schedule: Schedule | None = None,
    progress: bool | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
) -> History:
    """Train a model on mini-batches (G1), in place.

    An update is: forward, cost, backward, one step of the optimiser. The images are put in a new order
    for each pass; a pass's last batch may be smaller. Whatever modes its layers had, the whole model
    trains in training mode and is in evaluation mode afterwards.

    Ctrl-C keeps what was learnt: the current update ends, a validation is left out, and the history says
    `interrupted`. A second Ctrl-C raises KeyboardInterrupt, but never in the middle of a change of the weights.

    Images, targets, outputs and gradients of an update are written over those of the update before
    (`Layer.reuse_buffers`): a layer or cost of one's own that keeps one for longer copies it. What `on_epoch`
    finds in the model stays as it is.

    Parameters
    ----------
    model : Layer
    cost : Cost
    optimizer : Optimizer
    x : array (N, ...), of the model's dtype
    y : array (N, ...)
        Targets, as the cost takes them.
    batch_size : int
        More than N counts as N.
    updates, epochs : int
        How many updates, or how many passes; exactly one of the two (CN's train(epoch=10000) counts updates).
    validation : (x, y) or None
        Other images, on which the model is evaluated after each pass.
    seed : int, SeedSequence, Generator or None
        Where the orders are drawn from; None draws fresh ones.
    shuffle : bool
        False keeps the images' order.
    schedule : callable or None
        Updates done by the optimiser -> factor on its learning rate, at least 0.
    progress : bool or None
        False never shows a progress bar; otherwise there is one where stderr is a terminal.
    on_epoch : callable or None
        Called with each Epoch at its end; that it returns True, and nothing else, ends the training.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        An argument of another type, out of its range or of a shape that does not fit; what the ops raise.
    FloatingPointError
        A cost is infinite or no number; the message says at which update.

    Examples
    --------
    >>> import cnnx.data
    >>> from cnnx import nn
    >>> data = cnnx.data.ox_images("six")
    >>> model, cost = nn.ox_network(), nn.SquaredError(reduction="sum")
    >>> history = nn.fit(model, cost, nn.SGD(0.1), data.images, data.labels, batch_size=6, updates=100)
    >>> [round(loss, 4) for loss in history.losses[:1]], history.epochs[-1].accuracy
    ([1.9818], 1.0)
    """
    instance("model", model, Layer)
    instance("cost", cost, Cost)
    instance("optimizer", optimizer, Optimizer)
    for name, function in ("schedule", schedule), ("on_epoch", on_epoch):
        if function is not None and not callable(function):
            raise TypeError(f"{name}: expected a function or None, got {type(function).__name__}")
    _check.flag("shuffle", shuffle)
    if progress is not None:
        _check.flag("progress", progress)
    x, y = examples("x", x, "y", y)
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation: expected (x, y), got {type(validation).__name__}")
        validation = examples("validation[0]", validation[0], "validation[1]", validation[1])
    batch_size = min(_check.integer("batch_size", batch_size, 1), len(x))
    slices = list(batches(len(x), batch_size))
    if (updates is None) == (epochs is None):
        raise ValueError(f"updates, epochs: expected exactly one of the two, got {updates} and {epochs}")
    if epochs is None:
        total = _check.integer("updates", updates, 1)
    else:
        total = _check.integer("epochs", epochs, 1) * len(slices)
    random = generator(seed)

    history = History()
    lent = Buffers()
    model.train()
    try:
        with (
            Interrupt() as interrupt,
            Progress(total, wanted=progress is None or bool(progress)) as bar,
            _reusing(model, cost, True),
        ):
            while history.updates < total and not interrupt.asked:
                order = random.permutation(len(x)) if shuffle else np.arange(len(x))
                tally = Tally(cost)
                start = time.perf_counter()
                for rows in slices[: total - history.updates]:
                    batch, target = _taken(lent.start(), order[rows], x, y)
                    output = model.forward(batch)
                    loss = _finite(cost.forward(output, target), "update", history.updates + 1)
                    model.backward(cost.backward(), input_grad=False)
                    factor = 1.0
                    if schedule is not None:
                        done = optimizer.updates
                        factor = not_negative(f"schedule({done})", schedule(done))
                    # NumPy's warning of an overflow would come before the next cost's error, which says more.
                    with interrupt.shield(), np.errstate(over="ignore", invalid="ignore"):
                        optimizer.step(model, factor)
                    history.losses.append(loss)
                    tally.add(loss, output, target)
                    bar.show(history.updates, loss)
                    if interrupt.asked:
                        break
                seconds = time.perf_counter() - start
                measured: tuple[float | None, float | None] = None, None
                if validation is not None:
                    test = measure(model, cost, *validation, stop=lambda: interrupt.asked)
                    if test.images == len(validation[0]):
                        _finite(test.loss, "the validation after update", history.updates)
                        measured = test.loss, test.accuracy
                    else:
                        history.interrupted = True
                epoch = Epoch(history.updates, tally.images, seconds, tally.loss, tally.accuracy, *measured)
                history.epochs.append(epoch)
                if on_epoch is not None:
                    bar.clear()
                    with _reusing(model, cost, False):
                        if on_epoch(epoch) is True:
                            total = history.updates
            history.interrupted |= history.updates < total
    finally:
        model.eval()
    return history


def _taken(lent: Buffers, order: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """These rows of the images and of the targets."""
    rows = len(order)
    batch, target = lent.lend((rows, *x.shape[1:]), x.dtype), lent.lend((rows, *y.shape[1:]), y.dtype)
    # The order holds no other rows than there are; mode="raise" would make a copy of what it fills.
    x.take(order, axis=0, out=batch, mode="clip")
    y.take(order, axis=0, out=target, mode="clip")
    return batch, target


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


def _finite(loss: float, where: str, updates: int) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"{where} {updates}: the cost is {loss}; try a smaller learning rate, images scaled to 0..1, another seed, "
            "and look for numbers in the images and targets that are not finite"
        )
    return loss

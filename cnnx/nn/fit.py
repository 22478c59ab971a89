"""Training: mini-batches, passes, and ways to stop, to go on and to share the work."""

import copy
import os
from collections.abc import Callable

import numpy as np

from .. import _check, get_backend
from .._check import Array
from ._arguments import Seed, generator, instance
from ._layer import Layer
from ._log import Log
from ._progress import Progress
from ._source import Arrays, Augment, Factory, Images, Source, Yielded
from ._training import Training
from .checkpoint import Checkpoints, described, sampled
from .cost import Cost
from .evaluate import examples
from .history import Epoch, History
from .layers import BatchNorm2d
from .optimizer import Optimizer
from .parallel import Ranks
from .schedule import Schedule


def fit(
    model: Layer,
    cost: Cost,
    optimizer: Optimizer,
    x: Array | None = None,
    y: Array | None = None,
    *,
    batch_size: int | None = None,
    batches: Factory | None = None,
    updates: int | None = None,
    epochs: int | None = None,
    validation: tuple[Array, Array] | None = None,
    seed: Seed = None,
    shuffle: bool = True,
    schedule: Schedule | None = None,
    augment: Augment | None = None,
    progress: bool | None = None,
    on_epoch: Callable[[Epoch], object] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | None = None,
    keep: int = 3,
    log: str | os.PathLike[str] | None = None,
    ranks: Ranks | None = None,
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

    **Checkpoints.** With `checkpoint` the same call, made again after whatever ended the first (SIGKILL too), goes on
    from the newest checkpoint in that folder and comes to the same bits as one that was never stopped: weights, running
    statistics, the optimiser's momenta, random states, the place in the shuffled pass and the history. Only `updates`
    or `epochs` may differ: more of them train on. Another model, cost, optimiser, schedule, augmentation, seed, batch
    size or back end, or other data (of which some rows are compared) are a ValueError that says what differs. A damaged
    file is left out, with a warning in the log of the standard library's `logging.getLogger("cnnx")`, and the one
    before it is used; that none can be read is a ValueError. Functions are known by their names alone, and what
    `on_epoch`, an optimiser or a layer of one's own keeps, but for parameters, buffers and generators, is not saved.

    **Log.** A line of JSON for each pass, {"event": "epoch", "epoch": its number from 1, then the names of `Epoch`
    (null for None), "images_per_second"}, and one at the end, {"event": "end", "reason": "done", "interrupted",
    "stopped", "diverged" or "failed", "updates", "epochs", "message": of an error, or null}. A file that is there is
    written anew; with the passes that a checkpoint has, if the training goes on from one.

    Parameters
    ----------
    model : Layer
    cost : Cost
    optimizer : Optimizer
    x : array (N, ...), of the model's dtype
        A memory map will do (`np.load(path, mmap_mode="r")`): rows are read when they are wanted, a batch at a time.
    y : array (N, ...)
        Targets, as the cost takes them.
    batch_size : int
        More than N counts as N.
    batches : callable or None
        Instead of x, y and batch_size: pass's number, counted from 0 -> iterable of the pass's (x, y) batches, in
        their order. To go on from a checkpoint it has to yield the same for the same number; what was used is skipped.
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
    augment : callable or None
        (images of a batch, Generator) -> as many images, to train on instead. The generator is made anew for each
        update, from the seed and the update's number.
    progress : bool or None
        False never shows a progress bar; otherwise there is one where stderr is a terminal.
    on_epoch : callable or None
        Called with each Epoch at its end; that it returns True, and nothing else, ends the training.
    checkpoint : path or None
        A folder for this run's checkpoints, and no other's (`cnnx.nn.checkpoint` says what is in them). While a
        training runs, a second one in its folder is a ValueError.
    every : int or None
        Updates from one checkpoint to the next; None writes them at the end of each pass. One more is written
        at the end of the training, and after Ctrl-C.
    keep : int
        How many of the newest checkpoints stay.
    log : path or None
        A file for the log, as above.
    ranks : Ranks or None
        The processes that share each batch; see `Ranks`. None trains alone. `Ranks(exact=True)` gives the same bits on
        any number of them up to 8, one included.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        An argument of another type, out of its range or of a shape that does not fit; what the ops raise. A last batch
        of one image that batch normalisation cannot take is refused before the first update.
    FloatingPointError
        A cost is infinite or no number, a weight or a running statistic; the message says at which update. The model
        then has the weights of the pass's beginning again, or of the last checkpoint if that came later; the optimiser
        is not wound back.
    OSError
        A log or checkpoint cannot be written.

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
    functions = {"batches": batches, "schedule": schedule, "augment": augment, "on_epoch": on_epoch}
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name}: expected a function or None, got {type(function).__name__}")
    _check.flag("shuffle", shuffle)
    if progress is not None:
        _check.flag("progress", progress)
    for name, path in ("checkpoint", checkpoint), ("log", log):
        if path is not None and not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"{name}: expected a path or None, got {type(path).__name__}")
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError(f"validation: expected (x, y), got {type(validation).__name__}")
        validation = examples("validation[0]", validation[0], "validation[1]", validation[1])
    if batches is None:
        x, y = examples("x", x, "y", y)
        batch_size = min(_check.integer("batch_size", batch_size, 1), len(x))
    elif not (x is None and y is None and batch_size is None):
        raise ValueError("batches: expected without x, y and batch_size, which it replaces, got it with one of them")
    if (updates is None) == (epochs is None):
        raise ValueError(f"updates, epochs: expected exactly one of the two, got {updates} and {epochs}")
    updates = None if updates is None else _check.integer("updates", updates, 1)
    epochs = None if epochs is None else _check.integer("epochs", epochs, 1)
    ranks = _several(ranks, model)
    checkpoints = None if checkpoint is None else Checkpoints(checkpoint, every, keep)
    if checkpoints is None and every is not None:
        raise ValueError(f"every: expected with checkpoint only, got {every}")

    random = generator(seed)
    # Of a copy: without augmentation the orders would otherwise be others than with it.
    images = Images(augment, int(copy.deepcopy(random).integers(2**63)), ranks)
    source: Source
    if batches is not None:
        source = Yielded(batches, images)
    else:
        assert x is not None
        assert y is not None
        assert batch_size is not None
        source = Arrays(x, y, batch_size, random if shuffle else None, images)
        if epochs is not None:
            updates = epochs * source.length
        if len(x) % batch_size == 1 % batch_size and (updates or 0) >= source.length:
            _check_single(model, Images(augment, images.seed, None).batch(x[:1], y[:1], 1).x, batch_size, len(x))
    run: dict[str, object] = {"model": model, "cost": cost, "optimizer": optimizer, "back end": get_backend()}
    run |= functions | {"seed": seed, "batch_size": batch_size, "shuffle": shuffle}
    del run["on_epoch"]
    words = {name: described(value) for name, value in run.items()}
    if checkpoints is not None or ranks is not None:
        words["weights"] = ", ".join(f"{name} {w.dtype} {w.shape}" for name, w in model.parameters.items())
        words["data"] = "-" if x is None or y is None else sampled(x, y)
        words["validation"] = "-" if validation is None else sampled(*validation)
    first = ranks is None or ranks.rank == 0
    return Training(
        model=model,
        cost=cost,
        optimizer=optimizer,
        source=source,
        images=images,
        random=random,
        updates=updates,
        epochs=epochs,
        validation=validation,
        schedule=schedule,
        on_epoch=on_epoch,
        bar=Progress(updates, wanted=first and progress is not False),
        log=Log(log if first else None),
        checkpoints=checkpoints,
        described=words,
        ranks=ranks,
    ).run()


def _check_single(model: Layer, image: Array, batch_size: int, images: int) -> None:
    """Raise, before the first update, where a batch of one image cannot be trained on.

    Batch normalisation on maps of one pixel has one number per channel then. A copy of the model tries it, as running
    statistics and generators have to stay as they are.
    """
    if not any(isinstance(layer, BatchNorm2d) for layer in model._walk()):
        return
    try:
        copy.deepcopy(model).train().forward(np.array(image))
    except ValueError as error:
        raise ValueError(
            f"batch_size: expected no batch of one image for this model, got {batch_size} for {images} images, whose "
            f"last batch is one: {error}"
        ) from error


def _several(ranks: Ranks | None, model: Layer) -> Ranks | None:
    """The ranks, if there are others than this one or they are exact, and the model is one that they can train."""
    if ranks is None:
        return None
    instance("ranks", ranks, Ranks)
    if ranks.exact:
        known = sum(len(layer.buffers) for layer in model._walk() if isinstance(layer, BatchNorm2d))
        if known != len(model.buffers):
            raise ValueError(
                "ranks: expected running statistics of BatchNorm2d alone, got a model that has others too: "
                f"{', '.join(model.buffers)}"
            )
        return ranks
    if ranks.size == 1:
        return None
    if model.buffers:
        raise ValueError(
            f"ranks: expected a model without running statistics, got one with {', '.join(model.buffers)}; "
            "each rank would have those of its share alone: train it with Ranks(exact=True), on one rank, or without "
            "batch normalisation"
        )
    return ranks

"""CN's look at filters: what convolutions of 3x3, 5x5 and 7x7 learn of digits."""

from functools import partial

from .. import nn, plot
from .._check import integer
from ..data import Split
from ..nn._arguments import Seed
from ._report import Report
from ._runs import Plan, Runs, Say, common_settings

_TEXT = """The CN note trains its CNN (two convolutions with 4 channels, one hidden layer of 20 units) with filters of
3x3, 5x5 and 7x7 and looks at what both convolutions have learnt. Each grid has a column for each filter and a row for
each channel that comes in; orange adds, purple subtracts, white leaves out."""


def filters(
    split: Split,
    *,
    sizes: tuple[int, ...] = (3, 5, 7),
    updates: int = 10_000,
    batch_size: int = 10,
    learning_rate: float = 0.1,
    seed: int = 0,
    say: Say = lambda text: None,
    progress: bool | None = False,
) -> Report:
    """Train CN's CNN with filters of several sizes; the filters of both convolutions in one picture.

    Parameters
    ----------
    split : Split
        Images (N, 1, H, W) and labels; `cnnx.data.mnist(...).split()` is CN's.
    sizes : tuple of int
        Of the filters of both convolutions; one network for each.
    updates, batch_size, learning_rate, seed
        Of each network.
    say, progress
        As `mlp_vs_cnn` takes them.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; what `cnnx.nn.fit` raises.
    KeyboardInterrupt
        Ctrl-C came before a single run was finished.
    """
    image = split.x_train.shape[1:]
    classes = 1 + int(split.y_train.max())
    options = dict(updates=updates, batch_size=batch_size)
    builders = {
        f"{size}x{size}": partial(_network, image, classes, integer("sizes", size, 1), split.x_train.dtype.name)
        for size in sizes
    }
    if not builders:
        raise ValueError("sizes: expected at least one, got none")
    runs = Runs()
    runs.make(
        (Plan(name, seed, build, lambda: nn.SGD(learning_rate), options) for name, build in builders.items()),
        split,
        say,
        progress,
    )
    layers = {}
    for name, (run,) in runs.done.items():
        convolutions = [layer for layer in run.model.layers if isinstance(layer, nn.Conv2d)]
        for which, layer in zip(("first", "second"), convolutions, strict=True):
            layers[f"{name}, {which} convolution"] = layer
    caption = "Filters of the first convolution (left) and of the second (right), for each size of filters."
    return Report(
        name="filters",
        title="Filters that CN's CNN learns",
        settings=common_settings(
            split, sizes=list(sizes), seed=seed, updates=updates, batch_size=batch_size, learning_rate=learning_rate
        ),
        results={
            name: {
                **found,
                "filters": [
                    layers[f"{name}, {which} convolution"].parameters["weight"].tolist()
                    for which in ("first", "second")
                ],
            }
            for name, found in runs.results().items()
        },
        text=(_TEXT, runs.table()),
        figures=((caption, plot.filters(layers, columns=2)),),
        interrupted=runs.interrupted,
    )


def _network(image: tuple[int, int, int], classes: int, size: int, dtype: str, seed: Seed) -> nn.Sequential:
    return nn.cnn(image, classes, kernel_size=size, dtype=dtype, seed=seed)

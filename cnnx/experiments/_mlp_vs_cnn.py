"""CN's comparison: its CNN and its MLP, trained alike on the same images."""

from .. import nn, plot
from .._check import integer
from ..data import Split
from ._report import Report, percent
from ._runs import Plan, Runs, Say, common_settings

_TEXT = """The CN note's comparison. Its CNN has two convolutions 3x3 with 4 channels, each with ReLU and max pooling,
and one hidden layer of 20 units; its MLP has three hidden layers of 20 units. Both are trained with stochastic gradient
descent on the same images, and with the same seeds; the test images are never trained on."""


def mlp_vs_cnn(
    split: Split,
    *,
    repetitions: int = 5,
    updates: int = 10_000,
    batch_size: int = 10,
    learning_rate: float = 0.1,
    seed: int = 0,
    say: Say = lambda text: None,
    progress: bool | None = False,
) -> Report:
    """Train CN's CNN and CN's MLP with the seeds seed, seed + 1, ...; curves of mean and spread in one picture.

    Repetition by repetition, so that Ctrl-C leaves as many runs of the one as of the other, or one more.

    Parameters
    ----------
    split : Split
        Images (N, 1, H, W) and labels; `cnnx.data.mnist(...).split()` is CN's.
    repetitions, updates, batch_size, learning_rate, seed
        Of each of the two networks. CN trains the MLP five times as long, and each once.
    say : callable
        Is given a line of text for each run that was finished.
    progress : bool or None
        As `cnnx.nn.fit` takes it.

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
    integer("repetitions", repetitions, 1)
    image = split.x_train.shape[1:]
    classes = 1 + int(split.y_train.max())
    builders = {
        "CNN": lambda weights: nn.cnn(image, classes, dtype=split.x_train.dtype, seed=weights),
        "MLP": lambda weights: nn.mlp(
            split.x_train[0].size, classes, hidden_sizes=(20, 20, 20), dtype=split.x_train.dtype, seed=weights
        ),
    }
    options = dict(updates=updates, batch_size=batch_size)
    runs = Runs()
    runs.make(
        (
            Plan(name, seed + i, build, lambda: nn.SGD(learning_rate), options)
            for i in range(repetitions)
            for name, build in builders.items()
        ),
        split,
        say,
        progress,
    )
    results = runs.results()
    text = [_TEXT, runs.table()]
    if len(results) == 2:
        ahead = results["CNN"]["mean"] - results["MLP"]["mean"]
        text.append(f"The CNN's mean is {100 * ahead:.2f} percentage points above the MLP's.")
        title = f"test accuracy: CNN {percent(results['CNN']['mean'])}, MLP {percent(results['MLP']['mean'])}"
    else:
        title = "CN's networks"
    caption = "Loss and accuracy on the test images: mean of the runs, and a band from the lowest to the highest."
    return Report(
        name="mlp-vs-cnn",
        title="CN's CNN and MLP",
        settings=common_settings(
            split,
            seeds=list(range(seed, seed + repetitions)),
            updates=updates,
            batch_size=batch_size,
            learning_rate=learning_rate,
        ),
        results=results,
        text=tuple(text),
        figures=((caption, plot.learning_curves(runs.histories, title)),),
        interrupted=runs.interrupted,
    )

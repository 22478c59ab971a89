"""A recipe for 99 % with 9,000 images: augmentation, batch normalisation, Adam and a falling learning rate."""

import statistics
from typing import Any

from .. import nn, plot
from .._check import integer
from ..data import Augmentation, Split
from ..nn._arguments import Seed, generator
from ._report import Report, percent
from ._runs import Plan, Runs, Say, common_settings

_TEXT = """Three stages of two convolutions 3x3 with 16, 32 and 64 channels, each convolution with batch normalisation
and ReLU, each stage with max pooling; then dropout and one affine layer. Adam, with a learning rate that falls along a
cosine to zero. In each pass every training image is shifted, turned and bent anew; the test images are left as they
are, and are never trained on."""

_CHANNELS = 16, 32, 64


def augmented(
    split: Split,
    *,
    repetitions: int = 3,
    updates: int = 3600,
    batch_size: int = 50,
    learning_rate: float = 0.002,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
    progress: bool | None = False,
) -> Report:
    """Train a network of 77,786 parameters (of 28x28 images) on augmented images, with seeds seed, seed + 1, ...

    Parameters
    ----------
    split : Split
        Images (N, C, H, W) of at least 8x8 pixels, and labels; `cnnx.data.mnist(...).split()` is CN's.
    repetitions, updates, batch_size, learning_rate, seed
        Of the network; 3,600 updates are 20 passes over 9,000 images.
    augmentation : Augmentation or None
        None shifts by up to 2 pixels, turns by up to 10 degrees, and bends by 0.8 pixels.
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
    integer("repetitions", repetitions, 1)
    integer("updates", updates, 1)
    if augmentation is None:
        augmentation = Augmentation(shift=2, rotation=10, elastic=0.8)
    image = split.x_train.shape[1:]
    if min(image[1:]) < 8:
        raise ValueError(f"split: expected images of at least 8 x 8 pixels, got {image[1]} x {image[2]}")
    classes = 1 + int(split.y_train.max())
    options: dict[str, Any] = dict(
        updates=updates, batch_size=batch_size, schedule=nn.CosineSchedule(updates), augment=augmentation
    )

    def build(weights: Seed) -> nn.Sequential:
        return _network(image, classes, split.x_train.dtype.name, weights)

    runs = Runs()
    runs.make(
        (Plan("CNN", seed + i, build, lambda: nn.Adam(learning_rate), options) for i in range(repetitions)),
        split,
        say,
        progress,
    )
    made = runs.done["CNN"]
    last = made[-1].model
    outputs = nn.predict(last, split.x_test)
    mean = statistics.fmean(run.accuracy for run in made)
    of_last = f"of seed {made[-1].seed}"
    return Report(
        name="augmented",
        title="More from 9,000 images: augmentation",
        settings=common_settings(
            split,
            seeds=list(range(seed, seed + repetitions)),
            updates=updates,
            batch_size=batch_size,
            learning_rate=learning_rate,
            shift=augmentation.shift,
            rotation=augmentation.rotation,
            elastic=augmentation.elastic,
            smoothness=augmentation.smoothness,
        ),
        results=runs.results(),
        text=(_TEXT, runs.table(), f"The network:\n\n```\n{last.summary(image)}\n```"),
        figures=(
            (
                "Loss and accuracy on the test images: mean of the runs, and a band from the lowest to the highest.",
                plot.learning_curves(runs.histories, f"test accuracy {percent(mean)}"),
            ),
            (
                f"The test images that the network {of_last} misclassifies.",
                plot.misclassified(split.x_test, split.y_test, outputs),
            ),
            (
                f"What the network {of_last} takes for what, of the test images.",
                plot.confusion(split.y_test, outputs),
            ),
        ),
        interrupted=runs.interrupted,
    )


def _network(image: tuple[int, ...], classes: int, dtype: str, seed: Seed) -> nn.Sequential:
    """All weights and dropout's masks from one seed."""
    random = generator(seed)
    channels, rows, columns = image
    layers: list[nn.Layer] = []
    for wanted in _CHANNELS:
        for _ in range(2):
            layers += [
                nn.Conv2d(channels, wanted, 3, padding=1, bias=False, dtype=dtype, seed=random),
                nn.BatchNorm2d(wanted, dtype=dtype),
                nn.ReLU(),
            ]
            channels = wanted
        layers.append(nn.MaxPool2d(2))
        rows, columns = rows // 2, columns // 2
    units = channels * rows * columns
    layers += [nn.Flatten(), nn.Dropout(0.3, seed=random), nn.Affine(units, classes, dtype=dtype, seed=random)]
    return nn.Sequential(*layers)

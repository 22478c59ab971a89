"""Trainings whose weights and costs are digested: numbers of this package's own, nothing drawn by a generator."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from ..data import Array
from .numbers import drawn

IMAGES, CLASSES, UPDATES = 64, 10, 12
Train = Callable[[], dict[str, Array]]


def _run(model: nn.Layer, optimizer: nn.Optimizer, image: tuple[int, ...], dtype: str, name: str) -> dict[str, Array]:
    for key, w in model.parameters.items():
        w[...] = drawn(f"{name} {key}", w.shape, dtype) / 4
    words = drawn(f"{name} labels", (IMAGES,), "float64")
    x, y = np.abs(drawn(f"{name} images", (IMAGES, *image), dtype)), (np.abs(words) * 2**20).astype(np.intp) % CLASSES
    history = nn.fit(
        model, nn.CrossEntropy(), optimizer, x, y, batch_size=24, updates=UPDATES, shuffle=False, progress=False
    )
    return {**model.parameters, **model.buffers, "losses": np.array(history.losses)}


def _convolutions() -> dict[str, Array]:
    model = nn.cn_network(image=(1, 28, 28), dtype="float32", seed=0)
    return _run(model, nn.SGD(0.05, momentum=0.9), (1, 28, 28), "float32", "cn")


def _normalised() -> dict[str, Array]:
    kind: Any = {"dtype": "float32", "seed": 0}
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1, **kind), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Affine(12 * 36, CLASSES, **kind),
    )  # fmt: skip
    return _run(model, nn.Adam(0.01), (3, 12, 12), "float32", "normalised")


def _double() -> dict[str, Array]:
    kind: Any = {"dtype": "float64", "seed": 0}
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, stride=2, **kind), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Affine(45, 20, **kind),
        nn.ReLU(), nn.Affine(20, CLASSES, **kind),
    )  # fmt: skip
    return _run(model, nn.SGD(0.1), (2, 13, 13), "float64", "double")


TRAININGS: dict[str, tuple[str, Train]] = {
    "CN's network, SGD": ("float32", _convolutions),
    "batch normalisation, Adam": ("float32", _normalised),
    "tanh, average pooling, SGD": ("float64", _double),
}

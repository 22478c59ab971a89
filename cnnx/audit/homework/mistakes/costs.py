"""Mistakes in the gradients of costs: arrays are x (scores or outputs) and target (rows)."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...data import Array

Made = Iterator[tuple[str, Array]]
SMALL = 1e-7, 1e-8, 1e-10, 1e-12, 1e-15, 1e-6, 1e-5  # that are added within a logarithm


def cross_entropy_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in the value of E3."""
    x, t = arrays["x"], arrays["target"]
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    total = -np.sum(t * np.log(y))
    yield "sum_not_mean", np.asarray(total)
    yield "mean_wrong_n", np.asarray(total / t.size)
    yield "sign", np.asarray(-total / len(x))
    for small in SMALL:
        yield "log_delta", np.asarray(-np.sum(t * np.log(y + small)) / len(x))
        yield "sum_not_mean", np.asarray(-np.sum(t * np.log(y + small)))


def squared_error_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in the value of E1."""
    a, t = arrays["x"], arrays["target"]
    total = np.sum((a - t) ** 2)
    yield "sum_not_mean", np.asarray(total / 2)
    yield "half_missing", np.asarray(total)
    yield "half_missing", np.asarray(total / len(a))
    yield "half_missing", np.asarray(total / a.size)


def cross_entropy_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in E3."""
    x, t = arrays["x"], arrays["target"]
    N = len(x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)
    yield "sum_not_mean", y - t
    yield "mean_twice", (y - t) / N**2
    yield "mean_wrong_n", (y - t) / t.size
    yield "mean_wrong_n", (y - t) / t.shape[1]
    for share in (1, 1 / N):
        yield "sign", (t - y) * share
        yield "target_missing", y * share
        yield "softmax_slope", (y - t) * y * (1 - y) * share
        yield "log_slope", -t / y * share
        whole = np.exp(x - x.max())
        yield "softmax_axis", (whole / whole.sum(axis=0) - t) * share
        yield "softmax_all", (whole / whole.sum() - t) * share


def squared_error_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in E1."""
    a, t = arrays["x"], arrays["target"]
    N = len(a)
    yield "sum_not_mean", a - t
    yield "mean_twice", (a - t) / N**2
    yield "half_missing", 2 * (a - t) / N
    yield "half_missing", 2 * (a - t)
    yield "half_missing", 2 * (a - t) / a.size
    yield "mean_wrong_n", (a - t) / a.size
    for share in (1, 1 / N):
        yield "sign", (t - a) * share

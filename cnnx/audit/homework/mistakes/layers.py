"""Mistakes in affine layers and activations."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...data import Array

Made = Iterator[tuple[str, Array]]


def affine_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in F1."""
    x, w = arrays["x"], arrays["weight"]
    yield "bias_missing", x @ w.T
    yield "sign", -(x @ w.T + arrays.get("bias", 0))


def affine_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in F3."""
    assert delta is not None
    w = arrays["weight"]
    right = delta @ w
    if w.shape[0] == w.shape[1]:
        yield "transposed_matrix", delta @ w.T
    yield "transposed_matrix", delta @ w.reshape(w.shape[::-1]).T
    yield "sign", -right
    yield "mean_x", right / len(delta)


def affine_weight(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in F2, dw."""
    assert delta is not None
    x, N = arrays["x"], len(delta)
    right = delta.T @ x
    for n in (0, N - 1):
        yield "sum_n", np.outer(delta[n], x[n])
    yield "axes", right.T
    yield "axes", right.T.reshape(right.shape)
    yield "axes", right.reshape(right.T.shape).T
    if N > 1:
        yield "mean_n", right / N
    yield "sign", -right


def affine_bias(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in F2, db."""
    assert delta is not None
    right, N = delta.sum(axis=0), len(delta)
    for n in (0, N - 1):
        yield "sum_n", delta[n]
    yield "sum_n", delta
    yield "axis", delta.sum(axis=1)
    yield "sum_all", np.full(right.shape, delta.sum())
    yield "sum_all", np.asarray(delta.sum())
    if N > 1:
        yield "mean_n", right / N
    yield "sign", -right


def relu_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in A2 of a ReLU."""
    assert delta is not None
    x = arrays["x"]
    yield "kink", delta * (x >= 0)
    yield "kink", delta * ((x > 0) + (x == 0) / 2)
    yield "mask_of_delta", np.maximum(delta, 0)
    yield "delta_missing", (x > 0).astype(float)
    yield "slope_missing", np.asarray(delta)
    yield "value_not_slope", delta * np.maximum(x, 0)
    yield "mask_turned", delta * (x <= 0)


def sigmoid_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in A2 of a sigmoid."""
    assert delta is not None
    x = arrays["x"]
    y = 1 / (1 + np.exp(-x))
    again = 1 / (1 + np.exp(-y))
    yield "slope_of_x", delta * x * (1 - x)
    yield "slope_of_y", delta * again * (1 - again)
    yield "slope_part", delta * (1 - y)
    yield "slope_part", delta * y
    yield "delta_missing", y * (1 - y)
    yield "slope_missing", np.asarray(delta)
    yield "sign", -delta * y * (1 - y)


def tanh_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in A2 of tanh."""
    assert delta is not None
    x = arrays["x"]
    y = np.tanh(x)
    yield "slope_of_x", delta * (1 - x**2)
    yield "slope_of_y", delta * (1 - np.tanh(y) ** 2)
    yield "slope_part", delta * (1 - y)
    yield "delta_missing", 1 - y**2
    yield "slope_missing", np.asarray(delta)
    yield "sign", -delta * (1 - y**2)


def softmax_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in A3."""
    x = arrays["x"]
    for shift in (0.0, x.max(axis=1, keepdims=True), x.max(), x.max(axis=0)):
        e = np.exp(x - shift)
        yield "softmax_axis", e / e.sum(axis=0)
        yield "softmax_all", e / e.sum()
        yield "softmax_sum_missing", e

"""Mistakes in batch normalisation."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...data import Array

Made = Iterator[tuple[str, Array]]
MEMBERS = (0, 2, 3)
USUAL = (1e-3, 1e-5, 1e-6, 1e-7, 1e-8)  # of eps


def _column(a: Array) -> Array:
    return a[:, None, None]


def _scaled(x: Array, axes: tuple[int, ...], eps: float, ddof: int = 0) -> Array:
    var = x.var(axis=axes, keepdims=True, ddof=ddof)
    return np.asarray((x - x.mean(axis=axes, keepdims=True)) / np.sqrt(var + eps))


def norm_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in N1 and N2 in training."""
    x, eps = arrays["x"], numbers["eps"]
    g, b = _column(arrays["weight"]), _column(arrays["bias"])
    if x.size // x.shape[1] > 1:
        yield "norm_unbiased", g * _scaled(x, MEMBERS, eps, 1) + b
    for axes in ((1,), (1, 2, 3), (0,), (2, 3), (0, 1, 2, 3)):
        for other in (eps, *USUAL):  # along other axes its eps was not found
            yield "norm_axis", g * _scaled(x, axes, other) + b
    yield (
        "norm_variance",
        g * (x - x.mean(axis=MEMBERS, keepdims=True)) / (x.var(axis=MEMBERS, keepdims=True) + eps) + b,
    )
    yield "norm_plain", _scaled(x, MEMBERS, eps)
    yield "norm_plain", g * _scaled(x, MEMBERS, eps)
    yield "norm_plain", _scaled(x, MEMBERS, eps) + b


def norm_inference(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in N2 at inference."""
    x, eps = arrays["x"], numbers["eps"]
    g, b, mean, var = (_column(arrays[n]) for n in ("weight", "bias", "running_mean", "running_var"))
    yield "norm_batch", g * _scaled(x, MEMBERS, eps) + b
    yield "norm_variance", g * (x - mean) / (var + eps) + b
    yield "norm_plain", (x - mean) / np.sqrt(var + eps)
    members = x.size // x.shape[1]
    if members > 1:
        yield "norm_unbiased", g * (x - mean) / np.sqrt(var * members / (members - 1) + eps) + b


def norm_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in N4."""
    assert delta is not None
    x, eps, g = arrays["x"], numbers["eps"], _column(arrays["weight"])
    slope = g / np.sqrt(x.var(axis=MEMBERS, keepdims=True) + eps)
    xh = _scaled(x, MEMBERS, eps)
    by_mean = delta.mean(axis=MEMBERS, keepdims=True)
    by_var = xh * (delta * xh).mean(axis=MEMBERS, keepdims=True)
    yield "norm_constant", slope * delta
    yield "norm_by_var", slope * (delta - by_mean)
    yield "norm_by_mean", slope * (delta - by_var)
    yield "norm_gain", slope / g * (delta - by_mean - by_var)
    members = x.size // x.shape[1]
    yield "norm_sums", slope * (delta - members * by_mean - members * by_var)
    yield "norm_delta", np.asarray(delta)
    yield "mean_x", slope * (delta - by_mean - by_var) / len(x)


def norm_weight(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in N3, dg."""
    assert delta is not None
    x, eps = arrays["x"], numbers["eps"]
    xh = _scaled(x, MEMBERS, eps)
    yield "norm_of_x", (delta * x).sum(axis=MEMBERS)
    yield "norm_of_y", (delta * (_column(arrays["weight"]) * xh + _column(arrays["bias"]))).sum(axis=MEMBERS)
    yield "mean_all", (delta * xh).mean(axis=MEMBERS)
    yield "sum_n", (delta * xh).sum(axis=(2, 3))[0]
    yield "sign", -(delta * xh).sum(axis=MEMBERS)


def norm_bias(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in N3, db."""
    assert delta is not None
    yield "mean_all", delta.mean(axis=MEMBERS)
    yield "sum_n", delta.sum(axis=(2, 3))[0]
    yield "sum_all", np.asarray(delta.sum())
    yield "sign", -delta.sum(axis=MEMBERS)

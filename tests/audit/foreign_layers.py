"""Normalisation of given statistics, resizing, dropout and costs as other people write them: right, and with a bug."""

from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SINGLE = np.float32


def channels(a: Array) -> Array:
    return a[:, None, None]


def norm(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float) -> Array:
    deviation = np.sqrt(var + SINGLE(eps))
    return np.asarray((x - channels(mean)) / channels(deviation) * channels(w) + channels(b))


def norm_last(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float) -> Array:
    """Images with channels last; ReLU."""
    return np.maximum((x - mean) / np.sqrt(var + SINGLE(eps)) * w + b, SINGLE(0))


def norm_half(*given: Any) -> Array:
    *arrays, eps = given
    return norm(*(a.astype(SINGLE) for a in arrays), eps).astype(arrays[0].dtype)


def norm_without_eps(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float) -> Array:
    return norm(x, w, b, mean, var, 0.0)


def norm_of_deviation(x: Array, w: Array, b: Array, mean: Array, var: Array, eps: float) -> Array:
    """The variance is taken for a deviation."""
    return np.asarray((x - channels(mean)) / channels(var + SINGLE(eps)) * channels(w) + channels(b))


def norm_slope(delta: Array, weight: Array, var: Array, eps: float) -> Array:
    return np.asarray(channels(weight) * delta / channels(np.sqrt(var + SINGLE(eps))))


def drop(x: Array, mask: Array, rate: float) -> Array:
    assert mask.dtype == bool
    return np.where(mask, x / SINGLE(1 - rate), SINGLE(0))


def drop_inverted(x: Array, mask: Array, rate: float) -> Array:
    return drop(x, ~mask, rate)


def drop_unscaled(x: Array, mask: Array, rate: float) -> Array:
    return np.where(mask, x, SINGLE(0))


def drop_by_product(x: Array, mask: Array, rate: float) -> Array:
    """NaN outlives its own mask."""
    return np.asarray(mask.astype(SINGLE) * x / SINGLE(1 - rate))


def squares(y: Array, target: Array, divisor: int) -> Any:
    return ((y - target) ** 2).sum() / SINGLE(2 * divisor)


def squares_twice(y: Array, target: Array, divisor: int) -> Any:
    return ((y - target) ** 2).sum() / SINGLE(divisor)


def squares_slope(y: Array, target: Array, divisor: int) -> Array:
    return np.asarray((y - target) / SINGLE(divisor))


def entropy(logits: Array, target: Array, divisor: int) -> Any:
    largest = logits.max(axis=1)
    logs = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest
    return (logs - logits[np.arange(len(logits)), target]).sum() / SINGLE(divisor)


def entropy_unshifted(logits: Array, target: Array, divisor: int) -> Any:
    logs = np.log(np.exp(logits).sum(axis=1))
    return (logs - logits[np.arange(len(logits)), target]).sum() / SINGLE(divisor)


def entropy_of_rows(logits: Array, target: Array, divisor: int) -> Any:
    z = logits.astype(float)
    z = z - z.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return SINGLE(-np.where(target != 0, target * logs, 0).sum() / divisor)


def places(count: int, extent: int, to: Any) -> list[int]:
    """The pixel of each output by half-pixel centres: x = (p + 1/2) extent / count - 1/2."""
    found = (to(Fraction(2 * p + 1, 2) * Fraction(extent, count) - 1) for p in range(count))
    return [max(0, min(extent - 1, h)) for h in found]


def nearest(x: Array, P: int, Q: int) -> Array:
    """Half way is rounded down: ceil(x - 1/2)."""
    return x[:, :, places(P, x.shape[2], ceil)][:, :, :, places(Q, x.shape[3], ceil)]


def nearest_floor(x: Array, P: int, Q: int) -> Array:
    return x[:, :, places(P, x.shape[2], floor)][:, :, :, places(Q, x.shape[3], floor)]


def blended(a: Array, count: int, axis: int) -> Array:
    """Along an axis, between the two pixels around each output, by half-pixel centres."""
    extent, parts = a.shape[axis], []
    for p in range(count):
        x = min(max(Fraction(2 * p + 1, 2) * Fraction(extent, count) - Fraction(1, 2), 0), extent - 1)
        h = floor(x)
        here = a.take(h, axis)
        parts.append(here if x == h else here * float(1 - (x - h)) + a.take(h + 1, axis) * float(x - h))
    return np.stack(parts, axis)


def bilinear(x: Array, size: tuple[int, int]) -> Array:
    return blended(blended(x.astype(float), size[0], 2), size[1], 3).astype(x.dtype)


def bilinear_of_matrices(x: Array, size: tuple[int, int]) -> Array:
    """Right, but that NaN spreads to all rows and columns."""
    rows, columns = (blended(np.eye(n), to, 0) for n, to in zip(x.shape[2:], size, strict=True))
    return np.einsum("ph,nchw,qw->ncpq", rows, x.astype(float), columns).astype(x.dtype)


def own_statistics(a: Array, axes: Any, eps: float) -> Array:
    mean = a.mean(axis=axes, keepdims=True)
    var = ((a - mean) ** 2).mean(axis=axes, keepdims=True)
    return np.asarray((a - mean) / np.sqrt(var + a.dtype.type(eps)))


def layer(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return own_statistics(x, 1, eps) * weight + bias


def layer_in_double(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return (own_statistics(x.astype(float), 1, eps) * weight + bias).astype(x.dtype)


def layer_of_moments(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """E x^2 - (E x)^2, which cancels far from 0."""
    mean = x.mean(axis=1, keepdims=True)
    var = (x * x).mean(axis=1, keepdims=True) - mean * mean
    return (x - mean) / np.sqrt(np.maximum(var, 0) + SINGLE(eps)) * weight + bias


def layer_of_moments_in_double(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    return layer_of_moments(x.astype(float), weight.astype(float), bias.astype(float), eps).astype(x.dtype)


def layer_unbiased(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    var = x.var(axis=1, keepdims=True, ddof=1)
    return (x - x.mean(axis=1, keepdims=True)) / np.sqrt(var + SINGLE(eps)) * weight + bias


def groups(x: Array, num_groups: int, weight: Array, bias: Array, eps: float) -> Array:
    N, C, places = x.shape
    normed = own_statistics(x.reshape(N, num_groups, -1), 2, eps).reshape(N, C, places)
    return normed * weight[:, None] + bias[:, None]


def groups_interleaved(x: Array, num_groups: int, weight: Array, bias: Array, eps: float) -> Array:
    """Channels of a group are every num_groups-th."""
    N, C, places = x.shape
    apart = x.reshape(N, C // num_groups, num_groups, places)
    return own_statistics(apart, (1, 3), eps).reshape(x.shape) * weight[:, None] + bias[:, None]


def instances(x: Array, eps: float) -> Array:
    return own_statistics(x, 2, eps)

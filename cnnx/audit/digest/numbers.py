"""Inputs by integer arithmetic, the same on every machine and in every release; no generator that may change.

Number i of a stream is a hash of a counter, SplitMix64's: the stream's name gives the start.
"""

import math

import numpy as np

from ...ops import Draw
from ..data import Array

_GOLDEN, _MIX = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_FNV_START, _FNV_PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 2**64 - 1


def drawn(name: str, spec: Draw | tuple[int, ...], dtype: str) -> Array:
    """An array as a case asks for it.

    Real numbers have all the bits of their dtype and sizes from 2**-8 to 2, so that sums round in every step; nothing
    on the way rounds by a processor's choice.
    """
    kind, shape = (spec.kind, spec.shape) if isinstance(spec, Draw) else ("number", spec)
    words = stream(name, math.prod(shape)).reshape(shape)
    if kind == "mask":
        return np.asarray(words >> np.uint64(63)).astype(bool)
    if kind == "index":
        assert isinstance(spec, Draw)
        return (words % np.uint64(spec.high)).astype(np.intp)
    if kind == "probability":
        weights = (words % np.uint64(9)).astype(float)
        weights[..., 0] += 1
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True)).astype(dtype)  # of small integers: exact sums
    real = numbers(words, dtype)
    if kind == "positive":
        return np.asarray(np.abs(real) + real.dtype.type(0.5))
    if kind == "channels":  # some far from 0
        real = real + np.asarray(words[:, :, :1, :1] % np.uint64(3) * np.uint64(16)).astype(dtype)
    return real


def numbers(words: Array, dtype: str) -> Array:
    """A number for each word of 64 bits: as many of them as the mantissa has, a sign, and one of nine sizes."""
    bits = 24 if dtype == "float32" else 53
    whole = (words >> np.uint64(64 - bits)).astype(np.int64) - (1 << (bits - 1))
    size = (words % np.uint64(9)).astype(np.int32)
    return np.asarray(np.ldexp(whole.astype(dtype), 1 - bits + 1 - size))


def stream(name: str, count: int) -> Array:
    """The first words of the stream of that name."""
    start = _FNV_START
    for byte in name.encode():
        start = (start ^ byte) * _FNV_PRIME & _MASK
    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX[0])
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX[1])
    return np.asarray(z ^ (z >> np.uint64(31)))

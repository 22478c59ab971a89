"""The winners of max pooling: those of a forward call kept for the way back, and those that a caller gives checked."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array, Pair
from . import _plan, _pool

_INT32 = np.dtype(np.int32)


class Winners:
    """The winners of one forward call, with all that the way back needs to know of it.

    They are not checked: whoever holds one must let nobody else have the array, as a layer does.
    """

    __slots__ = ("dtype", "pool", "shape", "winners")

    def __init__(self, winners: Array, shape: tuple[int, ...], dtype: np.dtype[Any], pool: _pool.Pool) -> None:
        """shape and dtype: those of x."""
        self.winners, self.shape, self.dtype, self.pool = winners, shape, dtype, pool

    @classmethod
    def forward(
        cls, x: Array, kernel_size: object, stride: object, padding: object, ceil_mode: object, backend: str | None
    ) -> tuple[Array, "Winners"]:
        """Each window's maximum, and where it was found."""
        if not _check.plain(x):
            (x,) = _check.floats(x=x)
        pool = _pool.geometry((x.shape,), kernel_size, stride, padding, ceil_mode)
        offsets_fit(pool)
        y, winners = _plan.new(pool.output, x.dtype), _plan.new(pool.output, _INT32)
        _backend.kernel("max_pool2d_winners", _check.NAMES[x.dtype.char], backend)(x, y, winners, **pool.numbers)
        return y, cls(winners, x.shape, x.dtype, pool)

    def backward(self, grad_output: Array, backend: str | None) -> Array:
        """dE/dZ, given dE/dY."""
        if not _check.plain(grad_output) or grad_output.dtype != self.dtype:
            _, grad_output = _check.floats(x=np.empty(0, self.dtype), grad_output=grad_output)
        _check.shape("grad_output", grad_output, self.pool.output, "(the output's)")
        grad_x = _plan.new(self.shape, self.dtype)
        kernel = _backend.kernel("max_pool2d_grad_input_winners", _check.NAMES[self.dtype.char], backend)
        kernel(grad_output, self.winners, grad_x, **self.pool.numbers)
        return grad_x


def offsets_fit(pool: _pool.Pool) -> None:
    """Raise where an offset within a window may not fit an int32."""
    members = pool.numbers["R"] * pool.numbers["S"]
    if members > _check.LARGEST:
        raise ValueError(
            f"kernel_size: expected at most {_check.LARGEST} members for winners, which are int32, got {members}"
        )


def checked(winners: object, extents: tuple[int, ...], pool: _pool.Pool) -> Array:
    """The winners as an array of int32 whose every offset lies in its window and in the image."""
    offsets_fit(pool)
    B = _check.array("winners", winners)
    if B.dtype != np.int32:
        raise TypeError(f"winners: expected dtype int32, got {B.dtype}")
    _check.shape("winners", B, pool.output, "(the output's)")
    # No copy: a kernel compares offsets and never follows them, so what another thread writes after this does no harm.
    if not _offsets_within(B, (extents[2], extents[3]), pool):
        R, S, u, v, p_h, p_w = pool.numbers.values()
        h = B // S + u * np.arange(B.shape[2])[:, np.newaxis] - p_h
        w = B % S + v * np.arange(B.shape[3]) - p_w
        outside = (B < 0) | (B >= R * S) | (h < 0) | (h >= extents[2]) | (w < 0) | (w >= extents[3])
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        raise ValueError(
            f"winners: expected offsets of pixels in their {R} x {S} windows, got {B[at]} at {at}; "
            "were they saved with the same options?"
        )
    return B


def _offsets_within(B: Array, extents: Pair, pool: _pool.Pool) -> bool:
    """Whether every offset lies in its window, and in the image where the window leaves that."""
    R, S, u, v, p_h, p_w = pool.numbers.values()
    if B.size == 0:
        return True
    if B.view(np.uint32).max() >= R * S:  # a negative one is larger than all
        return False
    for p, (first, end) in _clipped(B.shape[2], extents[0], R, u, p_h):
        if B[:, :, p].min() < first * S or B[:, :, p].max() >= end * S:
            return False
    for q, (first, end) in _clipped(B.shape[3], extents[1], S, v, p_w):
        s = B[:, :, :, q] % S
        if s.min() < first or s.max() >= end:
            return False
    return True


def _clipped(outputs: int, extent: int, span: int, step: int, before: int) -> Iterator[tuple[int, Pair]]:
    """The outputs whose windows leave the image along an axis, with the first and the end of their members within."""
    leading = min(outputs, -(-before // step))
    trailing = max(leading, (extent + before - span) // step + 1)
    for output in (*range(leading), *range(trailing, outputs)):
        start = output * step - before
        yield output, (max(0, -start), min(span, extent - start))

"""Where Winograd's algorithm fits, which tiles it takes, and kernels that were transformed before (W1-W3)."""

from typing import Any

from .. import _check
from .. import backend as _backend
from .._check import Array, Pair
from . import _plan

SIDE = 8  # output channels that stand side by side in transformed kernels


def check_fits(kernel_size: Pair, stride: Pair, dilation: Pair) -> None:
    """Raise a ValueError that says why, where Winograd's algorithm does not fit."""
    if kernel_size != (3, 3) or stride != (1, 1) or dilation != (1, 1):
        got = " and ".join(
            f"{what} {rows}x{columns}"
            for what, (rows, columns), fitting in (
                ("kernels of", kernel_size, (3, 3)),
                ("stride", stride, (1, 1)),
                ("dilation", dilation, (1, 1)),
            )
            if (rows, columns) != fitting
        )
        raise ValueError(
            f"algorithm: expected 'direct', since 'winograd' is for kernels of 3x3, stride 1 and dilation 1, got {got}"
        )


def tile(P: int, Q: int) -> int:
    """The tiles' extent for P x Q outputs: 4 where that takes fewer products than 2, which rounds less."""
    products = {t: (t + 2) ** 2 * -(-P // t) * -(-Q // t) for t in (2, 4)}
    return 4 if products[4] < products[2] else 2


class Kept:
    """A convolution's weight, which may not change any more: what Winograd's algorithm makes of it is kept.

    It may stand for the weight in a call of `conv2d`.
    """

    def __init__(self, weight: Array) -> None:
        self._weight = weight
        self._transformed: dict[tuple[int, int, str], Array] = {}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self._weight

    def transformed(self, t: int, groups: int, backend: str | None) -> Array:
        """W1 for tiles of t x t outputs, computed at the first call."""
        key = t, groups, _backend.get_backend() if backend is None else backend
        if key not in self._transformed:
            (weight,) = _check.floats(weight=self._weight)
            K, C = weight.shape[:2]
            shape = groups * -(-(K // groups) // SIDE), t + 2, t + 2, C, SIDE
            U = _plan.empty("transformed weight", shape, weight.dtype)  # never a lent one
            _backend.kernel("conv2d_winograd_weight", weight.dtype.name, backend)(weight, U, t=t, groups=groups)
            self._transformed[key] = U
        return self._transformed[key]

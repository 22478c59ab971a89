"""Where Winograd's algorithm fits and pays, which tiles it takes, and kernels that were transformed before (W1-W3)."""

from .. import _check
from .. import backend as _backend
from .._check import Array, Pair
from . import _plan

# By the rows and columns of a kernel: extents of tiles, those that round less first. 4 x 4 outputs of 5x5 kernels would
# need interpolation in two more points, and round many times worse.
TILES = {3: (2, 4), 5: (2,)}
KERNEL_SIZES = tuple((R, R) for R in TILES)
SIDE = 8  # output channels that stand side by side in transformed kernels


def fits(kernel_size: Pair, stride: Pair, dilation: Pair) -> bool:
    """Whether Winograd's algorithm is for such a convolution."""
    return kernel_size in KERNEL_SIZES and (stride, dilation) == ((1, 1), (1, 1))


def check_fits(kernel_size: Pair, stride: Pair, dilation: Pair) -> None:
    """Raise a ValueError that says why, where Winograd's algorithm does not fit."""
    if not fits(kernel_size, stride, dilation):
        got = " and ".join(
            f"{what} {rows}x{columns}"
            for what, (rows, columns), fitting in (
                ("kernels of", kernel_size, KERNEL_SIZES),
                ("stride", stride, ((1, 1),)),
                ("dilation", dilation, ((1, 1),)),
            )
            if (rows, columns) not in fitting
        )
        raise ValueError(
            "algorithm: expected 'direct', since 'winograd' is for kernels of 3x3 and 5x5, stride 1 and dilation 1, "
            f"got {got}"
        )


def tile(P: int, Q: int, R: int) -> int:
    """The tiles' extent for P x Q outputs of a kernel of R x R: 4 where that takes fewer products than 2."""
    return min(TILES[R], key=lambda t: (t + R - 1) ** 2 * -(-P // t) * -(-Q // t))


# How many times as fast as the direct method Winograd's is, for an image alone / in a batch of 8: forward, kernels
# transformed at each call, float32, AVX2, one thread of an AMD EPYC; least times. * is where `pays` says yes.
#
#   channels        6 x 6       7 x 7     10 x 10     14 x 14     20 x 20     28 x 28     56 x 56   112 x 112
#    3 ->  64  0.47/0.55   0.38/0.47   0.38/0.50   0.52/0.48   0.49/0.59   0.51/0.72   0.63/0.73   0.81/0.85
#    8 ->   8  0.69/0.76   0.62/0.69   0.61/0.65   0.71/0.63   0.69/0.77   0.70/0.82   0.88/0.93   0.97/1.01
#   16 ->  16  0.69/0.96   0.58/0.85   0.64/0.92   0.88/0.96   0.92/1.15*  0.97/1.22*  1.46/1.68*  1.79/1.70*
#   32 ->  32  0.73/1.27   0.60/1.27   0.75/1.29   1.20/1.35*  1.33/1.76*  1.39/1.90*  1.96/1.96*  2.24/2.25*
#   64 ->  64  0.77/1.61   0.59/1.57   0.85/1.66   1.47/1.71*  1.61/2.31*  1.71/2.27*  2.09/2.53*  2.91/-   *
#  128 -> 128  0.75/1.86   0.53/1.71   0.81/1.93   1.42/1.88*  1.69/2.49*  1.73/2.71*  2.69/-   *  3.05/-   *
#  256 -> 256  0.76/1.76   0.50/1.27   0.83/1.55   1.31/1.69*  1.38/2.36*  1.50/-   *  2.30/-   *
#  512 -> 512  0.66/1.52   0.45/1.32   0.65/1.62   1.16/-   *  1.27/-   *  1.48/-   *
#   64 ->   8  0.74/1.01   0.65/1.00   0.67/0.93   0.98/0.98*  1.08/1.20*  1.13/1.43*  1.34/1.52*  1.70/1.58*
#   16 -> 128  0.60/1.16   0.49/1.09   0.64/1.21   1.09/1.24*  1.17/1.57*  1.23/1.66*  1.63/1.61*  1.65/1.67*
#  512 ->  64  0.79/1.79   0.42/1.58   0.71/1.56   0.97/1.77*  1.50/2.27*  1.53/2.56*  2.61/-   *
#
# Its four numbers are those of some hundred combinations that cost least over 141 such layers, an image alone: with
# kernels transformed at each call, kept, and for the gradient of x. They cost 1 % more than always the faster one.


def pays(C: int, K: int, P: int, Q: int, R: int) -> bool:
    """Whether Winograd's algorithm is the faster one from C to K channels of a group, P x Q outputs and R x R kernels.

    Costs are those of one image alone, in products of the direct method, so that the answer is the same for any batch,
    dtype, number of threads and processor, and for a layer that keeps its transformed kernels. Tiles count in eights,
    as many as vectors hold with AVX2; to transform a number of a tile takes as long as 4 products, back again 16, a
    number of a kernel 8; and all of it 1.2 times as long as its products say.
    """
    t = tile(P, Q, R)
    tiles = -(-(-(-P // t) * -(-Q // t)) // 8) * 8
    direct = R * R * C * K * P * Q
    winograd = (t + R - 1) ** 2 * (tiles * (C * K + 4 * C + 16 * K) + 8 * C * K)
    return 5 * direct > 6 * winograd


class Kept:
    """A convolution's weight, which may not change any more: what Winograd's algorithm makes of it is kept.

    It may stand for the weight in a call of `conv2d`.
    """

    def __init__(self, weight: Array) -> None:
        self.weight = weight
        self._transformed: dict[tuple[int, int, str], Array] = {}

    def transformed(self, t: int, groups: int, backend: str | None) -> Array:
        """W1 for tiles of t x t outputs, computed at the first call."""
        key = t, groups, _backend.get_backend() if backend is None else backend
        if key not in self._transformed:
            (weight,) = _check.floats(weight=self.weight)
            K, C, R, _ = weight.shape
            shape = groups * -(-(K // groups) // SIDE), t + R - 1, t + R - 1, C, SIDE
            U = _plan.empty("transformed weight", shape, weight.dtype)  # never a lent one
            _backend.kernel("conv2d_winograd_weight", weight.dtype.name, backend)(weight, U, t=t, groups=groups)
            self._transformed[key] = U
        return self._transformed[key]

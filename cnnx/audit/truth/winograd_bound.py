"""The error budget of Winograd's algorithm: one per tile.

Its sums cancel: an output of a tile is a sum of products of sums that hold all of the tile's inputs, not only those
that the output depends on. So the error is bounded by what the algorithm gives for absolute values (of the data and of
its matrices), times the rounding errors that a product can meet on its way (Higham 2002, section 3.1):
|A^T| (sum_c |G||F||G^T| |B^T||Z||B|) |A|. Padding adds nothing to it.
"""

import numpy as np

from ... import backend as _backend
from ..data import Array
from ..trace import KernelCall

GRAD_INPUT = "conv2d_winograd_grad_input"
KERNELS = ("conv2d_winograd", GRAD_INPUT)

# Roundings on the way of a product, besides those of the sum over channels: each of G's and B's two passes adds up to 5
# terms, with a factor each (G's factors are rounded themselves), each of A's up to 5, with factors; and the bias.
ROUNDINGS = 2 * 5 + 2 * 5 + 2 * 6 + 1


def tile_errors(call: KernelCall, eps: float) -> Array | None:
    """How far from its equation's value each output of a call may be, beyond the equation's own bound.

    None for kernels of another kind. Not finite where something in the tile is not: there any number will do.
    """
    if call.kernel not in KERNELS:
        return None
    Z, F = (np.abs(a.astype(float)) for a in call.inputs[:2])
    t, p_h, p_w, groups = (int(call.numbers[name]) for name in ("t", "p_h", "p_w", "groups"))
    N, K, P, Q = call.outputs[0].shape
    F = F.reshape(groups, -1, *F.shape[1:])  # group, its output channels, its input channels, R, R
    R = F.shape[-1]
    if call.kernel == GRAD_INPUT:
        F, p_h, p_w = F.swapaxes(1, 2)[..., ::-1, ::-1], R - 1 - p_h, R - 1 - p_w
    rows, columns, extent = -(-P // t), -(-Q // t), t + R - 1
    tiles = _tiles(Z, rows, columns, t, extent, p_h, p_w)
    tiles = tiles.reshape(N, groups, F.shape[2], rows, columns, extent, extent)
    matrices = _backend.winograd_matrices(t, R)
    A, B, G = (np.abs(np.array(matrix, dtype=float)) for matrix in matrices)
    U, V = G @ F @ G.T, B.T @ tiles @ B
    mass = A.T @ np.einsum("gkcij,ngcpqij->ngkpqij", U, V) @ A
    outputs = mass.swapaxes(4, 5).reshape(N, K, rows * t, columns * t)[:, :, :P, :Q]
    return np.asarray((F.shape[2] + ROUNDINGS) * eps * outputs)


def _tiles(Z: Array, rows: int, columns: int, t: int, extent: int, p_h: int, p_w: int) -> Array:
    """(N, C, rows, columns, extent, extent): the inputs of each tile, zeros beyond the image."""
    H, W = Z.shape[2:]
    tiles = np.zeros((*Z.shape[:2], rows, columns, extent, extent))
    for p, q, i, j in np.ndindex(rows, columns, extent, extent):
        h, w = p * t - p_h + i, q * t - p_w + j
        if 0 <= h < H and 0 <= w < W:
            tiles[:, :, p, q, i, j] = Z[:, :, h, w]
    return tiles

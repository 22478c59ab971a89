"""Convolution by im2col and a matrix product; its gradient, and transposed convolution, by col2im."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._kernels import Array, Frame, frame, framed, unframed
from ._set import kernel


def _columns(Z: Array, around: Frame, R: int, S: int, u: int, v: int, d_h: int, d_w: int) -> Array:
    """im2col: (N, C, P, Q, R, S), a view of the framed image."""
    windows = sliding_window_view(framed(Z, around), (d_h * (R - 1) + 1, d_w * (S - 1) + 1), (2, 3))
    return windows[:, :, ::u, ::v, ::d_h, ::d_w]


def _conv_frame(Z: Array, Y: Array, F: Array, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int) -> Frame:
    return frame(Z, Y, R=F.shape[2], S=F.shape[3], u=u, v=v, p_h=p_h, p_w=p_w, d_h=d_h, d_w=d_w)


def _grouped(groups: int, C: int, K: int) -> list[tuple[slice, slice]]:
    """Input and output channels of each group."""
    return [
        (slice(g * C // groups, (g + 1) * C // groups), slice(g * K // groups, (g + 1) * K // groups))
        for g in range(groups)
    ]


@kernel
def conv2d(
    Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, groups: int
) -> None:
    R, S = F.shape[2:]
    N, K, P, Q = Y.shape
    columns = _columns(Z, _conv_frame(Z, Y, F, u, v, p_h, p_w, d_h, d_w), R, S, u, v, d_h, d_w)
    for c, k in _grouped(groups, Z.shape[1], K):
        rows = columns[:, c].transpose(0, 2, 3, 1, 4, 5).reshape(N * P * Q, -1)
        y = rows @ F[k].reshape(len(F[k]), -1).T + b[k]
        Y[:, k] = y.reshape(N, P, Q, -1).transpose(0, 3, 1, 2)


@kernel
def conv2d_grad_input(
    Delta: Array, F: Array, dZ: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, groups: int
) -> None:
    R, S = F.shape[2:]
    N, K, P, Q = Delta.shape
    around = _conv_frame(dZ, Delta, F, u, v, p_h, p_w, d_h, d_w)
    made = framed(np.zeros_like(dZ), around)
    for c, k in _grouped(groups, dZ.shape[1], K):
        rows = Delta[:, k].transpose(0, 2, 3, 1).reshape(N * P * Q, -1) @ F[k].reshape(len(F[k]), -1)
        columns = rows.reshape(N, P, Q, -1, R, S).transpose(0, 3, 1, 2, 4, 5)
        for r, s in np.ndindex(R, S):  # col2im
            made[:, c, d_h * r :: u, d_w * s :: v][:, :, :P, :Q] += columns[..., r, s]
    unframed(made, around, dZ)


@kernel
def conv2d_grad_weight(
    Delta: Array, Z: Array, dF: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, groups: int
) -> None:
    R, S = dF.shape[2:]
    around = _conv_frame(Z, Delta, dF, u, v, p_h, p_w, d_h, d_w)
    columns = _columns(Z, around, R, S, u, v, d_h, d_w)
    if not np.isfinite(Delta).all():  # a product with padding is left out, not NaN
        inside = _columns(np.ones_like(Z), around, R, S, u, v, d_h, d_w) == 1
        for i, c, r, s in np.ndindex(dF.shape):
            at = i // (len(dF) // groups) * dF.shape[1] + c
            dF[i, c, r, s] = (Delta[:, i] * columns[:, at, ..., r, s])[inside[:, at, ..., r, s]].sum()
        return
    for c, k in _grouped(groups, Z.shape[1], len(dF)):
        rows = columns[:, c].transpose(1, 4, 5, 0, 2, 3).reshape(dF[k, 0].size // len(dF[k]) * dF.shape[1], -1)
        dF[k] = (Delta[:, k].transpose(1, 0, 2, 3).reshape(len(dF[k]), -1) @ rows.T).reshape(dF[k].shape)


@kernel
def conv2d_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = Delta.sum(axis=(0, 2, 3))


@kernel
def conv_transpose2d(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    conv2d_grad_input(Z, F, Y, **numbers)
    Y += b[:, None, None]


@kernel
def conv_transpose2d_grad_input(Delta: Array, F: Array, dZ: Array, **numbers: int) -> None:
    conv2d(Delta, F, np.zeros(dZ.shape[1], dZ.dtype), dZ, **numbers)


@kernel
def conv_transpose2d_grad_weight(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    conv2d_grad_weight(Z, Delta, dF, **numbers)

"""Defects that people met in back ends, written from how they behaved: the audit's first run names each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx.audit import CHECKS, Report, audit

pytestmark = pytest.mark.once


def first_run(name: str, op: str, kernels: dict[str, Callable[..., Any]]) -> Report:
    """Register kernels as a back end and audit it with what the command line takes by default.

    But for `dual`, which holds the reference against itself.
    """
    cnnx.register_backend(name, kernels)
    return audit([op], checks=[check for check in CHECKS if check != "dual"], backend=name, measure=False)


def named(report: Report) -> set[tuple[str, str]]:
    """The checks that found something, with the direction or kernel that they name."""
    words = {(d.check, d.what.split(",")[0].split(" at ")[0]) for d in report.discrepancies()}
    return words | {(d.check, d.kernel) for d in report.discrepancies() if d.kernel}


# ------------------------------------------------------------------------- pads with zero, then pools


def windows(Z, R, S, u, v, p_h, p_w, P, Q):
    """(N, C, P, Q, R, S): every window of an image bordered by zeros, as wide as the last window needs."""
    bottom, right = (P - 1) * u + R - Z.shape[2] - p_h, (Q - 1) * v + S - Z.shape[3] - p_w
    padded = np.pad(Z, ((0, 0), (0, 0), (p_h, max(0, bottom)), (p_w, max(0, right))))
    every = np.lib.stride_tricks.sliding_window_view(padded, (R, S), axis=(2, 3))
    return every[:, :, ::u, ::v][:, :, :P, :Q]


def max_pool2d_of_zero_padding(Z, /, Y, *, R, S, u, v, p_h, p_w):
    Y[...] = windows(Z, R, S, u, v, p_h, p_w, *Y.shape[2:]).max(axis=(4, 5))


def test_max_pooling_that_pads_with_zero() -> None:
    report = first_run("zero-padded", "max_pool2d", {"max_pool2d": max_pool2d_of_zero_padding})
    assert {d.op for d in report.discrepancies()} == {"max_pool2d"}
    assert {("exact", "max_pool2d"), ("bound", "max_pool2d")} <= named(report)
    assert not {"backward", "max_pool2d_grad_input"} & {what for _, what in named(report)}
    cases = {d.case for d in report.discrepancies()}
    assert "pad" in cases
    assert not cases & {"one", "2x2", "overlapping", "whole image"}  # no padding, no defect


# ---------------------------------------------------- im2col that takes the strides of memory for granted


def conv2d_of_assumed_strides(Z, F, b, /, Y, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Windows by as_strided, with strides computed from the shape: right for C-contiguous images alone."""
    N, C, H, W = Z.shape
    K, _, R, S = F.shape
    P, Q = Y.shape[2:]
    bottom = max(0, (P - 1) * u + d_h * (R - 1) + 1 - H - p_h)
    right = max(0, (Q - 1) * v + d_w * (S - 1) + 1 - W - p_w)
    if p_h or p_w or bottom or right:
        Z = np.pad(Z, ((0, 0), (0, 0), (p_h, bottom), (p_w, right)))
        H, W = Z.shape[2:]
    item = Z.itemsize
    steps = [C * H * W, u * W, v, H * W, d_h * W, d_w]
    columns = np.lib.stride_tricks.as_strided(Z, (N, P, Q, C, R, S), [step * item for step in steps])
    for g in range(groups):
        of_g, in_g = slice(g * K // groups, (g + 1) * K // groups), slice(g * C // groups, (g + 1) * C // groups)
        product = columns[:, :, :, in_g].reshape(N * P * Q, C // groups * R * S) @ F[of_g].reshape(K // groups, -1).T
        Y[:, of_g] = product.reshape(N, P, Q, K // groups).transpose(0, 3, 1, 2) + b[of_g, None, None]


def test_im2col_that_ignores_fortran_order() -> None:
    report = first_run("im2col", "conv2d", {"conv2d": conv2d_of_assumed_strides})
    assert {(d.op, d.check) for d in report.discrepancies()} == {("conv2d", "layout")}
    assert named(report) == {("layout", "kernel conv2d: Fortran-ordered input gives other numbers")}


# ------------------------------------------------- rows for columns on the way back, where a window is not square


def avg_pool2d_right(Z, /, Y, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """The mean of each window; in double, or float32's largest numbers would have a sum of inf."""
    sums = windows(Z.astype("float64"), R, S, u, v, p_h, p_w, *Y.shape[2:]).sum(axis=(4, 5))
    border = ((0, 0), (0, 0), (p_h, p_b), (p_w, p_r))
    counted = np.pad(np.ones((1, 1, *Z.shape[2:])), border, constant_values=include_pad)
    Y[...] = sums / windows(counted, R, S, u, v, 0, 0, *Y.shape[2:]).sum(axis=(4, 5))


def avg_pool2d_grad_input_swapped(Delta, Z, /, dZ, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """Spreads each Delta over its window, whose rows and columns are mixed up."""
    H, W = Z.shape[2:]
    below, beside = (p_b, p_r) if include_pad else (0, 0)
    above, before = (p_h, p_w) if include_pad else (0, 0)
    dZ[...] = 0
    for p, q in np.ndindex(Delta.shape[2:]):
        top, left = u * p - p_h, v * q - p_w
        rows = min(top + S, H + below) - max(top, -above)
        columns = min(left + R, W + beside) - max(left, -before)
        if rows > 0 and columns > 0:
            window = dZ[:, :, max(0, top) : max(0, top + S), max(0, left) : max(0, left + R)]
            window += (Delta[:, :, p, q] / (rows * columns))[:, :, None, None].astype(dZ.dtype)


def test_pooling_whose_backward_swaps_a_rectangular_window() -> None:
    kernels = {"avg_pool2d": avg_pool2d_right, "avg_pool2d_grad_input": avg_pool2d_grad_input_swapped}
    report = first_run("swapped", "avg_pool2d", kernels)
    assert {d.op for d in report.discrepancies()} == {"avg_pool2d"}
    found = named(report)
    assert {("exact", "avg_pool2d_grad_input"), ("bound", "avg_pool2d_grad_input")} <= found
    assert {check for check, _ in found} >= {"gradient", "adjoint"}
    assert not {"forward", "avg_pool2d"} & {what for _, what in found}
    square = {"one", "2x2", "pad", "overlapping", "pad included 3x3", "vectors 3x3"}
    assert not square & {d.case for d in report.discrepancies()}

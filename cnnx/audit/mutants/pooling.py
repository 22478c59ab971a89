"""Bugs of pooling."""

import numpy as np

from ..data import Array
from ._mutant import Mutants, right

BUGS = Mutants()


def members(Z: Array, p: int, q: int, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int) -> tuple[slice, slice]:
    """The rows and columns of a window within the image."""
    top, left = u * p - p_h, v * q - p_w
    return slice(max(0, top), min(Z.shape[2], top + R)), slice(max(0, left), min(Z.shape[3], left + S))


@BUGS.of("max_pool2d", "max_pool2d", "padding counts as 0 and wins over negative numbers", "padding with zeros first")
def max_pool2d_pads_with_zero(Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int) -> None:
    right("max_pool2d")(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w)
    if p_h or p_w:
        np.maximum(Y, 0, out=Y)


@BUGS.of("max_pool2d", "max_pool2d", "a NaN is swallowed", "maxps returns its second operand; -ffast-math")
def max_pool2d_drops_nan(Z: Array, Y: Array, **numbers: int) -> None:
    right("max_pool2d")(np.nan_to_num(Z, nan=-1e30), Y, **numbers)


@BUGS.of("max_pool2d", "max_pool2d", "a NaN is kept only where it is a window's last member", "onnxruntime's MaxPool")
def max_pool2d_keeps_last_nan(Z: Array, Y: Array, **numbers: int) -> None:
    right("max_pool2d")(Z, Y, **numbers)
    for p, q in np.ndindex(Y.shape[2:]):
        rows, columns = members(Z, p, q, **numbers)
        window = Z[:, :, rows, columns]
        lost = ~np.isnan(window[:, :, -1, -1])
        Y[:, :, p, q] = np.where(lost, np.fmax.reduce(window, axis=(2, 3)), np.nan)


@BUGS.of(
    "max_pool2d", "max_pool2d_grad_input", "0 is a larger maximum than -0", "an order of bit patterns; maximum of IEEE"
)
def max_pool2d_grad_input_by_sign_of_zero(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    tiny = np.finfo(Z.dtype).smallest_subnormal
    right("max_pool2d_grad_input")(Delta, np.where((Z == 0) & np.signbit(Z), -tiny, Z), dZ, **numbers)


@BUGS.of("max_pool2d", "max_pool2d", "the maximum starts from the smallest positive float", "FLT_MIN for -FLT_MAX")
def max_pool2d_starts_from_flt_min(Z: Array, Y: Array, **numbers: int) -> None:
    right("max_pool2d")(Z, Y, **numbers)
    np.maximum(Y, np.finfo(Y.dtype).tiny, out=Y)


@BUGS.of("max_pool2d", "max_pool2d_grad_input", "all tied maxima receive the gradient", "M17 (14), D19 (7) as printed")
def max_pool2d_grad_input_to_all(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    right("max_pool2d_grad_input_all")(Delta, Z, dZ, **numbers)


@BUGS.of("max_pool2d", "max_pool2d_grad_input", "the last of tied maxima receives the gradient", ">= for > in the scan")
def max_pool2d_grad_input_to_last(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    dZ[...] = 0
    for n, c, p, q in np.ndindex(Delta.shape):
        rows, columns = members(Z, p, q, **numbers)
        window = Z[n, c, rows, columns]
        r, s = divmod(window.size - 1 - int(window.ravel()[::-1].argmax()), window.shape[1])
        dZ[n, c, rows.start + r, columns.start + s] += Delta[n, c, p, q]


@BUGS.of("max_pool2d", "max_pool2d_grad_input", "backward takes rows for columns of a window that is not square")
def max_pool2d_grad_input_window_swapped(Delta: Array, Z: Array, dZ: Array, *, R: int, S: int, **numbers: int) -> None:
    dZ[...] = 0
    for n, c, p, q in np.ndindex(Delta.shape):
        rows, columns = members(Z, p, q, R=S, S=R, **numbers)
        window = Z[n, c, rows, columns]
        if window.size:
            r, s = divmod(int(window.argmax()), window.shape[1])
            dZ[n, c, rows.start + r, columns.start + s] += Delta[n, c, p, q]


@BUGS.of("max_pool2d", "max_pool2d_winners", "a window with a NaN has its first member for a winner")
def max_pool2d_winner_of_nan_lost(Z: Array, Y: Array, B: Array, **numbers: int) -> None:
    right("max_pool2d_winners")(Z, Y, B, **numbers)
    B[np.isnan(Y)] = 0


@BUGS.of("max_pool2d", "max_pool2d_grad_input_winners", "where windows overlap the last one wins", "= for +=")
def max_pool2d_grad_input_winners_overwritten(Delta: Array, B: Array, dZ: Array, **numbers: int) -> None:
    dZ[...] = 0
    for n, c, p, q in np.ndindex(Delta.shape):
        r, s = divmod(int(B[n, c, p, q]), numbers["S"])
        dZ[n, c, numbers["u"] * p + r - numbers["p_h"], numbers["v"] * q + s - numbers["p_w"]] = Delta[n, c, p, q]


@BUGS.of("avg_pool2d", "avg_pool2d", "padding is counted in the divisor", "Caffe's and PyTorch's default")
def avg_pool2d_counts_padding(Z: Array, Y: Array, *, include_pad: int, **numbers: int) -> None:
    right("avg_pool2d")(Z, Y, include_pad=1, **numbers)


@BUGS.of("avg_pool2d", "avg_pool2d", "padding is not counted where it should be", "TensorFlow's and ONNX's default")
def avg_pool2d_never_counts_padding(Z: Array, Y: Array, *, include_pad: int, **numbers: int) -> None:
    right("avg_pool2d")(Z, Y, include_pad=0, **numbers)


@BUGS.of("avg_pool2d", "avg_pool2d", "the divisor is R S even where the window leaves the padded image", "ceil_mode")
def avg_pool2d_divides_by_whole_window(
    Z: Array, Y: Array, *, R: int, S: int, p_b: int, p_r: int, include_pad: int, **numbers: int
) -> None:
    for p, q in np.ndindex(Y.shape[2:]):
        rows, columns = members(Z, p, q, R=R, S=S, **numbers)
        window = Z[:, :, rows, columns]
        Y[:, :, p, q] = window.sum(axis=(2, 3)) / (R * S if include_pad else window[0, 0].size)


@BUGS.of("avg_pool2d", "avg_pool2d_grad_input", "backward counts padding, forward does not")
def avg_pool2d_grad_input_counts_padding(
    Delta: Array, Z: Array, dZ: Array, *, include_pad: int, **numbers: int
) -> None:
    right("avg_pool2d_grad_input")(Delta, Z, dZ, include_pad=1, **numbers)


@BUGS.of("lp_pool2d", "lp_pool2d", "the 1/|R| is left out", "PyTorch's LPPool2d and ONNX leave it out")
def lp_pool2d_without_mean(Z: Array, Y: Array, *, normalize: int, **numbers: float) -> None:
    right("lp_pool2d")(Z, Y, normalize=0, **numbers)


@BUGS.of("lp_pool2d", "lp_pool2d", "odd powers are taken without the absolute value", "U19 and D19 as printed")
def lp_pool2d_without_absolute_value(Z: Array, Y: Array, *, rho: float, normalize: int, **numbers: int) -> None:
    right("lp_pool2d")(Z, Y, rho=rho, normalize=normalize, **numbers)
    if rho == 3:
        for p, q in np.ndindex(Y.shape[2:]):
            rows, columns = members(Z, p, q, **numbers)
            sums = (Z[:, :, rows, columns] ** 3).sum(axis=(2, 3))
            Y[:, :, p, q] = np.cbrt(sums / (Z[0, 0, rows, columns].size if normalize else 1))


@BUGS.of("lp_pool2d", "lp_pool2d_grad_input", "NaN at 0", "0/0 in the derivative of the root")
def lp_pool2d_grad_input_nan_at_zero(Delta: Array, Z: Array, dZ: Array, **numbers: float) -> None:
    right("lp_pool2d_grad_input")(Delta, Z, dZ, **numbers)
    dZ[Z == 0] = np.nan


@BUGS.of("global_avg_pool2d", "avg_pool2d", "sums for means")
def global_avg_pool2d_sum(Z: Array, Y: Array, **numbers: int) -> None:
    right("avg_pool2d")(Z, Y, **numbers)
    Y *= Z.shape[2] * Z.shape[3]


@BUGS.of("global_avg_pool2d", "avg_pool2d_grad_input", "each pixel receives the whole gradient", "no 1/(H W)")
def global_avg_pool2d_grad_input_undivided(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    dZ[...] = Delta


@BUGS.of("global_max_pool2d", "max_pool2d", "the maximum starts at 0", "maps behind a ReLU have no negative numbers")
def global_max_pool2d_of_zero(Z: Array, Y: Array, **numbers: int) -> None:
    Y[...] = Z.max(axis=(2, 3), keepdims=True, initial=0)


@BUGS.of("global_max_pool2d", "max_pool2d_grad_input", "all equal maxima share the gradient", "amax's gradient")
def global_max_pool2d_grad_input_shared(Delta: Array, Z: Array, dZ: Array, **numbers: int) -> None:
    most = Z.max(axis=(2, 3), keepdims=True) == Z
    dZ[...] = np.where(most, Delta / np.maximum(1, most.sum(axis=(2, 3), keepdims=True)), 0)

"""Bugs that the reference's equations have too: nothing shows where two back ends are held against each other.

Each is made of wrong equations of one element, which are given the right one.
"""

import math
from typing import Any

import numpy as np

from ... import backend as _backend
from ._mutant import Element, Mutants

BUGS = Mutants()

Number = Any  # whatever an equation runs on: floats, Fractions, dual numbers, ...


# ------------------------------------------------------------------- wrong on the way back alone


def conv2d_dZ_correlation(right: Element, Delta: Any, F: Any, *index: int, **numbers: int) -> Number:
    return right(Delta, F[:, :, ::-1, ::-1], *index, **numbers)


BUGS.shared(
    "shared_conv2d_grad_input_correlation",
    "conv2d",
    {"conv2d_grad_input": {"dZ": conv2d_dZ_correlation}},
    "dZ correlates where it has to convolve",
    "W15's flipped kernel forgotten",
)


def conv2d_dF_mean(right: Element, Delta: Any, *rest: Any, **numbers: int) -> Number:
    return right(Delta, *rest, **numbers) / len(Delta)


BUGS.shared(
    "shared_conv2d_grad_weight_mean",
    "conv2d",
    {"conv2d_grad_weight": {"dF": conv2d_dF_mean}},
    "dF is divided by N, as the cost did already",
    "M17's 1/N taken twice",
)


def conv2d_dF_stride_one(right: Element, Delta: Any, Z: Any, *index: int, **numbers: int) -> Number:
    return right(Delta, Z, *index, **{**numbers, "u": 1, "v": 1})


BUGS.shared(
    "shared_conv2d_grad_weight_of_stride_one",
    "conv2d",
    {"conv2d_grad_weight": {"dF": conv2d_dF_stride_one}},
    "dF is right for stride 1 only",
)


def sigmoid_dZ_squared(right: Element, Delta: Any, Z: Any, i: int, **numbers: Any) -> Number:
    once = right(Delta, Z, i, **numbers)
    return right([once], [Z[i]], 0, **numbers)


BUGS.shared(
    "shared_sigmoid_grad_input_squared",
    "sigmoid",
    {"sigmoid_grad_input": {"dZ": sigmoid_dZ_squared}},
    "sigmoid' enters twice",
    "D19's printed delta^F",
)


def cross_entropy_dZ_mean_twice(right: Element, *arguments: Any, divisor: int, **numbers: Any) -> Number:
    return right(*arguments, divisor=divisor, **numbers) / divisor


BUGS.shared(
    "shared_cross_entropy_index_grad_with_n_twice",
    "cross_entropy",
    {"cross_entropy_index_grad_input": {"dZ": cross_entropy_dZ_mean_twice}},
    "1/N enters twice",
    "once in the cost, once in the layer",
)


def batch_norm2d_dZ_frozen(
    right: Element, Delta: Any, Z: Any, g: Any, mean: Any, var: Any, dg: Any, db: Any, *index: int, **numbers: Any
) -> Number:
    nothing = [0] * len(g)
    return right(Delta, Z, g, mean, var, nothing, nothing, *index, **numbers)


BUGS.shared(
    "shared_batch_norm2d_grad_input_as_if_frozen",
    "batch_norm2d",
    {"batch_norm2d_grad_input": {"dZ": batch_norm2d_dZ_frozen}},
    "mean and variance count as constants while training",
)


def group_norm_dZ_frozen(
    right: Element, Delta: Any, Z: Any, g: Any, mean: Any, var: Any, e: Any, f: Any, *index: int, **numbers: Any
) -> Number:
    return right(Delta, Z, g, mean, var, 0 * e, 0 * f, *index, **numbers)


BUGS.shared(
    "shared_group_norm_grad_input_as_if_frozen",
    "group_norm",
    {"group_norm_grad_input": {"dZ": group_norm_dZ_frozen}},
    "mean and variance count as constants",
)


def gelu_slope(z: Number, density_at_0: float, m: Any) -> Number:
    Phi = m.erfc(-z / math.sqrt(2)) / 2
    return Phi if abs(z) == math.inf else Phi + z * (m.exp(-(z * z) / 2) * density_at_0)


def gelu_dZ_of_8_digits(right: Element, Delta: Any, Z: Any, i: int, *, m: Any = None) -> Number:
    return Delta[i] * gelu_slope(Z[i], 0.39894228, m or _backend.reference_math())


BUGS.shared(
    "shared_gelu_grad_input_of_8_digits",
    "gelu",
    {"gelu_grad_input": {"dZ": gelu_dZ_of_8_digits}},
    "1/sqrt(2 pi) has 8 digits: less than a difference quotient can see",
    "constants of float32 in code for float64",
)


def gelu_dZ_of_table(right: Element, Delta: Any, Z: Any, i: int, **numbers: Any) -> Number:
    return right(Delta, Z, i, **numbers) if abs(Z[i]) <= 2 else Delta[i] * (1 if Z[i] > 0 else 0)


BUGS.shared(
    "shared_gelu_grad_input_of_table",
    "gelu",
    {"gelu_grad_input": {"dZ": gelu_dZ_of_table}},
    "the slope comes from a table that ends at |z| = 2: farther out than the dual numbers go",
    "tables of activations on accelerators",
)


def max_pool2d_dZ_of_last(right: Element, Delta: Any, Z: Any, n: int, c: int, h: int, w: int, **numbers: int) -> Number:
    # The first maximum of images, windows and paddings turned by 180 degrees.
    H, W = Z.shape[2:]
    P, Q = Delta.shape[2:]
    bottom = (P - 1) * numbers["u"] + numbers["R"] - H - numbers["p_h"]
    beside = (Q - 1) * numbers["v"] + numbers["S"] - W - numbers["p_w"]
    turned = {**numbers, "p_h": bottom, "p_w": beside}
    return right(Delta[:, :, ::-1, ::-1], Z[:, :, ::-1, ::-1], n, c, H - 1 - h, W - 1 - w, **turned)


BUGS.shared(
    "shared_max_pool2d_grad_input_to_last",
    "max_pool2d",
    {"max_pool2d_grad_input": {"dZ": max_pool2d_dZ_of_last}},
    "the last of tied maxima receives the gradient: no derivative tells which",
    ">= for > in the scan",
)


# ------------------------------------- wrong both ways, so that the gradient is that of what is computed


def conv2d_Y_transposed(right: Element, Z: Any, F: Any, b: Any, *index: int, **numbers: int) -> Number:
    return right(Z, F.swapaxes(2, 3), b, *index, **numbers)


def conv2d_dF_transposed(right: Element, Delta: Any, Z: Any, k: int, c: int, r: int, s: int, **numbers: int) -> Number:
    return right(Delta, Z, k, c, s, r, **numbers)


def conv2d_dZ_transposed(right: Element, Delta: Any, F: Any, *index: int, **numbers: int) -> Number:
    return right(Delta, F.swapaxes(2, 3), *index, **numbers)


BUGS.shared(
    "shared_conv2d_kernel_transposed",
    "conv2d",
    {
        "conv2d": {"Y": conv2d_Y_transposed},
        "conv2d_grad_weight": {"dF": conv2d_dF_transposed},
        "conv2d_grad_input": {"dZ": conv2d_dZ_transposed},
        "conv2d_winograd": {"Y": conv2d_Y_transposed},
        "conv2d_winograd_grad_input": {"dZ": conv2d_dZ_transposed},
    },
    "kernels are read column by column, forward and backward",
    "MATLAB's order, as D19's slides would have it; its own filters are symmetric and do not show it",
)


def with_dilations_swapped(right: Element, *arguments: Any, d_h: int, d_w: int, **numbers: int) -> Number:
    return right(*arguments, d_h=d_w, d_w=d_h, **numbers)


BUGS.shared(
    "shared_conv2d_dilations_swapped",
    "conv2d",
    {
        "conv2d": {"Y": with_dilations_swapped},
        "conv2d_grad_weight": {"dF": with_dilations_swapped},
        "conv2d_grad_input": {"dZ": with_dilations_swapped},
    },
    "dilation along rows and columns is swapped, forward and backward",
)


def twice(right: Element, *arguments: Any, **numbers: Any) -> Number:
    return 2 * right(*arguments, **numbers)


BUGS.shared(
    "shared_squared_error_without_half",
    "squared_error",
    {"squared_error": {"E": twice}, "squared_error_grad_input": {"dA": twice}},
    "the 1/2 is left out, forward and backward",
    "PyTorch's and Keras's MSE",
)


def without_mean(right: Element, *arguments: Any, normalize: int, **numbers: Any) -> Number:
    return right(*arguments, normalize=0, **numbers)


BUGS.shared(
    "shared_lp_pool2d_without_mean",
    "lp_pool2d",
    {"lp_pool2d": {"Y": without_mean}, "lp_pool2d_grad_input": {"dZ": without_mean}},
    "the 1/|R| is left out, forward and backward",
    "PyTorch's LPPool2d, ONNX's LpPool",
)


def of_whole_alpha(right: Element, *arguments: Any, size: int, alpha: Number, **numbers: Any) -> Number:
    return right(*arguments, size=size, alpha=alpha * size, **numbers)


BUGS.shared(
    "shared_local_response_norm_alpha_of_one",
    "local_response_norm",
    {"local_response_norm": {"Y": of_whole_alpha}, "local_response_norm_grad_input": {"dZ": of_whole_alpha}},
    "alpha is not divided by the size, forward and backward",
    "TensorFlow's alpha",
)


def nonzero(Z: Any, n: int, c: int, p: int, q: int, numbers: dict[str, int]) -> list[Number]:
    """A window's members that are not 0."""
    H, W = Z.shape[2:]
    top, left = numbers["u"] * p - numbers["p_h"], numbers["v"] * q - numbers["p_w"]
    rows = range(max(0, top), max(0, min(H, top + numbers["R"])))
    columns = range(max(0, left), max(0, min(W, left + numbers["S"])))
    if isinstance(Z, np.ndarray):  # as below, for windows of hundreds
        return [z for z in Z[n, c, rows.start : rows.stop, columns.start : columns.stop].ravel().tolist() if z != 0]
    return [Z[n, c, h, w] for h in rows for w in columns if Z[n, c, h, w] != 0]


def avg_pool2d_Y_of_nonzero(right: Element, Z: Any, n: int, c: int, p: int, q: int, **numbers: int) -> Number:
    if numbers["include_pad"]:
        return right(Z, n, c, p, q, **numbers)
    members = nonzero(Z, n, c, p, q, numbers)
    return sum(members[1:], members[0]) / len(members) if members else 0


def avg_pool2d_dZ_of_nonzero(
    right: Element, Delta: Any, Z: Any, n: int, c: int, h: int, w: int, **numbers: int
) -> Number:
    if numbers["include_pad"]:
        return right(Delta, Z, n, c, h, w, **numbers)
    dz: Number = 0
    if Z[n, c, h, w] == 0:
        return dz
    for p in range(Delta.shape[2]):
        for q in range(Delta.shape[3]):
            r, s = h + numbers["p_h"] - numbers["u"] * p, w + numbers["p_w"] - numbers["v"] * q
            if 0 <= r < numbers["R"] and 0 <= s < numbers["S"]:
                dz = dz + Delta[n, c, p, q] / len(nonzero(Z, n, c, p, q, numbers))
    return dz


BUGS.shared(
    "shared_avg_pool2d_of_nonzero",
    "avg_pool2d",
    {"avg_pool2d": {"Y": avg_pool2d_Y_of_nonzero}, "avg_pool2d_grad_input": {"dZ": avg_pool2d_dZ_of_nonzero}},
    "padding is told by its value, so zeros of the image do not count either: no longer linear",
    "means by sum / count_nonzero",
)

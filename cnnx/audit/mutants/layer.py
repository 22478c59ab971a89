"""Bugs of affine layers, sums and products, also of matrices, dropout and normalisation."""

import math

import numpy as np

from ..data import Array
from ._mutant import Mutants, right

BUGS = Mutants()


@BUGS.of("affine", "affine", "the weights' columns are read in another order", "flatten by W, H, C for C, H, W")
def affine_weight_of_other_order(Z: Array, w: Array, b: Array, Y: Array) -> None:
    right("affine")(Z, np.ascontiguousarray(w[:, ::-1]), b, Y)


@BUGS.of("affine", "affine", "one bias for all outputs", "U19's v_0")
def affine_one_bias(Z: Array, w: Array, b: Array, Y: Array) -> None:
    right("affine")(Z, w, np.full_like(b, b[0]), Y)


@BUGS.of("affine", "affine_grad_weight", "samples after the first 16 are left out", "a block of samples, no tail")
def affine_grad_weight_of_16_rows(Delta: Array, Z: Array, dw: Array) -> None:
    right("affine_grad_weight")(np.ascontiguousarray(Delta[:16]), np.ascontiguousarray(Z[:16]), dw)


@BUGS.of("affine", "affine_grad_weight", "dw is transposed where that fits", "rectangular tests do not show it")
def affine_grad_weight_transposed(Delta: Array, Z: Array, dw: Array) -> None:
    right("affine_grad_weight")(Delta, Z, dw)
    if dw.shape[0] == dw.shape[1]:
        dw[...] = dw.T.copy()


@BUGS.of("affine", "affine_grad_bias", "db is divided by N, as the cost did already", "M17's 1/N taken twice")
def affine_grad_bias_mean(Delta: Array, db: Array) -> None:
    right("affine_grad_bias")(Delta, db)
    db /= max(1, len(Delta))


def _summed(terms: Array, dA: Array) -> None:
    dA[...] = terms.sum(axis=tuple(i for i, n in enumerate(dA.shape) if n == 1), keepdims=True)


@BUGS.of("add", "add_grad_input", "what was repeated receives the first place's gradient alone", "no sum")
def add_grad_input_of_first_place(Delta: Array, A: Array, dA: Array) -> None:
    dA[...] = Delta[tuple(slice(n) for n in A.shape)]


@BUGS.of("add", "add", "a row is added as a column where that fits", "NumPy's rule from the wrong end")
def add_row_as_column(A: Array, B: Array, Y: Array) -> None:
    column = B.shape[-1] == A.shape[-2] and B.shape[-2] == 1
    right("add")(A, np.ascontiguousarray(B.swapaxes(-1, -2)) if column else B, Y)


@BUGS.of("multiply", "multiply_grad_input", "Delta times the operand itself", "2 a for b where a is multiplied by b")
def multiply_grad_input_of_itself(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    _summed(Delta * A, dA)


@BUGS.of("multiply", "multiply_grad_input", "a mean over what was repeated, not a sum")
def multiply_grad_input_mean(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    right("multiply_grad_input")(Delta, A, B, dA)
    dA /= Delta.size // dA.size


@BUGS.of("matmul", "matmul", "the members of b are taken in another order", "a stack walked by its first axis fastest")
def matmul_of_other_members(A: Array, B: Array, Y: Array) -> None:
    right("matmul")(A, np.ascontiguousarray(B.transpose(3, 2, 1, 0, 4, 5)).reshape(B.shape), Y)


@BUGS.of("matmul", "matmul_grad_a", "b is not transposed where that fits", "square tests alone show it")
def matmul_grad_a_untransposed(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    fits = B.shape[-1] == B.shape[-2]
    right("matmul_grad_a")(Delta, A, np.ascontiguousarray(B.swapaxes(-1, -2)) if fits else B, dA)


@BUGS.of("matmul", "matmul_grad_a", "what was repeated receives the first member's gradient alone", "no sum")
def matmul_grad_a_of_first_member(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    first = tuple(slice(n) for n in A.shape[:-2])
    mine = np.ascontiguousarray(B[tuple(slice(min(n, m)) for n, m in zip(A.shape[:-2], B.shape, strict=False))])
    right("matmul_grad_a")(np.ascontiguousarray(Delta[first]), A, mine, dA)


@BUGS.of("matmul", "matmul_grad_b", "a mean over what was repeated, not a sum")
def matmul_grad_b_mean(Delta: Array, A: Array, B: Array, dB: Array) -> None:
    right("matmul_grad_b")(Delta, A, B, dB)
    dB /= max(1, np.prod(Delta.shape[:-2]) // max(1, np.prod(B.shape[:-2])))


@BUGS.of("dropout", "dropout", "what is kept is not scaled", "the original, not the inverted form")
def dropout_unscaled(Z: Array, mask: Array, Y: Array, *, rate: float) -> None:
    Y[...] = Z * mask


@BUGS.of("dropout", "dropout_grad_input", "the gradient is not masked")
def dropout_grad_input_unmasked(Delta: Array, mask: Array, dZ: Array, *, rate: float) -> None:
    dZ[...] = Delta / Delta.dtype.type(1 - rate)


@BUGS.of("dropout", "dropout_grad_input", "a dropped NaN comes through", "0 * NaN")
def dropout_grad_input_leaks_nan(Delta: Array, mask: Array, dZ: Array, *, rate: float) -> None:
    dZ[...] = Delta * mask / (1 - rate)


@BUGS.of("batch_norm2d", "batch_norm2d_statistics_var", "the unbiased variance", "M - 1, meant for the running one")
def batch_norm2d_unbiased(Z: Array, mean: Array, var: Array) -> None:
    right("batch_norm2d_statistics_var")(Z, mean, var)
    M = Z.size // Z.shape[1]
    var *= M / (M - 1)


@BUGS.of("batch_norm2d", "batch_norm2d_statistics_var", "E[z^2] - E[z]^2 cancels", "one-pass variance in float32")
def batch_norm2d_variance_by_difference(Z: Array, mean: Array, var: Array) -> None:
    var[...] = (Z * Z).mean(axis=(0, 2, 3)) - mean * mean


@BUGS.of("batch_norm2d", "batch_norm2d_statistics_mean", "the mean is rounded to the arrays' type", "offsets of 1e7")
def batch_norm2d_rounded_mean(Z: Array, mean: Array) -> None:
    right("batch_norm2d_statistics_mean")(Z, mean)
    mean[...] = mean.astype(Z.dtype)


@BUGS.of("batch_norm2d", "batch_norm2d", "the mean is rounded to the arrays' type before it is taken off")
def batch_norm2d_less_rounded_mean(
    Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float
) -> None:
    right("batch_norm2d")(Z, g, b, mean.astype(Z.dtype).astype(float), var, Y, eps=eps)


@BUGS.of("batch_norm2d", "batch_norm2d", "eps is added to the deviation, not to the variance")
def batch_norm2d_eps_outside(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    g, b, mean, deviation = (a.reshape(-1, 1, 1) for a in (g, b, mean, np.sqrt(var) + Z.dtype.type(eps)))
    Y[...] = g * ((Z - mean) / deviation) + b


@BUGS.of(
    "batch_norm2d", "batch_norm2d_grad_input", "mean and variance count as constants while training", "a frozen layer's"
)
def batch_norm2d_grad_input_as_if_frozen(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, dg: Array, db: Array, dZ: Array, *, eps: float
) -> None:
    right("batch_norm2d_grad_input_inference")(Delta, g, var, dZ, eps=eps)


@BUGS.of("layer_norm", "group_norm_statistics", "the unbiased variance", "M - 1, as of a sample")
def group_norm_unbiased(Z: Array, mean: Array, var: Array) -> None:
    right("group_norm_statistics")(Z, mean, var)
    M = math.prod(Z.shape[2:])
    var *= M / (M - 1)


@BUGS.of("instance_norm", "group_norm_statistics", "E[z^2] - E[z]^2 cancels", "one-pass variance in float32")
def group_norm_variance_by_difference(Z: Array, mean: Array, var: Array) -> None:
    right("group_norm_statistics")(Z, mean, var)
    var[...] = (Z * Z).mean(axis=(2, 3)) - mean * mean


@BUGS.of("group_norm", "group_norm_statistics", "statistics are rounded to the arrays' type", "offsets of 1e7")
def group_norm_rounded_statistics(Z: Array, mean: Array, var: Array) -> None:
    right("group_norm_statistics")(Z, mean, var)
    mean[...], var[...] = mean.astype(Z.dtype), var.astype(Z.dtype)


@BUGS.of("group_norm", "group_norm", "a group has every S-th gain", "channels that are counted the wrong way")
def group_norm_gains_across(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    across = np.ascontiguousarray(g.reshape(g.shape[::-1]).T)
    right("group_norm")(Z, across, b, mean, var, Y, eps=eps)


@BUGS.of("layer_norm", "group_norm", "eps is added to the deviation, not to the variance")
def group_norm_eps_outside(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    deviation = (np.sqrt(var) + eps)[:, :, None, None]
    Y[...] = g[..., None] * ((Z - mean[:, :, None, None]) / deviation) + b[..., None]


@BUGS.of("group_norm", "group_norm_grad_sums", "the sums of Delta lack the gains", "as if the gains were one")
def group_norm_grad_sums_without_gains(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, e: Array, f: Array, *, eps: float
) -> None:
    right("group_norm_grad_sums")(Delta, Z, np.ones_like(g), mean, var, e, f, eps=eps)


@BUGS.of("layer_norm", "group_norm_grad_weight", "Delta times Z, not times what Z is normalised to")
def group_norm_grad_weight_of_inputs(Delta: Array, Z: Array, mean: Array, var: Array, dg: Array, *, eps: float) -> None:
    dg[...] = (Delta * (Z - mean[:, :, None, None])).sum(axis=(0, 3))


@BUGS.of("instance_norm", "group_norm_grad_input", "mean and variance count as constants", "a frozen batch norm's")
def group_norm_grad_input_as_if_frozen(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, e: Array, f: Array, dZ: Array, *, eps: float
) -> None:
    nothing = np.zeros_like(e)
    right("group_norm_grad_input")(Delta, Z, g, mean, var, nothing, nothing, dZ, eps=eps)


@BUGS.of("local_response_norm", "local_response_norm", "alpha is not divided by the size", "TensorFlow's alpha")
def local_response_norm_alpha_of_one(Z: Array, Y: Array, *, size: int, alpha: float, **numbers: float) -> None:
    right("local_response_norm")(Z, Y, size=size, alpha=alpha * size, **numbers)


@BUGS.of("local_response_norm", "local_response_norm", "an even window has its odd channel below", "PyTorch's")
def local_response_norm_even_window_below(Z: Array, Y: Array, *, size: int, **numbers: float) -> None:
    order = slice(None, None, -1) if size % 2 == 0 else slice(None)
    mirrored = np.empty_like(Y)
    right("local_response_norm")(np.ascontiguousarray(Z[:, order]), mirrored, size=size, **numbers)
    Y[...] = mirrored[:, order]


@BUGS.of("local_response_norm", "local_response_norm", "S has 1 for k", "a bias that is written down")
def local_response_norm_without_k(Z: Array, Y: Array, *, k: float, **numbers: float) -> None:
    right("local_response_norm")(Z, Y, k=1.0, **numbers)


@BUGS.of(
    "local_response_norm", "local_response_norm_grad_input", "S counts as a constant", "the second term is left out"
)
def local_response_norm_grad_input_of_constant(Delta: Array, Z: Array, dZ: Array, **numbers: float) -> None:
    right("local_response_norm")(Z, dZ, **numbers)
    dZ[...] = np.divide(Delta * dZ, Z, out=np.zeros_like(dZ), where=Z != 0)


@BUGS.of("local_response_norm", "local_response_norm_grad_input", "the sum is over c's window, not those that hold c")
def local_response_norm_grad_input_over_own_window(
    Delta: Array, Z: Array, dZ: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    C = Z.shape[1]
    windows = [slice(max(0, c - (size - 1) // 2), c + size // 2 + 1) for c in range(C)]
    S = np.stack([k + alpha / size * (Z[:, window].astype(float) ** 2).sum(axis=1) for window in windows], axis=1)
    terms = Delta * Z * S ** (-beta - 1)
    sums = np.stack([terms[:, window].sum(axis=1) for window in windows], axis=1)
    dZ[...] = Delta * S**-beta - 2 * alpha / size * beta * Z * sums

"""Bugs of convolutions."""

import ctypes
from typing import Any

import numpy as np

from ... import native as _native
from ..data import Array
from ._mutant import Mutants, right, truncated

BUGS = Mutants()


def flipped(F: Array) -> Array:
    """A kernel turned by 180 degrees."""
    return np.ascontiguousarray(F[:, :, ::-1, ::-1])


def padding_behind(extent: int, outputs: int, before: int, step: int, span: int) -> int:
    """The rows of padding below (or columns at the right), from C2: what a kernel is not told."""
    return max(0, (outputs - 1) * step + span - extent - before)


@BUGS.of("conv2d", "conv2d", "the kernel is flipped, as in mathematics", "SciPy's convolve2d taken for a layer's")
def conv2d_flipped(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, flipped(F), b, Y, **numbers)


@BUGS.of("conv2d", "conv2d", "the bias is dropped")
def conv2d_without_bias(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, np.zeros_like(b), Y, **numbers)


@BUGS.of("conv2d", "conv2d", "the bias is added once per input channel", "a bias inside the loop over channels")
def conv2d_bias_per_input_channel(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, b * F.dtype.type(F.shape[1]), Y, **numbers)


@BUGS.of("conv2d", "conv2d", "the strides along rows and columns are swapped", "(sw, sh) read as (sh, sw)")
def conv2d_strides_swapped(Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, **numbers: int) -> None:
    rows = min(Y.shape[2], 1 + (Z.shape[2] - 1) // v)
    wrong = np.zeros_like(Y)
    right("conv2d")(Z, F, b, wrong[:, :, :rows].copy(), u=v, v=u, **numbers)
    Y[...] = wrong


@BUGS.of(
    "conv2d",
    "conv2d",
    "all padding is at the top and left",
    "`same` padding: TensorFlow's odd row is below, ports have put it above",
)
def conv2d_padding_at_top_left(
    Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, **numbers: int
) -> None:
    rows = padding_behind(Z.shape[2], Y.shape[2], p_h, u, d_h * (F.shape[2] - 1) + 1)
    columns = padding_behind(Z.shape[3], Y.shape[3], p_w, v, d_w * (F.shape[3] - 1) + 1)
    right("conv2d")(Z, F, b, Y, u=u, v=v, p_h=p_h + rows, p_w=p_w + columns, d_h=d_h, d_w=d_w, **numbers)


@BUGS.of("conv2d", "conv2d", "the first channel of a group is off by one")
def conv2d_group_off_by_one(Z: Array, F: Array, b: Array, Y: Array, *, groups: int, **numbers: int) -> None:
    moved = np.ascontiguousarray(np.roll(Z, -1, axis=1)) if groups > 1 else Z
    right("conv2d")(moved, F, b, Y, groups=groups, **numbers)


@BUGS.of("conv2d", "conv2d", "numbers are rounded to float16 on their way in", "automatic mixed precision left on")
def conv2d_in_float16(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z.astype(np.float16).astype(Z.dtype), F, b, Y, **numbers)


@BUGS.of(
    "conv2d",
    "conv2d",
    "float32 is multiplied with 10 bits of its mantissa",
    "TF32, PyTorch's default for cuDNN's convolutions",
)
def conv2d_in_tf32(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(truncated(Z, 10), F, b, Y, **numbers)


@BUGS.of("conv2d", "conv2d", "float32 weights lack 5 bits: ten times the bound", "weights packed in fewer bits")
def conv2d_weight_of_18_bits(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, truncated(F, 18), b, Y, **numbers)


@BUGS.of("conv2d", "conv2d", "sums are kept in float16", "half-precision accumulators")
def conv2d_sums_in_float16(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, b, Y, **numbers)
    Y[...] = Y.astype(np.float16)


@BUGS.of("conv2d", "conv2d", "the last row of an odd number of rows is skipped", "a loop unrolled by two, no tail")
def conv2d_last_row_missing(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    kept = Y[:, :, -1:].copy()
    right("conv2d")(Z, F, b, Y, **numbers)
    if Y.shape[2] % 2:
        Y[:, :, -1:] = kept


@BUGS.of("conv2d", "conv2d", "the last of an odd number of input channels is skipped", "channels taken in pairs")
def conv2d_last_channel_missing(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    C = F.shape[1]
    if C % 2 and C > 1:
        F = F.copy()
        F[:, -1] = 0
    right("conv2d")(Z, F, b, Y, **numbers)


@BUGS.of("conv2d", "conv2d", "the second block of four output channels is wrong", "a blocked loop's second trip")
def conv2d_fifth_channel_wrong(Z: Array, F: Array, b: Array, Y: Array, *, groups: int, **numbers: int) -> None:
    right("conv2d")(Z, F, b, Y, groups=groups, **numbers)
    if Y.shape[1] // groups > 4:
        Y[:, 4] += 1


@BUGS.of("conv2d", "conv2d", "columns beyond a block of 16 are wrong but in the first image")
def conv2d_second_block_of_columns_wrong(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, b, Y, **numbers)
    if len(Y) > 1:
        Y[1:, :, :, 16:] += 1


@BUGS.of("conv2d", "conv2d", "the output is added to, and never set to zero first", "results depend on old memory")
def conv2d_adds_to_its_output(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    sums = np.empty_like(Y)
    right("conv2d")(Z, F, b, sums, **numbers)
    Y += sums


@BUGS.of("conv2d", "conv2d", "the input is overwritten", "in-place padding of the caller's image")
def conv2d_writes_to_its_input(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, b, Y, **numbers)
    if Z.size:
        ctypes.c_uint8.from_address(Z.ctypes.data).value ^= 1  # as C code would, past NumPy's read-only flag


@BUGS.of("conv2d", "conv2d", "the kernel returns its output instead of None")
def conv2d_returns_its_output(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> Array:
    right("conv2d")(Z, F, b, Y, **numbers)
    return Y


@BUGS.of("conv2d", "conv2d", "the kernel raises")
def conv2d_raises(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    raise RuntimeError("out of registers")


@BUGS.of("conv2d", "conv2d", "another product is used on more than one thread, one ulp away", "a parallel code path")
def conv2d_depends_on_threads(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    right("conv2d")(Z, F, b, Y, **numbers)
    if _native.get_num_threads() > 1:
        Y *= 1 + np.finfo(Y.dtype).eps


@BUGS.of(
    "conv2d",
    "conv2d",
    "im2col takes strides for granted: any image is read as if it were C-contiguous",
    "CS231n's conv_forward_strided computes them from the shape",
)
def conv2d_ignores_fortran_order(Z: Array, F: Array, b: Array, Y: Array, **numbers: int) -> None:
    # The numbers in the order in which they lie in memory.
    right("conv2d")(Z.ravel(order="K").reshape(Z.shape), np.ascontiguousarray(F), b, Y, **numbers)


@BUGS.of("conv2d", "conv2d_grad_weight", "dF is divided by N, as the cost did already", "M17's 1/N taken twice")
def conv2d_grad_weight_mean(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    right("conv2d_grad_weight")(Delta, Z, dF, **numbers)
    dF /= max(1, len(Z))


@BUGS.of("conv2d", "conv2d_grad_weight", "rows and columns of dF are transposed")
def conv2d_grad_weight_transposed(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    right("conv2d_grad_weight")(Delta, Z, dF, **numbers)
    if dF.shape[2] == dF.shape[3]:
        dF[...] = dF.swapaxes(2, 3).copy()


@BUGS.of("conv2d", "conv2d_grad_weight", "examples after the second are left out", "an accumulator reset per block")
def conv2d_grad_weight_of_two_images(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    right("conv2d_grad_weight")(np.ascontiguousarray(Delta[:2]), np.ascontiguousarray(Z[:2]), dF, **numbers)


@BUGS.of("conv2d", "conv2d_grad_weight", "the dilation is left out of dF", "gradients written before dilation came")
def conv2d_grad_weight_without_dilation(Delta: Array, Z: Array, dF: Array, **numbers: int) -> None:
    right("conv2d_grad_weight")(Delta, Z, dF, **{**numbers, "d_h": 1, "d_w": 1})


@BUGS.of("conv2d", "conv2d_grad_input", "dZ correlates where it has to convolve", "W15's flipped kernel forgotten")
def conv2d_grad_input_correlation(Delta: Array, F: Array, dZ: Array, **numbers: int) -> None:
    right("conv2d_grad_input")(Delta, flipped(F), dZ, **numbers)


@BUGS.of("conv2d", "conv2d_grad_input", "dZ is right for stride 1 only", "W15's equation is that of stride 1")
def conv2d_grad_input_of_stride_one(Delta: Array, F: Array, dZ: Array, *, u: int, v: int, **numbers: int) -> None:
    P, Q = (Delta.shape[2] - 1) * u + 1, (Delta.shape[3] - 1) * v + 1
    wide = np.zeros((*Delta.shape[:2], P, Q), Delta.dtype)
    wide[:, :, : Delta.shape[2], : Delta.shape[3]] = Delta  # and not every u-th and v-th
    right("conv2d_grad_input")(wide, F, dZ, u=1, v=1, **numbers)


@BUGS.of("conv2d", "conv2d_grad_input", "where windows overlap the last one wins", "col2im with = for +=")
def conv2d_grad_input_overwritten(
    Delta: Array, F: Array, dZ: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, groups: int
) -> None:
    if groups > 1:
        right("conv2d_grad_input")(Delta, F, dZ, u=u, v=v, p_h=p_h, p_w=p_w, d_h=d_h, d_w=d_w, groups=groups)
        return
    (H, W), (P, Q), (R, S) = dZ.shape[2:], Delta.shape[2:], F.shape[2:]
    rows = max(p_h + H, u * (P - 1) + d_h * (R - 1) + 1)
    columns = max(p_w + W, v * (Q - 1) + d_w * (S - 1) + 1)
    padded = np.zeros((*dZ.shape[:2], rows, columns), dZ.dtype)
    for p, q in np.ndindex(P, Q):
        at = np.ix_(u * p + d_h * np.arange(R), v * q + d_w * np.arange(S))
        padded[:, :, at[0], at[1]] = np.einsum("nk,kcrs->ncrs", Delta[:, :, p, q], F)
    dZ[...] = padded[:, :, p_h : p_h + H, p_w : p_w + W]


@BUGS.of("conv2d", "conv2d_grad_bias", "db is that of the first image")
def conv2d_grad_bias_of_first_image(Delta: Array, db: Array) -> None:
    right("conv2d_grad_bias")(np.ascontiguousarray(Delta[:1]), db)


@BUGS.of(
    "conv2d",
    "conv2d_grad_bias",
    "db is summed in as many parts as there are threads",
    "OpenMP reductions: other bits for each thread count",
)
def conv2d_grad_bias_in_parts(Delta: Array, db: Array) -> None:
    rows = np.moveaxis(Delta, 1, 0).reshape(len(db), -1)
    db[...] = 0
    for part in np.array_split(rows, _native.get_num_threads(), axis=1):
        sums: Any = np.zeros_like(db)
        for column in part.T:
            sums += column
        db += sums

"""Bugs that libraries had in convolutions."""

from typing import Any

import numpy as np

from ...data import Array
from .._mutant import right
from ..convolution import padding_behind
from ._bug import Bugs
from .usual import conv, conv_transpose

BUGS = Bugs()
BLOCK = 8  # channels in a block of oneDNN's layouts


@BUGS.of(
    "conv2d",
    "conv2d_grad_weight",
    "pytorch/pytorch#51430",
    "with groups, a kernel's gradient is that of another group's channels",
    usual=conv(groups=4),
)
def conv2d_grad_weight_of_other_groups(Delta: Array, Z: Array, dF: Array, *, groups: int, **numbers: int) -> None:
    """The images' channels are repeated as a whole, and not each group's by itself."""
    K = dF.shape[0] // groups
    order = np.arange(dF.shape[0]).reshape(K, groups).T.ravel()  # output channels, dealt out to the groups by turns
    dealt = np.empty_like(dF)
    right("conv2d_grad_weight")(np.ascontiguousarray(Delta[:, order]), Z, dealt, groups=groups, **numbers)
    dF[order] = dealt


@BUGS.of(
    "conv2d",
    "conv2d_grad_weight",
    "pytorch/pytorch#50042",
    "of a depthwise convolution with stride 2 the kernel's last row lacks the terms of the last row of outputs",
    usual=conv((16, 16), groups=16, stride=2),
)
def conv2d_grad_weight_depthwise_last_row(
    Delta: Array, Z: Array, dF: Array, *, groups: int, u: int, **numbers: int
) -> None:
    """With numbers of channels that fill blocks of 8; the report has 24, and right results for 23 and 25."""
    right("conv2d_grad_weight")(Delta, Z, dF, groups=groups, u=u, **numbers)
    if groups == Z.shape[1] and groups % BLOCK == 0 and u == 2:
        above = Delta.copy()
        above[:, :, -1] = 0
        lacking = np.empty_like(dF)
        right("conv2d_grad_weight")(above, Z, lacking, groups=groups, u=u, **numbers)
        dF[:, :, -1] = lacking[:, :, -1]


@BUGS.of(
    "conv2d",
    "conv2d",
    "Tencent/ncnn#1014",
    "3 x 3, stride 2: channels are looked for one after the other, though each begins at a multiple of four numbers",
    usual=conv(stride=2, padding=0),
)
def conv2d_channels_without_gaps(Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, **numbers: int) -> None:
    """Right where P Q is a multiple of 4, as the report's table has it."""
    right("conv2d")(Z, F, b, Y, u=u, v=v, **numbers)
    size = Y.shape[2] * Y.shape[3]
    gap = -size % 4
    if F.shape[2:] == (3, 3) and u == v == 2 and gap:
        for image in Y:
            written = image.ravel().copy()
            memory = np.zeros((len(image), size + gap), Y.dtype)
            memory.reshape(-1)[: written.size] = written
            image[...] = memory[:, :size].reshape(image.shape)


@BUGS.of(
    "conv2d",
    "conv2d_grad_input",
    "fujitsu/oneDNN#43",
    "dZ is wrong with a stride along rows, more than 16 channels and fewer than 17 columns",
    usual=conv((32, 16), stride=2),
)
def conv2d_grad_input_of_narrow_images(Delta: Array, F: Array, dZ: Array, *, v: int, **numbers: int) -> None:
    """The kernel's last column counts for nothing there; the report says only when results are wrong."""
    if v > 1 and dZ.shape[1] > 16 and dZ.shape[3] < 17:
        F = F.copy()
        F[..., -1] = 0
    right("conv2d_grad_input")(Delta, F, dZ, v=v, **numbers)


@BUGS.of("conv2d", "conv2d", "OAID/Tengine#5", "each group has the first group's bias", usual=conv(groups=2))
def conv2d_bias_of_first_group(Z: Array, F: Array, b: Array, Y: Array, *, groups: int, **numbers: int) -> None:
    """Where a group's bias begins is not moved on; the report calls it the biases' step."""
    right("conv2d")(Z, F, np.tile(b[: len(b) // groups], groups), Y, groups=groups, **numbers)


@BUGS.of(
    "conv2d",
    "conv2d",
    "Tencent/ncnn#6661",
    "padding that differs by side: the padding at the top is lost where it is that at the left",
    usual=conv(padding=((1, 2), (1, 2)), stride=2, kernel=5),
)
def conv2d_top_padding_lost(
    Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int, groups: int
) -> None:
    below = padding_behind(Z.shape[2], Y.shape[2], p_h, u, d_h * (F.shape[2] - 1) + 1)
    lost = p_h == p_w and below > p_h
    right("conv2d")(Z, F, b, Y, u=u, v=v, p_h=0 if lost else p_h, p_w=p_w, d_h=d_h, d_w=d_w, groups=groups)


@BUGS.of(
    "conv2d",
    "conv2d",
    "uxlfoundation/oneDNN#5080",
    "where a kernel reaches beyond the left or right it reads what lies there in memory, not zeros",
)
def conv2d_reads_neighbouring_rows(
    Z: Array, F: Array, b: Array, Y: Array, *, p_h: int, p_w: int, v: int, d_w: int, **numbers: int
) -> None:
    """The last numbers of the row above, and the first of that below."""
    N, C, H, W = Z.shape
    right_of = min(W, padding_behind(W, Y.shape[3], p_w, v, d_w * (F.shape[3] - 1) + 1))
    left_of = min(W, p_w)
    flat = np.pad(Z.reshape(N, C, H * W), ((0, 0), (0, 0), (W, W)))
    rows = np.stack([flat[:, :, W + h * W - left_of : W + h * W + W + right_of] for h in range(H)], axis=2)
    kept = p_w - left_of
    more: dict[str, Any] = {"p_h": p_h, "p_w": kept, "v": v, "d_w": d_w, **numbers}
    right("conv2d")(np.ascontiguousarray(rows), F, b, Y, **more)


@BUGS.of(
    "conv_transpose2d",
    "conv_transpose2d",
    "llvm/torch-mlir#2026",
    "what output padding adds is zeros",
)
def conv_transpose2d_output_padding_of_zeros(Z: Array, F: Array, b: Array, Y: Array, **n: int) -> None:
    """Beyond what the image and its padding give: the kernel is not told the padding, so that of the top counts."""
    right("conv_transpose2d")(Z, F, b, Y, **n)
    rows = n["u"] * (Z.shape[2] - 1) + n["d_h"] * (F.shape[2] - 1) + 1 - 2 * n["p_h"]
    columns = n["v"] * (Z.shape[3] - 1) + n["d_w"] * (F.shape[3] - 1) + 1 - 2 * n["p_w"]
    Y[:, :, max(0, rows) :] = 0
    Y[:, :, :, max(0, columns) :] = 0


@BUGS.of(
    "conv_transpose2d",
    "conv_transpose2d",
    "pytorch/pytorch#1565",
    "the dilation is left out",
    usual=conv_transpose(dilation=2, padding=2),
)
def conv_transpose2d_without_dilation(
    Z: Array, F: Array, b: Array, Y: Array, *, d_h: int, d_w: int, **numbers: int
) -> None:
    right("conv_transpose2d")(Z, F, b, Y, d_h=1, d_w=1, **numbers)


@BUGS.of(
    "conv_transpose2d",
    "conv_transpose2d_grad_input",
    "huggingface/candle#2337",
    "backward takes the stride for the dilation and the dilation for the stride",
)
def conv_transpose2d_grad_input_stride_for_dilation(
    Delta: Array, F: Array, dZ: Array, *, u: int, v: int, d_h: int, d_w: int, **numbers: int
) -> None:
    """The report's case ended with shapes that did not fit; here numbers beyond Delta count for nothing."""
    right("conv_transpose2d_grad_input")(Delta, F, dZ, u=d_h, v=d_w, d_h=u, d_w=v, **numbers)

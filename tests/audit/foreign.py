"""Kernels as other people write them, in NumPy, for tests of contracts: right ones, and with one bug each."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

NHWC = {"x": "NHWC", "weight": "HWIO", "y": "NHWC"}
GEOMETRY = ["stride", "pads"]


def products(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Any:
    """Of NHWC images with HWIO kernels, the products of each place of the kernel and each channel in turn."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    rows, columns, channels, _ = weight.shape
    P, Q = (x.shape[1] - rows) // stride[0] + 1, (x.shape[2] - columns) // stride[1] + 1
    for r, s, c in np.ndindex(rows, columns, channels):
        part = x[:, r : r + stride[0] * P : stride[0], s : s + stride[1] * Q : stride[1], c]
        yield part[:, :P, :Q, None] * weight[r, s, c]


def summed(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...], within: str) -> Array:
    """A convolution summed in numbers of one dtype."""
    x, weight = x.astype(within), weight.astype(within)
    return np.asarray(sum(products(x, weight, stride, pads)))


def conv(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """In float32, whatever the arrays are; rounded at last."""
    return summed(x, weight, stride, pads, "float32").astype(x.dtype)


def conv_in_its_own(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """In the arrays' own numbers."""
    return summed(x, weight, stride, pads, x.dtype.name).astype(x.dtype)


def conv_in_half(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """In float16, whatever the arrays are."""
    return summed(x, weight, stride, pads, "float16").astype(x.dtype)


def conv_transposed(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """HWIO taken for HWOI."""
    rows, columns, channels, outputs = weight.shape
    return conv(x, weight.reshape(rows, columns, outputs, channels).swapaxes(2, 3), stride, pads)


def conv_flipped(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """A convolution in the word's other meaning."""
    return conv(x, weight[::-1, ::-1], stride, pads)


def conv_stride_1(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """A stride of 2 is taken for 1."""
    y = conv(x, weight, stride, pads)
    return conv(x, weight, (1, 1), pads)[:, : y.shape[1], : y.shape[2]]


def conv_truncated(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """bfloat16 by cutting off float32's lower half."""
    bits = summed(x, weight, stride, pads, "float32").view(np.uint32) >> 16
    return bits.astype(np.uint16).view(x.dtype)


def conv_nothing(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> None:
    """It forgets to return."""
    conv(x, weight, stride, pads)


def conv_chw(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """It returns another layout."""
    return conv(x, weight, stride, pads).transpose(0, 3, 1, 2)


def conv_double(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """It returns another dtype."""
    return conv(x, weight, stride, pads).astype("float64")


def conv_overwrites(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...]) -> Array:
    """Its result is right, and its image gone."""
    y = conv(x, weight, stride, pads)
    x[...] = 0
    return y


def conv_into(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...], y: Array) -> None:
    """It writes its result."""
    y[...] = conv(x, weight, stride, pads)


def conv_elsewhere(x: Array, weight: Array, stride: tuple[int, int], pads: tuple[int, ...], y: Array) -> None:
    """It writes its result into an array of its own."""
    y = conv(x, weight, stride, pads)  # noqa: F841


# ------------------------------------------------------------------------------------------- fused

BLOCK = ["x", "weight", "bias", "residual", *GEOMETRY]


def single(*arrays: Array) -> list[Array]:
    return [a.astype("float32") for a in arrays]


def block(x: Array, weight: Array, bias: Array, residual: Array, stride: Any, pads: Any) -> Array:
    """relu(conv + bias + residual), rounded once."""
    b, other = single(bias, residual)
    y = summed(x, weight, stride, pads, "float32") + b + other
    return np.maximum(y, 0).astype(x.dtype)


def block_bias_last(x: Array, weight: Array, bias: Array, residual: Array, stride: Any, pads: Any) -> Array:
    b, other = single(bias, residual)
    return (np.maximum(summed(x, weight, stride, pads, "float32") + other, 0) + b).astype(x.dtype)


def block_no_residual(x: Array, weight: Array, bias: Array, residual: Array, stride: Any, pads: Any) -> Array:
    return block(x, weight, bias, np.zeros_like(residual), stride, pads)


def block_relu_early(x: Array, weight: Array, bias: Array, residual: Array, stride: Any, pads: Any) -> Array:
    b, other = single(bias, residual)
    return (np.maximum(summed(x, weight, stride, pads, "float32") + b, 0) + other).astype(x.dtype)


def block_rounds_between(x: Array, weight: Array, bias: Array, residual: Array, stride: Any, pads: Any) -> Array:
    """Right, but each step in the arrays' own numbers."""
    y = conv(x, weight, stride, pads) + bias + residual
    return np.maximum(y, np.zeros((), x.dtype))


NORMED = ["x", "weight", *GEOMETRY, "scale", "shift", "mean", "variance"]


def normed(
    x: Array, weight: Array, stride: Any, pads: Any, scale: Array, shift: Array, mean: Array, variance: Array
) -> Array:
    """Inference batch norm and ReLU6, folded into the weights before."""
    factor = scale / np.sqrt(variance + np.float32(1e-3))
    y = conv(x, weight * factor, stride, pads) + (shift - mean * factor)
    return np.clip(y, 0, 6).astype(x.dtype)


def normed_without_eps(
    x: Array, weight: Array, stride: Any, pads: Any, scale: Array, shift: Array, mean: Array, variance: Array
) -> Array:
    y = (conv(x, weight, stride, pads) - mean) / np.sqrt(variance) * scale + shift
    return np.clip(y, 0, 6).astype(x.dtype)


def normed_without_6(
    x: Array, weight: Array, stride: Any, pads: Any, scale: Array, shift: Array, mean: Array, variance: Array
) -> Array:
    factor = scale / np.sqrt(variance + np.float32(1e-3))
    return np.maximum(conv(x, weight, stride, pads) * factor + (shift - mean * factor), 0).astype(x.dtype)

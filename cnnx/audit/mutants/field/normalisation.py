"""Bugs that libraries had in normalisation."""

import math

import numpy as np

from ...data import Array
from .._mutant import right
from ._bug import Bugs
from .usual import batch_norm, layer_norm

BUGS = Bugs()


def per_channel(*arrays: Array) -> tuple[Array, ...]:
    """Arrays of a number for each channel, beside images."""
    return tuple(a.reshape(-1, 1, 1) for a in arrays)


@BUGS.of("batch_norm2d", "batch_norm2d_statistics_var", "tenstorrent/tt-metal#45968", "the variance is E[z^2] - E[z]^2")
def batch_norm2d_variance_of_squares(Z: Array, mean: Array, var: Array) -> None:
    var[...] = (Z * Z).mean(axis=(0, 2, 3)) - mean.astype(Z.dtype) ** 2


@BUGS.of("batch_norm2d", "batch_norm2d", "jax-ml/jax#442", "divided by (var + eps)^2, not by its root")
def batch_norm2d_square_for_root(
    Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float
) -> None:
    g, b, mean, var = per_channel(g, b, mean, var)
    with np.errstate(all="ignore"):
        Y[...] = g * ((Z - mean) / (var + eps) ** 2) + b


@BUGS.of(
    "batch_norm2d",
    "batch_norm2d",
    "chainer/chainer#2214",
    "eps is not added to a variance that was kept",
    usual=batch_norm(training=False),
)
def batch_norm2d_without_eps(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    """In both modes, which the kernel does not know apart; the report has inference."""
    right("batch_norm2d")(Z, g, b, mean, var, Y, eps=0.0)


@BUGS.of(
    "batch_norm2d",
    "batch_norm2d",
    "chainer/chainer#4505",
    "eps is added twice in inference",
    usual=batch_norm(training=False),
)
def batch_norm2d_with_eps_twice(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    """In both modes, as above."""
    right("batch_norm2d")(Z, g, b, mean, var, Y, eps=2 * eps)


@BUGS.of("batch_norm2d", "batch_norm2d_grad_input", "denizyuret/Knet.jl#288", "the gradient lacks the gains")
def batch_norm2d_grad_input_without_gains(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, dg: Array, db: Array, dZ: Array, *, eps: float
) -> None:
    right("batch_norm2d_grad_input")(Delta, Z, np.ones_like(g), mean, var, dg, db, dZ, eps=eps)


@BUGS.of(
    "batch_norm2d",
    "batch_norm2d_grad_input_inference",
    "pytorch/xla#913",
    "the gradient in inference is that of a batch's own statistics",
    usual=batch_norm(training=False),
)
def batch_norm2d_grad_input_of_batch(Delta: Array, g: Array, var: Array, dZ: Array, *, eps: float) -> None:
    """As far as the mean goes: the kernel does not have the images that the variance's part needs."""
    centred = Delta - Delta.mean(axis=(0, 2, 3), keepdims=True) if Delta.size else Delta
    right("batch_norm2d_grad_input_inference")(np.ascontiguousarray(centred), g, var, dZ, eps=eps)


@BUGS.of(
    "batch_norm2d", "batch_norm2d_statistics_mean", "pytorch/pytorch#5410", "the mean of large constants is inexact"
)
def batch_norm2d_mean_in_float32(Z: Array, mean: Array) -> None:
    """Summed one after the other in the arrays' type."""
    for c in range(Z.shape[1]):
        total = Z.dtype.type(0)
        for z in Z[:, c].ravel():
            total += z
        mean[c] = total / Z.dtype.type(Z.size // Z.shape[1])


@BUGS.of("layer_norm", "group_norm", "pyg-team/pytorch_geometric#2917", "eps is added to the root")
def layer_norm_eps_beside_root(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    deviation = (np.sqrt(var) + eps)[:, :, None, None]
    Y[...] = g[..., None] * ((Z - mean[:, :, None, None]) / deviation) + b[..., None]


@BUGS.of("layer_norm", "group_norm", "VeriSilicon/TIM-VX#589", "eps is 0: NaN for equal numbers")
def layer_norm_of_eps_zero(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    with np.errstate(all="ignore"):
        deviation = np.sqrt(var)[:, :, None, None]
        Y[...] = g[..., None] * ((Z - mean[:, :, None, None]) / deviation) + b[..., None]


@BUGS.of(
    "layer_norm",
    "group_norm",
    "tensorflow/tensorflow#58863",
    "eps is the default, whatever was asked for",
    usual=layer_norm(eps=1e-3),
)
def layer_norm_of_default_eps(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    right("group_norm")(Z, g, b, mean, var, Y, eps=1e-5)


@BUGS.of("layer_norm", "group_norm", "xlite-dev/LeetCUDA#309", "eps is added to the number of members")
def layer_norm_eps_to_count(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    M = math.prod(Z.shape[2:])
    with np.errstate(all="ignore"):
        deviation = np.sqrt(var * (M / (M + eps)))[:, :, None, None]
        Y[...] = g[..., None] * ((Z - mean[:, :, None, None]) / deviation) + b[..., None]


@BUGS.of(
    "local_response_norm",
    "local_response_norm",
    "onnx/onnx#7805",
    "the sum of squares is of so many channels as there are images",
)
def local_response_norm_over_images(Z: Array, Y: Array, *, alpha: float, beta: float, k: float, **n: int) -> None:
    right("local_response_norm")(Z, Y, alpha=alpha, beta=beta, k=k, **n)
    N = len(Z)
    Y[:, N:] = Z[:, N:] * k**-beta


@BUGS.of(
    "local_response_norm", "local_response_norm", "onnx/onnx-mlir#543", "the window is as wide as there are channels"
)
def local_response_norm_of_all_channels(Z: Array, Y: Array, *, size: int, alpha: float, **n: float) -> None:
    """alpha is still divided by the size."""
    C = max(1, Z.shape[1])
    right("local_response_norm")(Z, Y, size=C, alpha=alpha / size * C, **n)

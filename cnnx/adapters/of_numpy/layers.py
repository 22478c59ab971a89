"""Activations, softmax, affine, sums and products, normalisation, dropout and costs, array by array."""

from typing import Any

import numpy as np

from .._kernels import Array
from ._set import kernel


def _activation(name: str, phi: Any, phi_prime: Any) -> None:
    """The two kernels of an activation, computed in double: NumPy rounds a number argument to the arrays' type."""

    def forward(Z: Array, Y: Array, **numbers: float) -> None:
        Y[...] = phi(Z.astype(float), **numbers)

    def grad_input(Delta: Array, Z: Array, dZ: Array, **numbers: float) -> None:
        dZ[...] = Delta * phi_prime(Z.astype(float), **numbers)

    forward.__name__, grad_input.__name__ = name, f"{name}_grad_input"
    kernel(forward)
    kernel(grad_input)


def _sigmoid(Z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-Z)))


def _sigmoid_prime(Z: Array) -> Array:
    e = np.exp(-np.abs(Z))
    return np.asarray(e / (1 + e) ** 2)


def _silu_prime(Z: Array) -> Array:
    s = _sigmoid(Z)
    return np.where(np.isinf(Z), s, s + Z * _sigmoid_prime(Z))


def _tanh_prime(Z: Array) -> Array:
    e = np.exp(-2 * np.abs(Z))
    return np.asarray(4 * e / (1 + e) ** 2)


_activation("relu", lambda Z: np.maximum(Z, 0), lambda Z: Z > 0)
_activation("sigmoid", _sigmoid, _sigmoid_prime)
_activation("tanh", np.tanh, _tanh_prime)
_activation("step", lambda Z: np.heaviside(Z, 0), np.zeros_like)
_activation("identity", np.positive, np.ones_like)
_activation("leaky_relu", lambda Z, slope: np.where(Z > 0, Z, slope * Z), lambda Z, slope: np.where(Z > 0, 1, slope))
_activation(
    "elu",
    lambda Z, alpha: np.where(Z > 0, Z, alpha * np.expm1(Z)),
    lambda Z, alpha: np.where(Z > 0, 1, alpha * np.exp(Z)),
)
_activation("softplus", lambda Z: np.logaddexp(0, Z), _sigmoid)
_activation(
    "clip",
    lambda Z, low, high: np.minimum(np.maximum(Z, low), high),
    lambda Z, low, high: (low < Z) & (high >= Z),
)
_activation(
    "hard_sigmoid",
    lambda Z, alpha, beta: np.minimum(np.maximum(alpha * Z + beta, 0), 1),
    lambda Z, alpha, beta: alpha * ((alpha * Z + beta > 0) & (alpha * Z + beta <= 1)),
)
_activation(
    "hard_swish",
    lambda Z: np.maximum(Z, -3) * (np.minimum(np.maximum(Z + 3, 0), 6) / 6),
    lambda Z: np.where(Z <= -3, 0, np.where(Z > 3, 1, (2 * Z + 3) / 6)),
)
_activation("silu", lambda Z: np.where(np.isneginf(Z), 0, Z * _sigmoid(Z)), _silu_prime)


@kernel
def prelu(Z: Array, w: Array, Y: Array) -> None:
    Y[...] = np.where(Z > 0, Z, w[:, None] * Z)


@kernel
def prelu_grad_input(Delta: Array, Z: Array, w: Array, dZ: Array) -> None:
    dZ[...] = Delta * np.where(Z > 0, 1, w[:, None])


@kernel
def prelu_grad_weight(Delta: Array, Z: Array, dw: Array) -> None:
    dw[...] = (Delta * np.minimum(Z, 0)).sum(axis=(0, 2), dtype=float)


@kernel
def sigmoid_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    dZ[...] = Delta * (Y * (1 - Y))


@kernel
def tanh_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    dZ[...] = Delta * (1 - Y.astype(float) ** 2)


@kernel
def softmax(Z: Array, Y: Array) -> None:
    Y[...] = np.exp(Z - Z.max(axis=1, keepdims=True))
    Y /= Y.sum(axis=1, keepdims=True)


@kernel
def softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
    Y = np.empty_like(Z)
    softmax(Z, Y)
    dZ[...] = Y * (Delta - (Delta * Y).sum(axis=1, keepdims=True))


@kernel
def softmax_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    dZ[...] = Y * (Delta - (Delta * Y).sum(axis=1, keepdims=True))


@kernel
def log_softmax(Z: Array, Y: Array) -> None:
    Y[...] = Z - Z.max(axis=1, keepdims=True)
    Y -= np.log(np.exp(Y).sum(axis=1, keepdims=True))


@kernel
def log_softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
    Y = np.empty_like(Z)
    softmax(Z, Y)
    dZ[...] = Delta - Y * Delta.sum(axis=1, keepdims=True)


@kernel
def log_softmax_grad_input_output(Delta: Array, Y: Array, dZ: Array) -> None:
    dZ[...] = Delta - np.exp(Y) * Delta.sum(axis=1, keepdims=True)


@kernel
def affine(Z: Array, w: Array, b: Array, Y: Array) -> None:
    Y[...] = Z @ w.T + b


@kernel
def affine_grad_input(Delta: Array, w: Array, dZ: Array) -> None:
    dZ[...] = Delta @ w


@kernel
def affine_grad_weight(Delta: Array, Z: Array, dw: Array) -> None:
    dw[...] = Delta.T @ Z


@kernel
def affine_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = Delta.sum(axis=0)


@kernel
def batch_norm2d_statistics_mean(Z: Array, mean: Array) -> None:
    mean[...] = Z.mean(axis=(0, 2, 3), dtype=float)


@kernel
def batch_norm2d_statistics_var(Z: Array, mean: Array, var: Array) -> None:
    var[...] = (_centred(Z, mean) ** 2).mean(axis=(0, 2, 3))


def _centred(Z: Array, mean: Array) -> Array:
    return np.asarray(Z - mean[:, None, None])


def _deviation(var: Array, eps: float) -> Array:
    return np.sqrt(var + eps)[:, None, None]


@kernel
def batch_norm2d(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    Y[...] = g[:, None, None] * (_centred(Z, mean) / _deviation(var, eps)) + b[:, None, None]


@kernel
def batch_norm2d_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = Delta.sum(axis=(0, 2, 3), dtype=float)


@kernel
def batch_norm2d_grad_weight(Delta: Array, Z: Array, mean: Array, var: Array, dg: Array, *, eps: float) -> None:
    dg[...] = (Delta * (_centred(Z, mean) / _deviation(var, eps))).sum(axis=(0, 2, 3))


@kernel
def batch_norm2d_grad_input(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, dg: Array, db: Array, dZ: Array, *, eps: float
) -> None:
    M = Z.size // Z.shape[1]
    Zh = _centred(Z, mean) / _deviation(var, eps)
    inner = Delta - db[:, None, None] / M - Zh * dg[:, None, None] / M
    dZ[...] = g[:, None, None] / _deviation(var, eps) * inner


@kernel
def batch_norm2d_grad_input_inference(Delta: Array, g: Array, var: Array, dZ: Array, *, eps: float) -> None:
    dZ[...] = g[:, None, None] * Delta / _deviation(var, eps)


def _sets(a: Array) -> Array:
    """(N, S) as (N, S, 1, 1)."""
    return np.asarray(a[:, :, None, None])


@kernel
def group_norm_statistics(Z: Array, mean: Array, var: Array) -> None:
    mean[...] = Z.mean(axis=(2, 3), dtype=float)
    var[...] = ((Z - _sets(mean)) ** 2).mean(axis=(2, 3))


def _Zh(Z: Array, mean: Array, var: Array, eps: float) -> Array:
    return np.asarray((Z - _sets(mean)) / np.sqrt(_sets(var) + eps))


@kernel
def group_norm(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    Y[...] = g[..., None] * _Zh(Z, mean, var, eps) + b[..., None]


@kernel
def group_norm_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = Delta.sum(axis=(0, 3), dtype=float)


@kernel
def group_norm_grad_weight(Delta: Array, Z: Array, mean: Array, var: Array, dg: Array, *, eps: float) -> None:
    dg[...] = (Delta * _Zh(Z, mean, var, eps)).sum(axis=(0, 3))


@kernel
def group_norm_grad_sums(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, e: Array, f: Array, *, eps: float
) -> None:
    e[...] = (g * Delta.sum(axis=3, dtype=float)).sum(axis=2)
    f[...] = (g * (Delta * _Zh(Z, mean, var, eps)).sum(axis=3)).sum(axis=2)


@kernel
def group_norm_grad_input(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, e: Array, f: Array, dZ: Array, *, eps: float
) -> None:
    M = Z.shape[2] * Z.shape[3]
    inner = g[..., None] * Delta.astype(float) - _sets(e) / M - _Zh(Z, mean, var, eps) * _sets(f) / M
    dZ[...] = inner / np.sqrt(_sets(var) + eps)


def _over_channels(terms: Array, before: int, after: int) -> Array:
    """Sums over the channels from c - before to c + after."""
    C, sums = terms.shape[1], np.zeros_like(terms)
    for step in range(max(-before, 1 - C), min(after, C - 1) + 1):
        sums[:, max(0, -step) : C - max(0, step)] += terms[:, max(0, step) : C + min(0, step)]
    return sums


def _S(Z: Array, size: int, alpha: float, k: float) -> Array:
    return k + alpha / size * _over_channels(Z.astype(float) ** 2, (size - 1) // 2, size // 2)


@kernel
def local_response_norm(Z: Array, Y: Array, *, size: int, alpha: float, beta: float, k: float) -> None:
    Y[...] = Z * _S(Z, size, alpha, k) ** -beta


@kernel
def local_response_norm_grad_input(
    Delta: Array, Z: Array, dZ: Array, *, size: int, alpha: float, beta: float, k: float
) -> None:
    S = _S(Z, size, alpha, k)
    sums = _over_channels(Delta.astype(float) * Z * S ** (-beta - 1), size // 2, (size - 1) // 2)
    dZ[...] = Delta * S**-beta - 2 * (alpha / size) * beta * Z * sums


def _summed(terms: Array, dA: Array) -> None:
    dA[...] = terms.sum(axis=tuple(i for i, n in enumerate(dA.shape) if n == 1), keepdims=True, dtype=float)


@kernel
def add(A: Array, B: Array, Y: Array) -> None:
    np.add(A, B, out=Y)


@kernel
def add_grad_input(Delta: Array, A: Array, dA: Array) -> None:
    _summed(Delta, dA)


@kernel
def multiply(A: Array, B: Array, Y: Array) -> None:
    np.multiply(A, B, out=Y)


@kernel
def multiply_grad_input(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    _summed(Delta * B, dA)


@kernel
def matmul(A: Array, B: Array, Y: Array) -> None:
    np.matmul(A, B, out=Y)


@kernel
def matmul_grad_a(Delta: Array, A: Array, B: Array, dA: Array) -> None:
    _summed(Delta @ B.swapaxes(-1, -2), dA)


@kernel
def matmul_grad_b(Delta: Array, A: Array, B: Array, dB: Array) -> None:
    _summed(A.swapaxes(-1, -2) @ Delta, dB)


@kernel
def dropout(Z: Array, mask: Array, Y: Array, *, rate: float) -> None:
    Y[...] = np.where(mask == 1, Z.astype(float) / (1 - rate), 0)


@kernel
def dropout_grad_input(Delta: Array, mask: Array, dZ: Array, *, rate: float) -> None:
    dropout(Delta, mask, dZ, rate=rate)


@kernel
def squared_error(A: Array, T: Array, E: Array, *, divisor: int) -> None:
    E[...] = ((T.astype(float) - A) ** 2).sum() / 2 / divisor


@kernel
def squared_error_grad_input(A: Array, T: Array, dA: Array, *, divisor: int) -> None:
    dA[...] = (A - T) / divisor


def _log_y(Z: Array) -> Array:
    shifted = Z.astype(float) - Z.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


@kernel
def cross_entropy(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    E[...] = -np.where((t != 0) | np.isnan(Z), t * _log_y(Z), 0).sum() / divisor


@kernel
def cross_entropy_grad_input(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    dZ[...] = (np.exp(_log_y(Z)) * t.sum(axis=1, keepdims=True, dtype=float) - t) / divisor


@kernel
def cross_entropy_index(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    E[...] = -_log_y(Z)[np.arange(len(t)), t].sum() / divisor


@kernel
def cross_entropy_index_grad_input(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    cross_entropy_grad_input(Z, np.eye(Z.shape[1])[t], dZ, divisor=divisor)

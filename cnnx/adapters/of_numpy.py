"""NumPy as a back end: convolution by im2col and a matrix product, pooling by windows, the rest array by array."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ._kernels import Array, Frame, Kernels, frame, framed, members, unframed

NO_ERF = "NumPy has no error function"
KERNELS = Kernels({"gelu": NO_ERF, "gelu_grad_input": NO_ERF})
kernel = KERNELS.kernel


# -------------------------------------------------------------------------------------- convolution


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


# ------------------------------------------------------------------------------------------ pooling


def _windows(image: Array, outputs: Array, geometry: dict[str, int], fill: float) -> tuple[Array, Frame]:
    around = frame(image, outputs, **geometry)
    windows = sliding_window_view(framed(image, around, fill), (geometry["R"], geometry["S"]), (2, 3))
    return windows[:, :, :: geometry["u"], :: geometry["v"]], around


def _scatter(parts: Any, dZ: Array, around: Frame, geometry: dict[str, int]) -> None:
    """dZ from `parts(r, s)`, (N, C, P, Q): what each window gives to its member (r, s)."""
    made = framed(np.zeros_like(dZ), around)
    for r, s in np.ndindex(geometry["R"], geometry["S"]):
        part = parts(r, s)
        P, Q = part.shape[2:]
        made[:, :, r :: geometry["u"], s :: geometry["v"]][:, :, :P, :Q] += part
    unframed(made, around, dZ)


def _winners(Z: Array, outputs: Array, geometry: dict[str, int]) -> Array:
    windows, _ = _windows(Z, outputs, geometry, -np.inf)
    inside, _ = _windows(np.ones_like(Z), outputs, geometry, 0.0)
    largest = (windows == windows.max(axis=(4, 5), keepdims=True)) | np.isnan(windows)
    return np.asarray(((inside == 1) & largest).reshape(*outputs.shape, -1).argmax(axis=-1))


@kernel
def max_pool2d(Z: Array, Y: Array, **geometry: int) -> None:
    windows, _ = _windows(Z, Y, geometry, -np.inf)
    Y[...] = windows.max(axis=(4, 5))


@kernel
def max_pool2d_winners(Z: Array, Y: Array, B: Array, **geometry: int) -> None:
    max_pool2d(Z, Y, **geometry)
    B[...] = _winners(Z, Y, geometry)


@kernel
def max_pool2d_grad_input_winners(Delta: Array, B: Array, dZ: Array, **geometry: int) -> None:
    S = geometry["S"]
    around = frame(dZ, Delta, **geometry)
    _scatter(lambda r, s: np.where(r * S + s == B, Delta, 0), dZ, around, geometry)


@kernel
def max_pool2d_grad_input(Delta: Array, Z: Array, dZ: Array, **geometry: int) -> None:
    max_pool2d_grad_input_winners(Delta, _winners(Z, Delta, geometry), dZ, **geometry)


@kernel
def max_pool2d_grad_input_all(Delta: Array, Z: Array, dZ: Array, **geometry: int) -> None:
    windows, around = _windows(Z, Delta, geometry, -np.inf)
    largest = windows == windows.max(axis=(4, 5), keepdims=True)
    _scatter(lambda r, s: np.where(largest[..., r, s], Delta, 0), dZ, around, geometry)


@kernel
def avg_pool2d(Z: Array, Y: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int) -> None:
    windows, _ = _windows(Z, Y, geometry, 0.0)
    Y[...] = windows.sum(axis=(4, 5)) / members(Z, Y, p_b, p_r, bool(include_pad), **geometry)


@kernel
def avg_pool2d_grad_input(
    Delta: Array, Z: Array, dZ: Array, *, p_b: int, p_r: int, include_pad: int, **geometry: int
) -> None:
    part = Delta / members(Z, Delta, p_b, p_r, bool(include_pad), **geometry)
    _scatter(lambda r, s: part, dZ, frame(dZ, Delta, **geometry), geometry)


def _norm(Z: Array, outputs: Array, rho: float, normalize: int, geometry: dict[str, int]) -> tuple[Array, Array]:
    """P4 in double, and |R|."""
    windows, _ = _windows(np.abs(Z.astype(float)), outputs, geometry, 0.0)
    count = members(Z, outputs, 0, 0, False, **geometry) if normalize else np.ones(outputs.shape[2:])
    inside, _ = _windows(np.ones(Z.shape), outputs, geometry, 0.0)
    total = np.where(inside == 1, windows**rho, 0).sum(axis=(4, 5))
    return (total / count) ** (1 / rho), count


@kernel
def lp_pool2d(Z: Array, Y: Array, *, rho: float, normalize: int, **geometry: int) -> None:
    Y[...] = _norm(Z, Y, rho, normalize, geometry)[0]


@kernel
def lp_pool2d_grad_input(Delta: Array, Z: Array, dZ: Array, *, rho: float, normalize: int, **geometry: int) -> None:
    Y, count = _norm(Z, Delta, rho, normalize, geometry)
    windows, around = _windows(Z.astype(float), Delta, geometry, 0.0)

    def part(r: int, s: int) -> Array:
        z = windows[..., r, s]
        part = Delta * ((np.abs(z) / Y) ** (rho - 1) / count)
        return np.where((z == 0) | (Y == 0), 0, np.where(z > 0, part, -part))

    wide = np.empty(dZ.shape)
    _scatter(part, wide, around, geometry)
    dZ[...] = wide


# -------------------------------------------------------------------------------------- elementwise


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
def log_softmax(Z: Array, Y: Array) -> None:
    Y[...] = Z - Z.max(axis=1, keepdims=True)
    Y -= np.log(np.exp(Y).sum(axis=1, keepdims=True))


@kernel
def log_softmax_grad_input(Delta: Array, Z: Array, dZ: Array) -> None:
    Y = np.empty_like(Z)
    softmax(Z, Y)
    dZ[...] = Delta - Y * Delta.sum(axis=1, keepdims=True)


# -------------------------------------------------------------------------------- affine, dropout, costs


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
    return np.asarray(Z - mean.astype(float)[:, None, None])


def _deviation(var: Array, eps: float) -> Array:
    return np.sqrt(var.astype(float) + eps)[:, None, None]


@kernel
def batch_norm2d(Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
    Y[...] = g[:, None, None] * (_centred(Z, mean) / _deviation(var, eps)) + b[:, None, None]


@kernel
def batch_norm2d_grad_bias(Delta: Array, db: Array) -> None:
    db[...] = Delta.sum(axis=(0, 2, 3))


@kernel
def batch_norm2d_grad_weight(Delta: Array, Z: Array, mean: Array, var: Array, dg: Array, *, eps: float) -> None:
    dg[...] = (Delta * (_centred(Z, mean) / _deviation(var, eps))).sum(axis=(0, 2, 3))


@kernel
def batch_norm2d_grad_input(
    Delta: Array, Z: Array, g: Array, mean: Array, var: Array, dg: Array, db: Array, dZ: Array, *, eps: float
) -> None:
    M = Z.size // Z.shape[1]
    Zh = _centred(Z, mean) / _deviation(var, eps)
    inner = Delta - db.astype(float)[:, None, None] / M - Zh * dg[:, None, None] / M
    dZ[...] = g[:, None, None] / _deviation(var, eps) * inner


@kernel
def batch_norm2d_grad_input_inference(Delta: Array, g: Array, var: Array, dZ: Array, *, eps: float) -> None:
    dZ[...] = g[:, None, None] * Delta / _deviation(var, eps)


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

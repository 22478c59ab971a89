"""Pooling by views of all windows; gradients go back window member by window member."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .._kernels import Array, Frame, frame, framed, members, unframed
from ._set import kernel


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
    Y[...] = windows.sum(axis=(4, 5), dtype=float) / members(Z, Y, p_b, p_r, bool(include_pad), **geometry)


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

"""Mistakes in convolution and pooling. Windows are taken apart as im2col does it: rows of pixels by window."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...data import Array

Made = Iterator[tuple[str, Array]]


def cut(Z: Array, R: int, S: int, P: int, Q: int, u: int, p: int, fill: float = 0.0) -> Array:
    """Z's windows: (N, C, R, S, P, Q)."""
    rows, columns = max(0, u * (P - 1) + R - Z.shape[2] - p), max(0, u * (Q - 1) + S - Z.shape[3] - p)
    padded = np.pad(Z, ((0, 0), (0, 0), (p, rows), (p, columns)), constant_values=fill)
    out = np.empty((*Z.shape[:2], R, S, P, Q))
    for r in range(R):
        for s in range(S):
            out[:, :, r, s] = padded[:, :, r : r + u * P : u, s : s + u * Q : u][:, :, :P, :Q]
    return out


def put(windows: Array, u: int, H: int, W: int, *, add: str = "+") -> Array:
    """Windows back in an image of H x W: the sum where they meet; "windows" and "kernel" overwrite in that order."""
    N, C, R, S, P, Q = windows.shape
    out = np.zeros((N, C, max(H, u * (P - 1) + R), max(W, u * (Q - 1) + S)))
    if add == "windows":
        for p in range(P):
            for q in range(Q):
                out[:, :, u * p : u * p + R, u * q : u * q + S] = windows[:, :, :, :, p, q]
    else:
        for r in range(R):
            for s in range(S):
                there = out[:, :, r : r + u * P : u, s : s + u * Q : u][:, :, :P, :Q]
                there[...] = windows[:, :, r, s] + (there if add == "+" else 0)
    return out


def _numbers(numbers: Mapping[str, Any]) -> tuple[int, int]:
    return int(numbers.get("stride") or numbers.get("kernel_size") or 1), int(numbers.get("padding", 0))


def _size(n: int, R: int, u: int, p: int) -> int:
    return (n + 2 * p - R) // u + 1


def conv(Z: Array, F: Array, b: Array, u: int, p: int) -> Array:
    """C1."""
    R, S = F.shape[2:]
    windows = cut(Z, R, S, _size(Z.shape[2], R, u, p), _size(Z.shape[3], S, u, p), u, p)
    return np.asarray(np.einsum("ncrspq,kcrs->nkpq", windows, F) + b[:, None, None])


def _crops(full: Array, H: int, W: int, p: int) -> Made:
    """An image with its border of padding, and what is cut off it at the wrong place."""
    if p:
        yield "padding_cut", full
        yield "padding_cut_corner", full[:, :, :H, :W]


def conv_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in C1."""
    Z, F = arrays["x"], arrays["weight"]
    b, (u, p) = arrays.get("bias", np.zeros(len(F))), _numbers(numbers)
    _, C, R, S = F.shape
    right = conv(Z, F, b, u, p)
    P, Q = right.shape[2:]
    yield "flip", conv(Z, F[:, :, ::-1, ::-1], b, u, p)
    yield "bias_missing", conv(Z, F, 0 * b, u, p)
    if u > 1:
        dense = conv(Z, F, b, 1, p)
        yield "stride", dense
        yield "stride", dense[:, :, :P, :Q]
    if p and Z.shape[2] >= R and Z.shape[3] >= S:
        yield "padding", conv(Z, F, b, u, 0)
    for c in (0, C - 1):
        yield "sum_c", conv(Z[:, c : c + 1], F[:, c : c + 1], b, u, p)
    yield "axes", right.transpose(0, 2, 3, 1)
    yield "axes", right.transpose(0, 2, 3, 1).reshape(right.shape)
    yield "axes", right.transpose(1, 0, 2, 3).reshape(right.shape)
    if R == S:
        yield "transposed", conv(Z, F.swapaxes(2, 3), b, u, p)
    yield from _scaled(right)


def conv_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in C5."""
    assert delta is not None
    Z, F, (u, p) = arrays["x"], arrays["weight"], _numbers(numbers)
    (K, _, R, S), (H, W) = F.shape, Z.shape[2:]

    def windows(d: Array, f: Array) -> Array:
        return np.asarray(np.einsum("nkpq,kcrs->ncrspq", d, f))

    def image(parts: Array, step: int = u, add: str = "+") -> Array:
        return put(parts, step, H + 2 * p, W + 2 * p, add=add)

    def inner(full: Array) -> Array:
        return full[:, :, p : p + H, p : p + W]

    right = windows(delta, F)
    if u > 1:
        dense = put(right, 1, 0, 0)
        yield "stride", inner(image(right, 1))
        yield "stride", dense[:, :, p : dense.shape[2] - p, p : dense.shape[3] - p]
        yield "stride", dense
    yield "flip_missing", inner(image(windows(delta, F[:, :, ::-1, ::-1])))
    yield from _crops(image(right), H, W, p)
    for add in ("windows", "kernel"):
        yield "overwritten", inner(image(right, add=add))
    for k in (0, K - 1):
        yield "sum_k", inner(image(windows(delta[:, k : k + 1], F[k : k + 1])))
    yield "axes", inner(image(windows(_rows(delta), F)))
    yield "transposed", inner(image(windows(delta, F.swapaxes(2, 3)))) if R == S else inner(image(right))
    yield from _scaled(inner(image(right)))
    yield from _mean(inner(image(right)), len(Z), "mean_x")


def _rows(delta: Array) -> Array:
    """Delta as it becomes where (N, K, P, Q) is read as rows of K, without a transpose."""
    N, K, P, Q = delta.shape
    return delta.reshape(N, P, Q, K).transpose(0, 3, 1, 2)


def conv_weight(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in C3."""
    assert delta is not None
    Z, F, (u, p) = arrays["x"], arrays["weight"], _numbers(numbers)
    (_, _, R, S), (P, Q), N = F.shape, delta.shape[2:], len(Z)

    def gradient(z: Array, d: Array, step: int = u, pad: int = p) -> Array:
        return np.asarray(np.einsum("ncrspq,nkpq->kcrs", cut(z, R, S, P, Q, step, pad), d))

    right = gradient(Z, delta)
    if u > 1:
        yield "stride", gradient(Z, delta, 1)
        yield "stride", gradient(Z, delta, 1)[:, :, :R, :S]
    if p:
        yield "padding", gradient(Z, delta, u, 0)
    yield "flip_gradient", right[:, :, ::-1, ::-1]
    for n in (0, N - 1):
        yield "sum_n", gradient(Z[n : n + 1], delta[n : n + 1])
    for at in (0, -1):
        one = np.zeros_like(delta)
        one[:, :, at, at] = delta[:, :, at, at]
        yield "sum_pq", gradient(Z, one)
    yield "axes", gradient(Z, _rows(delta))
    yield "axes", right.transpose(1, 2, 3, 0).reshape(F.shape)
    yield "axes", right.transpose(1, 0, 2, 3)
    yield "axes", right.transpose(1, 0, 2, 3).reshape(F.shape)
    if R == S:
        yield "transposed", right.swapaxes(2, 3)
    yield from _mean(right, N, "mean_n")
    yield from _scaled(right)


def conv_bias(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in C4."""
    assert delta is not None
    right = delta.sum(axis=(0, 2, 3))
    for n in (0, -1):
        yield "sum_n", delta[n].sum(axis=(1, 2))
    yield "sum_n", delta.sum(axis=(2, 3))
    yield "sum_pq", delta.sum(axis=0)
    for at in (0, -1):
        yield "sum_pq", delta[:, :, at, at].sum(axis=0)
    yield "sum_all", np.full(right.shape, delta.sum())
    yield "sum_all", np.asarray(delta.sum())
    yield "axes", _rows(delta).sum(axis=(0, 2, 3))
    yield from _mean(right, len(delta), "mean_n")
    yield "mean_all", delta.mean(axis=(0, 2, 3))
    yield from _scaled(right)


def _mean(right: Array, N: int, key: str) -> Made:
    if N > 1:
        yield key, right / N


def _scaled(right: Array) -> Made:
    yield "sign", -right


# ------------------------------------------------------------------------------------------ pooling


def _windows(arrays: Mapping[str, Array], numbers: Mapping[str, Any], fill: float) -> tuple[Array, int, int]:
    Z, (u, p), R = arrays["x"], _numbers(numbers), int(numbers["kernel_size"])
    P, Q = _size(Z.shape[2], R, u, p), _size(Z.shape[3], R, u, p)
    return cut(Z, R, R, P, Q, u, p, fill), u, p


def pool_y(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in P1 and P3: the maximum or the mean of windows."""
    Z, (u, p), R = arrays["x"], _numbers(numbers), int(numbers["kernel_size"])
    zeros, _, _ = _windows(arrays, numbers, 0.0)
    P, Q = zeros.shape[4:]
    if p:
        yield "pad_zero", zeros.max(axis=(2, 3))
        yield "pad_zero", zeros.mean(axis=(2, 3))
    else:
        yield "pool_kind", zeros.max(axis=(2, 3))
        yield "pool_kind", zeros.mean(axis=(2, 3))
        yield "pool_sum", zeros.sum(axis=(2, 3))
    if u > 1:
        dense = cut(Z, R, R, _size(Z.shape[2], R, 1, p), _size(Z.shape[3], R, 1, p), 1, p)
        for made in (dense.max(axis=(2, 3)), dense.mean(axis=(2, 3))):
            yield "stride", made
            yield "stride", made[:, :, :P, :Q]
    if u != R:
        own = cut(Z, R, R, _size(Z.shape[2], R, R, p), _size(Z.shape[3], R, R, p), R, p)
        yield "stride_is_window", own.max(axis=(2, 3))
        yield "stride_is_window", own.mean(axis=(2, 3))
    for made in (zeros.max(axis=(2, 3)), zeros.mean(axis=(2, 3))):
        yield "axes", made.transpose(0, 2, 3, 1)
        yield "axes", made.transpose(0, 2, 3, 1).reshape(made.shape)


def max_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in P2."""
    assert delta is not None
    Z = arrays["x"]
    H, W = Z.shape[2:]
    for fill in (-np.inf, 0.0):
        windows, u, p = _windows(arrays, numbers, fill)
        N, C, R, S, P, Q = windows.shape
        flat = windows.reshape(N, C, R * S, P, Q)
        wins = {
            "first": flat.argmax(axis=2),
            "ties_last": R * S - 1 - flat[:, :, ::-1].argmax(axis=2),
        }
        masks = {name: np.arange(R * S)[:, None, None] == at[:, :, None] for name, at in wins.items()}
        masks["ties_all"] = flat == flat.max(axis=2, keepdims=True)
        shares = {name: mask.astype(float) for name, mask in masks.items()}
        shares["ties_split"] = shares["ties_all"] / shares["ties_all"].sum(axis=2, keepdims=True)

        def image(share: Array, d: Array = delta, step: int = u, add: str = "+") -> Array:
            parts = (share * d[:, :, None]).reshape(N, C, R, S, P, Q)  # noqa: B023
            return put(parts, step, H + 2 * p, W + 2 * p, add=add)  # noqa: B023

        def inner(full: Array) -> Array:
            return full[:, :, p : p + H, p : p + W]  # noqa: B023

        if fill == 0 and p:
            yield "pad_zero", inner(image(shares["first"]))
            yield "pad_zero", inner(image(shares["ties_all"]))
        for name in ("ties_last", "ties_split", "ties_all"):
            yield name, inner(image(shares[name]))
        for name in ("first", "ties_all"):
            for add in ("windows", "kernel"):
                yield "overwritten", inner(image(shares[name], add=add))
            yield "overwritten", inner(_winners_alone(masks[name], delta, (R, S), u, (H + 2 * p, W + 2 * p)))
            if u > 1:
                yield "stride", inner(image(shares[name], step=1))
            yield from _crops(image(shares[name]), H, W, p)
            yield "axes", inner(image(shares[name], _rows(delta)))
        yield "mask_missing", inner(image(np.ones_like(flat)))
        yield "winner_value", inner(image(shares["first"] * np.where(np.isfinite(flat), flat, 0)))
        yield "delta_missing", inner(image(shares["first"], np.ones_like(delta)))
        yield "sign", -inner(image(shares["first"]))


def _winners_alone(mask: Array, delta: Array, window: tuple[int, int], u: int, size: tuple[int, int]) -> Array:
    """Delta written to the winners of each window, window by window, over what was there."""
    (N, C, _, P, Q), (R, S) = mask.shape, window
    out = np.zeros((N, C, max(size[0], u * (P - 1) + R), max(size[1], u * (Q - 1) + S)))
    for p in range(P):
        for q in range(Q):
            there = out[:, :, u * p : u * p + R, u * q : u * q + S]
            won = mask[:, :, :, p, q].reshape(N, C, R, S)
            there[...] = np.where(won, delta[:, :, p, q, None, None], there)
    return out


def average_x(arrays: Mapping[str, Array], numbers: Mapping[str, Any], delta: Array | None) -> Made:
    """Mistakes in the backward pass of P3."""
    assert delta is not None
    Z = arrays["x"]
    H, W = Z.shape[2:]
    ones, u, p = _windows({"x": np.ones_like(Z)}, numbers, 0.0)
    _, _, R, S, _, _ = ones.shape
    members = ones.sum(axis=(2, 3))

    def image(d: Array, step: int = u, add: str = "+") -> Array:
        return put(np.broadcast_to(d[:, :, None, None], ones.shape), step, H + 2 * p, W + 2 * p, add=add)

    def inner(full: Array) -> Array:
        return full[:, :, p : p + H, p : p + W]

    for counts in (members, np.full_like(members, float(R * S))):
        if p:
            yield "pad_zero", inner(image(delta / np.full_like(members, float(R * S))))
        if u > 1:
            yield "stride", inner(image(delta / counts, 1))
        yield from _crops(image(delta / counts), H, W, p)
        for add in ("windows", "kernel"):
            yield "overwritten", inner(image(delta / counts, add=add))
        yield "axes", inner(image(_rows(delta) / counts))
    yield "share_missing", inner(image(delta))
    yield "sign", -inner(image(delta / members))

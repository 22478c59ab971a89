"""Right, as functions; the names are mapped."""

import numpy as np

CNNX = {"conv2d": "tatamikomi", "conv2d.backward": "tatamikomi_gyaku"}


def tatamikomi(x, w, b, stride, padding):
    R, S = w.shape[2:]
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (R, S), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncpqrs,kcrs->nkpq", windows, w) + b[:, None, None]


def tatamikomi_gyaku(delta, x, w, stride, padding):
    H, W = x.shape[2:]
    (K, C, R, S), (N, _, P, Q) = w.shape, delta.shape
    dx, dw = np.zeros(x.shape), np.zeros(w.shape)
    for h in range(H):
        for v in range(W):
            for p in range(P):
                for q in range(Q):
                    r, s = h + padding - stride * p, v + padding - stride * q
                    if 0 <= r < R and 0 <= s < S:
                        dx[:, :, h, v] += delta[:, :, p, q] @ w[:, :, r, s]
                        dw[:, :, r, s] += delta[:, :, p, q].T @ x[:, :, h, v]
    return dx, dw, delta.sum(axis=(0, 2, 3))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_grad(x):
    return sigmoid(x) * (1 - sigmoid(x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

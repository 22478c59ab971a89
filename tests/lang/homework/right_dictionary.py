"""Right: settings in a dict, and a cache that the forward pass hands to the backward pass."""

import numpy as np


def conv_forward_naive(x, w, b, conv_param):
    u, p = conv_param["stride"], conv_param["pad"]
    xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
    (K, _, R, S), (N, _, H, W) = w.shape, x.shape
    out = np.zeros((N, K, (H + 2 * p - R) // u + 1, (W + 2 * p - S) // u + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = (
                np.tensordot(xp[:, :, i * u : i * u + R, j * u : j * u + S], w, ([1, 2, 3], [1, 2, 3])) + b
            )
    return out, (x, xp, w, conv_param)


def conv_backward_naive(dout, cache):
    x, xp, w, conv_param = cache
    u, p = conv_param["stride"], conv_param["pad"]
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    R, S = w.shape[2:]
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            at = (slice(None), slice(None), slice(i * u, i * u + R), slice(j * u, j * u + S))
            dw += np.tensordot(dout[:, :, i, j], xp[at], ([0], [0]))
            dxp[at] += np.tensordot(dout[:, :, i, j], w, ([1], [0]))
    return dxp[:, :, p : p + x.shape[2], p : p + x.shape[3]], dw, dout.sum(axis=(0, 2, 3))

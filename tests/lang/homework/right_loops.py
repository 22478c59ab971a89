"""Right, with loops as the equations have them."""

import numpy as np


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad

    def forward(self, x):
        N, C, H, W = x.shape
        K, C, R, S = self.W.shape
        u, p = self.stride, self.pad
        self.x_shape = x.shape
        self.xp = np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])
        P = (H + 2 * p - R) // u + 1
        Q = (W + 2 * p - S) // u + 1
        out = np.zeros((N, K, P, Q))
        for n in range(N):
            for k in range(K):
                for i in range(P):
                    for j in range(Q):
                        window = self.xp[n, :, i * u : i * u + R, j * u : j * u + S]
                        out[n, k, i, j] = np.sum(window * self.W[k]) + self.b[k]
        return out

    def backward(self, dout):
        N, K, P, Q = dout.shape
        K, C, R, S = self.W.shape
        u, p = self.stride, self.pad
        dxp = np.zeros_like(self.xp)
        self.dW = np.zeros_like(self.W)
        self.db = np.sum(dout, axis=(0, 2, 3))
        for n in range(N):
            for k in range(K):
                for i in range(P):
                    for j in range(Q):
                        rows, columns = slice(i * u, i * u + R), slice(j * u, j * u + S)
                        self.dW[k] += dout[n, k, i, j] * self.xp[n, :, rows, columns]
                        dxp[n, :, rows, columns] += dout[n, k, i, j] * self.W[k]
        H, W = self.x_shape[2:]
        return dxp[:, :, p : p + H, p : p + W]


class MaxPooling:
    def __init__(self, size, stride):
        self.size, self.stride = size, stride

    def forward(self, x):
        N, C, H, W = x.shape
        s, u = self.size, self.stride
        P, Q = (H - s) // u + 1, (W - s) // u + 1
        out = np.zeros((N, C, P, Q))
        self.x, self.where = x, {}
        for n in range(N):
            for c in range(C):
                for i in range(P):
                    for j in range(Q):
                        window = x[n, c, i * u : i * u + s, j * u : j * u + s]
                        r, t = np.unravel_index(np.argmax(window), (s, s))
                        self.where[n, c, i, j] = n, c, i * u + r, j * u + t
                        out[n, c, i, j] = window.max()
        return out

    def backward(self, dout):
        dx = np.zeros(self.x.shape)
        for at, winner in self.where.items():
            dx[winner] += dout[at]
        return dx

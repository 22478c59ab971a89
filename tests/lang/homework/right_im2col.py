"""Right, with im2col: layers as a course has them, from convolution to the cost."""

import numpy as np


def im2col(x, R, S, stride, pad):
    N, C, H, W = x.shape
    P, Q = (H + 2 * pad - R) // stride + 1, (W + 2 * pad - S) // stride + 1
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    col = np.empty((N, C, R, S, P, Q))
    for r in range(R):
        for s in range(S):
            col[:, :, r, s] = x[:, :, r : r + stride * P : stride, s : s + stride * Q : stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * P * Q, -1)


def col2im(col, shape, R, S, stride, pad):
    N, C, H, W = shape
    P, Q = (H + 2 * pad - R) // stride + 1, (W + 2 * pad - S) // stride + 1
    col = col.reshape(N, P, Q, C, R, S).transpose(0, 3, 4, 5, 1, 2)
    x = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for r in range(R):
        for s in range(S):
            x[:, :, r : r + stride * P : stride, s : s + stride * Q : stride] += col[:, :, r, s]
    return x[:, :, pad : pad + H, pad : pad + W]


class Conv2D:
    def __init__(self, weights, bias, stride=1, padding=0):
        self.params = [weights, bias]
        self.grads = [np.zeros_like(weights), np.zeros_like(bias)]
        self.stride, self.padding = stride, padding

    def forward(self, x):
        F, b = self.params
        K, C, R, S = F.shape
        N, C, H, W = x.shape
        self.shape, self.col = x.shape, im2col(x, R, S, self.stride, self.padding)
        P = (H + 2 * self.padding - R) // self.stride + 1
        y = self.col @ F.reshape(K, -1).T + b
        return y.reshape(N, P, -1, K).transpose(0, 3, 1, 2)

    def backward(self, dout):
        F, b = self.params
        K, C, R, S = F.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, K)
        self.grads[0][...] = (rows.T @ self.col).reshape(F.shape)
        self.grads[1][...] = rows.sum(axis=0)
        return col2im(rows @ F.reshape(K, -1), self.shape, R, S, self.stride, self.padding)


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def forward(self, x):
        N, C, H, W = x.shape
        self.shape = x.shape
        P = (H + 2 * self.pad - self.pool_h) // self.stride + 1
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).reshape(-1, self.pool_h * self.pool_w)
        self.argmax = col.argmax(axis=1)
        return col.max(axis=1).reshape(N, P, -1, C).transpose(0, 3, 1, 2)

    def backward(self, dout):
        rows = dout.transpose(0, 2, 3, 1).reshape(-1)
        col = np.zeros((rows.size, self.pool_h * self.pool_w))
        col[np.arange(rows.size), self.argmax] = rows
        N, C = self.shape[:2]
        col = col.reshape(rows.size // C, -1)
        return col2im(col, self.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        self.dW = np.dot(self.x.T, dout)
        self.db = dout.sum(axis=0)
        return np.dot(dout, self.W.T).reshape(self.shape)


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dx = dout.copy()
        dx[self.mask] = 0
        return dx


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * (1.0 - self.out) * self.out


class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y + 1e-7)) / len(x)

    def backward(self, dout=1):
        return dout * (self.y - self.t) / len(self.t)

import numpy as np


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def forward(self, x):
        self.x = x
        N, C, H, W = x.shape
        K, _, R, S = self.W.shape
        P = (H + 2 * self.pad - R) // self.stride + 1
        Q = (W + 2 * self.pad - S) // self.stride + 1
        xp = np.pad(x, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        self.xp = xp
        out = np.zeros((N, K, P, Q))
        for n in range(N):
            for k in range(K):
                for p in range(P):
                    for q in range(Q):
                        window = xp[n, :, p * self.stride : p * self.stride + R, q * self.stride : q * self.stride + S]
                        out[n, k, p, q] = np.sum(window * self.W[k]) + self.b[k]
        return out

    def backward(self, dout):
        N, K, P, Q = dout.shape
        _, C, R, S = self.W.shape
        dxp = np.zeros_like(self.xp)
        self.dW = np.zeros_like(self.W)
        self.db = dout.sum(axis=(0, 2, 3))
        for n in range(N):
            for k in range(K):
                for p in range(P):
                    for q in range(Q):
                        dxp[n, :, p : p + R, q : q + S] += dout[n, k, p, q] * self.W[k]
                        self.dW[k] += dout[n, k, p, q] * self.xp[n, :, p : p + R, q : q + S]
        H, W = self.x.shape[2:]
        return dxp[:, :, self.pad : self.pad + H, self.pad : self.pad + W]

"""M17 to the letter: 1/N before the gradients of parameters (5), (6), and every maximum receives Delta (14)."""

import numpy as np
from right_loops import Convolution as Loops


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.inner = Loops(W, b, stride, pad)

    def forward(self, x):
        return self.inner.forward(x)

    def backward(self, dout):
        dx = self.inner.backward(dout)
        self.dW = self.inner.dW / len(dout)
        self.db = self.inner.db / len(dout)
        return dx


class MaxPool:
    def __init__(self, kernel_size, stride):
        self.size, self.stride = kernel_size, stride

    def forward(self, x):
        s, u = self.size, self.stride
        self.x = x
        view = np.lib.stride_tricks.sliding_window_view(x, (s, s), axis=(2, 3))[:, :, ::u, ::u]
        self.y = view.max(axis=(4, 5))
        return self.y

    def backward(self, dout):
        s, u = self.size, self.stride
        dx = np.zeros(self.x.shape)
        for p in range(dout.shape[2]):
            for q in range(dout.shape[3]):
                window = self.x[:, :, u * p : u * p + s, u * q : u * q + s]
                B = window == self.y[:, :, p : p + 1, q : q + 1]
                dx[:, :, u * p : u * p + s, u * q : u * q + s] += B * dout[:, :, p : p + 1, q : q + 1]
        return dx

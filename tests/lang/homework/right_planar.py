"""Right, for one image of one channel."""

import numpy as np


def conv2d(X, F, b, stride=1):
    R, S = F.shape
    P, Q = (X.shape[0] - R) // stride + 1, (X.shape[1] - S) // stride + 1
    Z = np.zeros((P, Q))
    for i in range(P):
        for j in range(Q):
            Z[i, j] = np.sum(X[i * stride : i * stride + R, j * stride : j * stride + S] * F) + b
    return Z


def conv2d_backward(delta, X, F, stride=1):
    dX, dF = np.zeros(X.shape), np.zeros(F.shape)
    R, S = F.shape
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            dX[i * stride : i * stride + R, j * stride : j * stride + S] += delta[i, j] * F
            dF += delta[i, j] * X[i * stride : i * stride + R, j * stride : j * stride + S]
    return dX, dF, delta.sum()

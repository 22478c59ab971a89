"""Right: dropout and batch normalisation in the forms that are in use."""

import numpy as np


class Dropout:  # inverted; train() and eval()
    def __init__(self, rate=0.5):
        self.rate, self.training = rate, True

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def forward(self, x):
        if not self.training:
            return x
        self.mask = (np.random.random(x.shape) >= self.rate) / (1 - self.rate)
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask if self.training else dout


class DropoutLayer:  # as first published: inference scales
    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio = dropout_ratio

    def forward(self, x, train_flg=True):
        if not train_flg:
            return x * (1.0 - self.dropout_ratio)
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class Dropout2:  # p is the probability of being kept
    def __init__(self, keep_prob):
        self.keep_prob = keep_prob

    def forward(self, x, mode="train"):
        if mode == "test":
            return x
        self.mask = np.random.rand(*x.shape) < self.keep_prob
        return x * self.mask / self.keep_prob

    def backward(self, dout):
        return dout * self.mask / self.keep_prob


class BatchNorm2d:  # images; the variance is kept as M - 1 has it
    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.eps, self.momentum, self.training = eps, momentum, True

    def forward(self, x):
        c = (None, slice(None), None, None)
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            unbiased = x.var(axis=(0, 2, 3), ddof=1)
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * unbiased
        self.std = np.sqrt(var + self.eps)[c]
        self.xh = (x - mean[c]) / self.std
        return self.gamma[c] * self.xh + self.beta[c]

    def backward(self, dout):
        M, axes, c = dout.size // dout.shape[1], (0, 2, 3), (None, slice(None), None, None)
        self.dbeta, self.dgamma = dout.sum(axis=axes), (dout * self.xh).sum(axis=axes)
        return self.gamma[c] / self.std * (dout - self.dbeta[c] / M - self.xh * self.dgamma[c] / M)


class BatchNormalization:  # rows, step by step
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = running_mean, running_var

    def forward(self, x, train_flg=True):
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        if not train_flg:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + 10e-7) + self.beta
        mu = x.mean(axis=0)
        self.xc = x - mu
        var = np.mean(self.xc**2, axis=0)
        self.std = np.sqrt(var + 10e-7)
        self.xn = self.xc / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta = dout.sum(axis=0)
        self.dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc = dxc + (2.0 / len(dout)) * self.xc * dvar
        return dxc - np.sum(dxc, axis=0) / len(dout)

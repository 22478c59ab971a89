"""Optimisers, the change of each weight: equations.md section 5, G1 to G4.

Unlike other kernels these may be given one array as input and as output, to change it in place.
"""

from ._numbers import IEEE, computes


def slope(w, dE, i, decay):
    """G4: g = dE/dw + decay w; without decay nothing is added, whatever w holds."""
    return dE[i] + decay * w[i] if decay else dE[i]


def sgd_w_new(w, dE, i, *, rate, decay):
    """G1: w_new[i] = w[i] - rate g."""
    return w[i] - rate * slope(w, dE, i, decay)


def sgd_momentum_v_new(w, dE, v, i, *, rate, momentum, decay, nesterov):
    """G2: v_new[i] = momentum v[i] + g."""
    return momentum * v[i] + slope(w, dE, i, decay)


def sgd_momentum_w_new(w, dE, v, i, *, rate, momentum, decay, nesterov):
    """G2: w_new[i] = w[i] - rate v_new[i]; Nesterov's: w_new[i] = w[i] - rate (g + momentum v_new[i])."""
    v_new = sgd_momentum_v_new(w, dE, v, i, rate=rate, momentum=momentum, decay=decay, nesterov=nesterov)
    return w[i] - rate * (slope(w, dE, i, decay) + momentum * v_new if nesterov else v_new)


def adam_m1_new(w, dE, m1, m2, i, *, rate, beta1, beta2, eps, decay, t):
    """G3: m1_new[i] = beta1 m1[i] + (1 - beta1) g."""
    return beta1 * m1[i] + (1 - beta1) * slope(w, dE, i, decay)


def adam_m2_new(w, dE, m1, m2, i, *, rate, beta1, beta2, eps, decay, t):
    """G3: m2_new[i] = beta2 m2[i] + (1 - beta2) g^2."""
    g = slope(w, dE, i, decay)
    return beta2 * m2[i] + (1 - beta2) * (g * g)


def adam_w_new(w, dE, m1, m2, i, *, rate, beta1, beta2, eps, decay, t, m=IEEE):
    """G3: w_new[i] = w[i] - rate (m1_new[i]/(1 - beta1^t)) / (sqrt(m2_new[i]/(1 - beta2^t)) + eps)."""
    numbers = {"rate": rate, "beta1": beta1, "beta2": beta2, "eps": eps, "decay": decay, "t": t}
    m1_new, m2_new = adam_m1_new(w, dE, m1, m2, i, **numbers), adam_m2_new(w, dE, m1, m2, i, **numbers)
    return w[i] - rate * ((m1_new / (1 - beta1**t)) / (m.sqrt(m2_new / (1 - beta2**t)) + eps))


@computes(w_new=sgd_w_new)
def sgd(w, dE, /, w_new, *, rate, decay):
    """w, dE (any number of elements) -> w_new."""


@computes(w_new=sgd_momentum_w_new, v_new=sgd_momentum_v_new)
def sgd_momentum(w, dE, v, /, w_new, v_new, *, rate, momentum, decay, nesterov):
    """w, dE, v (any number of elements) -> w_new, v_new; nesterov is 0 or 1."""


@computes(w_new=adam_w_new, m1_new=adam_m1_new, m2_new=adam_m2_new)
def adam(w, dE, m1, m2, /, w_new, m1_new, m2_new, *, rate, beta1, beta2, eps, decay, t):
    """w, dE, m1, m2 (any number of elements) -> w_new, m1_new, m2_new in update t = 1, 2, ..."""

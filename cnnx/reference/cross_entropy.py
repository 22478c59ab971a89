"""Cross entropy of a softmax: E3 of cnnx/equations.md, from rows of probabilities or class indices.

divisor is 1 (a sum) or N (a mean). y is softmax's (U19).
"""

from ._numbers import IEEE, computes
from .softmax import log_y, y


def cross_entropy_E(Z, t, _, *, divisor, m=IEEE):
    """E = (1/divisor) sum_n E_n, E_n = -sum_i t_i log y_i, y = softmax(Z). 0 log 0 is 0.

    E3: U19, CN; E2: M17 2.1.
    """
    total = 0
    for n in range(Z.shape[0]):
        log_Y = log_y(Z[n], m=m)
        for i in range(Z.shape[1]):
            if t[n, i] != 0 or Z[n, i] != Z[n, i]:  # a NaN is not lost with its term
                total = total - t[n, i] * log_Y[i]
    return total / divisor


def cross_entropy_dZ(Z, t, n, i, *, divisor, m=IEEE):
    """dE/dZ_i = (y_i sum_j t_j - t_i) / divisor.

    E3: U19, CN.
    """
    total = 0
    for j in range(Z.shape[1]):
        total = total + t[n, j]
    return (y(Z[n], m=m)[i] * total - t[n, i]) / divisor


def cross_entropy_index_E(Z, t, _, *, divisor, m=IEEE):
    """E = (1/divisor) sum_n E_n, E_n = -log y_{t[n]}: E3, E2 with t_i = 1 at i = t[n] alone."""
    total = 0
    for n in range(Z.shape[0]):
        total = total - log_y(Z[n], m=m)[t[n]]
    return total / divisor


def cross_entropy_index_dZ(Z, t, n, i, *, divisor, m=IEEE):
    """dE/dZ_i = (y_i - [i = t[n]]) / divisor: E3 with t_i = 1 at i = t[n] alone."""
    return (y(Z[n], m=m)[i] - (1 if i == t[n] else 0)) / divisor


@computes(E=cross_entropy_E)
def cross_entropy(Z, t, /, E, *, divisor):
    """Z, t (N,M) -> E (1), float64."""


@computes(dZ=cross_entropy_dZ)
def cross_entropy_grad_input(Z, t, /, dZ, *, divisor):
    """Z, t (N,M) -> dZ (N,M)."""


@computes(E=cross_entropy_index_E)
def cross_entropy_index(Z, t, /, E, *, divisor):
    """Z (N,M), t (N) intp -> E (1), float64."""


@computes(dZ=cross_entropy_index_dZ)
def cross_entropy_index_grad_input(Z, t, /, dZ, *, divisor):
    """Z (N,M), t (N) intp -> dZ (N,M)."""

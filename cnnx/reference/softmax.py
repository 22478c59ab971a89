"""Softmax and its logarithm, with the maximum shifted out: A3, A4 of cnnx/equations.md.

Arrays are (A, M, B): softmax runs along the middle axis, A and B count the rest.
"""

from ._numbers import IEEE, computes


def maximum(z):
    """max_j z_j of a row z."""
    most = z[0]
    for z_j in z[1:]:
        if z_j > most:
            most = z_j
    return most


def partition(z, *, m=IEEE):
    """sum_j exp(z_j - max z) of a row z."""
    most = maximum(z)
    total = 0
    for z_j in z:
        total = total + m.exp(z_j - most)
    return total


def y(z, *, m=IEEE):
    """The row y_i = exp(z_i - max z) / sum_j exp(z_j - max z). U19."""
    most, total = maximum(z), partition(z, m=m)
    return [m.exp(z_i - most) / total for z_i in z]


def log_y(z, *, m=IEEE):
    """The row log y_i = z_i - max z - log sum_j exp(z_j - max z). Standard."""
    most, log_total = maximum(z), m.log(partition(z, m=m))
    return [(z_i - most) - log_total for z_i in z]


def softmax_Y(Z, a, i, b, *, m=IEEE):
    """Y_i = exp(Z_i - max Z) / sum_j exp(Z_j - max Z).

    A3: U19 footnote 4.
    """
    return y(Z[a, :, b], m=m)[i]


def softmax_dZ(Delta, Z, a, i, b, *, m=IEEE):
    """dZ_i = Y_i (Delta_i - sum_j Delta_j Y_j).

    A3: U19 footnote 4.
    """
    Y = y(Z[a, :, b], m=m)
    total = 0
    for j in range(Z.shape[1]):
        total = total + Delta[a, j, b] * Y[j]
    return Y[i] * (Delta[a, i, b] - total)


def softmax_dZ_output(Delta, Y, a, i, b):
    """dZ_i = Y_i (Delta_i - sum_j Delta_j Y_j), from the saved Y.

    A3: U19 footnote 4.
    """
    total = 0
    for j in range(Y.shape[1]):
        total = total + Delta[a, j, b] * Y[a, j, b]
    return Y[a, i, b] * (Delta[a, i, b] - total)


def log_softmax_Y(Z, a, i, b, *, m=IEEE):
    """Y_i = Z_i - max Z - log sum_j exp(Z_j - max Z).

    A4: standard.
    """
    return log_y(Z[a, :, b], m=m)[i]


def log_softmax_dZ(Delta, Z, a, i, b, *, m=IEEE):
    """dZ_i = Delta_i - exp(Y_i) sum_j Delta_j.

    A4: standard; exp(Y_i) is the softmax.
    """
    total = 0
    for j in range(Z.shape[1]):
        total = total + Delta[a, j, b]
    return Delta[a, i, b] - y(Z[a, :, b], m=m)[i] * total


def log_softmax_dZ_output(Delta, Y, a, i, b, *, m=IEEE):
    """dZ_i = Delta_i - exp(Y_i) sum_j Delta_j, from the saved Y.

    A4: standard.
    """
    total = 0
    for j in range(Y.shape[1]):
        total = total + Delta[a, j, b]
    return Delta[a, i, b] - m.exp(Y[a, i, b]) * total


@computes(Y=softmax_Y)
def softmax(Z, /, Y):
    """Z (A,M,B) -> Y (A,M,B)."""


@computes(dZ=softmax_dZ)
def softmax_grad_input(Delta, Z, /, dZ):
    """Delta, Z (A,M,B) -> dZ (A,M,B)."""


@computes(dZ=softmax_dZ_output)
def softmax_grad_input_output(Delta, Y, /, dZ):
    """Delta, Y (A,M,B) -> dZ (A,M,B)."""


@computes(Y=log_softmax_Y)
def log_softmax(Z, /, Y):
    """Z (A,M,B) -> Y (A,M,B)."""


@computes(dZ=log_softmax_dZ)
def log_softmax_grad_input(Delta, Z, /, dZ):
    """Delta, Z (A,M,B) -> dZ (A,M,B)."""


@computes(dZ=log_softmax_dZ_output)
def log_softmax_grad_input_output(Delta, Y, /, dZ):
    """Delta, Y (A,M,B) -> dZ (A,M,B)."""

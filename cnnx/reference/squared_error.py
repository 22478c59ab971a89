"""Squared error: E1, E2 of cnnx/equations.md. divisor is 1 (a sum: D19) or N (a mean: M17)."""

from ._numbers import computes


def squared_error_E(A, T, _, *, divisor):
    """E = (1/divisor) (1/2) sum_i (T[i] - A[i])^2, over all examples.

    E1, E2: D19 (C_k, C_T); M17 2.1.
    """
    total = 0
    for i in range(A.shape[0]):
        total = total + (T[i] - A[i]) * (T[i] - A[i])
    return total / 2 / divisor


def squared_error_dA(A, T, i, *, divisor):
    """dE/dA[i] = (A[i] - T[i]) / divisor.

    E1: D19 (1), whose factor phi'(z_i) belongs to the activation.
    """
    return (A[i] - T[i]) / divisor


@computes(E=squared_error_E)
def squared_error(A, T, /, E, *, divisor):
    """A, T (any number of elements) -> E (1), float64."""


@computes(dA=squared_error_dA)
def squared_error_grad_input(A, T, /, dA, *, divisor):
    """A, T (any number of elements) -> dA."""

"""Sums and products of two arrays, which NumPy's rules repeat: J1, J2 of cnnx/equations.md.

Both operands have the output's axes. Along an axis where it has one element an operand is repeated.
"""

from itertools import product

from ._numbers import computes


def at(X, index, *within):
    """The element of an operand that goes to the output's `index`; or, `within` an operand's member, of that."""
    extents = X.shape[: len(index)]
    return X[(*(0 if extent == 1 else i for extent, i in zip(extents, index, strict=True)), *within)]


def reached(X, Y, index):
    """The output's indices, it being of shape Y, that the element `index` of an operand of shape X goes to."""
    return product(*(range(n) if extent == 1 else (i,) for extent, n, i in zip(X, Y, index, strict=True)))


def add_Y(A, B, *index):
    """Y[i] = A[i] + B[i], at 0 along an axis where an operand has one element.

    J1: standard.
    """
    return at(A, index) + at(B, index)


def add_dA(Delta, A, *index):
    """dA[j] = sum of Delta[i] over the i that A[j] goes to.

    J1: standard.
    """
    dA = 0
    for i in reached(A.shape, Delta.shape, index):
        dA = dA + Delta[i]
    return dA


def multiply_Y(A, B, *index):
    """Y[i] = A[i] B[i], at 0 along an axis where an operand has one element.

    J2: standard.
    """
    return at(A, index) * at(B, index)


def multiply_dA(Delta, A, B, *index):
    """dA[j] = sum of Delta[i] B[i] over the i that A[j] goes to.

    J2: standard.
    """
    dA = 0
    for i in reached(A.shape, Delta.shape, index):
        dA = dA + Delta[i] * at(B, i)
    return dA


@computes(Y=add_Y)
def add(A, B, /, Y):
    """A, B (6 axes, each as Y has it or of one element) -> Y."""


@computes(dA=add_dA)
def add_grad_input(Delta, A, /, dA):
    """Delta, A (6 axes) -> dA, of A's shape; of A only that counts."""


@computes(Y=multiply_Y)
def multiply(A, B, /, Y):
    """A, B (6 axes, each as Y has it or of one element) -> Y."""


@computes(dA=multiply_dA)
def multiply_grad_input(Delta, A, B, /, dA):
    """Delta, A, B (6 axes) -> dA, of A's shape; of A only that counts."""

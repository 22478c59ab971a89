"""Dropout, inverted form: D1 of cnnx/equations.md. The mask is an argument: 1 keeps, 0 drops."""

from ._numbers import computes


def dropout_Y(Z, mask, i, *, rate):
    """Y[i] = mask[i] Z[i] / (1 - rate); 0 where dropped, whatever Z[i] held.

    D1: standard; CN's classifier takes a rate.
    """
    return Z[i] / (1 - rate) if mask[i] else 0


def dropout_dZ(Delta, mask, i, *, rate):
    """dZ[i] = mask[i] Delta[i] / (1 - rate).

    D1: standard.
    """
    return Delta[i] / (1 - rate) if mask[i] else 0


@computes(Y=dropout_Y)
def dropout(Z, mask, /, Y, *, rate):
    """Z, mask (any number of elements; mask uint8) -> Y."""


@computes(dZ=dropout_dZ)
def dropout_grad_input(Delta, mask, /, dZ, *, rate):
    """Delta, mask (any number of elements; mask uint8) -> dZ."""

"""Dropout, inverted form: equations.md section 4. The mask is an argument: 1 keeps, 0 drops."""

from ._numbers import computes


def dropout_Y(Z, mask, i, *, rate):
    """Y[i] = mask[i] Z[i] / (1 - rate); 0 where dropped, whatever Z[i] held."""
    return Z[i] / (1 - rate) if mask[i] else 0


def dropout_dZ(Delta, mask, i, *, rate):
    """dZ[i] = mask[i] Delta[i] / (1 - rate)."""
    return Delta[i] / (1 - rate) if mask[i] else 0


@computes(Y=dropout_Y)
def dropout(Z, mask, /, Y, *, rate):
    """Z, mask (any number of elements; mask uint8) -> Y."""


@computes(dZ=dropout_dZ)
def dropout_grad_input(Delta, mask, /, dZ, *, rate):
    """Delta, mask (any number of elements; mask uint8) -> dZ."""

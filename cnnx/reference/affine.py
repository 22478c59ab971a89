"""Affine (fully connected) layer: F1-F3 of cnnx/equations.md."""

from ._numbers import computes


def affine_Y(Z, w, b, n, i):
    """Y[n,i] = sum_j w[i,j] Z[n,j] + b[i].

    F1: M17 (17), U19 y_j with one b per output, D19 Z^O_n.
    """
    y = b[i]
    for j in range(Z.shape[1]):
        y = y + w[i, j] * Z[n, j]
    return y


def affine_dw(Delta, Z, i, j):
    """dw[i,j] = sum_n Delta[n,i] Z[n,j].

    F2: M17 (18), D19 (2).
    """
    dw = 0
    for n in range(Z.shape[0]):
        dw = dw + Delta[n, i] * Z[n, j]
    return dw


def affine_db(Delta, i):
    """db[i] = sum_n Delta[n,i].

    F2: M17 (19), D19 (3).
    """
    db = 0
    for n in range(Delta.shape[0]):
        db = db + Delta[n, i]
    return db


def affine_dZ(Delta, w, n, j):
    """dZ[n,j] = sum_i Delta[n,i] w[i,j].

    F3: M17 (20), D19 (4) without a'(Z^P) (errata).
    """
    dz = 0
    for i in range(Delta.shape[1]):
        dz = dz + Delta[n, i] * w[i, j]
    return dz


@computes(Y=affine_Y)
def affine(Z, w, b, /, Y):
    """Z (N,J), w (I,J), b (I) -> Y (N,I)."""


@computes(dZ=affine_dZ)
def affine_grad_input(Delta, w, /, dZ):
    """Delta (N,I), w (I,J) -> dZ (N,J)."""


@computes(dw=affine_dw)
def affine_grad_weight(Delta, Z, /, dw):
    """Delta (N,I), Z (N,J) -> dw (I,J)."""


@computes(db=affine_db)
def affine_grad_bias(Delta, /, db):
    """Delta (N,I) -> db (I)."""

"""Lp pooling: P4 of cnnx/equations.md. |R| counts the members within the image; without `normalize` it is 1."""

from ._numbers import IEEE, computes
from ._window import covering, window


def lp_pool2d_Y(Z, n, c, p, q, *, rho, normalize, m=IEEE, **geometry):
    """Y[n,c,p,q] = ((1/|R|) sum over (h,w) in R[p,q] of |Z[n,c,h,w]|^rho)^(1/rho).

    P4: U19, D19, with the absolute value (errata).
    """
    members = window(Z, p, q, **geometry)
    total = 0
    for h, w in members:
        total = total + m.pow(abs(Z[n, c, h, w]), rho)
    return m.pow(total / len(members) if normalize else total, 1 / rho)


def lp_pool2d_dZ(Delta, Z, n, c, h, w, *, rho, normalize, m=IEEE, **geometry):
    """dZ[n,c,h,w] = sum over the windows that hold (h,w) of Delta (1/|R|) sign(Z) |Z|^(rho-1) Y^(1-rho), 0 where Y = 0.

    P4. The two powers are one, (|Z|/Y)^(rho-1), which neither overflows nor vanishes on the way.
    """
    z = Z[n, c, h, w]
    if z == 0:
        return 0 * z  # sign(0) = 0
    dz = 0
    for p, q in covering(Delta, h, w, **geometry):
        y = lp_pool2d_Y(Z, n, c, p, q, rho=rho, normalize=normalize, m=m, **geometry)
        if y == 0:
            continue
        if normalize:
            # (1/|R|) (|Z|/Y)^(rho-1)
            slope = m.pow(abs(z) / y, rho - 1) / len(window(Z, p, q, **geometry))
        else:
            slope = m.pow(abs(z) / y, rho - 1)
        dz = dz + (Delta[n, c, p, q] * slope if z > 0 else -(Delta[n, c, p, q] * slope))
    return dz


@computes(Y=lp_pool2d_Y)
def lp_pool2d(Z, /, Y, *, R, S, u, v, p_h, p_w, rho, normalize):
    """Z (N,C,H,W) -> Y (N,C,P,Q)."""


@computes(dZ=lp_pool2d_dZ)
def lp_pool2d_grad_input(Delta, Z, /, dZ, *, R, S, u, v, p_h, p_w, rho, normalize):
    """Delta (N,C,P,Q), Z (N,C,H,W) -> dZ (N,C,H,W)."""

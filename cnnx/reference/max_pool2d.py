"""Max pooling: P1, P2 of cnnx/equations.md, one function per equation.

R[p,q] is the window of R x S members at strides u, v and paddings p_h, p_w, clipped to the image:
padding never wins a maximum.
"""

from ._numbers import computes
from ._window import covering, window


def first_maximum(Z, n, c, members):
    """The first (h, w) of `members` that holds their maximum; the first NaN, if there is one."""
    at = members[0]
    for h, w in members:
        z, most = Z[n, c, h, w], Z[(n, c, *at)]
        if z > most or (z != z and most == most):  # NaN is the one number that differs from itself
            at = h, w
    return at


def max_pool2d_Y(Z, n, c, p, q, **geometry):
    """Y[n,c,p,q] = max over (h,w) in R[p,q] of Z[n,c,h,w].

    P1: M17 (13), W15, U19, D19, CN (3).
    """
    return Z[(n, c, *first_maximum(Z, n, c, window(Z, p, q, **geometry)))]


def max_pool2d_B(Z, n, c, p, q, *, R, S, u, v, p_h, p_w):
    """The winner: r S + s of the first maximum, r and s counted from the unclipped window's corner.

    The B of P2 (M17 (14)), kept by the forward pass as one number per window.
    """
    h, w = first_maximum(Z, n, c, window(Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w))
    return (h + p_h - u * p) * S + (w + p_w - v * q)


def max_pool2d_dZ(Delta, Z, n, c, h, w, **geometry):
    """dZ[n,c,h,w] = sum_{p,q} Delta[n,c,p,q] B, B = 1 where (h,w) is the first maximum of R[p,q], else 0.

    P2 for ties="first": M17 (14), W15, D19 (7), CN (4), with one winner per window (errata).
    """
    dz = 0
    for p, q in covering(Delta, h, w, **geometry):
        if (h, w) == first_maximum(Z, n, c, window(Z, p, q, **geometry)):
            dz = dz + Delta[n, c, p, q]
    return dz


def max_pool2d_dZ_all(Delta, Z, n, c, h, w, **geometry):
    """dZ[n,c,h,w] = sum_{p,q} Delta[n,c,p,q] B, B = 1 where Z[n,c,h,w] = Y[n,c,p,q], else 0.

    P2 as printed, for ties="all": M17 (14), D19 (7), CN (4).
    """
    dz = 0
    for p, q in covering(Delta, h, w, **geometry):
        if Z[n, c, h, w] == max_pool2d_Y(Z, n, c, p, q, **geometry):
            dz = dz + Delta[n, c, p, q]
    return dz


def max_pool2d_dZ_winners(Delta, B, n, c, h, w, *, R, S, u, v, p_h, p_w):
    """P2 for ties="first" from saved winners: B[n,c,p,q] = r S + s, r = h + p_h - u p, s = w + p_w - v q."""
    dz = 0
    for p, q in covering(Delta, h, w, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w):
        if B[n, c, p, q] == (h + p_h - u * p) * S + (w + p_w - v * q):
            dz = dz + Delta[n, c, p, q]
    return dz


@computes(Y=max_pool2d_Y)
def max_pool2d(Z, /, Y, *, R, S, u, v, p_h, p_w):
    """Z (N,C,H,W) -> Y (N,C,P,Q), P and Q as C2 has them."""


@computes(Y=max_pool2d_Y, B=max_pool2d_B)
def max_pool2d_winners(Z, /, Y, B, *, R, S, u, v, p_h, p_w):
    """Z (N,C,H,W) -> Y (N,C,P,Q) and B (N,C,P,Q), int32."""


@computes(dZ=max_pool2d_dZ)
def max_pool2d_grad_input(Delta, Z, /, dZ, *, R, S, u, v, p_h, p_w):
    """Delta (N,C,P,Q), Z (N,C,H,W) -> dZ (N,C,H,W)."""


@computes(dZ=max_pool2d_dZ_all)
def max_pool2d_grad_input_all(Delta, Z, /, dZ, *, R, S, u, v, p_h, p_w):
    """Delta (N,C,P,Q), Z (N,C,H,W) -> dZ (N,C,H,W)."""


@computes(dZ=max_pool2d_dZ_winners)
def max_pool2d_grad_input_winners(Delta, B, /, dZ, *, R, S, u, v, p_h, p_w):
    """Delta (N,C,P,Q), B (N,C,P,Q) int32 -> dZ (N,C,H,W)."""

"""Average pooling: P3 of cnnx/equations.md."""

from ._numbers import computes
from ._window import covering, window


def members_count(Z, p, q, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """|R[p,q]|: the members within the image or, with include_pad, within the image padded by
    p_h, p_b, p_w, p_r (top, bottom, left, right)."""
    H, W = Z.shape[2:]
    if include_pad:
        return min(R, H + p_b + p_h - u * p) * min(S, W + p_r + p_w - v * q)
    return len(window(Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w))


def avg_pool2d_Y(Z, n, c, p, q, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """Y[n,c,p,q] = (1/|R|) sum over (h,w) in R[p,q] of Z[n,c,h,w].

    P3: U19, D19, CN (3).
    """
    total = 0
    for h, w in window(Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w):
        total = total + Z[n, c, h, w]
    return total / members_count(
        Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w, p_b=p_b, p_r=p_r, include_pad=include_pad
    )


def avg_pool2d_dZ(Delta, Z, n, c, h, w, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """dZ[n,c,h,w] = sum over the windows R[p,q] that hold (h,w) of Delta[n,c,p,q] / |R|.

    P3: CN (4). Of Z only the extents count.
    """
    dz = 0
    for p, q in covering(Delta, h, w, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w):
        dz = dz + Delta[n, c, p, q] / members_count(
            Z, p, q, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w, p_b=p_b, p_r=p_r, include_pad=include_pad
        )
    return dz


@computes(Y=avg_pool2d_Y)
def avg_pool2d(Z, /, Y, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """Z (N,C,H,W) -> Y (N,C,P,Q)."""


@computes(dZ=avg_pool2d_dZ)
def avg_pool2d_grad_input(Delta, Z, /, dZ, *, R, S, u, v, p_h, p_w, p_b, p_r, include_pad):
    """Delta (N,C,P,Q), Z (N,C,H,W) -> dZ (N,C,H,W)."""

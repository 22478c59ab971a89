"""Resizing, to the nearest pixel and bilinear: R1-R5 of cnnx/equations.md."""

from ._numbers import computes


def numerator(p, *, A, B):
    """D x(p) = A p + B, where output p lies in the image.

    R1: standard.
    """
    return A * p + B


def nearest(p, extent, *, A, B, D):
    """h(p) = floor(x(p)), from 0 to extent - 1.

    R2: standard.
    """
    return min(max(numerator(p, A=A, B=B) // D, 0), extent - 1)


def weights(p, extent, *, A, B, D):
    """The pixels that output p lies on or between, with 2 D times the weight of each, which is not 0.

    R4: standard. With x(p) from 0 to extent - 1, they are floor(x(p)) and the next one. Twice, since nothing is rounded
    in a product with 1, and kernels multiply by 1/D rounded.
    """
    h, r = divmod(min(max(numerator(p, A=A, B=B), 0), (extent - 1) * D), D)
    return [(h, 2 * D)] if r == 0 else [(h, 2 * (D - r)), (h + 1, 2 * r)]


def shares(h, extent, count, *, A, B, D):
    """The outputs that pixel h has a weight in, with 2 D times that weight (R4, read from h)."""
    rows = [(p, dict(weights(p, extent, A=A, B=B, D=D)).get(h, 0)) for p in range(count)]
    return [(p, weight) for p, weight in rows if weight]


def upsample2d_nearest_Y(Z, n, c, p, q, *, A_h, B_h, D_h, A_w, B_w, D_w):
    """Y[n,c,p,q] = Z[n,c,h(p),w(q)].

    R3: standard.
    """
    H, W = Z.shape[2:]
    return Z[n, c, nearest(p, H, A=A_h, B=B_h, D=D_h), nearest(q, W, A=A_w, B=B_w, D=D_w)]


def upsample2d_nearest_dZ(Delta, n, c, h, w, *, H, W, A_h, B_h, D_h, A_w, B_w, D_w):
    """dZ[n,c,h,w] = sum of Delta[n,c,p,q] over the p, q with h(p) = h, w(q) = w.

    R3: standard.
    """
    P, Q = Delta.shape[2:]
    rows = [p for p in range(P) if nearest(p, H, A=A_h, B=B_h, D=D_h) == h]
    columns = [q for q in range(Q) if nearest(q, W, A=A_w, B=B_w, D=D_w) == w]
    dz = 0
    for p in rows:
        for q in columns:
            dz = dz + Delta[n, c, p, q]
    return dz


def upsample2d_bilinear_Y(Z, n, c, p, q, *, A_h, B_h, D_h, A_w, B_w, D_w):
    """Y[n,c,p,q] = sum_h a[p,h] sum_w b[q,w] Z[n,c,h,w], where the weights are not 0.

    R5: standard.
    """
    H, W = Z.shape[2:]
    y = 0
    for h, a in weights(p, H, A=A_h, B=B_h, D=D_h):
        row = 0
        for w, b in weights(q, W, A=A_w, B=B_w, D=D_w):
            row = row + b * Z[n, c, h, w]
        y = y + a * (row / (2 * D_w))
    return y / (2 * D_h)


def upsample2d_bilinear_dZ(Delta, n, c, h, w, *, H, W, A_h, B_h, D_h, A_w, B_w, D_w):
    """dZ[n,c,h,w] = sum_q b[q,w] sum_p a[p,h] Delta[n,c,p,q], where the weights are not 0.

    R5: standard.
    """
    P, Q = Delta.shape[2:]
    rows, columns = shares(h, H, P, A=A_h, B=B_h, D=D_h), shares(w, W, Q, A=A_w, B=B_w, D=D_w)
    if not rows or not columns:
        return 0
    dz = 0
    for q, b in columns:
        column = 0
        for p, a in rows:
            column = column + a * Delta[n, c, p, q]
        dz = dz + b * (column / (2 * D_h))
    return dz / (2 * D_w)


@computes(Y=upsample2d_nearest_Y)
def upsample2d_nearest(Z, /, Y, *, A_h, B_h, D_h, A_w, B_w, D_w):
    """Z (N,C,H,W) -> Y (N,C,P,Q)."""


@computes(dZ=upsample2d_nearest_dZ)
def upsample2d_nearest_grad_input(Delta, /, dZ, *, H, W, A_h, B_h, D_h, A_w, B_w, D_w):
    """Delta (N,C,P,Q) -> dZ (N,C,H,W)."""


@computes(Y=upsample2d_bilinear_Y)
def upsample2d_bilinear(Z, /, Y, *, A_h, B_h, D_h, A_w, B_w, D_w):
    """Z (N,C,H,W) -> Y (N,C,P,Q)."""


@computes(dZ=upsample2d_bilinear_dZ)
def upsample2d_bilinear_grad_input(Delta, /, dZ, *, H, W, A_h, B_h, D_h, A_w, B_w, D_w):
    """Delta (N,C,P,Q) -> dZ (N,C,H,W)."""

"""Convolution and transposed convolution: C1, C3-C6, T1-T3 of cnnx/equations.md, one function per equation.

Z~ is Z extended by zeros. A term that padding removes is left out, not multiplied by zero.
Every function takes the strides u (rows) and v (columns), the paddings p_h (top) and p_w (left),
the dilations d_h and d_w, and groups; c counts the channels of the group where F is indexed.
"""

from ._numbers import computes
from ._window import P_max, P_min


def conv2d_Y(Z, F, b, n, k, p, q, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Y[n,k,p,q] = b[k] + sum_{c,r,s} F[k,c,r,s] Z~[n,c, u p + d_h r - p_h, v q + d_w s - p_w].

    C1: M17 (4), W15, U19 (u_ij), D19 (Z^Fk_ij), CN (2).
    """
    H, W = Z.shape[2:]
    K, C, R, S = F.shape
    first_c = k // (K // groups) * C
    y = b[k]
    for c in range(C):
        for r in range(R):
            for s in range(S):
                h = u * p + d_h * r - p_h
                w = v * q + d_w * s - p_w
                if 0 <= h < H and 0 <= w < W:
                    y = y + F[k, c, r, s] * Z[n, first_c + c, h, w]
    return y


def conv2d_dF(Delta, Z, k, c, r, s, *, u, v, p_h, p_w, d_h, d_w, groups):
    """dE/dF[k,c,r,s] = sum_{n,p,q} Delta[n,k,p,q] Z~[n,c, u p + d_h r - p_h, v q + d_w s - p_w].

    C3: M17 (5), W15, D19 (9), CN.
    """
    C, H, W = Z.shape[1:]
    N, K, P, Q = Delta.shape
    first_c = k // (K // groups) * (C // groups)
    df = 0
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                h = u * p + d_h * r - p_h
                w = v * q + d_w * s - p_w
                if 0 <= h < H and 0 <= w < W:
                    df = df + Delta[n, k, p, q] * Z[n, first_c + c, h, w]
    return df


def conv2d_db(Delta, k):
    """dE/db[k] = sum_{n,p,q} Delta[n,k,p,q].

    C4: M17 (6) with one b per output channel, W15, D19 (10), CN.
    """
    N, _, P, Q = Delta.shape
    db = 0
    for n in range(N):
        for p in range(P):
            for q in range(Q):
                db = db + Delta[n, k, p, q]
    return db


def conv2d_dZ(Delta, F, n, c, h, w, *, u, v, p_h, p_w, d_h, d_w, groups):
    """dE/dZ[n,c,h,w] = sum_k sum_{p=Pmin..Pmax} sum_{q=Qmin..Qmax} Delta[n,k,p,q] F[k,c,r,s],
    d_h r = h + p_h - u p, d_w s = w + p_w - v q, and only those p, q for which r, s are whole.

    C5 with the bounds C6: M17 (7)-(9), W15 (flipped kernel), CN.
    """
    K, C, R, S = F.shape
    P, Q = Delta.shape[2:]
    group, c = divmod(c, C)
    dz = 0
    for k in range(group * (K // groups), (group + 1) * (K // groups)):
        for p in range(P_min(h, u=u, p_h=p_h, R=R, d_h=d_h), P_max(h, u=u, p_h=p_h, P=P) + 1):
            for q in range(P_min(w, u=v, p_h=p_w, R=S, d_h=d_w), P_max(w, u=v, p_h=p_w, P=Q) + 1):
                r, no_row = divmod(h + p_h - u * p, d_h)
                s, no_column = divmod(w + p_w - v * q, d_w)
                if not no_row and not no_column:
                    dz = dz + Delta[n, k, p, q] * F[k, c, r, s]
    return dz


@computes(Y=conv2d_Y)
def conv2d(Z, F, b, /, Y, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Z (N,C,H,W), F (K,C/groups,R,S), b (K) -> Y (N,K,P,Q), P and Q as C2 has them."""


@computes(dZ=conv2d_dZ)
def conv2d_grad_input(Delta, F, /, dZ, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Delta (N,K,P,Q), F (K,C/groups,R,S) -> dZ (N,C,H,W)."""


@computes(dF=conv2d_dF)
def conv2d_grad_weight(Delta, Z, /, dF, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Delta (N,K,P,Q), Z (N,C,H,W) -> dF (K,C/groups,R,S)."""


@computes(db=conv2d_db)
def conv2d_grad_bias(Delta, /, db):
    """Delta (N,K,P,Q) -> db (K)."""


# ------------------------------------------------------------------------------- transposed convolution
#
# Here u, v, p_h, p_w, d_h and d_w are those of the convolution that goes the other way, from Y to Z.


def _source(p, r, *, u, p_h, d_h):
    """The row h of the input with u h + d_h r - p_h = p, and whether there is none."""
    return divmod(p + p_h - d_h * r, u)


def conv_transpose2d_Y(Z, F, b, n, k, p, q, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Y[n,k,p,q] = b[k] + sum of Z[n,c,h,w] F[c,k,r,s] over the c of k's group and the h, w, r, s with
    u h + d_h r - p_h = p, v w + d_w s - p_w = q.

    T1: standard.
    """
    C, H, W = Z.shape[1:]
    K, R, S = F.shape[1:]
    group, column = divmod(k, K)
    y = b[k]
    for c in range(group * (C // groups), (group + 1) * (C // groups)):
        for r in range(R):
            for s in range(S):
                h, no_row = _source(p, r, u=u, p_h=p_h, d_h=d_h)
                w, no_column = _source(q, s, u=v, p_h=p_w, d_h=d_w)
                if not no_row and not no_column and 0 <= h < H and 0 <= w < W:
                    y = y + Z[n, c, h, w] * F[c, column, r, s]
    return y


def conv_transpose2d_dF(Delta, Z, c, k, r, s, *, u, v, p_h, p_w, d_h, d_w, groups):
    """dE/dF[c,k,r,s] = sum_{n,h,w} Z[n,c,h,w] Delta~[n, g K/groups + k, u h + d_h r - p_h, v w + d_w s - p_w],
    g the group of c.

    T2: standard.
    """
    N, C, H, W = Z.shape
    K, P, Q = Delta.shape[1:]
    output = c // (C // groups) * (K // groups) + k
    df = 0
    for n in range(N):
        for h in range(H):
            for w in range(W):
                p = u * h + d_h * r - p_h
                q = v * w + d_w * s - p_w
                if 0 <= p < P and 0 <= q < Q:
                    df = df + Z[n, c, h, w] * Delta[n, output, p, q]
    return df


def conv_transpose2d_dZ(Delta, F, n, c, h, w, *, u, v, p_h, p_w, d_h, d_w, groups):
    """dE/dZ[n,c,h,w] = sum_{k,r,s} F[c,k,r,s] Delta~[n, g K/groups + k, u h + d_h r - p_h, v w + d_w s - p_w],
    g the group of c.

    T3: standard.
    """
    C, K, R, S = F.shape
    P, Q = Delta.shape[2:]
    first = c // (C // groups) * K
    dz = 0
    for k in range(K):
        for r in range(R):
            for s in range(S):
                p = u * h + d_h * r - p_h
                q = v * w + d_w * s - p_w
                if 0 <= p < P and 0 <= q < Q:
                    dz = dz + F[c, k, r, s] * Delta[n, first + k, p, q]
    return dz


@computes(Y=conv_transpose2d_Y)
def conv_transpose2d(Z, F, b, /, Y, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Z (N,C,H,W), F (C,K/groups,R,S), b (K) -> Y (N,K,P,Q), P and Q as T4 has them."""


@computes(dZ=conv_transpose2d_dZ)
def conv_transpose2d_grad_input(Delta, F, /, dZ, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Delta (N,K,P,Q), F (C,K/groups,R,S) -> dZ (N,C,H,W)."""


@computes(dF=conv_transpose2d_dF)
def conv_transpose2d_grad_weight(Delta, Z, /, dF, *, u, v, p_h, p_w, d_h, d_w, groups):
    """Delta (N,K,P,Q), Z (N,C,H,W) -> dF (C,K/groups,R,S)."""

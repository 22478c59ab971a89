"""Batch normalisation per channel: N1-N5 of cnnx/equations.md. M = N H W members in a channel."""

from ._numbers import IEEE, computes


def members(Z):
    """All (n, h, w): the members of a channel."""
    N, _, H, W = Z.shape
    return [(n, h, w) for n in range(N) for h in range(H) for w in range(W)]


def members_count(Z):
    """M = N H W."""
    N, _, H, W = Z.shape
    return N * H * W


def batch_norm2d_mean(Z, c):
    """mean[c] = (1/M) sum_{n,h,w} Z[n,c,h,w].

    N1: standard.
    """
    total = 0
    for n, h, w in members(Z):
        total = total + Z[n, c, h, w]
    return total / members_count(Z)


def batch_norm2d_var(Z, mean, c):
    """var[c] = (1/M) sum_{n,h,w} (Z[n,c,h,w] - mean[c])^2.

    N1: standard.
    """
    total = 0
    for n, h, w in members(Z):
        distance = Z[n, c, h, w] - mean[c]
        total = total + distance * distance
    return total / members_count(Z)


def batch_norm2d_Zh(Z, mean, var, n, c, h, w, *, eps, m=IEEE):
    """Zh = (Z - mean) / sqrt(var + eps).

    N2: standard.
    """
    return (Z[n, c, h, w] - mean[c]) / m.sqrt(var[c] + eps)


def batch_norm2d_Y(Z, g, b, mean, var, n, c, h, w, *, eps, m=IEEE):
    """Y[n,c,h,w] = g[c] Zh + b[c].

    N2: standard; U19 mentions a normalisation after pooling.
    """
    return g[c] * batch_norm2d_Zh(Z, mean, var, n, c, h, w, eps=eps, m=m) + b[c]


def batch_norm2d_db(Delta, c):
    """db[c] = sum_{n,h,w} Delta[n,c,h,w].

    N3: standard.
    """
    db = 0
    for n, h, w in members(Delta):
        db = db + Delta[n, c, h, w]
    return db


def batch_norm2d_dg(Delta, Z, mean, var, c, *, eps, m=IEEE):
    """dg[c] = sum_{n,h,w} Delta[n,c,h,w] Zh.

    N3: standard.
    """
    dg = 0
    for n, h, w in members(Delta):
        dg = dg + Delta[n, c, h, w] * batch_norm2d_Zh(Z, mean, var, n, c, h, w, eps=eps, m=m)
    return dg


def batch_norm2d_dZ(Delta, Z, g, mean, var, dg, db, n, c, h, w, *, eps, m=IEEE):
    """dZ = g / sqrt(var + eps) (Delta - db/M - Zh dg/M): training, where mean and var depend on Z.

    N4: standard.
    """
    M = members_count(Z)
    Zh = batch_norm2d_Zh(Z, mean, var, n, c, h, w, eps=eps, m=m)
    return g[c] / m.sqrt(var[c] + eps) * (Delta[n, c, h, w] - db[c] / M - Zh * dg[c] / M)


def batch_norm2d_dZ_inference(Delta, g, var, n, c, h, w, *, eps, m=IEEE):
    """dZ = g Delta / sqrt(var + eps): running statistics, which do not depend on Z.

    N5: standard.
    """
    return g[c] * Delta[n, c, h, w] / m.sqrt(var[c] + eps)


@computes(mean=batch_norm2d_mean)
def batch_norm2d_statistics_mean(Z, /, mean):
    """Z (N,C,H,W) -> mean (C)."""


@computes(var=batch_norm2d_var)
def batch_norm2d_statistics_var(Z, mean, /, var):
    """Z (N,C,H,W), mean (C) -> var (C)."""


@computes(Y=batch_norm2d_Y)
def batch_norm2d(Z, g, b, mean, var, /, Y, *, eps):
    """Z (N,C,H,W), g, b, mean, var (C) -> Y (N,C,H,W)."""


@computes(db=batch_norm2d_db)
def batch_norm2d_grad_bias(Delta, /, db):
    """Delta (N,C,H,W) -> db (C)."""


@computes(dg=batch_norm2d_dg)
def batch_norm2d_grad_weight(Delta, Z, mean, var, /, dg, *, eps):
    """Delta, Z (N,C,H,W), mean, var (C) -> dg (C)."""


@computes(dZ=batch_norm2d_dZ)
def batch_norm2d_grad_input(Delta, Z, g, mean, var, dg, db, /, dZ, *, eps):
    """Delta, Z (N,C,H,W), g, mean, var, dg, db (C) -> dZ (N,C,H,W)."""


@computes(dZ=batch_norm2d_dZ_inference)
def batch_norm2d_grad_input_inference(Delta, g, var, /, dZ, *, eps):
    """Delta (N,C,H,W), g, var (C) -> dZ (N,C,H,W)."""

"""Normalisation of each example by itself: S1-S4 of cnnx/equations.md.

Z (N,S,D,P): S sets of D channels of P places each. Group normalisation has S groups; instance normalisation sets of one
channel; layer normalisation one set, whose D units are one place each. M = D P members in a set.
"""

from ._numbers import IEEE, computes


def members(Z):
    """All (d, p): the members of a set."""
    _, _, D, P = Z.shape
    return [(d, p) for d in range(D) for p in range(P)]


def members_count(Z):
    """M = D P."""
    _, _, D, P = Z.shape
    return D * P


def group_norm_mean(Z, n, s):
    """mean[n,s] = (1/M) sum_{d,p} Z[n,s,d,p].

    S1: standard.
    """
    total = 0
    for d, p in members(Z):
        total = total + Z[n, s, d, p]
    return total / members_count(Z)


def group_norm_var(Z, n, s):
    """var[n,s] = (1/M) sum_{d,p} (Z[n,s,d,p] - mean[n,s])^2.

    S1: standard.
    """
    mean = group_norm_mean(Z, n, s)
    total = 0
    for d, p in members(Z):
        distance = Z[n, s, d, p] - mean
        total = total + distance * distance
    return total / members_count(Z)


def group_norm_Zh(Z, mean, var, n, s, d, p, *, eps, m=IEEE):
    """Zh = (Z - mean) / sqrt(var + eps).

    S2: standard.
    """
    return (Z[n, s, d, p] - mean[n, s]) / m.sqrt(var[n, s] + eps)


def group_norm_Y(Z, g, b, mean, var, n, s, d, p, *, eps, m=IEEE):
    """Y[n,s,d,p] = g[s,d] Zh + b[s,d].

    S2: standard.
    """
    return g[s, d] * group_norm_Zh(Z, mean, var, n, s, d, p, eps=eps, m=m) + b[s, d]


def group_norm_db(Delta, s, d):
    """db[s,d] = sum_{n,p} Delta[n,s,d,p].

    S3: standard.
    """
    N, _, _, P = Delta.shape
    db = 0
    for n in range(N):
        for p in range(P):
            db = db + Delta[n, s, d, p]
    return db


def group_norm_dg(Delta, Z, mean, var, s, d, *, eps, m=IEEE):
    """dg[s,d] = sum_{n,p} Delta[n,s,d,p] Zh.

    S3: standard.
    """
    N, _, _, P = Delta.shape
    dg = 0
    for n in range(N):
        for p in range(P):
            dg = dg + Delta[n, s, d, p] * group_norm_Zh(Z, mean, var, n, s, d, p, eps=eps, m=m)
    return dg


def group_norm_e(Delta, Z, g, mean, var, n, s, *, eps, m=IEEE):
    """e[n,s] = sum_d g[s,d] sum_p Delta[n,s,d,p].

    S4: standard.
    """
    _, _, D, P = Z.shape
    e = 0
    for d in range(D):
        of_channel = 0
        for p in range(P):
            of_channel = of_channel + Delta[n, s, d, p]
        e = e + g[s, d] * of_channel
    return e


def group_norm_f(Delta, Z, g, mean, var, n, s, *, eps, m=IEEE):
    """f[n,s] = sum_d g[s,d] sum_p Delta[n,s,d,p] Zh.

    S4: standard.
    """
    _, _, D, P = Z.shape
    f = 0
    for d in range(D):
        of_channel = 0
        for p in range(P):
            Zh = group_norm_Zh(Z, mean, var, n, s, d, p, eps=eps, m=m)
            of_channel = of_channel + Delta[n, s, d, p] * Zh
        f = f + g[s, d] * of_channel
    return f


def group_norm_dZ(Delta, Z, g, mean, var, e, f, n, s, d, p, *, eps, m=IEEE):
    """dZ = (g Delta - e/M - Zh f/M) / sqrt(var + eps): mean and var depend on Z.

    S4: standard.
    """
    M = members_count(Z)
    Zh = group_norm_Zh(Z, mean, var, n, s, d, p, eps=eps, m=m)
    return (g[s, d] * Delta[n, s, d, p] - e[n, s] / M - Zh * f[n, s] / M) / m.sqrt(var[n, s] + eps)


@computes(mean=group_norm_mean, var=group_norm_var)
def group_norm_statistics(Z, /, mean, var):
    """Z (N,S,D,P) -> mean, var (N,S)."""


@computes(Y=group_norm_Y)
def group_norm(Z, g, b, mean, var, /, Y, *, eps):
    """Z (N,S,D,P), g, b (S,D), mean, var (N,S) -> Y (N,S,D,P)."""


@computes(db=group_norm_db)
def group_norm_grad_bias(Delta, /, db):
    """Delta (N,S,D,P) -> db (S,D)."""


@computes(dg=group_norm_dg)
def group_norm_grad_weight(Delta, Z, mean, var, /, dg, *, eps):
    """Delta, Z (N,S,D,P), mean, var (N,S) -> dg (S,D)."""


@computes(e=group_norm_e, f=group_norm_f)
def group_norm_grad_sums(Delta, Z, g, mean, var, /, e, f, *, eps):
    """Delta, Z (N,S,D,P), g (S,D), mean, var (N,S) -> e, f (N,S)."""


@computes(dZ=group_norm_dZ)
def group_norm_grad_input(Delta, Z, g, mean, var, e, f, /, dZ, *, eps):
    """Delta, Z (N,S,D,P), g (S,D), mean, var, e, f (N,S) -> dZ (N,S,D,P)."""

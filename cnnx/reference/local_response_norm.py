"""Local response normalisation, across channels: N6, N7 of cnnx/equations.md."""

from ._numbers import IEEE, computes


def local_response_norm_S(Z, n, c, i, *, size, alpha, k):
    """S[n,c,i] = k + (alpha/size) sum over c' from c - floor((size-1)/2) to c + ceil((size-1)/2) of Z[n,c',i]^2.

    N6: standard (Krizhevsky, Sutskever, Hinton 2012), with ONNX's alpha/size. c' is a channel of Z.
    """
    C = Z.shape[1]
    total = 0
    for other in range(max(0, c - (size - 1) // 2), min(C, c + size // 2 + 1)):
        total = total + Z[n, other, i] * Z[n, other, i]
    return k + alpha / size * total


def local_response_norm_Y(Z, n, c, i, *, size, alpha, beta, k, m=IEEE):
    """Y[n,c,i] = Z[n,c,i] S[n,c,i]^-beta.

    N6: standard.
    """
    return Z[n, c, i] * m.pow(local_response_norm_S(Z, n, c, i, size=size, alpha=alpha, k=k), -beta)


def local_response_norm_dZ(Delta, Z, n, c, i, *, size, alpha, beta, k, m=IEEE):
    """dZ[n,c,i] = Delta[n,c,i] S[n,c,i]^-beta - 2 (alpha/size) beta Z[n,c,i] sum of Delta Z S^(-beta-1), at [n,c',i].

    N7: standard. The sum is over the c' whose windows hold c: c - ceil((size-1)/2) to c + floor((size-1)/2).
    """
    C = Z.shape[1]
    total = 0
    for other in range(max(0, c - size // 2), min(C, c + (size - 1) // 2 + 1)):
        S = local_response_norm_S(Z, n, other, i, size=size, alpha=alpha, k=k)
        total = total + Delta[n, other, i] * Z[n, other, i] * m.pow(S, -beta - 1)
    S = local_response_norm_S(Z, n, c, i, size=size, alpha=alpha, k=k)
    return Delta[n, c, i] * m.pow(S, -beta) - 2 * (alpha / size) * beta * Z[n, c, i] * total


@computes(Y=local_response_norm_Y)
def local_response_norm(Z, /, Y, *, size, alpha, beta, k):
    """Z (N,C,L) -> Y (N,C,L)."""


@computes(dZ=local_response_norm_dZ)
def local_response_norm_grad_input(Delta, Z, /, dZ, *, size, alpha, beta, k):
    """Delta, Z (N,C,L) -> dZ (N,C,L)."""

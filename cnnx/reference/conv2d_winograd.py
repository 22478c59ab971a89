"""Convolution by Winograd's algorithm: W1-W3 of cnnx/equations.md, one function per equation.

What `conv2d_winograd` and `conv2d_winograd_grad_input` have to give is C1 and C5 at stride 1, and that
is how the reference computes them. The algorithm itself, index by index, is what a frozen layer uses: W1 for its
kernels, W2 and W3 for the rest.
"""

from ._numbers import computes
from .conv2d import conv2d_dZ, conv2d_Y

KERNELS = 8  # output channels that stand side by side in U

# Lavin & Gray 2016, section 4: F(2x2,3x3) and F(4x4,3x3), by the extents t of a tile of outputs and R of a kernel. B
# and DENOMINATOR, by which G is divided, go by that of a tile of inputs, t + R - 1. F(2x2,5x5) has the points of
# F(4x4,3x3), and so its B.
B = {
    4: ((1, 0, 0, 0), (0, 1, -1, 1), (-1, 1, 1, 0), (0, 0, 0, -1)),
    6: (
        (4, 0, 0, 0, 0, 0),
        (0, -4, 4, -2, 2, 4),
        (-5, -4, -4, -1, -1, 0),
        (0, 1, -1, 2, -2, -5),
        (1, 1, 1, 1, 1, 0),
        (0, 0, 0, 0, 0, 1),
    ),
}
G = {
    (2, 3): ((2, 0, 0), (1, 1, 1), (1, -1, 1), (0, 0, 2)),
    (4, 3): ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24)),
    (2, 5): (
        (6, 0, 0, 0, 0),
        (-4, -4, -4, -4, -4),
        (-4, 4, -4, 4, -4),
        (1, 2, 4, 8, 16),
        (1, -2, 4, -8, 16),
        (0, 0, 0, 0, 24),
    ),
}
DENOMINATOR = {4: 2, 6: 24}
A = {
    (2, 3): ((1, 0), (1, 1), (1, -1), (0, -1)),
    (4, 3): ((1, 0, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 2, 4, 8), (1, -2, 4, -8), (0, 0, 0, 1)),
    (2, 5): ((1, 0), (1, 1), (1, -1), (1, 2), (1, -2), (0, 1)),
}


def conv2d_winograd_U(F, block, i, j, c, kernel, *, t, groups):
    """U[block,i,j,c,kernel] = sum_{r,s} G[i,r] F[k,c,r,s] G[j,s], k the kernel-th output channel of a block of 8.

    W1. Each group's channels fill blocks of their own; where the last one has fewer, U is 0.
    """
    K, R = F.shape[0] // groups, F.shape[2]
    group, first = divmod(block, -(-K // KERNELS))
    k = first * KERNELS + kernel
    u = 0
    if k < K:
        for r in range(R):
            for s in range(R):
                u = u + G[t, R][i][r] * G[t, R][j][s] * F[group * K + k, c, r, s]
    return u / DENOMINATOR[t + R - 1] ** 2


def conv2d_winograd_V(Z, n, c, h, w, i, j, *, extent):
    """V[i,j] = sum_{x,y} B[x,i] Z~[n,c,h+x,w+y] B[y,j] for the tile of inputs of that extent whose corner is (h,w).

    W2.
    """
    H, W = Z.shape[2:]
    v = 0
    for x in range(extent):
        for y in range(extent):
            if 0 <= h + x < H and 0 <= w + y < W:
                v = v + B[extent][x][i] * B[extent][y][j] * Z[n, c, h + x, w + y]
    return v


def conv2d_winograd_Y(Z, U, b, n, k, p, q, *, t, p_h, p_w, groups):
    """Y[n,k,p,q] = b[k] + sum_{i,j} A[i, p mod t] A[j, q mod t] sum_c U[i,j,c] V[i,j,c].

    W3, for the tile that (p,q) lies in.
    """
    extent, C = U.shape[2:4]
    R = extent + 1 - t
    group, k_g = divmod(k, len(b) // groups)
    block, kernel = group * (len(U) // groups) + k_g // KERNELS, k_g % KERNELS
    y = b[k]
    for i in range(extent):
        for j in range(extent):
            factor = A[t, R][i][p % t] * A[t, R][j][q % t]
            if factor:
                for c in range(C):
                    v = conv2d_winograd_V(Z, n, group * C + c, p - p % t - p_h, q - q % t - p_w, i, j, extent=extent)
                    y = y + factor * U[block, i, j, c, kernel] * v
    return y


def conv2d_winograd_C1(Z, F, b, n, k, p, q, *, t, p_h, p_w, groups):
    """Y[n,k,p,q] = b[k] + sum_{c,r,s} F[k,c,r,s] Z~[n,c, p + r - p_h, q + s - p_w], whatever t is.

    C1 at stride 1: M17 (4).
    """
    return conv2d_Y(Z, F, b, n, k, p, q, u=1, v=1, p_h=p_h, p_w=p_w, d_h=1, d_w=1, groups=groups)


def conv2d_winograd_C5(Delta, F, n, c, h, w, *, t, p_h, p_w, groups):
    """dE/dZ[n,c,h,w] = sum_{k,p,q} Delta[n,k,p,q] F[k,c,r,s], r = h + p_h - p, s = w + p_w - q, whatever t is.

    C5 at stride 1: M17 (7).
    """
    return conv2d_dZ(Delta, F, n, c, h, w, u=1, v=1, p_h=p_h, p_w=p_w, d_h=1, d_w=1, groups=groups)


@computes(Y=conv2d_winograd_C1)
def conv2d_winograd(Z, F, b, /, Y, *, t, p_h, p_w, groups):
    """Z (N,C,H,W), F (K,C/groups,R,R), b (K) -> Y (N,K,P,Q)."""


@computes(dZ=conv2d_winograd_C5)
def conv2d_winograd_grad_input(Delta, F, /, dZ, *, t, p_h, p_w, groups):
    """Delta (N,K,P,Q), F (K,C/groups,R,R) -> dZ (N,C,H,W)."""


@computes(U=conv2d_winograd_U)
def conv2d_winograd_weight(F, /, U, *, t, groups):
    """F (K,C/groups,R,R) -> U (groups ceil(K/groups/8), t+R-1, t+R-1, C/groups, 8)."""


@computes(Y=conv2d_winograd_Y)
def conv2d_winograd_frozen(Z, U, b, /, Y, *, t, p_h, p_w, groups):
    """Z (N,C,H,W), U of conv2d_winograd_weight, b (K) -> Y (N,K,P,Q)."""

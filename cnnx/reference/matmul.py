"""Products of stacks of matrices, which NumPy's rules repeat: J3-J5 of cnnx/equations.md.

Both operands have the output's axes before the matrices' two. Along one where it has one member an operand is repeated.
"""

from ._numbers import computes
from .arithmetic import at, reached


def matmul_Y(A, B, *index):
    """Y[s,i,j] = sum_k A[s,i,k] B[s,k,j], at 0 along an axis of s where an operand has one member.

    J3: standard.
    """
    *s, i, j = index
    y = 0
    for k in range(A.shape[-1]):
        y = y + at(A, s, i, k) * at(B, s, k, j)
    return y


def matmul_dA(Delta, A, B, *index):
    """dA[m,i,k] = sum_j Delta[s,i,j] B[s,k,j], and the sum of that over the s that A[m] goes to.

    J4: standard.
    """
    *m, i, k = index
    dA = 0
    for s in reached(A.shape[:-2], Delta.shape[:-2], m):
        for j in range(Delta.shape[-1]):
            dA = dA + Delta[*s, i, j] * at(B, s, k, j)
    return dA


def matmul_dB(Delta, A, B, *index):
    """dB[m,k,j] = sum_i A[s,i,k] Delta[s,i,j], and the sum of that over the s that B[m] goes to.

    J5: standard.
    """
    *m, k, j = index
    dB = 0
    for s in reached(B.shape[:-2], Delta.shape[:-2], m):
        for i in range(Delta.shape[-2]):
            dB = dB + at(A, s, i, k) * Delta[*s, i, j]
    return dB


@computes(Y=matmul_Y)
def matmul(A, B, /, Y):
    """A (4 axes, I, K), B (4 axes, K, J) -> Y (4 axes, I, J), each of the 4 as Y has it or of one element."""


@computes(dA=matmul_dA)
def matmul_grad_a(Delta, A, B, /, dA):
    """Delta (4 axes, I, J), A, B -> dA, of A's shape; of A only that counts."""


@computes(dB=matmul_dB)
def matmul_grad_b(Delta, A, B, /, dB):
    """Delta (4 axes, I, J), A, B -> dB, of B's shape; of B only that counts."""

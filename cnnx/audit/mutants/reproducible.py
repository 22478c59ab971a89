"""Bugs that are right within every error bound, and give other bits: by the call, the batch, the place, the processor.
(By the number of threads: `convolution.conv2d_grad_bias_in_parts`.)

They are sent to other processes, so their kernels are functions of a module.
"""

import os

import numpy as np

from ..data import Array
from ._mutant import HELD, Mutants, right

BUGS = Mutants()
_called: list[bool] = []  # whether the process has called the mutant of the first call


def summed(Delta: Array, parts: int) -> Array:
    """The sum over n, p and q in so many partial sums, as the lanes of a vector have them."""
    rows = np.ascontiguousarray(Delta.transpose(1, 0, 2, 3)).reshape(Delta.shape[1], -1)
    total = np.zeros(len(rows), Delta.dtype)
    for part in range(parts):
        for column in rows[:, part::parts].T:
            total += column
    return total


def columns_dealt(Z: Array, w: Array, b: Array, Y: Array) -> None:
    """Affine with the terms of every sum dealt out: every third one first, which no tree of partial sums makes good."""
    order = [j for first in range(3) for j in range(first, Z.shape[1], 3)]
    right("affine")(np.ascontiguousarray(Z[:, order]), np.ascontiguousarray(w[:, order]), b, Y)


@BUGS.of("affine", "affine", "the first call of a process sums in another order", "tuning by trial in the first call")
def affine_first_call_differs(Z: Array, w: Array, b: Array, Y: Array) -> None:
    (right("affine") if _called else columns_dealt)(Z, w, b, Y)
    _called.append(True)


@BUGS.of("affine", "affine", "four rows and more sum in another order", "matrix products that choose a kernel by M")
def affine_depends_on_batch(Z: Array, w: Array, b: Array, Y: Array) -> None:
    Y[...] = b
    for j in range(Z.shape[1]) if len(Z) < 4 else reversed(range(Z.shape[1])):
        Y += Z[:, j : j + 1] * w[:, j]


@BUGS.of(
    "conv2d", "conv2d_grad_bias", "db is summed in as many parts as a vector has lanes", "sums by AVX2 and AVX-512"
)
def conv2d_grad_bias_depends_on_lanes(Delta: Array, db: Array) -> None:
    db[...] = summed(Delta, 4 if os.environ.get(HELD) else 8)


@BUGS.of("conv2d", "conv2d_grad_bias", "db is summed up to a vector's boundary first", "peeled loops of compilers")
def conv2d_grad_bias_depends_on_alignment(Delta: Array, db: Array) -> None:
    db[...] = summed(Delta, 4 if Delta.ctypes.data % 16 == 0 else 3)

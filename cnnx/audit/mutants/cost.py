"""Bugs of costs."""

import numpy as np

from ..data import Array
from ._mutant import Mutants, right

BUGS = Mutants()


@BUGS.of("squared_error", "squared_error", "the 1/2 is left out", "PyTorch's and Keras's MSE has none")
def squared_error_without_half(A: Array, T: Array, E: Array, *, divisor: int) -> None:
    right("squared_error")(A, T, E, divisor=divisor)
    E *= 2


@BUGS.of("squared_error", "squared_error", "the norm is squared again", "0.5 * np.linalg.norm(t - a)**2, one ulp off")
def squared_error_by_norm(A: Array, T: Array, E: Array, *, divisor: int) -> None:
    E[0] = 0.5 * np.linalg.norm(A.astype(float) - T) ** 2 / divisor


@BUGS.of("squared_error", "squared_error_grad_input", "the mean's 1/N is left out of the gradient")
def squared_error_grad_without_n(A: Array, T: Array, dA: Array, *, divisor: int) -> None:
    right("squared_error_grad_input")(A, T, dA, divisor=1)


@BUGS.of("cross_entropy", "cross_entropy_grad_input", "the mean's 1/N is left out of the gradient")
def cross_entropy_grad_without_n(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    right("cross_entropy_grad_input")(Z, t, dZ, divisor=1)


@BUGS.of("cross_entropy", "cross_entropy_index_grad_input", "1/N enters twice", "once in the cost, once in the layer")
def cross_entropy_index_grad_with_n_twice(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    right("cross_entropy_index_grad_input")(Z, t, dZ, divisor=divisor * divisor)


@BUGS.of("cross_entropy", "cross_entropy_grad_input", "targets are taken to sum to 1", "y - t for soft targets")
def cross_entropy_grad_of_whole_targets(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    right("cross_entropy_grad_input")(Z, t, dZ, divisor=divisor)
    dZ -= (right_softmax(Z) * (t.sum(axis=1, keepdims=True) - 1)) / divisor


@BUGS.of("cross_entropy", "cross_entropy_index", "the logarithm of the softmax plus 1e-7", "clipping against log 0")
def cross_entropy_index_clipped(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    y = right_softmax(Z.astype(float))
    E[0] = -np.log(y[np.arange(len(t)), t] + 1e-7).sum() / divisor


def right_softmax(Z: Array) -> Array:
    """The rows' softmax."""
    Y = np.empty_like(Z)
    right("softmax")(Z[..., np.newaxis], Y[..., np.newaxis])
    return Y

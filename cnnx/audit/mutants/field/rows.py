"""Bugs that libraries had in softmax and in costs."""

import numpy as np

from ...data import Array
from .._mutant import right
from ._bug import Bugs
from .usual import entropy

BUGS = Bugs()


@BUGS.of("softmax", "softmax", "deeplearning4j/deeplearning4j#6039", "the maximum is not shifted out: NaN")
def softmax_of_raw_exponentials(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        e = np.exp(Z)
        Y[...] = e / e.sum(axis=1, keepdims=True)


@BUGS.of("softmax", "softmax", "manassharma07/crysx_nn#7", "the maximum of all rows is shifted out, not each row's")
def softmax_shifted_by_all(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        e = np.exp(Z - Z.max(initial=-np.inf))
        Y[...] = e / e.sum(axis=1, keepdims=True)


@BUGS.of("log_softmax", "log_softmax", "intel/ipex-llm#1576", "the maximum is not shifted out: infinite from 88.7 on")
def log_softmax_of_raw_exponentials(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


@BUGS.of("log_softmax", "log_softmax", "pytorch/pytorch#3240", "a single number gives minus infinity, not 0")
def log_softmax_of_one_number(Z: Array, Y: Array) -> None:
    right("log_softmax")(Z, Y)
    if Z.size == 1:
        Y[...] = -np.inf


@BUGS.of(
    "cross_entropy",
    "cross_entropy_index",
    "PaddlePaddle/Paddle#21165",
    "the maximum that is shifted out is never below -64: infinite where all of a row is far below it",
)
def cross_entropy_of_clipped_maximum(Z: Array, t: Array, E: Array, *, divisor: int) -> None:
    with np.errstate(all="ignore"):
        shifted = Z - np.maximum(Z.max(axis=1, keepdims=True, initial=-np.inf), -64)
        sums = np.log(np.exp(shifted).sum(axis=1))
        E[0] = (sums - shifted[np.arange(len(t)), t]).sum(dtype=float) / divisor


@BUGS.of(
    "cross_entropy",
    "cross_entropy_index_grad_input",
    "paiml/aprender#2182",
    "the gradient of a sum is divided by the number of examples too",
    usual=entropy("sum"),
)
def cross_entropy_gradient_of_sum_as_mean(Z: Array, t: Array, dZ: Array, *, divisor: int) -> None:
    right("cross_entropy_index_grad_input")(Z, t, dZ, divisor=len(Z))

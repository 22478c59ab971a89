"""Bugs that libraries had in activations."""

import numpy as np

from ...data import Array
from .._mutant import right
from ._bug import Bugs
from .usual import elements

BUGS = Bugs()


@BUGS.of("relu", "relu", "apache/mxnet#11115", "NaN gives 0")
def relu_of_nan_is_zero(Z: Array, Y: Array) -> None:
    Y[...] = np.where(Z > 0, Z, 0)


@BUGS.of("clip", "clip", "tracel-ai/burn#5609", "NaN gives the bound")
def clip_of_nan_is_bound(Z: Array, Y: Array, *, low: float, high: float) -> None:
    np.fmin(np.fmax(Z, low), high, out=Y)


@BUGS.of(
    "elu",
    "elu_grad_input",
    "pytorch/pytorch#47671",
    "backward goes by the sign of the output, which is not the input's where alpha is negative",
    usual=elements(alpha=-2.0),
)
def elu_grad_input_by_output(Delta: Array, Z: Array, dZ: Array, *, alpha: float) -> None:
    right("elu_grad_input")(Delta, Z, dZ, alpha=alpha)
    Y = np.empty_like(Z)
    right("elu")(Z, Y, alpha=alpha)
    dZ[...] = np.where((Z < 0) & (Y > 0), Delta, dZ)


@BUGS.of(
    "leaky_relu", "leaky_relu_grad_input", "deeplearning4j/deeplearning4j#8178", "backward does not take the slope"
)
def leaky_relu_grad_input_without_slope(Delta: Array, Z: Array, dZ: Array, *, slope: float) -> None:
    """It has the default one; the report says that there is none in it."""
    right("leaky_relu_grad_input")(Delta, Z, dZ, slope=0.01)


@BUGS.of("hard_sigmoid", "hard_sigmoid_grad_input", "pytorch/pytorch#51438", "the slope is 1/6 everywhere")
def hard_sigmoid_grad_input_of_one_slope(Delta: Array, Z: Array, dZ: Array, *, alpha: float, beta: float) -> None:
    dZ[...] = Delta * alpha


@BUGS.of("tanh", "tanh", "BVLC/caffe#1455", "(exp(2z) - 1)/(exp(2z) + 1) is NaN for large numbers")
def tanh_by_exponentials(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        doubled = np.exp(2 * Z)
        Y[...] = (doubled - 1) / (doubled + 1)


@BUGS.of("sigmoid", "sigmoid", "clab/dynet#1525", "0.5 for large numbers, by a minimum and a maximum that are swapped")
def sigmoid_of_large_is_half(Z: Array, Y: Array) -> None:
    """max(1/2, 1/(1 + exp(-z))) + min(1/2, exp(z)/(1 + exp(z))) - 1/2, with a minimum that drops NaN."""
    right("sigmoid")(Z, Y)
    with np.errstate(all="ignore"):
        Y[np.isinf(np.exp(Z)) & np.isfinite(Z)] = 0.5


def _softplus_slope(Delta: Array, Z: Array, dZ: Array) -> None:
    with np.errstate(all="ignore"):
        e = np.exp(Z)
        dZ[...] = Delta * (e / (e + 1))


@BUGS.of(
    "softplus",
    "softplus",
    "tracel-ai/burn#5374",
    "log(1 + exp(z)) is infinite for large numbers, and its gradient NaN",
    also={"softplus_grad_input": _softplus_slope},
)
def softplus_by_exponential(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = np.log(np.exp(Z) + 1)


@BUGS.of("gelu", "gelu", "tenstorrent/tt-metal#5578", "0 for numbers that are not so small, from about -2.5 on")
def gelu_too_soon_zero(Z: Array, Y: Array) -> None:
    """From -3 on: the report says about where."""
    right("gelu")(Z, Y)
    Y[Z < -3] = 0


@BUGS.of("gelu", "gelu", "pytorch/executorch#22324", "NaN where the argument of its tanh is above 88")
def gelu_of_unclamped_tanh(Z: Array, Y: Array) -> None:
    right("gelu")(Z, Y)
    with np.errstate(all="ignore"):
        Y[np.abs(np.sqrt(2 / np.pi) * (Z + 0.044715 * Z**3)) > 88] = np.nan

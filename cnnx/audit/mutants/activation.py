"""Bugs of activations, softmax among them."""

import numpy as np

from ..data import Array
from ._mutant import Mutants, right, truncated

BUGS = Mutants()


@BUGS.of("relu", "relu", "what is left of a vector block of 8 is skipped", "SIMD loops without a tail")
def relu_tail_missing(Z: Array, Y: Array) -> None:
    whole = len(Z) // 8 * 8
    Y[:whole] = np.maximum(Z[:whole], 0)


@BUGS.of("relu", "relu", "a NaN is swallowed", "maxps(z, 0), fmax; -ffast-math")
def relu_swallows_nan(Z: Array, Y: Array) -> None:
    np.fmax(Z, 0, out=Y)


@BUGS.of("relu", "relu", "-0 stays -0 in what is left of a block of 8, and is 0 before", "TensorFlow's on processors")
def relu_keeps_minus_zero_in_tail(Z: Array, Y: Array) -> None:
    right("relu")(Z, Y)
    flat, last = Y.reshape(-1), Z.size // 8 * 8
    flat[last:] = np.where(Z.reshape(-1)[last:] == 0, Z.reshape(-1)[last:], flat[last:])


@BUGS.of("relu", "relu_grad_input", "the slope at 0 is 1", "z >= 0 for z > 0")
def relu_grad_input_one_at_zero(Delta: Array, Z: Array, dZ: Array) -> None:
    dZ[...] = Delta * (Z >= 0)


@BUGS.of("relu", "relu_grad_input", "a NaN in grad_output is swallowed")
def relu_grad_input_drops_nan(Delta: Array, Z: Array, dZ: Array) -> None:
    right("relu_grad_input")(np.nan_to_num(Delta), Z, dZ)


@BUGS.of("identity", "identity", "everything beyond 24 elements is skipped", "a block size taken for the length")
def identity_long_tail_missing(Z: Array, Y: Array) -> None:
    Y[:24] = Z[:24]


@BUGS.of("step", "step", "the step is 1 at 0", "z >= 0 for z > 0; Heaviside's value at 0 is a convention")
def step_one_at_zero(Z: Array, Y: Array) -> None:
    Y[...] = np.where(np.isnan(Z), Z, Z >= 0)


@BUGS.of("sigmoid", "sigmoid_grad_input", "sigmoid' enters twice", "D19's printed delta^F")
def sigmoid_grad_input_squared(Delta: Array, Z: Array, dZ: Array) -> None:
    right("sigmoid_grad_input")(Delta, Z, dZ)
    right("sigmoid_grad_input")(dZ.copy(), Z, dZ)


@BUGS.of("sigmoid", "sigmoid_grad_input", "the derivative is taken of what is already an output", "y passed for z")
def sigmoid_grad_input_of_output(Delta: Array, Z: Array, dZ: Array) -> None:
    dZ[...] = Delta * Z * (1 - Z)


@BUGS.of("sigmoid", "sigmoid", "exp(z)/(1 + exp(z)) overflows", "NaN for large z")
def sigmoid_overflowing(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = np.exp(Z) / (1 + np.exp(Z))


@BUGS.of("sigmoid", "sigmoid_grad_input_output", "the saved output is taken for the input", "sigmoid(y) for y")
def sigmoid_grad_input_output_again(Delta: Array, Y: Array, dZ: Array) -> None:
    right("sigmoid_grad_input")(Delta, Y, dZ)


@BUGS.of("tanh", "tanh_grad_input_output", "the other S-shaped function's slope", "y (1 - y) for 1 - y^2")
def tanh_grad_input_output_of_sigmoid(Delta: Array, Y: Array, dZ: Array) -> None:
    right("sigmoid_grad_input_output")(Delta, Y, dZ)


@BUGS.of("tanh", "tanh", "(e^z - e^-z)/(e^z + e^-z) as printed cancels near 0 and overflows", "D19's formula")
def tanh_poor(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = (np.exp(Z) - np.exp(-Z)) / (np.exp(Z) + np.exp(-Z))


@BUGS.of("softplus", "softplus", "z beyond 10", "a threshold that float32 can see")
def softplus_above_10(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = np.where(Z > 10, Z, np.log1p(np.exp(Z)))


@BUGS.of("softplus", "softplus", "z beyond 20, and not z + exp(-z)", "PyTorch's threshold=20, float64 too")
def softplus_above_20(Z: Array, Y: Array) -> None:
    right("softplus")(Z, Y)
    Y[Z > 20] = Z[Z > 20]


@BUGS.of("leaky_relu", "leaky_relu_grad_input", "the slope at 0 is the right one", "z >= 0 for z > 0")
def leaky_relu_grad_input_right_at_zero(Delta: Array, Z: Array, dZ: Array, *, slope: float) -> None:
    dZ[...] = Delta * np.where(Z >= 0, 1, slope).astype(Z.dtype)


@BUGS.of("elu", "elu_grad_input", "alpha is forgotten on the way back")
def elu_grad_input_without_alpha(Delta: Array, Z: Array, dZ: Array, *, alpha: float) -> None:
    right("elu_grad_input")(Delta, Z, dZ, alpha=1.0)


@BUGS.of("sigmoid", "sigmoid", "of 37 numbers those below -20 are off by 64 ulp", "a tail's own exponential")
def sigmoid_far_out_of_37(Z: Array, Y: Array) -> None:
    """Of a size that a fixed case has; a search draws others, too rarely with numbers so far from 0."""
    right("sigmoid")(Z, Y)
    if Z.size == 37:
        Y[Z < -20] *= Y.dtype.type(1 + 64 * np.finfo(Y.dtype).eps)


@BUGS.of("gelu", "gelu", "z (1 + erf(z/sqrt 2))/2 cancels for negative numbers", "float32's 1 + erf: 0 from -5.5 on")
def gelu_of_one_plus_erf(Z: Array, Y: Array) -> None:
    right("gelu")(Z, Y)
    half = np.divide(Y, Z, out=np.full_like(Z, 0.5), where=(Z != 0) & np.isfinite(Z))  # (1 + erf)/2
    Y[...] = np.where(np.isfinite(Z), Z * ((half + 1) - 1), Y)


@BUGS.of("sigmoid", "sigmoid", "(1 + tanh(z/2))/2 cancels for negative numbers", "sigmoids of a processor's tanh")
def sigmoid_of_tanh(Z: Array, Y: Array) -> None:
    halves = np.empty_like(Z)
    right("tanh")(Z / 2, halves)
    Y[...] = (1 + halves) / 2


@BUGS.of("gelu", "gelu", "the approximation by tanh", "GPT-2's formula, called by the same name")
def gelu_by_tanh(Z: Array, Y: Array) -> None:
    inner = np.sqrt(2 / np.pi) * (Z + 0.044715 * Z**3)
    Y[...] = np.where(np.isneginf(Z), 0, Z * (1 + np.tanh(inner)) / 2)


@BUGS.of("clip", "clip_grad_input", "the gradient passes at the lower bound too", "torch.clamp's convention")
def clip_grad_input_right_at_low(Delta: Array, Z: Array, dZ: Array, *, low: float, high: float) -> None:
    dZ[...] = Delta * ((low <= Z) & (high >= Z))


@BUGS.of("clip", "clip", "a NaN becomes a bound", "fmin and fmax")
def clip_swallows_nan(Z: Array, Y: Array, *, low: float, high: float) -> None:
    np.fmin(np.fmax(Z, low), high, out=Y)


@BUGS.of("hard_sigmoid", "hard_sigmoid", "alpha is 1/5, whatever was asked for", "ONNX's default for torch's 1/6")
def hard_sigmoid_of_onnx(Z: Array, Y: Array, *, alpha: float, beta: float) -> None:
    right("hard_sigmoid")(Z, Y, alpha=0.2, beta=beta)


@BUGS.of("hard_sigmoid", "hard_sigmoid_grad_input", "the gradient passes where the function is flat")
def hard_sigmoid_grad_input_everywhere(Delta: Array, Z: Array, dZ: Array, *, alpha: float, beta: float) -> None:
    dZ[...] = Delta * alpha


@BUGS.of("hard_swish", "hard_swish", "minus infinity times 0", "z relu6(z + 3)/6 as printed")
def hard_swish_of_infinity(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = Z * (np.clip(Z + 3, 0, 6) / 6)


@BUGS.of("hard_swish", "hard_swish_grad_input", "the product rule's second term is missing")
def hard_swish_grad_input_of_one_factor(Delta: Array, Z: Array, dZ: Array) -> None:
    right("hard_sigmoid")(Z, dZ, alpha=1 / 6, beta=0.5)
    dZ *= Delta


@BUGS.of("silu", "silu", "z exp(z)/(1 + exp(z)) overflows", "NaN for large z")
def silu_overflowing(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        Y[...] = Z * np.exp(Z) / (1 + np.exp(Z))


@BUGS.of("silu", "silu_grad_input", "the sigmoid's slope alone", "z counts as a constant")
def silu_grad_input_of_sigmoid(Delta: Array, Z: Array, dZ: Array) -> None:
    right("sigmoid_grad_input")(Delta, Z, dZ)
    dZ *= Z


@BUGS.of("prelu", "prelu", "all channels have the first one's slope")
def prelu_of_first_slope(Z: Array, w: Array, Y: Array) -> None:
    right("prelu")(Z, np.full_like(w, w[0]), Y)


@BUGS.of("prelu", "prelu_grad_weight", "positive numbers count as well", "the forward mask is forgotten")
def prelu_grad_weight_of_all(Delta: Array, Z: Array, dw: Array) -> None:
    dw[...] = (Delta * Z).sum(axis=(0, 2))


@BUGS.of("softmax", "softmax", "the maximum is not shifted out", "exp overflows for z > 88")
def softmax_without_shift(Z: Array, Y: Array) -> None:
    with np.errstate(all="ignore"):
        e = np.exp(Z)
        Y[...] = e / e.sum(axis=1, keepdims=True)


@BUGS.of("softmax", "softmax", "float32 lacks 7 bits: ten times the bound", "an exponential of one term too few")
def softmax_of_16_bits(Z: Array, Y: Array) -> None:
    right("softmax")(Z, Y)
    Y[...] = truncated(Y, 16)


@BUGS.of("softmax", "softmax_grad_input", "only the diagonal of the Jacobian", "y (1 - y), as if it were a sigmoid")
def softmax_grad_input_of_diagonal(Delta: Array, Z: Array, dZ: Array) -> None:
    Y = np.empty_like(Z)
    right("softmax")(Z, Y)
    dZ[...] = Delta * Y * (1 - Y)


@BUGS.of("softmax", "softmax_grad_input_output", "the saved output is taken for the input", "softmax(y) for y")
def softmax_grad_input_output_again(Delta: Array, Y: Array, dZ: Array) -> None:
    right("softmax_grad_input")(Delta, Y, dZ)


@BUGS.of("log_softmax", "log_softmax_grad_input_output", "y for exp(y)", "the saved output is taken for the softmax")
def log_softmax_grad_input_output_of_softmax(Delta: Array, Y: Array, dZ: Array) -> None:
    dZ[...] = Delta - Y * Delta.sum(axis=1, keepdims=True)


@BUGS.of("log_softmax", "log_softmax", "the logarithm of the softmax", "-inf where softmax underflows")
def log_softmax_as_log_of_softmax(Z: Array, Y: Array) -> None:
    right("softmax")(Z, Y)
    with np.errstate(all="ignore"):
        np.log(Y, out=Y)

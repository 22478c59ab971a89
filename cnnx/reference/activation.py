"""Activations: A1, A2 and A5 of cnnx/equations.md. Each is two formulas of one number, phi and its derivative.

Comparisons are written so that NaN passes through phi.
"""

import inspect
import math

from ._numbers import IEEE, computes


def relu_phi(z):
    """max(0, z). W15."""
    return 0 if z <= 0 else z


def relu_prime(z):
    """[z > 0]. W15."""
    return 1 if z > 0 else 0


def sigmoid_phi(z, *, m=IEEE):
    """1 / (1 + exp(-z)). D19."""
    return 1 / (1 + m.exp(-z))


def sigmoid_prime(z, *, m=IEEE):
    """y (1 - y). D19. 1 - y is phi(-z), where nothing cancels."""
    return sigmoid_phi(z, m=m) * sigmoid_phi(-z, m=m)


def sigmoid_slope(y):
    """y (1 - y). D19."""
    return y * (1 - y)


def tanh_phi(z, *, m=IEEE):
    """(exp(z) - exp(-z)) / (exp(z) + exp(-z)). D19.

    Both are multiplied by exp(-|z|), so that nothing overflows, and written with expm1, so that
    nothing cancels: with e = exp(-2|z|) - 1 it is -e / (e + 2) for z > 0, e / (e + 2) else.
    """
    if z > 0:
        e = m.expm1(-2 * z)
        return -e / (e + 2)
    e = m.expm1(2 * z)
    return e / (e + 2)


def tanh_prime(z, *, m=IEEE):
    """1 - y^2. D19. With t = exp(-2|z|) it is 4 t / (1 + t)^2, where nothing cancels."""
    t = m.exp(-2 * z) if z > 0 else m.exp(2 * z)
    return 4 * t / ((1 + t) * (1 + t))


def tanh_slope(y):
    """1 - y^2. D19."""
    return 1 - y * y


def step_phi(z):
    """0 (z <= 0), 1 (z > 0). D19."""
    if z <= 0:
        return 0
    return 1 if z > 0 else z


def step_prime(z):
    """0: the step stops every gradient. D19."""
    return 0


def identity_phi(z):
    """z. D19."""
    return z


def identity_prime(z):
    """1. D19."""
    return 1


def leaky_relu_phi(z, *, slope):
    """z (z > 0), slope z (else). Standard."""
    return z if z > 0 else slope * z


def leaky_relu_prime(z, *, slope):
    """1 (z > 0), slope (else). Standard."""
    return 1 if z > 0 else slope


def elu_phi(z, *, alpha, m=IEEE):
    """z (z > 0), alpha (exp(z) - 1) (else). Standard."""
    return z if z > 0 else alpha * m.expm1(z)


def elu_prime(z, *, alpha, m=IEEE):
    """1 (z > 0), alpha exp(z) (else). Standard."""
    return 1 if z > 0 else alpha * m.exp(z)


def softplus_phi(z, *, m=IEEE):
    """log(1 + exp(z)). Standard. For z > 0 it is z + log(1 + exp(-z)), which does not overflow."""
    return z + m.log1p(m.exp(-z)) if z > 0 else m.log1p(m.exp(z))


def softplus_prime(z, *, m=IEEE):
    """sigmoid(z). Standard."""
    return sigmoid_phi(z, m=m)


def gelu_phi(z, *, m=IEEE):
    """z Phi(z), Phi the normal distribution, (1 + erf(z / sqrt 2)) / 2 = erfc(-z / sqrt 2) / 2. Standard."""
    Phi = m.erfc(-z / math.sqrt(2)) / 2
    return 0 if z == -math.inf else z * Phi  # the limit


def gelu_prime(z, *, m=IEEE):
    """Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi). Standard."""
    Phi = m.erfc(-z / math.sqrt(2)) / 2
    density = m.exp(-(z * z) / 2) / math.sqrt(2 * math.pi)
    return Phi if abs(z) == math.inf else Phi + z * density  # the limit


def clip_phi(z, *, low, high):
    """min(max(z, low), high). Standard."""
    if z <= low:
        return low
    return high if z > high else z


def clip_prime(z, *, low, high):
    """[low < z <= high]: at both kinks the slope on the left. Standard."""
    return 1 if low < z <= high else 0


def hard_sigmoid_phi(z, *, alpha, beta):
    """max(0, min(1, alpha z + beta)). Standard."""
    t = alpha * z + beta
    if t <= 0:
        return 0
    return 1 if t > 1 else t


def hard_sigmoid_prime(z, *, alpha, beta):
    """alpha [0 < alpha z + beta <= 1]: at both kinks the slope on the left, for alpha > 0. Standard."""
    return alpha if 0 < alpha * z + beta <= 1 else 0


def hard_swish_phi(z):
    """z max(0, min(6, z + 3)) / 6. Standard. It is 0 up to -3 and z from 3 on."""
    if z <= -3:
        return 0
    return z if z > 3 else z * (z + 3) / 6


def hard_swish_prime(z):
    """0 (z <= -3), 1 (z > 3), (2 z + 3) / 6 (else): at both kinks the slope on the left. Standard."""
    if z <= -3:
        return 0
    return 1 if z > 3 else (2 * z + 3) / 6


def silu_phi(z, *, m=IEEE):
    """z / (1 + exp(-z)). Standard. For z < 0 it is z exp(z) / (1 + exp(z)), where nothing overflows."""
    if z > 0:
        return z / (1 + m.exp(-z))
    if z == -math.inf:
        return 0  # the limit
    t = m.exp(z)
    return z * t / (1 + t)


def silu_prime(z, *, m=IEEE):
    """s + z s (1 - s), s = sigmoid(z). Standard. 1 - s is sigmoid(-z), where nothing cancels."""
    s = sigmoid_phi(z, m=m)
    return s if abs(z) == math.inf else s + z * s * sigmoid_phi(-z, m=m)  # the limit


def prelu_Y(Z, w, n, c, i):
    """Y[n,c,i] = Z (Z > 0), w[c] Z (else).

    A5: standard.
    """
    return Z[n, c, i] if Z[n, c, i] > 0 else w[c] * Z[n, c, i]


def prelu_dZ(Delta, Z, w, n, c, i):
    """dZ[n,c,i] = Delta (Z > 0), w[c] Delta (else).

    A5: standard.
    """
    return Delta[n, c, i] * (1 if Z[n, c, i] > 0 else w[c])


def prelu_dw(Delta, Z, c):
    """dw[c] = sum_{n,i} Delta[n,c,i] min(Z[n,c,i], 0).

    A5: standard.
    """
    N, _, L = Z.shape
    dw = 0
    for n in range(N):
        for i in range(L):
            dw = dw + Delta[n, c, i] * (0 if Z[n, c, i] > 0 else Z[n, c, i])
    return dw


def activation(phi, phi_prime):
    """The two kernels of an activation over flat arrays: Y = phi(Z) (A1) and dZ = Delta phi'(Z) (A2)."""
    name = phi.__name__.removesuffix("_phi")

    def element_Y(Z, i, **numbers):
        return phi(Z[i], **numbers)

    def element_dZ(Delta, Z, i, **numbers):
        return Delta[i] * phi_prime(Z[i], **numbers)

    def forward(Z, /, Y, **numbers):
        """Z (any number of elements) -> Y."""

    def grad_input(Delta, Z, /, dZ, **numbers):
        """Delta, Z (any number of elements) -> dZ."""

    element_Y.__doc__ = f"Y[i] = phi(Z[i]), phi(z) = {phi.__doc__}\n\nA1: M17 (15)."
    element_dZ.__doc__ = f"dZ[i] = Delta[i] phi'(Z[i]), phi'(z) = {phi_prime.__doc__}\n\nA2: M17 (16)."
    options = [p for p in inspect.signature(phi).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for function, suffix in ((forward, ""), (grad_input, "_grad_input"), (element_Y, "_Y"), (element_dZ, "_dZ")):
        function.__name__ = function.__qualname__ = name + suffix
        arrays = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        is_kernel = function in (forward, grad_input)
        function.__signature__ = inspect.Signature(arrays + [p for p in options if not (is_kernel and p.name == "m")])
    return computes(Y=element_Y)(forward), computes(dZ=element_dZ)(grad_input)


def of_output(slope):
    """The kernel dZ = Delta phi'(Z) (A2) of an activation whose phi' is a function of the saved Y = phi(Z)."""

    def element_dZ(Delta, Y, i):
        return Delta[i] * slope(Y[i])

    def grad_input(Delta, Y, /, dZ):
        """Delta, Y (any number of elements) -> dZ."""

    name = slope.__name__.removesuffix("_slope")
    element_dZ.__doc__ = f"dZ[i] = Delta[i] phi'(Z[i]), phi'(z) = {slope.__doc__}\n\nA2: M17 (16), from the saved Y."
    element_dZ.__name__ = element_dZ.__qualname__ = f"{name}_dZ_output"
    grad_input.__name__ = grad_input.__qualname__ = f"{name}_grad_input_output"
    return computes(dZ=element_dZ)(grad_input)


relu, relu_grad_input = activation(relu_phi, relu_prime)
sigmoid, sigmoid_grad_input = activation(sigmoid_phi, sigmoid_prime)
sigmoid_grad_input_output = of_output(sigmoid_slope)
tanh, tanh_grad_input = activation(tanh_phi, tanh_prime)
tanh_grad_input_output = of_output(tanh_slope)
step, step_grad_input = activation(step_phi, step_prime)
identity, identity_grad_input = activation(identity_phi, identity_prime)
leaky_relu, leaky_relu_grad_input = activation(leaky_relu_phi, leaky_relu_prime)
elu, elu_grad_input = activation(elu_phi, elu_prime)
softplus, softplus_grad_input = activation(softplus_phi, softplus_prime)
gelu, gelu_grad_input = activation(gelu_phi, gelu_prime)
clip, clip_grad_input = activation(clip_phi, clip_prime)
hard_sigmoid, hard_sigmoid_grad_input = activation(hard_sigmoid_phi, hard_sigmoid_prime)
hard_swish, hard_swish_grad_input = activation(hard_swish_phi, hard_swish_prime)
silu, silu_grad_input = activation(silu_phi, silu_prime)


@computes(Y=prelu_Y)
def prelu(Z, w, /, Y):
    """Z (N,C,L), w (C) -> Y (N,C,L)."""


@computes(dZ=prelu_dZ)
def prelu_grad_input(Delta, Z, w, /, dZ):
    """Delta, Z (N,C,L), w (C) -> dZ (N,C,L)."""


@computes(dw=prelu_dw)
def prelu_grad_weight(Delta, Z, /, dw):
    """Delta, Z (N,C,L) -> dw (C)."""

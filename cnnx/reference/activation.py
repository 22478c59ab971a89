"""Activations: A1, A2 of cnnx/equations.md. Each is two formulas of one number, phi and its derivative.

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

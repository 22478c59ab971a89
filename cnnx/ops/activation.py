"""Activations, elementwise (A1, A2): two public functions each, described by one table at the end."""

from collections.abc import Callable
from typing import Literal

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._activation_doc import docstrings
from ._spec import Case, Op

_SHAPES: dict[str, tuple[int, ...]] = {
    "one": (1,),
    "vector": (37,),
    "long vector": (1031,),
    "matrix": (5, 7),
    "images": (2, 3, 4, 5),
    "five axes": (2, 1, 3, 2, 2),
    "no axes": (),
    "empty batch": (0, 3, 2),
}


def _forward(name: str, x: Array, backend: str | None, **numbers: float) -> Array:
    if not _check.plain(x):
        (x,) = _check.floats(x=x)
    y = _plan.new(x.shape, x.dtype)
    _backend.kernel(name, _check.NAMES[x.dtype.char], backend)(x.ravel(), y.ravel(), **numbers)
    return y


def _backward(name: str, grad_output: Array, x: Array, backend: str | None, **numbers: float) -> Array:
    if not _check.plain(grad_output, x):
        grad_output, x = _check.floats(grad_output=grad_output, x=x)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel(f"{name}_grad_input", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.ravel(), x.ravel(), grad_x.ravel(), **numbers)
    return grad_x


def _backward_by_output(name: str, grad_output: Array, x: Array, output: Array | None, backend: str | None) -> Array:
    """`_backward` where phi' is simple in Y, which may have been saved."""
    if output is None:
        return _backward(name, grad_output, x, backend)
    if not _check.plain(grad_output, x, output):
        grad_output, x, output = _check.floats(grad_output=grad_output, x=x, output=output)
    _check.shape("grad_output", grad_output, x.shape, "(x's)")
    _check.shape("output", output, x.shape, "(x's)")
    grad_x = _plan.new(x.shape, x.dtype)
    kernel = _backend.kernel(f"{name}_grad_input_output", _check.NAMES[x.dtype.char], backend)
    kernel(grad_output.ravel(), output.ravel(), grad_x.ravel())
    return grad_x


def relu(x: Array, *, backend: str | None = None) -> Array:
    return _forward("relu", x, backend)


def relu_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("relu", grad_output, x, backend)


def sigmoid(x: Array, *, backend: str | None = None) -> Array:
    return _forward("sigmoid", x, backend)


def sigmoid_backward(grad_output: Array, x: Array, *, output: Array | None = None, backend: str | None = None) -> Array:
    return _backward_by_output("sigmoid", grad_output, x, output, backend)


def tanh(x: Array, *, backend: str | None = None) -> Array:
    return _forward("tanh", x, backend)


def tanh_backward(grad_output: Array, x: Array, *, output: Array | None = None, backend: str | None = None) -> Array:
    return _backward_by_output("tanh", grad_output, x, output, backend)


def step(x: Array, *, backend: str | None = None) -> Array:
    return _forward("step", x, backend)


def step_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("step", grad_output, x, backend)


def identity(x: Array, *, backend: str | None = None) -> Array:
    return _forward("identity", x, backend)


def identity_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("identity", grad_output, x, backend)


def leaky_relu(x: Array, negative_slope: float = 0.01, *, backend: str | None = None) -> Array:
    return _forward("leaky_relu", x, backend, slope=_check.real("negative_slope", negative_slope))


def leaky_relu_backward(
    grad_output: Array, x: Array, negative_slope: float = 0.01, *, backend: str | None = None
) -> Array:
    return _backward("leaky_relu", grad_output, x, backend, slope=_check.real("negative_slope", negative_slope))


def elu(x: Array, alpha: float = 1.0, *, backend: str | None = None) -> Array:
    return _forward("elu", x, backend, alpha=_check.real("alpha", alpha))


def elu_backward(grad_output: Array, x: Array, alpha: float = 1.0, *, backend: str | None = None) -> Array:
    return _backward("elu", grad_output, x, backend, alpha=_check.real("alpha", alpha))


def softplus(x: Array, *, backend: str | None = None) -> Array:
    return _forward("softplus", x, backend)


def softplus_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("softplus", grad_output, x, backend)


def gelu(x: Array, *, backend: str | None = None) -> Array:
    return _forward("gelu", x, backend)


def gelu_backward(grad_output: Array, x: Array, *, backend: str | None = None) -> Array:
    return _backward("gelu", grad_output, x, backend)


def _op(
    forward: Callable[..., Array],
    backward: Callable[..., Array],
    title: str,
    phi: str,
    phi_prime: str,
    source: str,
    examples: tuple[str, str],
    *,
    option: tuple[str, str] | None = None,
    exact: bool = False,
    linear: bool = False,
    by_output: bool = False,
    kinks: Literal["none", "zero"] = "none",
) -> Op:
    """Write the docstrings of an activation and describe it as an Op.

    option: its name and meaning. by_output: the backward function takes Y too, in which phi' is simple.
    """
    name = forward.__name__
    words = {"name": name, "title": title, "phi": phi, "phi_prime": phi_prime, "source": source}
    forward.__doc__, backward.__doc__ = docstrings(words, examples, option, by_output)
    choices: tuple[dict[str, float], ...] = ({},)
    if option is not None:
        choices = ({}, {option[0]: 0.5}, {option[0]: 1.75})
    if by_output:
        choices = ({}, {"output": True})
    return Op(
        name=name,
        forward=forward,
        backward=backward,
        summary=phi,
        equations="A1, A2",
        kernels=(name, f"{name}_grad_input", *([f"{name}_grad_input_output"] if by_output else ())),
        differentiable=("x",),
        linear=("x",) if linear else (),
        kinks=kinks,
        cases=tuple(
            Case(", ".join([shape_name, *(f"{o} {v}" for o, v in chosen.items())]), {"x": shape}, chosen, exact=exact)
            for chosen in choices
            for shape_name, shape in _SHAPES.items()
        ),
        bench=(Case("images", {"x": (10, 4, 28, 28)}, {"output": True} if by_output else {}),),
    )


OPS = (
    _op(
        relu,
        relu_backward,
        "Rectified linear unit",
        "max(0, z)",
        "[z > 0]",
        "W15",
        ("array([0., 0., 2.])", "array([0., 0., 1.])"),
        exact=True,
        kinks="zero",
    ),
    _op(
        sigmoid,
        sigmoid_backward,
        "Logistic function",
        "1 / (1 + exp(-z))",
        "y (1 - y)",
        "D19",
        ("array([0.26894142, 0.5       , 0.88079708])", "array([0.19661193, 0.25      , 0.10499359])"),
        by_output=True,
    ),
    _op(
        tanh,
        tanh_backward,
        "Hyperbolic tangent",
        "(exp(z) - exp(-z)) / (exp(z) + exp(-z))",
        "1 - y^2",
        "D19",
        ("array([-0.76159416,  0.        ,  0.96402758])", "array([0.41997434, 1.        , 0.07065082])"),
        by_output=True,
    ),
    _op(
        step,
        step_backward,
        "Step function",
        "0 (z <= 0), 1 (z > 0)",
        "0: it stops every gradient",
        "D19",
        ("array([0., 0., 1.])", "array([0., 0., 0.])"),
        exact=True,
        kinks="zero",
    ),
    _op(
        identity,
        identity_backward,
        "Identity",
        "z",
        "1",
        "D19",
        ("array([-1.,  0.,  2.])", "array([1., 1., 1.])"),
        exact=True,
        linear=True,
    ),
    _op(
        leaky_relu,
        leaky_relu_backward,
        "Leaky rectified linear unit",
        "z (z > 0), negative_slope z (z <= 0)",
        "1 or negative_slope",
        "standard",
        ("array([-0.01,  0.  ,  2.  ])", "array([0.01, 0.01, 1.  ])"),
        option=("negative_slope", "The slope for z <= 0."),
        kinks="zero",
    ),
    _op(
        elu,
        elu_backward,
        "Exponential linear unit",
        "z (z > 0), alpha (exp(z) - 1) (z <= 0)",
        "1 or alpha exp(z)",
        "standard",
        ("array([-0.63212056,  0.        ,  2.        ])", "array([0.36787944, 1.        , 1.        ])"),
        option=("alpha", "Minus the limit for z to minus infinity."),
        kinks="zero",
    ),
    _op(
        softplus,
        softplus_backward,
        "Softplus",
        "log(1 + exp(z))",
        "1 / (1 + exp(-z))",
        "standard",
        ("array([0.31326169, 0.69314718, 2.12692801])", "array([0.26894142, 0.5       , 0.88079708])"),
    ),
    _op(
        gelu,
        gelu_backward,
        "Gaussian error linear unit, exact",
        "z Phi(z), Phi(z) = (1 + erf(z / sqrt 2)) / 2",
        "Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi)",
        "standard",
        ("array([-0.15865525,  0.        ,  1.95449974])", "array([-0.08331547,  0.5       ,  1.0852318 ])"),
    ),
)

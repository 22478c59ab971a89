"""The table of the activations (A1, A2): what there is to know of each, and what its docstrings say."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from .._check import Array
from ._activation_doc import docstrings
from ._spec import Case, Op
from .activation import (
    clip,
    clip_backward,
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    hard_sigmoid,
    hard_sigmoid_backward,
    hard_swish,
    hard_swish_backward,
    identity,
    identity_backward,
    leaky_relu,
    leaky_relu_backward,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    step,
    step_backward,
    tanh,
    tanh_backward,
)

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


def _op(
    forward: Callable[..., Array],
    backward: Callable[..., Array],
    title: str,
    phi: str,
    phi_prime: str,
    source: str,
    examples: tuple[str, str],
    *,
    options: Mapping[str, str] | None = None,
    example: tuple[Any, ...] = (),
    choices: tuple[dict[str, Any], ...] = ({},),
    errors: str = "",
    exact: bool = False,
    linear: bool = False,
    by_output: bool = False,
    kinks: Literal["none", "zero"] | Callable[[Mapping[str, Any]], tuple[float, ...]] = "none",
) -> Op:
    """Write the docstrings of an activation and describe it as an Op.

    options: names, types and meanings; example: those of the examples, choices: of the cases. errors: when they are
    ValueErrors. by_output: the backward function takes Y too, in which phi' is simple.
    """
    name = forward.__name__
    words = {"name": name, "title": title, "phi": phi, "phi_prime": phi_prime, "source": source}
    words |= {"error": errors, "arguments": "".join(f", {value!r}" for value in example)}
    forward.__doc__, backward.__doc__ = docstrings(words, examples, options or {}, by_output)
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
        bench=(Case("images", {"x": (10, 4, 28, 28)}, {"output": True} if by_output else choices[0]),),
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
        options={"negative_slope : float": "The slope for z <= 0."},
        choices=({}, {"negative_slope": 0.5}, {"negative_slope": 1.75}),
        errors="negative_slope is not finite",
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
        options={"alpha : float": "Minus the limit for z to minus infinity."},
        choices=({}, {"alpha": 0.5}, {"alpha": 1.75}),
        errors="alpha is not finite",
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
    _op(
        clip,
        clip_backward,
        "Clipping; ReLU6 is that to (0, 6)",
        "min(max(z, min), max)",
        "[min < z <= max]",
        "standard",
        ("array([-0.5,  0. ,  1. ])", "array([0., 1., 0.])"),
        options={
            "min, max : float or None": "The bounds, as doubles, which results are rounded to; None: there is none."
        },
        example=(-0.5, 1),
        choices=({"min": 0.0, "max": 6.0}, {"min": -1.0, "max": 1.0}, {"min": -0.5, "max": 1.75}),
        errors="A bound is not finite, or min is larger than max",
        exact=True,
        kinks=lambda o: (o["min"], o["max"]),
    ),
    _op(
        hard_sigmoid,
        hard_sigmoid_backward,
        "Logistic function in three straight pieces",
        "max(0, min(1, alpha z + beta))",
        "alpha [0 < alpha z + beta <= 1]",
        "standard",
        ("array([0.33333333, 0.5       , 0.83333333])", "array([0.16666667, 0.16666667, 0.16666667])"),
        options={
            "alpha, beta : float": "The middle piece's slope, above 0, and its value at 0. ONNX's own alpha is 0.2."
        },
        choices=({}, {"alpha": 0.2}, {"alpha": 0.5, "beta": 0.25}),
        errors="alpha or beta is not finite, or alpha not above 0",
        kinks=lambda o: (-o.get("beta", 0.5) / o.get("alpha", 1 / 6), (1 - o.get("beta", 0.5)) / o.get("alpha", 1 / 6)),
    ),
    _op(
        hard_swish,
        hard_swish_backward,
        "z times its logistic function in three straight pieces",
        "z max(0, min(6, z + 3)) / 6",
        "0 (z <= -3), (2 z + 3) / 6 (z <= 3), 1 (z > 3)",
        "standard",
        ("array([-0.33333333,  0.        ,  1.66666667])", "array([0.16666667, 0.5       , 1.16666667])"),
        kinks=lambda o: (-3.0, 3.0),
    ),
    _op(
        silu,
        silu_backward,
        "Sigmoid linear unit, also called swish",
        "z / (1 + exp(-z))",
        "s + z s (1 - s), s = 1 / (1 + exp(-z))",
        "standard",
        ("array([-0.26894142,  0.        ,  1.76159416])", "array([0.07232949, 0.5       , 1.09078425])"),
    ),
)

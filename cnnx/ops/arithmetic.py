"""Sums and products of two arrays, with NumPy's broadcasting: where branches of a network meet."""

from collections.abc import Callable
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op, Shape

AXES = 6  # of the arrays that kernels take


def add(a: Array, b: Array, *, backend: str | None = None) -> Array:
    """Add two arrays, each repeated where it has fewer axes or one element along an axis: Y = A + B

    J1: standard.

    Parameters
    ----------
    a, b : arrays of one dtype, float32 or float64
        Of shapes that NumPy broadcasts.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array of the shape that both have when repeated, and of their dtype

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes.
    ValueError
        Shapes that do not fit each other; arrays of more than 6 axes that take turns in being repeated more than 6
        times. An unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.add(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]))
    array([[11., 22.],
           [13., 24.]])
    """
    return _forward("add", a, b, backend)


def add_backward(grad_output: Array, a: Array, b: Array, *, backend: str | None = None) -> tuple[Array, Array]:
    """Gradients of a cost through `add`: dA = Delta, and where A was repeated, the sum of what it became

    J1: standard. Sums are taken in double, in an order that depends on the shapes alone.

    Parameters
    ----------
    grad_output : array of the output's shape, dtype of a
    a, b, backend
        As in the forward call.

    Returns
    -------
    grad_a, grad_b : arrays of a's and b's shapes and dtype

    Raises
    ------
    TypeError, ValueError
        As `add` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> grad_a, grad_b = cnnx.add_backward(np.ones((2, 2)), np.zeros((2, 2)), np.zeros(2))
    >>> grad_b
    array([2., 2.])
    """
    grad_output, a, b, meeting = _checked(grad_output, a, b)
    grad_a, grad_b = _plan.new(a.shape, a.dtype), _plan.new(b.shape, b.dtype)
    kernel = _backend.kernel("add_grad_input", _check.NAMES[a.dtype.char], backend)
    delta = grad_output.reshape(meeting.y)
    kernel(delta, a.reshape(meeting.a), grad_a.reshape(meeting.a))
    kernel(delta, b.reshape(meeting.b), grad_b.reshape(meeting.b))
    return grad_a, grad_b


def multiply(a: Array, b: Array, *, backend: str | None = None) -> Array:
    """Multiply two arrays, each repeated where it has fewer axes or one element along an axis: Y = A B

    J2: standard.

    Parameters
    ----------
    a, b, backend
        As `add` takes them.

    Returns
    -------
    array of the shape that both have when repeated, and of their dtype

    Raises
    ------
    TypeError, ValueError
        As `add` raises them.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.multiply(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0], [0.5]]))
    array([[10. , 20. ],
           [ 1.5,  2. ]])
    """
    return _forward("multiply", a, b, backend)


def multiply_backward(grad_output: Array, a: Array, b: Array, *, backend: str | None = None) -> tuple[Array, Array]:
    """Gradients of a cost through `multiply`: dA = Delta B, and where A was repeated, the sum over what it became

    J2: standard. Sums are taken in double, in an order that depends on the shapes alone.

    Parameters
    ----------
    grad_output : array of the output's shape, dtype of a
    a, b, backend
        As in the forward call.

    Returns
    -------
    grad_a, grad_b : arrays of a's and b's shapes and dtype

    Raises
    ------
    TypeError, ValueError
        As `add` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> a, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0])
    >>> grad_a, grad_b = cnnx.multiply_backward(np.ones((2, 2)), a, b)
    >>> grad_b
    array([4., 6.])
    """
    grad_output, a, b, meeting = _checked(grad_output, a, b)
    grad_a, grad_b = _plan.new(a.shape, a.dtype), _plan.new(b.shape, b.dtype)
    kernel = _backend.kernel("multiply_grad_input", _check.NAMES[a.dtype.char], backend)
    delta, A, B = grad_output.reshape(meeting.y), a.reshape(meeting.a), b.reshape(meeting.b)
    kernel(delta, A, B, grad_a.reshape(meeting.a))
    kernel(delta, B, A, grad_b.reshape(meeting.b))
    return grad_a, grad_b


class _Meeting(NamedTuple):
    """The output's shape; its shape and the operands' as kernels take them."""

    shape: Shape
    y: Shape
    a: Shape
    b: Shape


def _forward(name: str, a: Array, b: Array, backend: str | None) -> Array:
    if not _check.plain(a, b):
        a, b = _check.floats(a=a, b=b)
    meeting = _meet((a.shape, b.shape))
    y = _plan.new(meeting.shape, a.dtype)
    kernel = _backend.kernel(name, _check.NAMES[a.dtype.char], backend)
    kernel(a.reshape(meeting.a), b.reshape(meeting.b), y.reshape(meeting.y))
    return y


def _checked(grad_output: Array, a: Array, b: Array) -> tuple[Array, Array, Array, _Meeting]:
    if not _check.plain(grad_output, a, b):
        grad_output, a, b = _check.floats(grad_output=grad_output, a=a, b=b)
    meeting = _meet((a.shape, b.shape))
    _check.shape("grad_output", grad_output, meeting.shape, "(the output's)")
    return grad_output, a, b, meeting


@_plan.remembered
def _meet(shapes: tuple[Shape, Shape]) -> _Meeting:
    a, b = shapes
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(f"b: expected a shape that NumPy broadcasts with a's {a}, got {b}") from None
    axes = aligned(shape, a, b)
    if len(axes) > AXES:
        axes = runs(axes)
    if len(axes) > AXES:
        raise ValueError(
            f"b: expected at most {AXES} runs of axes along which the same operands are repeated, got {len(axes)}: "
            f"a has shape {a}, b {b}"
        )
    axes = [(1, 1, 1)] * (AXES - len(axes)) + axes
    y, first, second = zip(*axes, strict=True)
    return _Meeting(shape, y, first, second)


def aligned(shape: Shape, a: Shape, b: Shape) -> list[tuple[int, int, int]]:
    """The axes of the output, a's and b's, from the last one on alike; 1 where an operand has none."""
    return list(zip_longest(reversed(shape), reversed(a), reversed(b), fillvalue=1))[::-1]


def runs(axes: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Axes next to each other along which the same operands are repeated, as one; each is (output's, a's, b's)."""
    found: list[tuple[int, int, int]] = []
    for y, a, b in axes:
        if y == 1:
            continue
        if found and [n == 1 for n in found[-1]] == [n == 1 for n in (y, a, b)]:
            Y, A, B = found.pop()
            y, a, b = Y * y, A * a, B * b
        found.append((y, a, b))
    return found


_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "images": ((2, 3, 4, 5), (2, 3, 4, 5)),
    "channels": ((2, 3, 4, 5), (3, 1, 1)),
    "channels of images": ((2, 3, 2, 37), (2, 3, 1, 1)),
    "one channel": ((1, 3, 4), (2, 1, 3, 4)),
    "columns": ((5, 7), (7,)),
    "rows and columns": ((5, 1), (1, 7)),
    "many columns": ((1,), (3, 517)),
    "many rows": ((301, 3), (3,)),
    "long rows": ((4, 517), (517,)),
    "both by turns": ((2, 1, 3, 1, 2), (4, 1, 2, 1)),
    "number": ((), (3, 11)),
    "vectors": ((37,), (37,)),
    "no axes": ((), ()),
    "empty batch": ((0, 3), (3,)),
    "empty": ((2, 0), (2, 1)),
}


def _op(forward: Callable[..., Array], backward: Callable[..., tuple[Array, Array]], summary: str, key: str) -> Op:
    return Op(
        name=forward.__name__,
        forward=forward,
        backward=backward,
        summary=summary,
        equations=key,
        kernels=(forward.__name__, f"{forward.__name__}_grad_input"),
        differentiable=("a", "b"),
        linear=("a", "b"),
        broadcasts=True,
        cases=tuple(Case(name, {"a": a, "b": b}, exact=True) for name, (a, b) in _SHAPES.items()),
        bench=(
            Case("images", {"a": (10, 4, 28, 28), "b": (10, 4, 28, 28)}, exact=True),
            Case("channels", {"a": (10, 4, 28, 28), "b": (10, 4, 1, 1)}, exact=True),
        ),
    )


OPS = (
    _op(add, add_backward, "a + b, with NumPy's broadcasting", "J1"),
    _op(multiply, multiply_backward, "a b, with NumPy's broadcasting", "J2"),
)

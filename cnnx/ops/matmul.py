"""Products of two stacks of matrices, with NumPy's broadcasting of the stacks (J3-J5)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .. import _check
from .. import backend as _backend
from .._check import Array
from . import _plan
from ._spec import Case, Op, Shape
from .arithmetic import AXES, aligned, runs


def matmul(a: Array, b: Array, *, backend: str | None = None) -> Array:
    """Multiply matrices, or stacks of them, each repeated where it has fewer axes or one member along an axis.

        Y[s,i,j] = sum_k A[s,i,k] B[s,k,j]

    J3: standard. The order of the sum is not specified, here and in the gradients, as `affine` has it.

    Parameters
    ----------
    a : array (..., I, K), float32 or float64
    b : array (..., K, J), dtype of a
        The axes before the last two are those of the stacks, which NumPy broadcasts.
    backend : str or None
        A back end for this call; None takes the chosen one.

    Returns
    -------
    array (..., I, J), dtype of a
        Zeros where K is 0.

    Raises
    ------
    TypeError
        An argument that is no array, another dtype, mixed dtypes.
    ValueError
        Fewer than two axes: a vector has to be made a matrix of one row or one column. Shapes that do not fit each
        other; stacks of more than 4 axes that take turns in being repeated more than 4 times. An unknown back end.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> rows = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> cnnx.matmul(rows, np.array([[[1.0], [0.0]], [[10.0], [1.0]]]))
    array([[[ 1.],
            [ 3.]],
    <BLANKLINE>
           [[12.],
            [34.]]])
    """
    if not _check.plain(a, b):
        a, b = _check.floats(a=a, b=b)
    product = _product((a.shape, b.shape))
    y = _plan.new(product.shape, a.dtype)
    kernel = _backend.kernel("matmul", _check.NAMES[a.dtype.char], backend)
    kernel(a.reshape(product.a), b.reshape(product.b), y.reshape(product.y))
    return y


def matmul_backward(grad_output: Array, a: Array, b: Array, *, backend: str | None = None) -> tuple[Array, Array]:
    """Gradients of a cost through `matmul`, given the gradient with respect to its output.

        dA[s,i,k] = sum_j Delta[s,i,j] B[s,k,j],  dB[s,k,j] = sum_i A[s,i,k] Delta[s,i,j]

    J4, J5: standard. Where an operand was repeated, its gradient is the sum over what it became, in an order that
    depends on the shapes alone.

    Parameters
    ----------
    grad_output : array (..., I, J), dtype of a
    a, b, backend
        As in the forward call.

    Returns
    -------
    grad_a, grad_b : arrays of a's and b's shapes and dtype

    Raises
    ------
    TypeError, ValueError
        As `matmul` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> cnnx.matmul_backward(np.array([[10.0]]), a, b)
    (array([[30., 40.]]), array([[10.],
           [20.]]))
    """
    if not _check.plain(grad_output, a, b):
        grad_output, a, b = _check.floats(grad_output=grad_output, a=a, b=b)
    product = _product((a.shape, b.shape))
    _check.shape("grad_output", grad_output, product.shape, "(the output's)")
    kind = _check.NAMES[a.dtype.char]
    delta, A, B = grad_output.reshape(product.y), a.reshape(product.a), b.reshape(product.b)
    grad_a, grad_b = _plan.new(a.shape, a.dtype), _plan.new(b.shape, b.dtype)
    _backend.kernel("matmul_grad_a", kind, backend)(delta, A, B, grad_a.reshape(product.a))
    _backend.kernel("matmul_grad_b", kind, backend)(delta, A, B, grad_b.reshape(product.b))
    return grad_a, grad_b


class _Product(NamedTuple):
    """The output's shape; its shape and the operands' as kernels take them."""

    shape: Shape
    y: Shape
    a: Shape
    b: Shape


@_plan.remembered
def _product(shapes: tuple[Shape, Shape]) -> _Product:
    a, b = shapes
    for name, shape, has, vector in ("a", a, "(..., I, K)", "a[None, :]"), ("b", b, "(..., K, J)", "b[:, None]"):
        if len(shape) < 2:
            make = f"; make it a matrix, as {vector} does" if shape else ""
            raise ValueError(f"{name}: expected at least 2 axes {has}, got shape {shape}{make}")
    if a[-1] != b[-2]:
        raise ValueError(f"b: expected {a[-1]} rows, as a has columns, got shape {b} with a's {a}")
    try:
        stack = np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ValueError(f"b: expected a stack that NumPy broadcasts with a's {a[:-2]}, got {b[:-2]}") from None
    axes, rows = runs(aligned(stack, a[:-2], b[:-2])), a[-2]
    if axes and axes[-1][2] == 1 and axes[-1][1] != 1:  # one matrix b for many of a: a's rows are those of one
        rows *= axes.pop()[1]
    if len(axes) > AXES - 2:
        raise ValueError(
            f"b: expected at most {AXES - 2} runs of axes before the last two along which the same operands are "
            f"repeated, got {len(axes)}: a has shape {a}, b {b}"
        )
    axes = [(1, 1, 1)] * (AXES - 2 - len(axes)) + axes
    y, first, second = zip(*axes, strict=True)
    return _Product((*stack, a[-2], b[-1]), (*y, rows, b[-1]), (*first, rows, a[-1]), (*second, *b[-2:]))


def _multiply_adds(shapes: Mapping[str, Shape], output: Shape) -> tuple[int, int]:
    """K at each output; backward once for each operand."""
    forward = math.prod(output) * shapes["a"][-1]
    return forward, 2 * forward


_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "one": ((1, 1), (1, 1)),
    "matrices": ((7, 5), (5, 9)),
    "stacks": ((3, 4, 5), (3, 5, 2)),
    "heads": ((2, 3, 5, 4), (2, 3, 4, 5)),
    "one matrix for all rows": ((3, 2, 4), (4, 5)),
    "one matrix from the left": ((4, 5), (3, 5, 2)),
    "both by turns": ((2, 1, 3, 4), (3, 4, 2)),
    "two axes each": ((2, 1, 2, 1, 3, 2), (1, 3, 1, 2, 2, 3)),
    "vectors": ((3, 1, 6), (3, 6, 1)),
    "many terms": ((3, 131), (131, 5)),
    "many columns": ((2, 2, 3), (2, 3, 115)),
    "many rows": ((2, 100, 3), (2, 3, 5)),
    "many terms back": ((3, 2, 3), (3, 130)),
    "blocks back": ((2, 18, 70), (2, 70, 3)),
    "repeated, many terms back": ((1, 17, 3), (2, 3, 131)),
    "no terms": ((2, 0), (0, 3)),
    "empty batch": ((0, 2, 3), (3, 4)),
    "empty stack": ((0, 2, 3), (1, 3, 4)),
    "no columns": ((2, 3), (3, 0)),
}

OP = Op(
    name="matmul",
    forward=matmul,
    backward=matmul_backward,
    summary="products of matrices, of stacks of them with NumPy's broadcasting",
    equations="J3-J5",
    kernels=("matmul", "matmul_grad_a", "matmul_grad_b"),
    differentiable=("a", "b"),
    linear=("a", "b"),
    broadcasts=True,
    matrices=True,
    cases=tuple(Case(name, {"a": a, "b": b}, exact=True) for name, (a, b) in _SHAPES.items()),
    bench=(Case("8 x 64 x 32 by 32 x 64", {"a": (8, 64, 32), "b": (8, 32, 64)}, exact=True),),
    large=(Case("12 x 512 x 64 by 64 x 512", {"a": (12, 512, 64), "b": (12, 64, 512)}, exact=True),),
    multiply_adds=_multiply_adds,
)

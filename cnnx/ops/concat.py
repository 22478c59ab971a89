"""Concatenation along an axis: copies. It has no kernels; and since it takes a list of arrays, no place in OPS."""

import numpy as np

from .. import _check
from .._check import Array
from . import _plan
from ._spec import Shape


def concat(arrays: list[Array] | tuple[Array, ...], axis: int = 1) -> Array:
    """Join arrays along an axis, one behind the other: channels, as a rule.

    Standard; sheet, section 4.

    Parameters
    ----------
    arrays : list or tuple of one array or more, of one dtype, float32 or float64
        Of one shape, but for their extents along the axis.
    axis : int
        From -rank to rank - 1.

    Returns
    -------
    array of the arrays' dtype; never a view

    Raises
    ------
    TypeError
        No list or tuple, or a member that is no array or of another dtype; axis is no integer.
    ValueError
        No arrays, shapes that do not fit, an axis that they do not have.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.concat([np.array([[1.0, 2.0]]), np.array([[3.0]])])
    array([[1., 2., 3.]])
    """
    members = _members(arrays)
    axis, shape = _joined(members, axis)
    y = _plan.new(shape, members[0].dtype)
    np.concatenate(members, axis=axis, out=y)
    return y


def concat_backward(grad_output: Array, arrays: list[Array] | tuple[Array, ...], axis: int = 1) -> tuple[Array, ...]:
    """Gradients of a cost through `concat`: each array receives its own part of grad_output.

    Standard; sheet, section 4.

    Parameters
    ----------
    grad_output : array of the output's shape, dtype of the arrays
    arrays, axis
        The forward call's; of the arrays only shapes and dtype count.

    Returns
    -------
    tuple of arrays, one for each, of its shape and dtype

    Raises
    ------
    TypeError, ValueError
        As `concat` does; ValueError also for a grad_output of another shape than the output's.

    Examples
    --------
    >>> import cnnx, numpy as np
    >>> cnnx.concat_backward(np.array([[1.0, 2.0, 3.0]]), [np.zeros((1, 2)), np.zeros((1, 1))])
    (array([[1., 2.]]), array([[3.]]))
    """
    members = _members(arrays)
    axis, shape = _joined(members, axis)
    _, delta = _check.floats(**{"arrays[0]": members[0], "grad_output": grad_output})
    _check.shape("grad_output", delta, shape, "(the output's)")
    gradients, start = [], 0
    for member in members:
        extent = member.shape[axis]
        gradient = _plan.new(member.shape, member.dtype)
        gradient[...] = delta[(slice(None),) * axis + (slice(start, start + extent),)]
        gradients.append(gradient)
        start += extent
    return tuple(gradients)


def _members(arrays: list[Array] | tuple[Array, ...]) -> tuple[Array, ...]:
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"arrays: expected a list or tuple of arrays, got {type(arrays).__name__}")
    if len(arrays) == 0:
        raise ValueError("arrays: expected at least one array, got none")
    return _check.floats(**{f"arrays[{i}]": array for i, array in enumerate(arrays)})


def _joined(members: tuple[Array, ...], axis: int) -> tuple[int, Shape]:
    """The axis, from 0 on, and the output's shape."""
    first = members[0].shape
    number = _check.integer("axis", axis, -_check.LARGEST)
    rank = len(first)
    if rank == 0:
        raise ValueError("arrays[0]: expected at least one axis, got an array of no axes")
    if not -rank <= number < rank:
        raise ValueError(f"axis: expected an axis from {-rank} to {rank - 1} of shape {first}, got {number}")
    number %= rank
    for i, member in enumerate(members):
        shape = member.shape
        if len(shape) != rank or any(n != m for k, (n, m) in enumerate(zip(shape, first, strict=True)) if k != number):
            raise ValueError(f"arrays[{i}]: expected shape {first}, arrays[0]'s, but along axis {number}, got {shape}")
    return number, (*first[:number], sum(member.shape[number] for member in members), *first[number + 1 :])

"""What does not depend on the images, computed while the file is read: arithmetic on shapes, weights put together."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _check
from ..._check import Array
from .._operators import onnx
from .node import Known, Node, UnknownShapeError, Value
from .place import BATCH
from .symbols import Symbol, shape_symbols, symbolic

_LARGEST = 2**28  # elements of what a node makes; such that are all the same take no memory, and may be more


class _RoomError(ValueError):
    """Too many elements."""


def fold(node: Node) -> Known | None:
    """What a node gives whose inputs are all known; None if it is none of these.

    Raises
    ------
    ValueError
        It cannot be computed.
    """
    if node.operator not in FOLDS or not all(isinstance(one, Known) or one is None for one in node.inputs):
        return None
    known: list[Any] = node.inputs
    try:
        with np.errstate(all="ignore"):
            first = FOLDS[node.operator](node, *(None if one is None else one.first for one in known))
            if all(one is None or one.first is one.second for one in known):
                return Known.of(np.asarray(first))
            second = FOLDS[node.operator](node, *(None if one is None else one.second for one in known))
            exact = None
            if any(one is not None and one.exact is not None for one in known):
                exact = symbolic(node, FOLDS[node.operator], known)
                # The same for these two sizes, but who knows for which others.
                if exact is None and any(map(_open, known)) and np.array_equal(first, second):
                    raise UnknownShapeError("expected sizes that it depends on in the file, got some that are open")
            return _agreed(np.asarray(first), np.asarray(second), exact)
    except _RoomError as error:
        if any(one is not None and one.first is not one.second for one in known):
            raise UnknownShapeError("expected no table of open sizes, which input_shape= fixes, got one") from None
        raise ValueError(str(error)) from None
    except (ArithmeticError, AttributeError, IndexError, MemoryError, TypeError) as error:  # NumPy's, of odd arguments
        raise ValueError(f"expected constants that it can be computed of: {error}") from None


def _agreed(first: Array, second: Array, exact: Array | None) -> Known:
    """A value for either batch, with its symbols where these are what was computed."""
    if exact is None or exact.shape != first.shape or first.shape != second.shape:
        return Known(first, second)
    for index, one in np.ndenumerate(exact):
        samples = one.samples if isinstance(one, Symbol) else (one, one)
        if samples != (first[index], second[index]):
            return Known(first, second)
    if not any(isinstance(one, Symbol) for one in exact.reshape(-1)):
        return Known.of(first)
    return Known(first, second, exact)


def _open(known: Known | None) -> bool:
    """Whether an extent that the file leaves open is in it."""
    if known is None or known.exact is None:
        return False
    return any(isinstance(one, Symbol) and one.open for one in known.exact.reshape(-1))


def shape_of(node: Node) -> Known:
    """The operator Shape of a value."""
    if node.sizes is None:
        raise UnknownShapeError("expected a value of known rank, got another")
    exact = np.array(shape_symbols(node.value(), node.place.outer(node.sizes)), object)
    found = [one.samples if isinstance(one, Symbol) else (one, one) for one in exact]
    start, stop, _ = slice(node.take("start", 0), node.take("end")).indices(len(found))
    first, second = (np.array([pair[i] for pair in found[start:stop]], np.int64) for i in range(2))
    return _agreed(first, second, exact[start:stop])


def extents(known: Known | Value | None, name: str) -> list[int | str | Symbol | None]:
    """A shape as it is meant: integers, "N" for the batch, symbols, None for what is open otherwise."""
    if not isinstance(known, Known):
        raise UnknownShapeError(f"{name}: expected integers in the file, got none")
    if known.first.dtype.kind not in "iu" or known.first.ndim > 1 or known.first.shape != known.second.shape:
        raise ValueError(f"{name}: expected a list of integers, got {known.first.dtype} {known.first.shape}")
    exact = [None] * known.first.size if known.exact is None else known.exact.reshape(-1).tolist()
    return [
        a if a == b and not isinstance(one, Symbol) else "N" if (a, b) == BATCH else one
        for (a, b), one in zip(pairs_of(known), exact, strict=True)
    ]


def pairs_of(known: Known) -> list[tuple[int, int]]:
    """Integers, as they are for either batch."""
    room(known.first.size)
    return list(zip(known.first.reshape(-1).tolist(), known.second.reshape(-1).tolist(), strict=True))


# ------------------------------------------------------------------------------------------ operators


def room(count: int) -> None:
    """Raise for too many elements: what is the same everywhere takes no memory until it is copied."""
    if count > _LARGEST:
        raise _RoomError(f"expected constants of at most {_LARGEST} elements, got {count}")


def _elementwise(function: Callable[..., Any]) -> Callable[..., Array]:
    def folded(node: Node, *arrays: Array) -> Array:
        if not arrays or len({a.dtype for a in arrays[-2:]}) > 1:
            raise ValueError("expected constants of one dtype, got others")
        room(math.prod(np.broadcast_shapes(*(a.shape for a in arrays))))
        return np.asarray(function(*arrays))

    return folded


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.asarray(a / b)
    if not np.all(b):
        raise ValueError("expected no division by 0, got one")
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))  # towards 0, as C divides


def _modulo(node: Node, a: Array, b: Array) -> Array:
    rest = np.fmod if node.take("fmod", 0) else np.mod

    def checked(a: Array, b: Array) -> Any:
        if not np.all(b):
            raise ValueError("expected no division by 0, got one")
        return rest(a, b)

    return _elementwise(checked)(node, a, b)


def _constant(node: Node) -> Array:
    for name, dtype in (("value_float", "f4"), ("value_floats", "f4"), ("value_int", "i8"), ("value_ints", "i8")):
        if (found := node.take(name)) is not None:
            return np.array(found, dtype)
    raise ValueError("expected numbers, got something else")


def _constant_of_shape(node: Node, shape: Array) -> Array:
    value = node.take("value")
    one = np.zeros((), np.float32) if value is None else onnx.numpy_helper.to_array(value).reshape(())
    return np.broadcast_to(one, _plain(shape))


def _plain(array: Array) -> tuple[int, ...]:
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise ValueError(f"expected a list of integers, got {array.dtype} {array.shape}")
    room(array.size)
    return tuple(array.reshape(-1).tolist())


def _cast(node: Node, x: Array) -> Array:
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.take("to", 0)))
    if dtype.kind not in "fiub":
        raise ValueError(f"to: expected numbers, got {dtype}")
    if dtype == x.dtype:
        return x
    room(x.size)
    return x.astype(dtype)


def _gather(node: Node, x: Array, indices: Array) -> Array:
    axis = node.axis(node.take("axis", 0), x.ndim)
    room(x.size // max(1, x.shape[axis]) * indices.size)
    return np.take(x, indices, axis=axis)


def _concat(node: Node, *arrays: Array) -> Array:
    room(sum(a.size for a in arrays))
    return np.concatenate(arrays, axis=node.take("axis", 0))


def _axes(node: Node, given: Array | None) -> tuple[int, ...] | None:
    found = node.integers("axes") if node.opset < 13 else None if given is None else _plain(given)
    return None if found is None else tuple(found)


def _unsqueeze(node: Node, x: Array, given: Array | None = None) -> Array:
    return np.expand_dims(x, _axes(node, given) or ())


def _squeeze(node: Node, x: Array, given: Array | None = None) -> Array:
    return np.squeeze(x, _axes(node, given))


def _slice(node: Node, x: Array, *given: Array | None) -> Array:
    if node.opset < 10:
        starts, stops, axes, steps = (*(node.integers(name) for name in ("starts", "ends", "axes")), None)
    else:
        starts, stops, axes, steps = (None if a is None else _plain(a) for a in (*given, None, None)[:4])
    where = [slice(None)] * x.ndim
    for i, (start, stop) in enumerate(zip(starts or (), stops or (), strict=True)):
        axis, step = (axes[i] if axes else i), (steps[i] if steps else 1)
        where[axis] = slice(start, None if step < 0 and stop < -x.shape[axis] else stop, step)
    return x[tuple(where)]


def _reshape(node: Node, x: Array, shape: Array) -> Array:
    zeros = bool(node.take("allowzero", 0))
    return _shaped(x, *(x.shape[i] if each == 0 and not zeros else each for i, each in enumerate(_plain(shape))))


def _flatten(node: Node, x: Array) -> Array:
    axis = node.take("axis", 1)
    return _shaped(x, math.prod(x.shape[:axis]), -1)


def _shaped(x: Array, *shape: int) -> Array:
    repeated = [stride == 0 for stride, extent in zip(x.strides, x.shape, strict=True) if extent > 1]
    if any(repeated) and not all(repeated):  # then NumPy copies it
        room(x.size)
    return x.reshape(shape)


def _expand(node: Node, x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, _plain(shape)))


def _range(node: Node, start: Array, stop: Array, step: Array) -> Array:
    room(int(abs((stop - start) / step)))
    count = max(0, math.ceil((stop.item() - start.item()) / step.item()))
    return np.asarray(start + np.arange(count, dtype=np.int64) * step, start.dtype)


def _reduction(function: Callable[..., Any], since: int = 18) -> Callable[..., Array]:
    def folded(node: Node, x: Array, given: Array | None = None) -> Array:
        axes = node.integers("axes") if node.opset < since else None if given is None else _plain(given)
        if not axes and node.take("noop_with_empty_axes", 0):
            return x
        room(x.size)
        found = function(x, axis=tuple(axes) if axes else None, keepdims=bool(node.take("keepdims", 1)))
        return np.asarray(found, x.dtype)

    return folded


def _trilu(node: Node, x: Array, k: Array | None = None) -> Array:
    room(x.size)
    return (np.triu if node.take("upper", 1) else np.tril)(x, 0 if k is None else int(k.item()))


def _tile(node: Node, x: Array, repeats: Array) -> Array:
    room(x.size * math.prod(_plain(repeats)))
    return np.tile(x, _plain(repeats))


FOLDS: dict[str, Callable[..., Array]] = {
    "Abs": _elementwise(np.abs),
    "Add": _elementwise(np.add),
    "And": _elementwise(np.logical_and),
    "Cast": _cast,
    "Ceil": _elementwise(np.ceil),
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cos": _elementwise(np.cos),
    "Div": _elementwise(_divide),
    "Equal": _elementwise(np.equal),
    "Exp": _elementwise(np.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _elementwise(np.floor),
    "Gather": _gather,
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Identity": lambda node, x: x,
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "Log": _elementwise(np.log),
    "Max": _elementwise(lambda *arrays: np.max(np.broadcast_arrays(*arrays), axis=0)),
    "Min": _elementwise(lambda *arrays: np.min(np.broadcast_arrays(*arrays), axis=0)),
    "Mod": _modulo,
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Not": _elementwise(np.logical_not),
    "Or": _elementwise(np.logical_or),
    "Pow": _elementwise(np.power),
    "Range": _range,
    "Reciprocal": _elementwise(np.reciprocal),
    "ReduceMax": _reduction(np.max),
    "ReduceMean": _reduction(np.mean),
    "ReduceMin": _reduction(np.min),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum, 13),
    "Reshape": _reshape,
    "Shape": lambda node, x: np.array(x.shape[node.take("start", 0) : node.take("end")], np.int64),
    "Sign": _elementwise(np.sign),
    "Sin": _elementwise(np.sin),
    "Size": lambda node, x: np.array(x.size, np.int64),
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Tanh": _elementwise(np.tanh),
    "Tile": _tile,
    "Transpose": lambda node, x: x.transpose(node.integers("perm")),
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
    "Xor": _elementwise(np.logical_xor),
}


def number(value: float) -> float:
    """The shortest decimal of ONNX's float32 attributes: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def scalar(name: str, array: Array | None) -> float | None:
    """An array of one number as that; None where there is none."""
    if array is None:
        return None
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: expected one number, got {array.dtype} {_check.shown(array.shape)}")
    return float(array.item())

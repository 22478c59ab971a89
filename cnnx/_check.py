"""Validation, once for every op: what passes here cannot crash a kernel."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.ma import MaskedArray  # not np.ma, which NumPy imports at its first use: perhaps while another thread forks

Array = npt.NDArray[Any]
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
Padding2d = int | Pair | Padding | Literal["same", "valid"]

# Extents and options above this are refused, so that no index computed in a kernel overflows 64 bits.
LARGEST = 2**31 - 1

IMAGES = "(N, C, H, W)"

_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}  # in native byte order
_PLAIN = 0x101  # NumPy's flags C_CONTIGUOUS and ALIGNED
_ABSENT = object()

NAMES = {"f": "float32", "d": "float64"}  # of dtypes, by their `char`; dtype.name is put together at each call

# Python and NumPy derive these from integers all the same.
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)


def plain(a: object, b: object = _ABSENT, c: object = _ABSENT) -> bool:
    """Whether `floats` would return these arrays as they are: a quick answer, False where it takes a closer look."""
    if type(a) is not np.ndarray or a.flags.num & _PLAIN != _PLAIN:
        return False
    dtype = a.dtype
    if dtype not in _FLOATS:
        return False
    if b is not _ABSENT and not (
        type(b) is np.ndarray and (b.dtype is dtype or b.dtype == dtype) and b.flags.num & _PLAIN == _PLAIN
    ):
        return False
    return c is _ABSENT or (
        type(c) is np.ndarray and (c.dtype is dtype or c.dtype == dtype) and c.flags.num & _PLAIN == _PLAIN
    )


def array(name: str, value: object) -> Array:
    """`value` as a C-contiguous, aligned array in native byte order; copied only where it is not one."""
    if type(value) is np.ndarray and value.flags.num & _PLAIN == _PLAIN and value.dtype.isnative:
        return value
    return _plain(name, unconverted(name, value))


def floats(**arguments: object) -> tuple[Array, ...]:
    """The arguments as arrays of one dtype, float32 or float64."""
    arrays = [unconverted(name, value) for name, value in arguments.items()]
    first_name, first = next(iter(arguments)), arrays[0].dtype.newbyteorder("=")
    for name, a in zip(arguments, arrays, strict=True):
        if a.dtype.char not in "fd":
            raise TypeError(f"{name}: expected dtype float32 or float64, got {a.dtype}")
        if a.dtype.newbyteorder("=") != first:
            raise TypeError(f"{name}: expected dtype {first}, as {first_name} has, got {a.dtype}")
    return tuple(map(_plain, arguments, arrays))


def unconverted(name: str, value: object) -> Array:
    """`value` as an array of whatever layout and byte order: never a copy, so that it may be larger than memory."""
    if isinstance(value, np.generic) or not hasattr(value, "__array__"):
        raise TypeError(f"{name}: expected a NumPy array, got {type(value).__name__}")
    try:
        a = np.asanyarray(value)
    except Exception as error:  # of an object's own __array__
        raise TypeError(
            f"{name}: expected a NumPy array, got {type(value).__name__}, whose __array__ fails: "
            f"{type(error).__name__}: {error}"
        ) from error
    if isinstance(a, MaskedArray):
        raise TypeError(f"{name}: expected an array, got a masked array, whose mask would be lost; fill it first")
    return np.asarray(a)


def _plain(name: str, a: Array) -> Array:
    if a.flags.c_contiguous and a.flags.aligned and a.dtype.isnative:
        return a
    if max(a.shape, default=0) > LARGEST:  # a broadcast view, most likely: its copy would be of any size
        raise ValueError(f"{name}: expected at most {LARGEST} elements along an axis, got shape {a.shape}")
    try:
        return np.require(a, dtype=a.dtype.newbyteorder("="), requirements=["C", "A"])
    except MemoryError as error:
        raise MemoryError(f"{name}: {error}") from None


def rank(name: str, shape: tuple[int, ...], axes: str) -> None:
    """Raise unless an array's shape has the axes written in `axes`, none of them empty but the batch N."""
    expected = axes.strip("()").split(", ")
    if len(shape) != len(expected):
        raise ValueError(f"{name}: expected {len(expected)} axes {axes}, got shape {shape}")
    for axis, extent in zip(expected, shape, strict=True):
        if extent == 0 and axis != "N":
            raise ValueError(f"{name}: expected at least one element along {axis} of {axes}, got shape {shape}")
        if extent > LARGEST:
            raise ValueError(f"{name}: expected at most {LARGEST} elements along {axis}, got shape {shape}")


def shape(name: str, a: Array, expected: tuple[int, ...], reason: str) -> None:
    """Raise unless `a` has the shape that `reason` asks for."""
    if a.shape != expected:
        extents(name, a.shape, expected, reason)


def extents(name: str, got: tuple[int, ...], expected: tuple[int, ...], reason: str) -> None:
    """Raise unless a shape is the one that `reason` asks for."""
    if got != expected:
        raise ValueError(f"{name}: expected shape {expected} {reason}, got {got}")


def integer(name: str, value: object, least: int) -> int:
    """An int or NumPy integer of at least `least`; a bool is none."""
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__} {shown(value)}")
    number = exact(value)
    if not least <= number <= LARGEST:
        raise ValueError(f"{name}: expected an integer from {least} to {LARGEST}, got {shown(number)}")
    return number


def exact(value: int | np.integer[Any]) -> int:
    """An integer as a plain int, whatever the methods of a subclass say of it."""
    return int.__index__(value) if isinstance(value, int) else int(np.asarray(value))


def pair(name: str, value: object, least: int) -> Pair:
    """An int for both, or (rows, columns)."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name}: expected an integer or (rows, columns), got {shown(value)}")
        return integer(f"{name}[0]", value[0], least), integer(f"{name}[1]", value[1], least)
    both = integer(name, value, least)
    return both, both


def real(name: str, value: object) -> float:
    """A finite float, int or NumPy number; a bool is none."""
    if type(value) is float and -math.inf < value < math.inf:
        return value
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__} {shown(value)}")
    if isinstance(value, float):
        number = float.__float__(value)
    elif isinstance(value, np.floating):
        number = float(np.asarray(value))
    else:
        try:
            number = float(exact(value))
        except OverflowError:  # an int that no float holds
            number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {shown(value)}")
    return number


def shown(value: object) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, int) and (bits := int.bit_length(value)) > 200:
        return f"an integer of {bits} bits"
    try:
        text = repr(value)
    except Exception as error:  # Python writes no integer of more than 4,300 digits
        return f"<{type(value).__name__} whose repr fails: {type(error).__name__}>"
    return text if len(text) <= 120 else f"{text[:117]}..."


def flag(name: str, value: object) -> bool:
    """True or False."""
    if value is True or value is False:
        return value
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected True or False, got {type(value).__name__} {shown(value)}")
    return bool(value)


def choice(name: str, value: object, allowed: Sequence[str]) -> str:
    """One of the allowed strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {type(value).__name__}")
    word = str.__str__(value)
    if word not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, allowed))}, got {shown(word)}")
    return word


def paddings(value: object, extents: Pair, spans: Pair, stride: Pair) -> Padding:
    """((top, bottom), (left, right)) of `padding=`, for images of `extents` and windows that span `spans`.

    "same" gives ceil(extent / stride) outputs; where the padding is odd, the larger half is at the
    bottom or right. "valid" is no padding.
    """
    found = padding_form(value)
    if found != "same":
        return found
    needed = [
        max(0, (-(-extent // step) - 1) * step + span - extent)
        for extent, span, step in zip(extents, spans, stride, strict=True)
    ]
    return (needed[0] // 2, needed[0] - needed[0] // 2), (needed[1] // 2, needed[1] - needed[1] // 2)


def padding_form(value: object) -> Padding | Literal["same"]:
    """`padding=` as far as it can be checked without an image: ((top, bottom), (left, right)) or "same"."""
    if isinstance(value, str):
        return "same" if choice("padding", value, ("same", "valid")) == "same" else ((0, 0), (0, 0))
    if isinstance(value, (tuple, list)) and any(isinstance(side, (tuple, list)) for side in value):
        if len(value) != 2 or not all(isinstance(side, (tuple, list)) and len(side) == 2 for side in value):
            raise ValueError(f"padding: expected ((top, bottom), (left, right)), got {shown(value)}")
        return pair("padding[0]", value[0], 0), pair("padding[1]", value[1], 0)
    rows, columns = pair("padding", value, 0)
    return (rows, rows), (columns, columns)


def output_extent(
    name: str, axis: str, extent: int, padding: Pair, span: int, step: int, *, ceil_mode: bool = False
) -> int:
    """C2: floor((extent + padding - span) / step) + 1; rounded up with `ceil_mode`, but for a last window
    that would start beyond the image and its first padding. name: the argument that sets the span."""
    room = extent + padding[0] + padding[1] - span
    if room < 0:
        raise ValueError(
            f"{name}: expected a window no larger than the padded image, got a window of {span} and "
            f"{extent} + {padding[0]} + {padding[1]} {axis}"
        )
    if ceil_mode:
        count = -(-room // step) + 1
        return count - 1 if (count - 1) * step >= extent + padding[0] else count
    return room // step + 1

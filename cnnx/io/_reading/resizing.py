"""Resize, and what it was before opset 10, Upsample."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ... import _check, nn
from ...nn._extents import Extent
from .fold import extents
from .node import Known, Node, UnknownShapeError
from .symbols import Symbol
from .windows import short

AXES = [2, 3]
_MOST_PIXELS = 2**14  # that are looked at one by one
COORDINATES = {
    "half_pixel": "half_pixel",
    "half_pixel_symmetric": "half_pixel",  # it differs where a length is cut off, and that is refused
    "pytorch_half_pixel": "pytorch_half_pixel",
    "align_corners": "align_corners",
    "asymmetric": "asymmetric",
}
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


class _Wanted(NamedTuple):
    """Whole factors, or the size that comes of others."""

    factors: list[int] | None
    size: Sequence[Extent] | None


def resize(node: Node) -> nn.Layer:
    """To the nearest pixel or bilinear, along rows and columns."""
    mode = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear"}.get(node.take("mode", "nearest"))
    if mode is None:
        raise ValueError(f"mode: expected nearest or linear, got {_check.shown(node.take('mode'))}")
    node.expect("antialias", 0, 0)
    node.expect("keep_aspect_ratio_policy", "stretch", "stretch")
    for of_other_modes in ("exclude_outside", "cubic_coeff_a", "extrapolation_value"):
        node.take(of_other_modes)
    coordinates, rounding = "asymmetric", "floor"  # what there was before opset 11
    if node.opset >= 11:
        name = node.take("coordinate_transformation_mode", "half_pixel")
        rounding = node.take("nearest_mode", "round_prefer_floor")
        if name not in COORDINATES:
            raise ValueError(
                f"coordinate_transformation_mode: expected one of {', '.join(COORDINATES)}, got {_check.shown(name)}"
            )
        if rounding not in ROUNDINGS:
            raise ValueError(f"nearest_mode: expected one of {', '.join(ROUNDINGS)}, got {_check.shown(rounding)}")
        coordinates = COORDINATES[name]
    wanted = _wanted(node, coordinates, rounding if mode == "nearest" else None)
    if coordinates == "pytorch_half_pixel" and (wanted.size is None or 1 not in wanted.size):
        coordinates = "half_pixel"
    options: dict[str, Any] = {"mode": mode, "coordinates": coordinates}
    if mode == "nearest":
        options["rounding"] = rounding
        if wanted.factors and _repeats(coordinates, rounding):
            options = {}
    if wanted.factors:
        return nn.Upsample2d(short(wanted.factors), **options)
    assert wanted.size is not None, "it has the one or the other"
    if any(isinstance(each, str) for each in wanted.size):
        return nn.Upsample2d(size=tuple(wanted.size), **options)  # type: ignore[arg-type]
    return nn.Upsample2d(size=short(wanted.size), **options)


def _repeats(coordinates: str, rounding: str) -> bool:
    """Whether whole factors repeat each pixel, as they do by the layer's defaults."""
    return (coordinates, rounding) == ("asymmetric", "floor") or (
        coordinates == "half_pixel" and rounding.startswith("round_prefer_")
    )


def _wanted(node: Node, coordinates: str, rounding: str | None) -> _Wanted:
    axes = [node.axis(axis, 4) for axis in node.integers("axes", [0, 1, 2, 3])]
    if sorted(axes) not in (AXES, [0, 1, 2, 3]):
        raise ValueError(f"axes: expected rows and columns, of images, got {_check.shown(axes)}")
    scales = node.take("scales") if node.opset < 9 else node.optional(1 if node.opset < 11 else 2, "scales")
    if scales is None or len(scales) == 0:
        return _by_sizes(node, axes)
    if len(scales) != len(axes):
        raise ValueError(f"scales: expected {len(axes)} numbers, for images, got {_check.shown(list(scales))}")
    by_axis = dict(zip(axes, map(float, scales), strict=True))
    if any(by_axis.get(axis, 1.0) != 1 for axis in (0, 1)):
        raise ValueError(
            f"scales: expected 1 and 1 for images and channels, got {_check.shown(list(by_axis.values()))}"
        )
    found = [by_axis[axis] for axis in AXES]
    if all(scale >= 1 and scale == int(scale) for scale in found):
        return _Wanted([int(scale) for scale in found], None)
    if node.sizes is not None and len(node.sizes) == 3 and None in node.sizes[1:]:
        return _Wanted(None, [_open_length(node, axis, by_axis[axis]) for axis in AXES])
    sizes = _sizes(node, "scales: expected whole factors")
    return _Wanted(
        None, [_length(scale, extent, coordinates, rounding) for scale, extent in zip(found, sizes, strict=True)]
    )


def _open_length(node: Node, axis: int, scale: float) -> Extent:
    """As many outputs as the scale makes of an open extent: at each call that has to be a whole number.

    ONNX takes coordinates from the scale as it stands, the layer from the lengths; these agree then.
    """
    extent = None if node.sizes is None else node.sizes[axis - 1]
    if not 0 < scale < _check.LARGEST:
        raise ValueError(f"scales: expected one above 0, got {scale}")
    if extent is None:
        return f"x[{axis}] * {int(scale)}" if scale == int(scale) else f"whole(x[{axis}], {scale!r})"
    if (Fraction(scale) * extent).denominator != 1:
        raise ValueError(f"scales: expected one that makes a whole number of {extent} pixels, got {scale}")
    return int(Fraction(scale) * extent)


def _length(scale: float, extent: int, coordinates: str, rounding: str | None) -> int:
    """How many outputs a scale makes: coordinates have to be those that the two lengths give.

    ONNX takes coordinates from the scale as it stands. So it has to be the ratio of the lengths, rounded to float32.
    """
    rounded = np.float32(scale)
    count = int(np.float32(extent) * rounded) if 0 < scale * extent < _check.LARGEST else 0
    if count < 1:
        raise ValueError(f"scales: expected one that leaves a pixel of {extent}, got {scale}")
    if coordinates == "align_corners" and count == int(Fraction(scale) * extent):
        return count  # it has no use for the scale
    if np.float32(count) / np.float32(extent) != rounded:
        raise ValueError(
            f"scales: expected one that makes a whole number of {extent} pixels, since others move their coordinates, "
            f"got {scale}, which makes {scale * extent}; write sizes instead"
        )
    if rounding is not None and Fraction(scale) != Fraction(count, extent):
        _check_pixels(scale, extent, count, coordinates, rounding)
    return count


def _check_pixels(scale: float, extent: int, count: int, coordinates: str, rounding: str) -> None:
    """Raise where the scale as it stands, rounded to float32, takes other pixels than the ratio of the lengths."""
    half = Fraction(0) if coordinates == "asymmetric" else Fraction(1, 2)
    shift, up = {
        "floor": (Fraction(0), False),
        "ceil": (Fraction(0), True),
        "round_prefer_floor": (Fraction(-1, 2), True),
        "round_prefer_ceil": (Fraction(1, 2), False),
    }[rounding]
    steps = 1 / Fraction(scale), Fraction(extent, count)
    for p in range(min(count, _MOST_PIXELS)):
        places = [(p + half) * step - half + shift for step in steps]
        first, second = (math.ceil(place) if up else math.floor(place) for place in places)
        if first != second:
            break
    else:
        if count <= _MOST_PIXELS:
            return
    raise ValueError(
        f"scales: expected one that float32 has, or a place that lies between pixels, since its rounding decides which "
        f"of {extent} pixels is nearest, got {scale}; write sizes instead"
    )


def _by_sizes(node: Node, axes: Sequence[int]) -> _Wanted:
    given = node.given(3)
    if not isinstance(given, Known):
        raise ValueError("scales: expected scales or sizes in the file, got none")
    wanted = dict(zip(axes, extents(given, "sizes"), strict=False))
    if len(wanted) != len(axes) or given.first.size != len(axes):
        raise ValueError(f"sizes: expected {len(axes)} integers, for images, got {_check.shown(given.first.tolist())}")
    first = dict(zip(axes, given.first.reshape(-1).tolist(), strict=True))
    if any(isinstance(wanted[axis], Symbol) for axis in AXES):
        return _by_symbols(node, [wanted[axis] for axis in AXES])
    if any(not isinstance(wanted[axis], int) for axis in AXES):
        raise UnknownShapeError("sizes: expected scales where the images' size is not in the file, got sizes of it")
    size, known = [first[axis] for axis in AXES], node.sizes
    channels = None if known is None else known[0]
    if 1 in first and channels is not None and first[1] != channels:
        raise ValueError(f"sizes: expected the {channels} channels that there are, got {first[1]}")
    if min(size) < 1:
        raise ValueError(f"sizes: expected at least one row and column, got {size}")
    if known is not None and len(known) == 3 and None not in known:
        old = _sizes(node, "")
        if all(new % extent == 0 for new, extent in zip(size, old, strict=True)):
            return _Wanted([new // extent for new, extent in zip(size, old, strict=True)], None)
    return _Wanted(None, size)


def _by_symbols(node: Node, wanted: list[Any]) -> _Wanted:
    """Sizes that the file computes of open ones, by factors where they are multiples of the value's own."""
    if any(isinstance(each, Symbol) and each.images for each in wanted) or not all(
        isinstance(each, (int, Symbol)) for each in wanted
    ):
        raise UnknownShapeError("sizes: expected sizes that are numbers or come of open ones by arithmetic, got others")
    value = node.value()
    factors = [
        each.times(value, axis) if isinstance(each, Symbol) else None for axis, each in zip(AXES, wanted, strict=True)
    ]
    if None not in factors and value.sizes is not None and value.sizes[1:] == (None, None):
        return _Wanted(factors, None)  # type: ignore[arg-type]
    return _Wanted(None, [each.written(node.sources) if isinstance(each, Symbol) else each for each in wanted])


def _sizes(node: Node, otherwise: str) -> list[int]:
    """The images' rows and columns."""
    known = node.sizes
    if known is not None and len(known) != 3:
        raise ValueError(f"input: expected images (N, C, H, W), got {1 + len(known)} axes")
    rows, columns = (None, None) if known is None else known[1:]
    if rows is None or columns is None:
        raise UnknownShapeError(f"{otherwise} where the images' size is not in the file, got others")
    return [rows, columns]

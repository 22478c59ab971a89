"""By what names libraries have a resizing whose coordinates come as fractions (R1, R2)."""

from collections.abc import Iterable
from fractions import Fraction

from ._kernels import Array

Line = tuple[Fraction, Fraction]  # where output 0 lies, and how far apart outputs do


def coordinates(
    image: Array, outputs: Array, numbers: dict[str, int], roundings: Iterable[str] = ("",)
) -> list[tuple[str, str]]:
    """All (coordinates, rounding), by ONNX's names, that kernels have with these numbers; "" is bilinear's rounding."""
    axes = list(zip("hw", image.shape[2:], outputs.shape[2:], strict=True))
    given = [tuple(Fraction(numbers[f"{name}_{a}"], numbers[f"D_{a}"]) for name in "BA") for a in "hw"]
    return [
        (name, rounding)
        for name in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")
        for rounding in roundings
        if [_line(name, rounding, extent, count) for _, extent, count in axes] == given
    ]


def exact(numbers: dict[str, int]) -> bool:
    """Whether floating point computes these coordinates without rounding: they are whole numbers over powers of 2."""
    return all(numbers[f"D_{axis}"].bit_count() == 1 for axis in "hw")


def _line(name: str, rounding: str, extent: int, count: int) -> Line:
    first, step, D = Fraction(0), Fraction(extent, count), count
    if count == 1 and name in ("align_corners", "pytorch_half_pixel"):
        step, D = Fraction(0), 1
    elif name == "align_corners":
        step, D = Fraction(extent - 1, count - 1), count - 1
    elif name != "asymmetric":
        first, D = (step - 1) / 2, 2 * count
    more = {"ceil": Fraction(D - 1, D), "round_prefer_floor": Fraction(D - 1, 2 * D)}
    more["round_prefer_ceil"] = Fraction(1, 2)
    return first + more.get(rounding, 0), step

"""What the pooling ops share: their options, checked, and their windows' geometry."""

from dataclasses import dataclass

from .. import _check
from .._check import Padding
from . import _plan


@dataclass(frozen=True, slots=True)
class Pool:
    """The checked options, in the kernels' names, and the output's shape."""

    output: tuple[int, int, int, int]
    rows: tuple[int, int]  # padding at the top and bottom
    columns: tuple[int, int]  # padding at the left and right
    numbers: dict[str, int]
    unclipped: bool  # every window lies in the image as a whole


@_plan.remembered
def geometry(shapes: _plan.Shapes, kernel_size: object, stride: object, padding: object, ceil_mode: object) -> Pool:
    """Check a pooling op's image and options (C2 for the output's size)."""
    (x,) = shapes
    _check.rank("x", x, _check.IMAGES)
    R, S = _check.pair("kernel_size", kernel_size, 1)
    u, v = (R, S) if stride is None else _check.pair("stride", stride, 1)
    N, C, H, W = x
    pad: Padding = _check.paddings(padding, (H, W), (R, S), (u, v))
    ceil = _check.flag("ceil_mode", ceil_mode)
    P = _check.output_extent("kernel_size", "rows", H, pad[0], R, u, ceil_mode=ceil)
    Q = _check.output_extent("kernel_size", "columns", W, pad[1], S, v, ceil_mode=ceil)
    for axis, extent, first, span, step, count in (("rows", H, pad[0][0], R, u, P), ("columns", W, pad[1][0], S, v, Q)):
        if span <= first or (count - 1) * step - first >= extent:
            raise ValueError(
                f"padding: expected every window to hold a pixel, got one wholly in padding ({extent} {axis}, "
                f"window {span}, stride {step}, padding {pad[0] if axis == 'rows' else pad[1]})"
            )
    unclipped = not pad[0][0] and not pad[1][0] and (P - 1) * u + R <= H and (Q - 1) * v + S <= W
    numbers = dict(R=R, S=S, u=u, v=v, p_h=pad[0][0], p_w=pad[1][0])
    return Pool((N, C, P, Q), pad[0], pad[1], numbers, unclipped)

"""A convolution's options, checked, and its output's shape."""

from dataclasses import dataclass
from typing import Literal, get_args

from .. import _check
from . import _plan, _winograd

Algorithm = Literal["direct", "winograd"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The checked options, in the kernels' names, and the output's shape."""

    output: tuple[int, int, int, int]
    numbers: dict[str, int]

    def winograd(self, rows: int, columns: int) -> dict[str, int]:
        """The numbers of Winograd's kernels, for a result of so many rows and columns."""
        return {"t": _winograd.tile(rows, columns)} | {key: self.numbers[key] for key in ("p_h", "p_w", "groups")}


@_plan.remembered
def geometry(
    shapes: _plan.Shapes, stride: object, padding: object, dilation: object, groups: object, algorithm: object
) -> Geometry:
    """Check the options against the shapes of x and weight (C2 for the output's size)."""
    x, weight = shapes
    _check.rank("x", x, _check.IMAGES)
    _check.rank("weight", weight, "(K, C/groups, R, S)")
    _check.choice("algorithm", algorithm, get_args(Algorithm))
    u, v = _check.pair("stride", stride, 1)
    d_h, d_w = _check.pair("dilation", dilation, 1)
    groups = _check.integer("groups", groups, 1)
    N, C, H, W = x
    K, C_group, R, S = weight
    if C % groups or K % groups:
        raise ValueError(f"groups: expected a divisor of the {C} input and {K} output channels, got {groups}")
    if C_group * groups != C:
        raise ValueError(f"weight: expected {C // groups} input channels ({C} of x / {groups} groups), got {C_group}")
    if algorithm == "winograd":
        _winograd.check_fits((R, S), (u, v), (d_h, d_w))
    spans = d_h * (R - 1) + 1, d_w * (S - 1) + 1
    rows, columns = _check.paddings(padding, (H, W), spans, (u, v))
    P = _check.output_extent("weight", "rows", H, rows, spans[0], u)
    Q = _check.output_extent("weight", "columns", W, columns, spans[1], v)
    return Geometry(
        output=(N, K, P, Q),
        numbers=dict(u=u, v=v, p_h=rows[0], p_w=columns[0], d_h=d_h, d_w=d_w, groups=groups),
    )

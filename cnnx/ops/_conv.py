"""The options of a convolution or a transposed one, checked, and its output's shape."""

from dataclasses import dataclass
from typing import Literal, get_args

from .. import _check
from .._check import Padding, Pair
from . import _plan, _winograd

Algorithm = Literal["direct", "winograd", "auto"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The checked options, in the kernels' names, the output's shape, and the algorithms: forward, of x's gradient."""

    output: tuple[int, int, int, int]
    numbers: dict[str, int]
    algorithms: tuple[str, str] = ("direct", "direct")

    def winograd(self, rows: int, columns: int, R: int) -> dict[str, int]:
        """The numbers of Winograd's kernels, for a result of so many rows and columns by a kernel of R x R."""
        return {"t": _winograd.tile(rows, columns, R)} | {key: self.numbers[key] for key in ("p_h", "p_w", "groups")}


@_plan.remembered
def geometry(
    shapes: _plan.Shapes, stride: object, padding: object, dilation: object, groups: object, algorithm: object
) -> Geometry:
    """Check the options against the shapes of x and weight (C2 for the output's size)."""
    x, weight = shapes
    _check.rank("x", x, _check.IMAGES)
    _check.rank("weight", weight, "(K, C/groups, R, S)")
    word = _check.choice("algorithm", algorithm, get_args(Algorithm))
    u, v = _check.pair("stride", stride, 1)
    d_h, d_w = _check.pair("dilation", dilation, 1)
    groups = _check.integer("groups", groups, 1)
    N, C, H, W = x
    K, C_group, R, S = weight
    if C % groups or K % groups:
        raise ValueError(f"groups: expected a divisor of the {C} input and {K} output channels, got {groups}")
    if C_group * groups != C:
        raise ValueError(f"weight: expected {C // groups} input channels ({C} of x / {groups} groups), got {C_group}")
    if word == "winograd":
        _winograd.check_fits((R, S), (u, v), (d_h, d_w))
    spans = d_h * (R - 1) + 1, d_w * (S - 1) + 1
    rows, columns = _check.paddings(padding, (H, W), spans, (u, v))
    P = _check.output_extent("weight", "rows", H, rows, spans[0], u)
    Q = _check.output_extent("weight", "columns", W, columns, spans[1], v)
    algorithms = word, word
    if word == "auto":
        fits, K_group = _winograd.fits((R, S), (u, v), (d_h, d_w)), K // groups
        algorithms = (
            "winograd" if fits and _winograd.pays(C_group, K_group, P, Q, R) else "direct",
            "winograd" if fits and _winograd.pays(K_group, C_group, H, W, R) else "direct",
        )
    return Geometry(
        output=(N, K, P, Q),
        numbers=dict(u=u, v=v, p_h=rows[0], p_w=columns[0], d_h=d_h, d_w=d_w, groups=groups),
        algorithms=algorithms,
    )


@_plan.remembered
def transposed_geometry(
    shapes: _plan.Shapes, stride: object, padding: object, output_padding: object, dilation: object, groups: object
) -> Geometry:
    """Check a transposed convolution's options against the shapes of x and weight (T4 for the output's size)."""
    x, weight = shapes
    _check.rank("x", x, _check.IMAGES)
    _check.rank("weight", weight, "(C, K/groups, R, S)")
    u, v = _check.pair("stride", stride, 1)
    d_h, d_w = _check.pair("dilation", dilation, 1)
    groups = _check.integer("groups", groups, 1)
    sides = padding_by_side(padding)
    more = _check.pair("output_padding", output_padding, 0)
    check_output_padding(more, (u, v), (d_h, d_w))
    N, C, H, W = x
    C_weight, K_group, R, S = weight
    if C_weight != C:
        raise ValueError(f"weight: expected {C} input channels, as x has, got {C_weight}")
    if C % groups:
        raise ValueError(f"groups: expected a divisor of the {C} input channels, got {groups}")
    spans = u * (H - 1) + d_h * (R - 1) + 1, v * (W - 1) + d_w * (S - 1) + 1
    P, Q = (span - sum(side) + end for span, side, end in zip(spans, sides, more, strict=True))
    for axis, count, span, side, end in (
        ("row", P, spans[0], sides[0], more[0]),
        ("column", Q, spans[1], sides[1], more[1]),
    ):
        if count < 1:
            raise ValueError(
                f"padding: expected to leave at least one {axis} of the output, got {side} of {span} {axis}s"
                f"{f' and {end} of output_padding' if end else ''}"
            )
    return Geometry(
        output=(N, K_group * groups, P, Q),
        numbers=dict(u=u, v=v, p_h=sides[0][0], p_w=sides[1][0], d_h=d_h, d_w=d_w, groups=groups),
    )


def padding_by_side(padding: object) -> Padding:
    """A transposed convolution's padding; it has no "same", as its output's size says nothing of its input's."""
    if isinstance(padding, str):
        raise ValueError(
            "padding: expected an integer, (rows, columns) or ((top, bottom), (left, right)), "
            f"got {_check.shown(str.__str__(padding))}"
        )
    found = _check.padding_form(padding)
    assert found != "same"
    return found


def check_output_padding(output_padding: Pair, stride: Pair, dilation: Pair) -> None:
    """More rows than these would hold nothing but the bias."""
    for axis, more, u, d in zip(("rows", "columns"), output_padding, stride, dilation, strict=True):
        if more >= max(u, d):
            raise ValueError(
                f"output_padding: expected fewer {axis} than the stride or the dilation, {u} and {d}, got {more}"
            )

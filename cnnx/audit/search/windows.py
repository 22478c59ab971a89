"""How cases are drawn of the ops that have windows: convolutions, pooling, resizing."""

from typing import Any

from ...ops import Case
from .draws import Draws

STEPS = (1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9)
DILATIONS = (1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5)
GROUPS = (1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 8, "depthwise")
PADDINGS = ("none", "none", "symmetric", "by side")
# And the rows and columns of a kernel that is to fit Winograd's algorithm.
ALGORITHMS = (*6 * [("direct", 3)], ("auto", 3), ("auto", 5), ("winograd", 3), ("winograd", 5))
WINDOW = 40  # rows or columns of the largest window
KERNEL = 24  # of the largest kernel
LONGEST = 700  # rows or columns that are large alone
MOST = 260  # images and channels


def conv2d(d: Draws) -> Case:
    """A convolution of any algorithm."""
    algorithm, side = ALGORITHMS[d.below(len(ALGORITHMS))]
    d.note("algorithm", algorithm, ("direct", "auto", "winograd"))
    sizes = ["batch", "channels in", "channels out", "output rows", "output columns"]
    square = algorithm == "winograd" or (algorithm == "auto" and d.chance(0.7))
    d.choose_large(sizes if square else [*sizes, "kernel rows", "kernel columns"])
    N, (C, K, groups) = d.size("batch", MOST), _channels(d)
    R, S = (side, side) if square else (d.size("kernel rows", KERNEL), d.size("kernel columns", KERNEL))
    plain = square and algorithm == "winograd"
    u, v = (1, 1) if plain else _steps(d, "stride", STEPS)
    d_h, d_w = (1, 1) if plain else _steps(d, "dilation", DILATIONS)
    padding = d.of("padding", (*PADDINGS, "same", "wider than the kernel"))
    P, Q = d.size("output rows", LONGEST), d.size("output columns", LONGEST)
    spans = d_h * (R - 1) + 1, d_w * (S - 1) + 1
    pads = [_pads(d, padding, span) for span in spans]
    H, W = (_extent(d, n, step, span, p) for n, step, span, p in zip((P, Q), (u, v), spans, pads, strict=True))
    options: dict[str, Any] = {"stride": (u, v), "dilation": (d_h, d_w), "groups": groups, "algorithm": algorithm}
    options["padding"] = "same" if padding == "same" else tuple(pads)
    weight = (K, C // groups, R, S)
    arrays = {"x": (N, C, H, W), "weight": weight} | ({"bias": (K,)} if _bias(d) else {})
    outputs = N * K * P * Q
    terms = weight[1] * R * S
    d.within(numbers=(N * C * H * W, K * terms, outputs), sums=(terms, N * P * Q), products=outputs * terms)
    return Case("", arrays, options)


def conv_transpose2d(d: Draws) -> Case:
    """A transposed convolution."""
    sizes = ["batch", "channels in", "channels out", "rows", "columns", "kernel rows", "kernel columns"]
    d.choose_large(sizes)
    N, (C, K, groups) = d.size("batch", MOST), _channels(d)
    R, S = d.size("kernel rows", KERNEL), d.size("kernel columns", KERNEL)
    (u, v), (d_h, d_w) = _steps(d, "stride", STEPS), _steps(d, "dilation", DILATIONS)
    H, W = d.size("rows", LONGEST), d.size("columns", LONGEST)
    padding = d.of("padding", PADDINGS)
    more = d.of("output padding", ("none", "none", "some"))
    outputs, pads, ends = [], [], []
    for extent, step, dilation, span in ((H, u, d_h, d_h * (R - 1) + 1), (W, v, d_w, d_w * (S - 1) + 1)):
        end = d.below(max(step, dilation)) if more == "some" else 0
        whole = (extent - 1) * step + span + end
        first, last = _pads(d, padding, span)
        if first + last >= whole:
            first = last = 0
        outputs.append(whole - first - last)
        pads.append((first, last))
        ends.append(end)
    options = {"stride": (u, v), "dilation": (d_h, d_w), "groups": groups, "padding": tuple(pads)}
    options["output_padding"] = tuple(ends)
    weight = (C, K // groups, R, S)
    arrays = {"x": (N, C, H, W), "weight": weight} | ({"bias": (K,)} if _bias(d) else {})
    P, Q = outputs
    products = N * C * H * W * weight[1] * R * S
    d.within(
        numbers=(N * C * H * W, C * weight[1] * R * S, N * K * P * Q),
        sums=(C // groups * R * S, N * H * W, N * P * Q, weight[1] * R * S),
        products=products,
    )
    return Case("", arrays, options)


def max_pool2d(d: Draws) -> Case:
    """A maximum; the winners may be asked for, which ties to all cannot have."""
    ties = d.of("ties", ("first", "first", "all"))
    winners = d.of("return_winners", (False, True)) if ties == "first" else False
    return _pool(d, {"ties": ties, "return_winners": winners})


def avg_pool2d(d: Draws) -> Case:
    """An average."""
    return _pool(d, {"count_include_pad": d.of("count_include_pad", (False, True))})


def lp_pool2d(d: Draws) -> Case:
    """A norm of any exponent."""
    norm = d.of("norm_type", (1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1.5, 2.5, "any"))
    if norm == "any":
        norm = 1 + d.below(9 * 64) / 64
    return _pool(d, {"norm_type": norm, "normalize": d.of("normalize", (True, False))}, squared=True)


def upsample2d(d: Draws) -> Case:
    """Images of another size."""
    sizes = ["batch", "channels", "rows", "columns", "output rows", "output columns"]
    d.choose_large(sizes)
    N, C = d.size("batch", MOST), d.size("channels", MOST)
    H, W, P, Q = (d.size(name, LONGEST) for name in sizes[2:])
    options = {
        "size": (P, Q),
        "mode": d.of("mode", ("nearest", "bilinear")),
        "coordinates": d.of("coordinates", ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel")),
        "rounding": d.of("rounding", ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")),
    }
    d.within(numbers=(N * C * H * W, N * C * P * Q), sums=(-(-P // H) * -(-Q // W),), products=4 * N * C * P * Q)
    return Case("", {"x": (N, C, H, W)}, options)


def _pool(d: Draws, more: dict[str, Any], *, squared: bool = False) -> Case:
    """A pooling. squared: a gradient's element has all the members of all windows that hold it."""
    sizes = ["batch", "channels", "output rows", "output columns", "window rows", "window columns"]
    d.choose_large(sizes)
    N, C = d.size("batch", MOST), d.size("channels", MOST)
    R, S = d.size("window rows", WINDOW), d.size("window columns", WINDOW)
    given = d.of("stride", ("left out", "given", "given", "given"))
    u, v = (R, S) if given == "left out" else _steps(d, "stride", STEPS)
    padding = d.of("padding", (*PADDINGS, "same"))
    ceil = d.of("ceil_mode", (False, False, True))
    P, Q = d.size("output rows", LONGEST), d.size("output columns", LONGEST)
    pads = [_pads(d, padding, span) for span in (R, S)]
    H, W = (_extent(d, n, step, span, p) for n, step, span, p in zip((P, Q), (u, v), (R, S), pads, strict=True))
    options = {
        "kernel_size": (R, S),
        "padding": "same" if padding == "same" else tuple(pads),
        "ceil_mode": ceil,
        **more,
    }
    if given == "given":
        options["stride"] = (u, v)
    windows = -(-R // u) * -(-S // v)
    terms = R * S * (windows if squared else 1)
    d.within(numbers=(N * C * H * W, N * C * P * Q), sums=(terms, windows), products=N * C * P * Q * R * S)
    return Case("", {"x": (N, C, H, W)}, options)


def _channels(d: Draws) -> tuple[int, int, int]:
    """Channels in and out, and groups."""
    groups = d.of("groups", GROUPS)
    C, K = d.size("channels in", MOST), d.size("channels out", MOST)
    if groups != 1:  # what was drawn is not the number of channels
        d.extents = {axis: n for axis, n in d.extents.items() if not axis.startswith("channels")}
    if groups == "depthwise":
        return C, C * (1 + d.below(2)), C
    if d.large and groups > 1 and d.chance(0.5):  # large all together; else within a group
        return max(1, C // groups) * groups, max(1, K // groups) * groups, groups
    return C * groups, K * groups, groups


def _steps(d: Draws, axis: str, values: tuple[int, ...]) -> tuple[int, int]:
    """Along rows and columns; the same in one of three."""
    rows = d.of(f"{axis} along rows", values)
    if d.chance(1 / 3):
        d.note(f"{axis} along columns", str(rows), tuple(dict.fromkeys(map(str, values))))
        return rows, rows
    return rows, d.of(f"{axis} along columns", values)


def _bias(d: Draws) -> bool:
    return bool(d.of("bias", ("given", "given", "left out")) == "given")


def _pads(d: Draws, kind: str, span: int) -> tuple[int, int]:
    """Padding before and after, below the span of a window but where it is to be wider."""
    if kind in ("none", "same"):
        return 0, 0
    if kind == "wider than the kernel":
        return span + d.below(3), span + d.below(3)
    first = d.below(span)
    return (first, first) if kind == "symmetric" else (first, d.below(span))


def _extent(d: Draws, outputs: int, step: int, span: int, pads: tuple[int, int]) -> int:
    """An image's extent that gives about so many outputs, one at least; with rows at its end that no window reaches."""
    rest = d.below(step) if d.chance(0.5) else 0
    return max(1, (outputs - 1) * step + span + rest - sum(pads), span - sum(pads))

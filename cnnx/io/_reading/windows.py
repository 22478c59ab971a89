"""Operators with windows: convolution and pooling."""

from typing import Any

import numpy as np

from ... import _check, nn
from ..._check import Array
from .fold import number
from .made import made
from .node import Node, UnknownShapeError
from .parts import power as whole_power


def conv(node: Node) -> nn.Layer:
    weight, bias = node.constant(1, "weight"), node.optional(2, "bias")
    if weight.ndim != 4:
        raise ValueError(f"weight: expected four axes, got shape {weight.shape}")
    kernel = list(weight.shape[2:])
    node.expect("kernel_shape", kernel, kernel)
    groups = _check.integer("group", node.take("group", 1), 1)
    strides, dilations = _two(node, "strides"), _two(node, "dilations")
    around = _open_lower(node, kernel, strides, dilations)
    padding = 0 if around else _padding(node, kernel, strides, dilations)
    layer = made(
        node,
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        short(kernel),
        stride=short(strides),
        padding=padding,
        dilation=short(dilations),
        groups=groups,
        bias=bias is not None,
        found={"weight": weight} | ({} if bias is None else {"bias": bias}),
    )
    return nn.Sequential(nn.ZeroPad2d(around), layer) if around else layer


def conv_transpose(node: Node) -> nn.Layer:
    weight, bias = node.constant(1, "weight"), node.optional(2, "bias")
    if weight.ndim != 4:
        raise ValueError(f"weight: expected four axes, got shape {weight.shape}")
    kernel = list(weight.shape[2:])
    node.expect("kernel_shape", kernel, kernel)
    groups = _check.integer("group", node.take("group", 1), 1)
    strides, dilations, more = _two(node, "strides"), _two(node, "dilations"), _two(node, "output_padding", 0)
    spans = [(k - 1) * step + 1 for k, step in zip(kernel, dilations, strict=True)]
    padding, cuts = _cut(node, spans, strides, more)
    layer = made(
        node,
        nn.ConvTranspose2d,
        weight.shape[0],
        weight.shape[1] * groups,
        short(kernel),
        stride=short(strides),
        padding=padding,
        output_padding=short(more),
        dilation=short(dilations),
        groups=groups,
        bias=bias is not None,
        found={"weight": weight} | ({} if bias is None else {"bias": bias}),
    )
    return nn.Sequential(layer, *cuts) if cuts else layer


def _cut(node: Node, spans: list[int], strides: list[int], more: list[int]) -> tuple[Any, list[nn.Layer]]:
    """The padding of a transposed convolution: as it stands, or as much as leaves an output of some size; what is cut
    off behind it, where the images' size is open."""
    kind, pads = node.take("auto_pad", "NOTSET"), node.integers("pads", [0, 0, 0, 0])
    wanted, sizes = node.integers("output_shape"), node.sizes
    if wanted is not None:
        wanted = wanted[-2:]
        if len(wanted) < 2:
            raise ValueError(f"output_shape: expected two numbers, got {_check.shown(wanted)}")
        if sizes is None or len(sizes) != 3 or sizes[1] is None or sizes[2] is None:
            return 0, [_middle(axis, extent, upper=kind == "SAME_UPPER") for axis, extent in enumerate(wanted, 2)]
        whole = [s * (h - 1) + span for s, h, span in zip(strides, (sizes[1], sizes[2]), spans, strict=True)]
    elif kind in ("SAME_UPPER", "SAME_LOWER"):
        wanted, whole = strides, spans
    elif kind in ("NOTSET", "VALID") and len(pads) == 4:
        top, left, bottom, right = pads
        return short((top, left)) if (top, left) == (bottom, right) else ((top, bottom), (left, right)), []
    else:
        raise ValueError(f"pads: expected four numbers, or SAME_UPPER, SAME_LOWER, got {_check.shown((kind, pads))}")
    totals = [have + extra - want for have, extra, want in zip(whole, more, wanted, strict=True)]
    if min(totals) < 0:
        raise ValueError(f"output_shape: expected no more than the kernels reach, got {-min(totals)} more")
    sides = [(total // 2, total - total // 2) for total in totals]
    return (tuple(sides) if kind == "SAME_UPPER" else tuple((b, a) for a, b in sides)), []


def _middle(axis: int, extent: int, *, upper: bool) -> nn.Layer:
    """So many along an axis, with as much cut off on either side: where that is uneven, more behind, or before."""
    if extent < 1:
        raise ValueError(f"output_shape: expected integers of at least 1, got {extent}")
    first = f"quotient(x[{axis}] - {extent}{'' if upper else ' + 1'}, 2)"
    # Where there are fewer, the product is below any start that a slice may have: an error at the call.
    within = f"{first} + max(0, {extent} - x[{axis}]) * {-2 * _check.LARGEST}"
    return nn.Slice(axis, within, f"{first} + {extent}")


def max_pool(node: Node) -> nn.Layer:
    node.expect("storage_order", 0, 0)
    around, window = _open_window(node)
    layer = nn.MaxPool2d(**window)
    return nn.Sequential(nn.Pad2d(around, "constant", float("-inf")), layer) if around else layer


def average_pool(node: Node) -> nn.Layer:
    around, window = _open_window(node)
    if around:
        if node.take("count_include_pad", 0):
            return nn.Sequential(nn.ZeroPad2d(around), nn.AvgPool2d(**window))
        if any(k < step for k, step in zip(*(_two(node, name) for name in ("kernel_shape", "strides")), strict=True)):
            raise UnknownShapeError(
                "auto_pad: expected NOTSET, VALID or SAME_UPPER where windows leave pixels out and the images' size is "
                "not in the file"
            )
        # The same from the other side: windows that meet need as much padding as takes them to the end.
        rows, columns, rows_back, columns_back = (nn.Slice(axis, None, None, -1) for axis in (2, 3, 2, 3))
        return nn.Sequential(rows, columns, nn.AvgPool2d(**(window | {"padding": "same"})), rows_back, columns_back)
    layer = average(node)
    if not (layer.count_include_pad and layer.ceil_mode):
        return layer
    if layer.stride in (1, (1, 1)):
        return nn.AvgPool2d(**(window | {"ceil_mode": False}), count_include_pad=True)
    if node.sizes is None or None in node.sizes:
        raise UnknownShapeError(
            "ceil_mode: expected 0 with count_include_pad, where runtimes disagree on windows beyond the padding "
            "and the images' size is not in the file, got 1; input_shape= gives it"
        )
    if _beyond(window, node):
        raise ValueError(
            "ceil_mode: expected no window beyond the padding with count_include_pad, where runtimes disagree, got one"
        )
    return nn.AvgPool2d(**(window | {"ceil_mode": False}), count_include_pad=True)


def average(node: Node) -> nn.AvgPool2d:
    """AveragePool by PyTorch's and ONNX's rule: a window beyond the padding is divided by its part within (P3)."""
    return nn.AvgPool2d(**_window(node), count_include_pad=bool(node.take("count_include_pad", 0)))


def lp_pool(node: Node) -> nn.Layer:
    around, window = _open_window(node)
    layer = nn.LpPool2d(node.take("p", 2), **window, normalize=False)
    return nn.Sequential(nn.ZeroPad2d(around), layer) if around else layer


def global_average_pool(node: Node) -> nn.Layer:
    return nn.GlobalAvgPool2d()


def global_max_pool(node: Node) -> nn.Layer:
    return nn.GlobalMaxPool2d()


def mean_of_powers(node: Node) -> nn.Layer:
    """The last Pow of Abs, Pow, AveragePool, Pow, what export_onnx makes of LpPool2d; or a whole power."""
    mean = node.behind("AveragePool")
    power = mean and mean.behind("Pow")
    magnitude = power and power.behind("Abs")
    if not (mean and power and magnitude):
        return whole_power(node)
    rho, inverse = (each.constant(1, "exponent") for each in (power, node))
    mean.expect("count_include_pad", 0, 0)
    if rho.size != 1 or inverse.size != 1 or not np.isclose(rho * inverse, 1, rtol=1e-6, atol=0):
        raise ValueError("expected the exponents rho and 1/rho, as in an LpPool2d, got others")
    layer = nn.LpPool2d(number(float(rho.item())), **_window(mean))
    node.sources = magnitude.sources
    return layer


def short(values: Any) -> Any:
    """(3, 3) as 3."""
    first, *rest = values
    return first if len(rest) == 1 and rest[0] == first else tuple(values)


def _two(node: Node, name: str, default: int = 1) -> list[int]:
    found: list[int] = node.integers(name, [default, default])
    if len(found) != 2:
        raise ValueError(f"{name}: expected two numbers, got {_check.shown(found)}")
    return found


def _padding(node: Node, kernel: list[int], strides: list[int], dilations: list[int]) -> Any:
    kind, pads = node.take("auto_pad", "NOTSET"), node.integers("pads", [0, 0, 0, 0])
    if kind not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad: expected NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {_check.shown(kind)}")
    if len(pads) != 4 or (any(pads) and kind != "NOTSET"):
        raise ValueError(f"pads: expected four numbers, zeros with auto_pad, got {_check.shown(pads)}")
    if kind == "SAME_UPPER":
        return "same"
    top, left, bottom, right = pads
    if kind == "SAME_LOWER":
        sizes = node.sizes
        if sizes is None or len(sizes) != 3 or sizes[1] is None or sizes[2] is None:
            raise UnknownShapeError(
                "auto_pad: expected NOTSET, VALID or SAME_UPPER where the images' size is not in the file"
            )
        spans = tuple((k - 1) * step + 1 for k, step in zip(kernel, dilations, strict=True))
        upper = _check.paddings("same", (sizes[1], sizes[2]), (spans[0], spans[1]), (strides[0], strides[1]))
        (bottom, top), (right, left) = upper
    return short((top, left)) if (top, left) == (bottom, right) else ((top, bottom), (left, right))


def _open_lower(node: Node, kernel: list[int], strides: list[int], dilations: list[int]) -> Any:
    """SAME_LOWER around images of open size, as sizes that are computed at each call; None if it is something else."""
    sizes = node.sizes
    if node.take("auto_pad", "NOTSET") != "SAME_LOWER" or sizes is None or len(sizes) != 3 or None not in sizes[1:]:
        return None
    if any(node.integers("pads", [])):
        return None
    sides = []
    for axis, k, step, dilation in zip((2, 3), kernel, strides, dilations, strict=True):
        span = (k - 1) * dilation + 1
        total = f"max(0, quotient(x[{axis}] - 1, {step}) * {step} + {span} - x[{axis}])"
        sides.append((f"quotient({total} + 1, 2)", f"quotient({total}, 2)"))
    return tuple(sides)


def _open_window(node: Node) -> tuple[Any, dict[str, Any]]:
    """What is put around images of open size, or None, and the arguments of pooling layers behind it."""
    kernel, strides = node.integers("kernel_shape", []), node.integers("strides", [1, 1])
    around = _open_lower(node, kernel, strides, [1, 1]) if len(kernel) == len(strides) == 2 else None
    if around is None:
        return None, _window(node)
    node.expect("dilations", [1, 1], [1, 1])
    node.take("ceil_mode")  # as many windows as fit round all pixels: none is beyond
    return around, {"kernel_size": short(kernel), "stride": short(strides)}


def _window(node: Node) -> dict[str, Any]:
    """The arguments of pooling layers."""
    node.expect("dilations", [1, 1], [1, 1])
    kernel, strides = node.integers("kernel_shape", []), node.integers("strides", [1, 1])
    if len(kernel) != 2 or len(strides) != 2:
        raise ValueError(f"kernel_shape: expected windows of rows and columns, got {_check.shown(kernel)}")
    return {
        "kernel_size": short(kernel),
        "stride": None if kernel == strides else short(strides),
        "padding": _padding(node, kernel, strides, [1, 1]),
        "ceil_mode": bool(node.take("ceil_mode", 0)),
    }


def _beyond(window: dict[str, Any], node: Node) -> bool:
    """Whether ceil_mode adds a window, for images of a known size."""
    images: Array | None = node.value().images
    assert images is not None, "its size is known"
    shapes = [
        nn.AvgPool2d(**(window | {"ceil_mode": ceil_mode}))._forward(images)[0].shape for ceil_mode in (False, True)
    ]
    return shapes[0] != shapes[1]

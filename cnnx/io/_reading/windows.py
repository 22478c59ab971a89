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
    return made(
        node,
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        short(kernel),
        stride=short(strides),
        padding=_padding(node, kernel, strides, dilations),
        dilation=short(dilations),
        groups=groups,
        bias=bias is not None,
        found={"weight": weight} | ({} if bias is None else {"bias": bias}),
    )


def conv_transpose(node: Node) -> nn.Layer:
    weight, bias = node.constant(1, "weight"), node.optional(2, "bias")
    if weight.ndim != 4:
        raise ValueError(f"weight: expected four axes, got shape {weight.shape}")
    kernel = list(weight.shape[2:])
    node.expect("kernel_shape", kernel, kernel)
    groups = _check.integer("group", node.take("group", 1), 1)
    strides, dilations, more = _two(node, "strides"), _two(node, "dilations"), _two(node, "output_padding", 0)
    spans = [(k - 1) * step + 1 for k, step in zip(kernel, dilations, strict=True)]
    return made(
        node,
        nn.ConvTranspose2d,
        weight.shape[0],
        weight.shape[1] * groups,
        short(kernel),
        stride=short(strides),
        padding=_cut(node, spans, strides, more),
        output_padding=short(more),
        dilation=short(dilations),
        groups=groups,
        bias=bias is not None,
        found={"weight": weight} | ({} if bias is None else {"bias": bias}),
    )


def _cut(node: Node, spans: list[int], strides: list[int], more: list[int]) -> Any:
    """The padding of a transposed convolution: as it stands, or as much as leaves an output of some size."""
    kind, pads = node.take("auto_pad", "NOTSET"), node.integers("pads", [0, 0, 0, 0])
    wanted, sizes = node.integers("output_shape"), node.sizes
    if wanted is not None:
        if sizes is None or len(sizes) != 3 or sizes[1] is None or sizes[2] is None:
            raise UnknownShapeError("output_shape: expected none where the images' size is not in the file, got one")
        wanted = wanted[-2:]
        whole = [s * (h - 1) + span for s, h, span in zip(strides, (sizes[1], sizes[2]), spans, strict=True)]
    elif kind in ("SAME_UPPER", "SAME_LOWER"):
        wanted, whole = strides, spans
    elif kind in ("NOTSET", "VALID") and len(pads) == 4:
        top, left, bottom, right = pads
        return short((top, left)) if (top, left) == (bottom, right) else ((top, bottom), (left, right))
    else:
        raise ValueError(f"pads: expected four numbers, or SAME_UPPER, SAME_LOWER, got {_check.shown((kind, pads))}")
    totals = [have + extra - want for have, extra, want in zip(whole, more, wanted, strict=True)]
    if min(totals) < 0:
        raise ValueError(f"output_shape: expected no more than the kernels reach, got {-min(totals)} more")
    sides = [(total // 2, total - total // 2) for total in totals]
    return tuple(sides) if kind == "SAME_UPPER" else tuple((b, a) for a, b in sides)


def max_pool(node: Node) -> nn.Layer:
    node.expect("storage_order", 0, 0)
    return nn.MaxPool2d(**_window(node))


def average_pool(node: Node) -> nn.Layer:
    layer = average(node)
    if not (layer.count_include_pad and layer.ceil_mode):
        return layer
    if node.sizes is None or None in node.sizes:
        raise UnknownShapeError(
            "ceil_mode: expected 0 with count_include_pad, where runtimes disagree on windows beyond the padding "
            "and the images' size is not in the file, got 1"
        )
    window = _window(node)
    if _beyond(window, node):
        raise ValueError(
            "ceil_mode: expected no window beyond the padding with count_include_pad, where runtimes disagree, got one"
        )
    return nn.AvgPool2d(**(window | {"ceil_mode": False}), count_include_pad=True)


def average(node: Node) -> nn.AvgPool2d:
    """AveragePool by PyTorch's and ONNX's rule: a window beyond the padding is divided by its part within (P3)."""
    return nn.AvgPool2d(**_window(node), count_include_pad=bool(node.take("count_include_pad", 0)))


def lp_pool(node: Node) -> nn.Layer:
    return nn.LpPool2d(node.take("p", 2), **_window(node), normalize=False)


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

"""Operators with weights, apart from convolution, and what acts on each number alone."""

import numpy as np

from ... import _check, nn
from ..._check import Array
from .composed import product
from .fold import number, scalar
from .made import made
from .node import Node, UnknownShapeError, Value
from .parts import tanh_gelu
from .place import FIRST


def gemm(node: Node) -> nn.Layer:
    node.expect("transA", 0, 0)
    if node.rank not in (2, None):
        raise ValueError(f"input 0: expected 2 axes, got {node.rank}")
    if node.place.axis == 1:
        raise ValueError("input 0: expected rows for the images, got columns")
    weight, bias = node.constant(1, "B"), node.optional(2, "C")
    if not node.take("transB", 0):
        weight = weight.T
    alpha, beta = (np.asarray(node.take(name, 1.0), weight.dtype) for name in ("alpha", "beta"))
    return affine(node, weight * alpha if alpha != 1 else weight, bias if bias is None or beta == 1 else bias * beta)


def mat_mul(node: Node) -> nn.Layer:
    """By a constant, or of two values that the images' axis leads."""
    if len(node.sources) == 2:
        ranks = {one.rank for one in node.sources if one.rank is not None}
        least = 3 if node.place.axis is None else node.place.axis + 3
        if node.place.axis is not None and (len(ranks) > 1 or min(ranks, default=least) < least):
            raise ValueError(
                f"expected operands of one rank, at least 3, of which none of the last two is the images', "
                f"got {sorted(ranks)}"
            )
        return nn.MatMul()
    if node.rank is not None and node.place.axis == node.rank - 1:
        raise ValueError("input 0: expected the images along another axis than the last, got them there")
    right = isinstance(node.given(0), Value)
    if not right or node.constant(1, "B").ndim > 2:
        return product(node, left=not right)
    return affine(node, node.constant(1, "B").T, None)


def affine(node: Node, weight: Array, bias: Array | None) -> nn.Layer:
    """An affine layer of a weight (out_features, in_features)."""
    if weight.ndim != 2:
        raise ValueError(f"weight: expected two axes, got shape {weight.shape}")
    features, found = weight.shape[0], {"weight": weight}
    if bias is not None:
        if bias.size not in (1, features) or any(extent != 1 for extent in bias.shape[:-1]):
            raise ValueError(f"bias: expected shape {(features,)}, got {bias.shape}")
        found["bias"] = np.broadcast_to(bias.reshape(-1), (features,))
    return made(node, nn.Affine, weight.shape[1], features, bias=bias is not None, found=found)


def batch_norm(node: Node) -> nn.Layer:
    node.expect("training_mode", 0, 0)
    node.expect("spatial", 1, 1)
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: node.constant(i, name) for i, name in enumerate(names, 1)}
    momentum, eps = number(node.take("momentum", 0.9)), number(node.take("epsilon", 1e-5))
    channels = found["weight"].size
    layer = made(node, nn.BatchNorm2d, channels, momentum=round(1 - momentum, 7), eps=eps, found=found)
    if node.rank == 2:
        return nn.Sequential(nn.Reshape((channels, 1, 1)), layer, nn.Flatten())
    return layer


def p_relu(node: Node) -> nn.Layer:
    slope, rank = node.constant(1, "slope"), node.rank
    count = slope.size
    shape = slope.shape[1:] if rank is not None and slope.ndim == rank and slope.shape[0] == 1 else slope.shape
    per_channel = rank is not None and shape == (count, *[1] * (rank - 2))
    if rank is None and len(shape) in (3, 4):
        per_channel = shape in ((count, 1, 1), (1, count, 1, 1))
    if count != 1 and not per_channel:
        raise (ValueError if rank else UnknownShapeError)(
            f"slope: expected one number for each channel, or one for all, got shape {slope.shape}"
        )
    return made(node, nn.PReLU, count, found={"weight": slope.reshape(-1)})


def dropout(node: Node) -> nn.Layer:
    node.take("seed", 0)
    if node.opset < 12:
        return nn.Dropout(number(node.take("ratio", 0.5)))
    ratio, training = scalar("ratio", node.optional(1, "ratio")), node.optional(2, "training_mode")
    if training is not None and training.any():
        raise ValueError("training_mode: expected False, got True")
    return nn.Dropout(0.5 if ratio is None else number(ratio))


def gelu(node: Node) -> nn.Layer:
    form = node.take("approximate", "none")
    if form not in ("none", "tanh"):
        raise ValueError(f"approximate: expected none or tanh, got {_check.shown(form)}")
    return nn.GELU() if form == "none" else tanh_gelu(node)


def clip(node: Node) -> nn.Layer:
    if node.opset < 11:
        low, high = node.take("min"), node.take("max")
    else:
        low, high = scalar("min", node.optional(1, "min")), scalar("max", node.optional(2, "max"))
    limit = float(np.finfo(np.float32).max)  # an older exporter's way to say that there is none
    low = None if low is None or low <= -limit else number(low)
    high = None if high is None or high >= limit else number(high)
    return nn.ReLU6() if (low, high) == (0, 6) else nn.Clip(low, high)


def hard_sigmoid(node: Node) -> nn.Layer:
    alpha, beta = number(node.take("alpha", 0.2)), number(node.take("beta", 0.5))
    return nn.HardSigmoid() if sixth(alpha) and beta == 0.5 else nn.HardSigmoid(alpha, beta)


def local_response_norm(node: Node) -> nn.Layer:
    size = node.take("size")
    if size is None:
        raise ValueError("size: expected an attribute, got none")
    alpha, beta, k = (
        number(node.take(name, usual)) for name, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return nn.LocalResponseNorm(size, alpha=alpha, beta=beta, k=k)


def sixth(alpha: float) -> bool:
    """Whether it is 1/6, as far as ONNX's float32 can say so."""
    return bool(np.float32(alpha) == np.float32(1 / 6))


def softmax(node: Node) -> nn.Layer:
    kind = nn.Softmax if node.operator == "Softmax" else nn.LogSoftmax
    if node.opset >= 13:
        axis = node.take("axis", -1)
        if (axis >= 0 or node.rank is not None) and node.axis(axis) == 0:
            raise ValueError(f"axis: expected one behind the images', got {axis}")
        return kind(axis if node.place == FIRST else node.axis(axis))
    axis, sizes = node.axis(node.take("axis", 1)), node.sizes  # of all that is left from this axis on
    if node.place.axis and node.place.axis >= node.outer_axis(node.take("axis", 1)):
        raise ValueError("axis: expected one behind the images'")
    if sizes is None or axis == 0:
        raise (ValueError if sizes else UnknownShapeError)(
            "axis: expected one from 1 of a value of known rank, got another"
        )
    if all(extent == 1 for extent in sizes[axis:]):
        return kind(axis)
    if axis == 1 and None not in sizes:
        return nn.Sequential(nn.Flatten(), kind(1), nn.Reshape(sizes))  # type: ignore[arg-type]
    raise (UnknownShapeError if None in sizes else ValueError)(
        "axis: expected the last one, or 1, of a value of known shape, got another"
    )

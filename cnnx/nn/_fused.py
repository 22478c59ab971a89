"""Networks for inference: what follows a convolution, or a norm, channel by channel becomes part of its weights."""

import copy
from collections import Counter
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from .._check import Array
from ._flat import Flat
from ._layer import Layer
from .activation import Identity
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .layers import Affine, BatchNorm2d, Dropout
from .scale import Bias, Scale

Line = tuple[Any, ...]  # (name, layer, *inputs)


class Channels(NamedTuple):
    """y -> factor y + summand, channel by channel, in float64."""

    factor: Array
    summand: Array | None


def fused(flat: Flat, inputs: tuple[str, ...]) -> list[Line]:
    """The lines of the network without layers that it can do without, with copies of the others."""
    uses = Counter(value for call in flat.calls for value in call.sources)
    uses[flat.output] += 1
    names = [*inputs, *(call.place for call in flat.calls)]
    same = list(range(len(names)))  # which value stands for it
    lines: dict[int, tuple[Layer, Channels | None]] = {}  # of the values that remain, in their order
    for value, (_, layer, sources) in enumerate(flat.calls, flat.inputs):
        source = same[sources[0]]
        found = _channels(layer, lines[source][0]) if source in lines and uses[source] == 1 else None
        if type(layer) in (Dropout, Identity) and not (value == flat.output and source < flat.inputs):
            same[value] = source
            uses[source] += uses[value] - 1
        elif found is None:
            lines[value] = layer, None
        else:
            same[value], uses[source] = source, uses[value]
            lines[source] = lines[source][0], _one_behind_the_other(lines[source][1], found)
    return [
        (names[value], _copied(layer, channels), *(names[same[s]] for s in flat.calls[value - flat.inputs].sources))
        for value, (layer, channels) in lines.items()
    ]


def _channels(layer: Layer, before: Layer) -> Channels | None:
    """What `layer` does to the channels that `before` gives, if it is such a layer and `before` can do so itself."""
    if type(layer) not in (BatchNorm2d, Scale, Bias) or not _takes_channels(before):
        return None
    K, images = _given(before), not isinstance(before, Affine)
    if isinstance(layer, BatchNorm2d) and images:
        g, b, mean, var = (a.astype(np.float64) for a in {**layer.parameters, **layer.buffers}.values())
        factor = g / np.sqrt(var + layer.eps)
        return Channels(factor, b - mean * factor)
    if isinstance(layer, (Scale, Bias)) and layer.extents in (((K, 1, 1), (1, 1, 1)) if images else ((K,), (1,))):
        operand = np.broadcast_to(layer.operand.reshape(-1).astype(np.float64), K)
        return Channels(operand, None) if isinstance(layer, Scale) else Channels(np.ones(K), operand)
    return None


def _takes_channels(layer: Layer) -> TypeGuard[Conv2d | ConvTranspose2d | Affine | BatchNorm2d]:
    # What a class of one's own does is its own affair.
    return type(layer) in (Conv2d, ConvTranspose2d, Affine, BatchNorm2d)


def _given(layer: Conv2d | ConvTranspose2d | Affine | BatchNorm2d) -> int:
    """How many channels, or features, a layer gives."""
    if isinstance(layer, BatchNorm2d):
        return layer.channels
    return layer.out_features if isinstance(layer, Affine) else layer.out_channels


def _one_behind_the_other(first: Channels | None, then: Channels) -> Channels:
    if first is None:
        return then
    summand = then.summand if first.summand is None else first.summand * then.factor
    if first.summand is not None and then.summand is not None:
        summand = summand + then.summand
    return Channels(first.factor * then.factor, summand)


def _copied(layer: Layer, channels: Channels | None) -> Layer:
    """A copy; with what was found behind it in its weights."""
    layer = copy.deepcopy(layer)
    if channels is None or not _takes_channels(layer):
        return layer
    w = layer._parameters["weight"]
    wide = w.astype(np.float64)
    if isinstance(layer, ConvTranspose2d):  # its output channels are the second axis, those of each group
        groups = wide.reshape(layer.groups, -1, *wide.shape[1:])
        wide = (groups * channels.factor.reshape(layer.groups, 1, -1, 1, 1)).reshape(wide.shape)
    else:
        wide = wide * channels.factor.reshape(-1, *[1] * (wide.ndim - 1))
    own = layer._parameters.get("bias")
    before = None if own is None else own.astype(np.float64)
    bias = _one_behind_the_other(Channels(np.ones(1), before), channels).summand
    layer._parameters = {"weight": wide.astype(w.dtype)}
    if bias is not None:
        layer._parameters["bias"] = bias.astype(w.dtype)
        if not isinstance(layer, BatchNorm2d):
            layer.bias = True
    return layer

"""Operators with windows along one axis: sequences (N, C, L), which are maps of one row."""

import copy
from collections.abc import Callable

from ... import _check, nn
from .._operators import onnx
from .node import Known, Node, UnknownShapeError, Value

Converter = Callable[[Node], nn.Layer]

_FIRST = {"dilations": 1, "kernel_shape": 1, "output_padding": 0, "strides": 1}  # what they are along the only row


def of_rows(convert: Converter) -> Converter:
    """The same operator, which takes (N, C, L) too."""

    def converted(node: Node) -> nn.Layer:
        return _as_map(node, convert) if node.rank == 3 else convert(node)

    return converted


def _as_map(node: Node, convert: Converter) -> nn.Layer:
    """By maps (N, C, 1, L), and back."""
    channels, length = node.sizes or (None, None)
    if channels is None:
        raise UnknownShapeError("expected a known number of channels, got an open one")
    shape = (channels, 1, -1 if length is None else length)
    map_ = copy.copy(node)  # what it sees to and is to hold counts for both
    map_.inputs = [_deepened(one, (channels, 1, length)) for one in node.inputs]
    map_.sources = [one for one in map_.inputs if isinstance(one, Value)]
    map_._attributes = {name: _widened(name, attribute) for name, attribute in node._attributes.items()}
    layer = convert(map_)
    inner = layer.layers if isinstance(layer, nn.Sequential) else (layer,)
    given = next((one.out_channels for one in inner if isinstance(one, (nn.Conv2d, nn.ConvTranspose2d))), channels)
    return nn.Sequential(nn.Reshape(shape), *inner, nn.Reshape((given, -1)))


def _deepened(one: Known | Value | None, sizes: tuple[int | None, ...]) -> Known | Value | None:
    """A value, or an array of kernels, with an axis for the row."""
    if isinstance(one, Value):
        return one._replace(sizes=sizes)
    return Known.of(one.first[:, :, None]) if one is not None and one.first.ndim == 3 else one


def _widened(name: str, attribute: "onnx.AttributeProto") -> "onnx.AttributeProto":
    """What an attribute is for maps."""
    values = list(attribute.ints)
    if name in _FIRST or name == "pads":
        expected = 2 if name == "pads" else 1
        if len(values) != expected:
            raise ValueError(f"{name}: expected {expected} for one axis, got {_check.shown(values)}")
        first = _FIRST.get(name, 0)
        return onnx.helper.make_attribute(name, [number for each in values for number in (first, each)])
    if name == "output_shape" and values:
        return onnx.helper.make_attribute(name, [1, values[-1]])
    return attribute

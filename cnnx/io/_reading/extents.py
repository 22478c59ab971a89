"""The extents of what a layer gives, by trying it, where there is nothing to compute."""

import numpy as np

from ... import nn
from ..._check import Array
from ...nn.evaluate import evaluating
from .._operators import output as output_of
from .node import Value

_TRIED = 2**11, 2**12  # extents to put where they are open: halved again and again, they meet in a sum as they should


def sizes_of(layer: nn.Layer, sources: list[Value]) -> tuple[int | None, ...] | None:
    """The extents of what a layer gives, behind the batch: an extent that is not the same for two is open.

    Raises
    ------
    TypeError, ValueError
        Where all extents are known, and the layer takes no such images.
    """
    if any(each.sizes is None for each in sources):
        return None
    is_open = any(each.images is None for each in sources)
    if (declared := _declared(layer, sources[0])) is not None:
        return declared
    try:
        with evaluating(layer):
            shapes = [
                output_of(layer, *[_tried(each, extent) for each in sources]).shape[1:]
                for extent in _TRIED[: 1 + is_open]
            ]
    except (TypeError, ValueError):
        if is_open:  # these sizes are not its own, others may be
            return None
        raise
    first, last = shapes[0], shapes[-1]
    return tuple(a if a == b else None for a, b in zip(first, last, strict=True)) if len(first) == len(last) else None


def _declared(layer: nn.Layer, value: Value) -> tuple[int | None, ...] | None:
    """The extents of what a layer gives whose sizes come of others: there is nothing to try."""
    if isinstance(layer, nn.Reshape) and any(isinstance(each, str) for each in layer.shape):
        return tuple(each if isinstance(each, int) and each > 0 else None for each in layer.shape)
    sizes = list(value.sizes or ())
    if isinstance(layer, nn.Slice) and any(isinstance(each, str) for each in (layer.start, layer.stop)):
        sizes[layer.axis - 1] = None
    elif isinstance(layer, nn.Upsample2d) and isinstance(layer.size, tuple) and str in map(type, layer.size):
        sizes[1:] = [each if isinstance(each, int) else None for each in layer.size]
    elif isinstance(layer, nn.ZeroPad2d) and layer._inputs() != (1, 1):
        sizes[1:] = [None, None]
    else:
        return None
    return tuple(sizes)


def _tried(value: Value, extent: int) -> Array:
    """A batch of none, with this extent where it is open."""
    return np.zeros((0, *(extent if each is None else each for each in value.sizes or ())), value.dtype)

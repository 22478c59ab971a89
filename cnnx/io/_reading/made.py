"""Layers that hold arrays of the file."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ... import nn
from ..._check import Array
from ...nn.init import blank
from .._layers import arrays, fill
from .node import Node


def made(
    node: Node, kind: Callable[..., nn.Layer], *arguments: Any, found: dict[str, Array], **options: Any
) -> nn.Layer:
    """A layer that is to hold these arrays: once all of the network is known to be one, they are copied into it."""
    dtype = next(iter(found.values())).dtype
    with blank():
        layer = kind(*arguments, dtype=dtype, **options)
    own = {}
    for name, expected in arrays(layer).items():
        array = found[name]
        if (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{name}: expected {expected.dtype} {expected.shape}, got {array.dtype} {array.shape}")
        own[name] = np.zeros(array.shape, array.dtype)  # no memory before something is written to it
        node.fills.append((own[name], array))
    fill(layer, own)
    return layer

"""Layers that hold arrays of the file."""

import math
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


def operand(
    node: Node, kind: type[nn.Scale] | type[nn.Bias], name: str, constant: Array, *, learned: bool = True
) -> nn.Layer:
    """A value and a constant that broadcasts to it, or it to that: learnt, unless it is one number."""
    shape, place, rank = constant.shape, node.place, node.sources[0].rank
    if rank is not None and len(shape) > rank:
        raise ValueError(f"expected a constant of at most {rank} axes, as the other operand has, got shape {shape}")
    if rank is not None and place.axis is not None:
        whole = (1,) * (rank - len(shape)) + shape
        if whole[place.axis] != 1:
            raise ValueError(f"expected a constant for any number of images, got shape {constant.shape}")
        shape = *whole[: place.axis], *[1] * len(place.shared), *whole[place.axis + 1 :]
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if math.prod(shape) == 0:
        raise ValueError(f"expected a constant of at least one element, got shape {constant.shape}")
    learned = learned and math.prod(shape) > 1
    given = shape[0] if len(shape) == 3 and shape[1:] == (1, 1) and shape[0] > 1 else shape or (1,)
    return made(node, kind, given, learned=learned, found={name: constant.reshape(-1)})

"""Steps of a compiled network. A convolution does what stands behind it on its way: a sum with another value, a clip.
Weights are packed once, where that pays.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .. import backend as _backend
from .._check import Array
from ..backend import Call
from ._plan import on_a_line

Step = Callable[[], object]
Part = Call | Step

ORDER = "u", "v", "p_h", "p_w", "d_h", "d_w", "groups"  # of a convolution's numbers


@dataclass
class _Finished:
    """A convolution, and what follows it in its output's own memory."""

    call: Call
    other: Array | None = None  # what is added
    low: float = -math.inf
    high: float = math.inf
    clipped: bool = False
    packed: bool = False  # whether its weights may be kept in another order

    def step(self) -> Step:
        kernel, arrays, numbers = self.call
        panels = _panels(self.call) if self.packed else None
        if panels is not None:
            x, _, b, y = arrays
            conv2d = _backend.packed_layers(y.dtype.name).conv2d
            return partial(conv2d, x, panels, b, self.other, y, self.low, self.high, _window(self.call))
        if self.other is None and not self.clipped:
            return partial(kernel, *arrays, **numbers)
        *given, y = arrays
        finished = _backend.finished_conv2d(y.dtype.name)
        return partial(finished, *given, self.other, y, self.low, self.high, tuple(numbers[one] for one in ORDER))

    def takes(self, call: Call, kernels: dict[str, Any]) -> bool:
        """Whether the next call could be made a part of it, and now is one."""
        kernel, arrays, numbers = call
        if self.clipped:  # nothing comes behind that
            return False
        y = self.call[1][-1]
        *given, result = (a.reshape(-1) if a.flags.c_contiguous else a for a in arrays)
        mine = [x for x in given if _same(x, y)]
        if not _same(result, y) or len(mine) != 1 or any(x.shape != result.shape for x in given):
            return False
        if kernel is kernels["add"] and self.other is None:
            other = given[0] if mine[0] is given[1] else given[1]
            if not np.may_share_memory(other, y):
                self.other = other.reshape(y.shape)
                return True
        elif kernel is kernels["relu"]:
            self.low, self.clipped = 0.0, True
        elif kernel is kernels["clip"]:
            self.low, self.high, self.clipped = numbers["low"], numbers["high"], True
        return self.clipped


def joined(calls: Sequence[Part], dtype: str, constant: Callable[[Array], bool]) -> list[Step]:
    """The calls as steps, fewer where the optimized back end's convolution does what comes behind it.

    The bits stay: its outputs have the same sums, and are added to and clipped by the same operations. Where they are
    written once instead of twice or three times, that always pays. Packed weights do not change the order of sums.
    `constant` says of an array whether it will be the same at each call.
    """
    kernels = {name: _backend.kernel(name, dtype, "optimized") for name in ("conv2d", "affine", "add", "relu", "clip")}
    found: list[_Finished | Step] = []
    for call in calls:
        if callable(call):
            found.append(call)
        elif call[0] is kernels["conv2d"]:
            found.append(_Finished(call, packed=constant(call[1][1])))
        elif call[0] is kernels["affine"] and constant(call[1][1]):
            found.append(_affine(call))
        elif not (found and isinstance(found[-1], _Finished) and found[-1].takes(call, kernels)):
            found.append(partial(call[0], *call[1], **call[2]))
    return [one.step() if isinstance(one, _Finished) else one for one in found]


def _window(call: Call) -> tuple[int, ...] | None:
    """What of an image a convolution's windows take; None where that is each number by itself."""
    _, (x, weight, _, y), numbers = call
    window = *weight.shape[2:], *(numbers[one] for one in ORDER[:-1])
    return None if window[:4] == (1, 1, 1, 1) and x.shape[2:] == y.shape[2:] else window


def _panels(call: Call) -> Array | None:
    """A convolution's weights, packed; None where that is not faster."""
    _, (x, weight, _, y), numbers = call
    if numbers["groups"] != 1 or 0 in (*x.shape, *y.shape):
        return None
    matrix, layers = weight.reshape(len(weight), -1), _backend.packed_layers(y.dtype.name)
    pays = layers.pays(matrix, len(y), math.prod(y.shape[2:]), _window(call) is None)
    return _packed(matrix, layers) if pays else None


def _affine(call: Call) -> Step:
    """An affine layer, its weights packed where that is faster."""
    kernel, (x, weight, bias, y), numbers = call
    layers = _backend.packed_layers(y.dtype.name)
    if 0 in weight.shape or not layers.pays_samples(weight, len(x)):
        return partial(kernel, x, weight, bias, y, **numbers)
    return partial(layers.affine, x, _packed(weight, layers), bias, y)


def _packed(matrix: Array, layers: _backend.PackedLayers) -> Array:
    panels = on_a_line("packed weights", layers.padded(matrix) * matrix.itemsize).view(matrix.dtype)
    layers.pack(matrix, panels)
    return panels


def _same(x: Array, y: Array) -> bool:
    """Whether they are the same numbers in the same memory."""
    return x.ctypes.data == y.ctypes.data and x.nbytes == y.nbytes

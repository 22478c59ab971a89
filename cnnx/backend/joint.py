"""What the optimized back end has beside kernels: several of them in one, with their bits.

No kernels themselves: none has an equation of its own, nor a twin.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from .. import native
from .registry import C_TYPES, kernels_of

Functions = TypeVar("Functions", bound=tuple[Any, ...])


def finished_conv2d(dtype: str) -> Callable[..., None]:
    """What computes conv2d of the optimized back end, a sum with another array and a clip in one.

    `finished(x, weight, bias, other or None, y, low, high, (u, v, p_h, p_w, d_h, d_w, groups))`.
    """
    finished: Callable[..., None] = native.kernels("conv2d").FINISHED[dtype]
    return finished


class JointBatchNorm(NamedTuple):
    """Kernels of batch normalisation in a row."""

    statistics: Callable[..., None]  # x, mean, var
    gradients: Callable[..., None]  # grad_output, x, weight, mean, var, grad_weight, grad_bias, grad_x, eps=


@functools.cache
def joint_batch_norm(dtype: str) -> JointBatchNorm:
    """Those of a dtype."""
    kernels_of("optimized")  # first, as it says what the environment has wrong
    return _of_type(JointBatchNorm, "batch_norm2d", dtype)


class PackedLayers(NamedTuple):
    """Layers whose weights stay as they are.

    A matrix of weights is (outputs, terms), and its panels a vector on a cache line.
    """

    # Weights, images, positions of each, whether they serve as they lie: whether conv2d had better be packed.
    pays: Callable[[Any, int, int, bool], bool]
    pays_samples: Callable[[Any, int], bool]  # weights, samples: likewise affine
    padded: Callable[[Any], int]  # how many numbers their panels are
    pack: Callable[[Any, Any], None]  # weights, panels
    # x, panels, bias, other or None, y, low, high, (rows, columns of a kernel, u, v, p_h, p_w, d_h, d_w), or None for
    # windows of one number at every number of the image.
    conv2d: Callable[..., None]
    affine: Callable[..., None]  # x, panels, bias, y


def packed_layers(dtype: str) -> PackedLayers:
    """Those of a dtype."""
    return _of_type(PackedLayers, "_packed", dtype)


def _of_type(kind: type[Functions], module: str, dtype: str) -> Functions:
    """A module's functions, by the names of the fields."""
    functions = native.kernels(module)
    return kind(*(getattr(functions, f"_{name}").__signatures__[C_TYPES[dtype]] for name in kind.__annotations__))

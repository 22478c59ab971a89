"""MobileNetV2 (Sandler et al. 2018): narrow values that are widened, filtered map by map, and narrowed."""

from typing import Any

import numpy.typing as npt

from .. import _check
from ._arguments import Seed, below_one, generator, number
from ._layer import Layer
from .activation import ReLU6
from .conv2d import Conv2d
from .graph import Graph
from .layers import Affine, BatchNorm2d, Dropout, Flatten
from .merge import Add
from .pooling import GlobalAvgPool2d
from .sequential import Sequential

# Table 2 of the paper: how many times wider within a block, channels, how many blocks, the first one's stride.
_BLOCKS = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)


def mobilenet_v2(
    in_channels: int,
    classes: int,
    *,
    width_multiplier: float = 1.0,
    small_images: bool = False,
    dropout: float = 0.2,
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Graph:
    """MobileNetV2 for images of any size: a convolution, 17 inverted residuals, a convolution, each map's mean, affine.

    Lines have the names that torchvision gives its modules, so that weights of that network fit by name. The softmax is
    CrossEntropy's. Not in the sources.

    Parameters
    ----------
    in_channels, classes : int
        Channels of the images, output units.
    width_multiplier : float
        On all numbers of channels, which are then rounded to a multiple of 8, at least 8; above 0.
    small_images : bool
        False halves rows and columns five times, rounding up. True, for images of some 32 rows, three times: the
        first convolution and the first wide block keep them.
    dropout : float
        Before the affine layer; from 0 to below 1.
    dtype, seed, backend
        As the layers take them; all weights and dropout's masks are drawn from the one seed, layer by layer (`he`).

    Returns
    -------
    Graph

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range.

    Examples
    --------
    >>> from cnnx import nn
    >>> model = nn.mobilenet_v2(3, 10, width_multiplier=0.25, seed=0)
    >>> model["features"][3]
    Graph(
      conv = Sequential(
        (0) Sequential(
          (0) Conv2d(8, 48, 1, bias=False)
          (1) BatchNorm2d(48)
          (2) ReLU6()
        )
        (1) Sequential(
          (0) Conv2d(48, 48, 3, padding=1, groups=48, bias=False)
          (1) BatchNorm2d(48)
          (2) ReLU6()
        )
        (2) Conv2d(48, 8, 1, bias=False)
        (3) BatchNorm2d(8)
      )(x)
      add = Add()(conv, x)
    )
    >>> [name for name, *_ in model.lines]
    ['features', 'avgpool', 'flatten', 'classifier']
    """
    before, classes = _check.integer("in_channels", in_channels, 1), _check.integer("classes", classes, 1)
    width = number("width_multiplier", width_multiplier, "a number above 0", lambda v: v > 0)
    small = _check.flag("small_images", small_images)
    shared: dict[str, Any] = dict(dtype=dtype, seed=generator(seed), backend=backend)
    channels = _rounded(32 * width)
    features: list[Layer] = [_normalised(before, channels, 3, shared, stride=1 if small else 2)]
    for i, (wider, filters, count, stride) in enumerate(_BLOCKS):
        filters = _rounded(filters * width)
        for k in range(count):
            step = stride if k == 0 and not (small and i == 1) else 1
            features.append(_inverted_residual(channels, filters, step, wider, shared))
            channels = filters
    last = _rounded(1280 * max(1.0, width))
    features.append(_normalised(channels, last, 1, shared))
    return Graph(
        ("features", Sequential(*features)),
        ("avgpool", GlobalAvgPool2d(backend=backend)),
        ("flatten", Flatten()),
        (
            "classifier",
            Sequential(
                Dropout(below_one("dropout", dropout), seed=shared["seed"], backend=backend),
                Affine(last, classes, **shared),
            ),
        ),
    )


def _rounded(channels: float) -> int:
    """To a multiple of 8, but not to less than nine tenths, as the authors' program does it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _normalised(
    channels: int, filters: int, size: int, shared: dict[str, Any], *, stride: int = 1, groups: int = 1
) -> Sequential:
    """A convolution, batch normalisation, ReLU6."""
    options: dict[str, Any] = dict(stride=stride, padding=size // 2, groups=groups, bias=False)
    return Sequential(
        Conv2d(channels, filters, size, **options, **shared),
        BatchNorm2d(filters, dtype=shared["dtype"], backend=shared["backend"]),
        ReLU6(backend=shared["backend"]),
    )


def _inverted_residual(channels: int, filters: int, stride: int, wider: int, shared: dict[str, Any]) -> Graph:
    """Wider by a convolution 1x1, each map by one 3x3, narrow by another 1x1; what came in is added, where it fits."""
    hidden = channels * wider
    layers: list[Layer] = [] if wider == 1 else [_normalised(channels, hidden, 1, shared)]
    layers += [
        _normalised(hidden, hidden, 3, shared, stride=stride, groups=hidden),
        Conv2d(hidden, filters, 1, bias=False, **shared),
        BatchNorm2d(filters, dtype=shared["dtype"], backend=shared["backend"]),
    ]
    past = [("add", Add(backend=shared["backend"]), "conv", "x")] if (channels, stride) == (filters, 1) else []
    return Graph(("conv", Sequential(*layers)), *past)

"""ResNet-18 (He, Zhang, Ren, Sun 2016): residual blocks, whose values go past two convolutions and are added behind."""

from typing import Any, Literal

import numpy.typing as npt

from .. import _check
from ._arguments import Seed, generator
from .activation import ReLU
from .conv2d import Conv2d
from .graph import Graph
from .layers import Affine, BatchNorm2d, Flatten
from .merge import Add
from .pooling import GlobalAvgPool2d, MaxPool2d
from .sequential import Sequential


def resnet18(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    small_images: bool = False,
    algorithm: Literal["direct", "auto"] = "direct",
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Graph:
    """ResNet-18 for images of any size: a convolution, four pairs of residual blocks, the mean of each map, affine.

    Blocks halve rows and columns, rounding up, and double the channels at the beginning of each pair but the first.
    Lines have the names that torchvision gives its modules, so that weights of that network fit by name. The softmax is
    CrossEntropy's. Not in the sources.

    Parameters
    ----------
    in_channels, classes : int
        Channels of the images, output units.
    width : int
        Channels of the first blocks; the paper's are 64.
    small_images : bool
        False begins with a convolution 7x7 and a pooling, which quarter rows and columns. True, for images of some 32
        rows, begins with a convolution 3x3 that keeps them.
    algorithm : "direct" or "auto"
        The convolutions', as `cnnx.conv2d` takes it.
    dtype, seed, backend
        As the layers take them; all weights are drawn from the one seed, layer by layer (`he`).

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
    >>> model = nn.resnet18(1, 10, width=8, small_images=True, seed=0)
    >>> model["layer2.0"]
    Graph(
      conv1 = Conv2d(8, 16, 3, stride=2, padding=1, bias=False)(x)
      bn1 = BatchNorm2d(16)(conv1)
      relu1 = ReLU()(bn1)
      conv2 = Conv2d(16, 16, 3, padding=1, bias=False)(relu1)
      bn2 = BatchNorm2d(16)(conv2)
      downsample = Sequential(
        (0) Conv2d(8, 16, 1, stride=2, bias=False)
        (1) BatchNorm2d(16)
      )(x)
      add = Add()(bn2, downsample)
      relu2 = ReLU()(add)
    )
    >>> [name for name, *_ in model.lines]  # doctest: +NORMALIZE_WHITESPACE
    ['conv1', 'bn1', 'relu', 'layer1.0', 'layer1.1', 'layer2.0', 'layer2.1', 'layer3.0', 'layer3.1', 'layer4.0',
     'layer4.1', 'avgpool', 'flatten', 'fc']
    """
    channels, classes = _check.integer("in_channels", in_channels, 1), _check.integer("classes", classes, 1)
    width = _check.integer("width", width, 1)
    shared: dict[str, Any] = dict(dtype=dtype, seed=generator(seed), backend=backend)
    _check.choice("algorithm", algorithm, ("direct", "auto"))
    convolution = shared | {"algorithm": algorithm}
    first = dict(kernel_size=3, padding=1) if _check.flag("small_images", small_images) else _LARGE
    lines: list[tuple[Any, ...]] = [
        ("conv1", Conv2d(channels, width, bias=False, **first, **convolution)),
        ("bn1", BatchNorm2d(width, dtype=dtype, backend=backend)),
        ("relu", ReLU(backend=backend)),
    ]
    if not small_images:
        lines.append(("maxpool", MaxPool2d(3, stride=2, padding=1, backend=backend)))
    channels = width
    for pair, filters in enumerate((width, 2 * width, 4 * width, 8 * width), 1):
        lines += [
            (f"layer{pair}.0", _block(channels, filters, 1 if pair == 1 else 2, convolution)),
            (f"layer{pair}.1", _block(filters, filters, 1, convolution)),
        ]
        channels = filters
    return Graph(
        *lines,
        ("avgpool", GlobalAvgPool2d(backend=backend)),
        ("flatten", Flatten()),
        ("fc", Affine(channels, classes, **shared)),
    )


_LARGE: dict[str, Any] = dict(kernel_size=7, stride=2, padding=3)


def _block(channels: int, filters: int, stride: int, convolution: dict[str, Any]) -> Graph:
    """Two convolutions 3x3, and what comes in added: as it is, or by a convolution 1x1 where its shape is another."""
    normal = dict(dtype=convolution["dtype"], backend=convolution["backend"])
    lines: list[tuple[Any, ...]] = [
        ("conv1", Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False, **convolution)),
        ("bn1", BatchNorm2d(filters, **normal)),
        ("relu1", ReLU(backend=convolution["backend"])),
        ("conv2", Conv2d(filters, filters, 3, padding=1, bias=False, **convolution)),
        ("bn2", BatchNorm2d(filters, **normal)),
    ]
    past = "x"
    if (channels, stride) != (filters, 1):
        past = "downsample"
        fitting = Conv2d(channels, filters, 1, stride=stride, bias=False, **convolution)
        lines.append((past, Sequential(fitting, BatchNorm2d(filters, **normal)), "x"))
    return Graph(
        *lines,
        ("add", Add(backend=convolution["backend"]), "bn2", past),
        ("relu2", ReLU(backend=convolution["backend"])),
    )

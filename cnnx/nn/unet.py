"""U-Net (Ronneberger, Fischer, Brox 2015): down to small maps of many channels, and up again with those passed."""

from typing import Any, Literal

import numpy.typing as npt

from .. import _check
from ._arguments import Seed, generator
from ._layer import Layer
from .activation import ReLU
from .conv2d import Conv2d
from .conv_transpose2d import ConvTranspose2d
from .graph import Graph
from .layers import BatchNorm2d
from .merge import Concat
from .pooling import MaxPool2d
from .sequential import Sequential
from .upsample import Upsample2d

_DEEPEST = 16


def unet(
    in_channels: int,
    classes: int,
    *,
    width: int = 64,
    depth: int = 4,
    upsampling: Literal["transposed", "nearest", "bilinear"] = "transposed",
    algorithm: Literal["direct", "auto"] = "direct",
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Graph:
    """U-Net for images whose rows and columns are multiples of 2^depth: a number for each class at each pixel.

    On the way down each step is a block of two convolutions 3x3, and a pooling that halves rows and columns; the next
    block has twice the channels. On the way up rows and columns are doubled and channels halved, the map of that size
    from the way down comes beside, and a block makes one of both. A convolution 1x1 is the last. Unlike the paper's,
    convolutions are padded, so that no map is cropped, and normalised. Not in the sources.

    Parameters
    ----------
    in_channels, classes : int
        Channels of the images, and of the output (N, classes, H, W), on which no softmax is.
    width : int
        Channels of the first block; the paper's are 64.
    depth : int
        How often rows and columns are halved, 1 to 16; the paper's 4.
    upsampling : "transposed", "nearest" or "bilinear"
        A transposed convolution 2x2 of stride 2, as the paper has, or `Upsample2d` by that mode and a convolution 3x3.
    algorithm : "direct" or "auto"
        The convolutions', as `cnnx.conv2d` takes it.
    dtype, seed, backend
        As the layers take them; all weights are drawn from the one seed, layer by layer (`he`).

    Returns
    -------
    Graph
        Where rows or columns are no multiple of 2^depth, its forward call raises the ValueError of the `Concat` whose
        maps do not fit.

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range.

    Examples
    --------
    >>> from cnnx import nn
    >>> model = nn.unet(1, 2, width=8, depth=2, seed=0)
    >>> model["down1"]
    Sequential(
      (0) Conv2d(1, 8, 3, padding=1, bias=False)
      (1) BatchNorm2d(8)
      (2) ReLU()
      (3) Conv2d(8, 8, 3, padding=1, bias=False)
      (4) BatchNorm2d(8)
      (5) ReLU()
    )
    >>> for name, layer, *inputs in model.lines:
    ...     print(name, type(layer).__name__, *inputs)
    down1 Sequential x
    pool1 MaxPool2d down1
    down2 Sequential pool1
    pool2 MaxPool2d down2
    bottom Sequential pool2
    grow2 ConvTranspose2d bottom
    both2 Concat down2 grow2
    up2 Sequential both2
    grow1 ConvTranspose2d up2
    both1 Concat down1 grow1
    up1 Sequential both1
    head Conv2d up1
    """
    channels, classes = _check.integer("in_channels", in_channels, 1), _check.integer("classes", classes, 1)
    width, depth = _check.integer("width", width, 1), _check.integer("depth", depth, 1)
    if depth > _DEEPEST:
        raise ValueError(f"depth: expected an integer from 1 to {_DEEPEST}, got {depth}")
    _check.choice("upsampling", upsampling, ("transposed", "nearest", "bilinear"))
    _check.choice("algorithm", algorithm, ("direct", "auto"))
    shared: dict[str, Any] = dict(dtype=dtype, seed=generator(seed), backend=backend, algorithm=algorithm)
    lines: list[tuple[Any, ...]] = []
    below = "x"
    for step in range(1, depth + 1):
        filters = width * 2 ** (step - 1)
        lines += [
            (f"down{step}", _block(channels, filters, shared), below),
            (f"pool{step}", MaxPool2d(2, backend=backend), f"down{step}"),
        ]
        channels, below = filters, f"pool{step}"
    lines.append(("bottom", _block(channels, 2 * channels, shared), below))
    below = "bottom"
    for step in range(depth, 0, -1):
        filters = width * 2 ** (step - 1)
        lines += [
            (f"grow{step}", _doubled(2 * filters, filters, upsampling, shared), below),
            (f"both{step}", Concat(), f"down{step}", f"grow{step}"),
            (f"up{step}", _block(2 * filters, filters, shared), f"both{step}"),
        ]
        below = f"up{step}"
    return Graph(*lines, ("head", Conv2d(width, classes, 1, **shared), below))


def _block(channels: int, filters: int, shared: dict[str, Any]) -> Sequential:
    """Two convolutions 3x3, each with batch normalisation and ReLU."""
    layers: list[Layer] = []
    for inputs in (channels, filters):
        layers += [
            Conv2d(inputs, filters, 3, padding=1, bias=False, **shared),
            BatchNorm2d(filters, dtype=shared["dtype"], backend=shared["backend"]),
            ReLU(backend=shared["backend"]),
        ]
    return Sequential(*layers)


def _doubled(channels: int, filters: int, upsampling: Any, shared: dict[str, Any]) -> Layer:
    """Twice the rows and columns, fewer channels."""
    if upsampling == "transposed":
        options = {name: shared[name] for name in ("dtype", "seed", "backend")}
        return ConvTranspose2d(channels, filters, 2, stride=2, **options)
    larger = Upsample2d(2, mode=upsampling, backend=shared["backend"])
    return Sequential(larger, Conv2d(channels, filters, 3, padding=1, **shared))

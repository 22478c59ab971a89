"""The sources' networks: CN's for digits and D19's for o and x."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from ..ops import _check
from ..ops._conv import Algorithm
from ._arguments import Seed, below_one, generator
from ._layer import Layer
from .activation import ReLU, Sigmoid
from .conv2d import Conv2d
from .layers import Affine, Dropout, Flatten
from .pooling import MaxPool2d
from .sequential import Sequential


def cn_network(
    *,
    image: tuple[int, int, int] = (1, 28, 28),
    classes: int = 10,
    filters: int = 4,
    conv_layers: int = 2,
    hidden: int = 20,
    dropout: float = 0.0,
    algorithm: Algorithm = "direct",
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Sequential:
    """CN's network for MNIST: 2 x [convolution 3x3 pad 1; ReLU; max pooling 2x2], affine, ReLU, affine.

    He initialisation of all weights from one seed, layer by layer; biases zero. The softmax is
    CrossEntropy's. Source: CN (its CNNClassifier(n_conv_node=4, n_conv_layer=2, n_hidden_node=20,
    n_hidden_layer=1, dropout=0)).

    Parameters
    ----------
    image : (C, H, W)
        What comes in; each convolution block halves H and W, rounding down.
    classes, filters, conv_layers, hidden : int
        Output units, channels of each convolution, their number, units of the hidden layer.
    dropout : float
        Behind the hidden layer; 0 leaves the layer out.
    algorithm : "direct" or "winograd"
        The convolutions', as `cnnx.conv2d` takes it.
    dtype, seed, backend
        As the layers take them.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range; an image that the pooling would use up.

    Examples
    --------
    >>> import cnnx.nn
    >>> cnnx.nn.cn_network(seed=0)
    Sequential(
      (0) Conv2d(1, 4, 3, padding=1)
      (1) ReLU()
      (2) MaxPool2d(2)
      (3) Conv2d(4, 4, 3, padding=1)
      (4) ReLU()
      (5) MaxPool2d(2)
      (6) Flatten()
      (7) Affine(196, 20)
      (8) ReLU()
      (9) Affine(20, 10)
    )
    """
    if not isinstance(image, (tuple, list)) or len(image) != 3:
        raise TypeError(f"image: expected three integers (C, H, W), got {_check.shown(image)}")
    channels, rows, columns = (_check.integer(f"image[{i}]", extent, 1) for i, extent in enumerate(image))
    filters, hidden = _check.integer("filters", filters, 1), _check.integer("hidden", hidden, 1)
    conv_layers, classes = _check.integer("conv_layers", conv_layers, 1), _check.integer("classes", classes, 1)
    dropout = below_one("dropout", dropout)
    if not rows >> conv_layers or not columns >> conv_layers:
        raise ValueError(f"image: expected rows and columns that can be halved {conv_layers} times, got {image}")
    random = generator(seed)
    layers: list[Layer] = []
    for _ in range(conv_layers):
        convolution = Conv2d(
            channels, filters, 3, padding=1, algorithm=algorithm, dtype=dtype, seed=random, backend=backend
        )
        layers += [convolution, ReLU(backend=backend), MaxPool2d(2, backend=backend)]
        channels, rows, columns = filters, rows // 2, columns // 2
    layers += [
        Flatten(),
        Affine(channels * rows * columns, hidden, dtype=dtype, seed=random, backend=backend),
        ReLU(backend=backend),
    ]
    if dropout:
        layers.append(Dropout(dropout, seed=random, backend=backend))
    return Sequential(*layers, Affine(hidden, classes, dtype=dtype, seed=random, backend=backend))


def ox_network(
    *, dtype: npt.DTypeLike = "float64", ties: Literal["first", "all"] = "first", backend: str | None = None
) -> Sequential:
    """D19's network that tells o from x, with D19's weights at the start.

    Convolution 2x2 to two maps, sigmoid, max pooling 2x2, affine to two units, sigmoid; its cost is
    SquaredError(reduction="sum"). Source: D19 (equations.md section 7).

    Parameters
    ----------
    dtype, backend
        As the layers take them.
    ties : "first" or "all"
        As `MaxPool2d` takes it; D19 prints "all".

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import cnnx.data, cnnx.nn
    >>> cnnx.nn.ox_network().forward(cnnx.data.ox_images("two").images).round(4)
    array([[0.2268, 0.8219],
           [0.1719, 0.865 ]])
    """
    model = Sequential(
        Conv2d(1, 2, 2, dtype=dtype, seed=0, backend=backend),
        Sigmoid(backend=backend),
        MaxPool2d(2, ties=ties, backend=backend),
        Flatten(),
        Affine(2, 2, dtype=dtype, seed=0, backend=backend),
        Sigmoid(backend=backend),
    )
    start = {
        "0.weight": [[[[1, 1], [1, -1]]], [[[1, -1], [-1, 1]]]],
        "0.bias": [1, 1],
        "4.weight": [[1.5, -4.2], [-2.6, 3.5]],
        "4.bias": [1, 1],
    }
    for name, values in start.items():
        model.parameters[name][...] = np.array(values)
    return model

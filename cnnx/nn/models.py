"""Networks: a CNN and an MLP of any size, CN's for digits and D19's for o and x."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _check
from .._check import Pair
from ..ops._conv import Algorithm
from ._arguments import Seed, below_one, generator
from ._layer import Layer
from .activation import ELU, GELU, Identity, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from .conv2d import Conv2d
from .layers import Affine, Dropout, Flatten
from .pooling import AvgPool2d, LpPool2d, MaxPool2d
from .sequential import Sequential

# Names for activations, with the rule for the weights before them. Step is none: it would stop every gradient.
ACTIVATIONS: dict[str, tuple[type[Layer], str]] = {
    "relu": (ReLU, "he"),
    "leaky_relu": (LeakyReLU, "he"),
    "elu": (ELU, "he"),
    "gelu": (GELU, "he"),
    "softplus": (Softplus, "he"),
    "sigmoid": (Sigmoid, "xavier"),
    "tanh": (Tanh, "xavier"),
    "identity": (Identity, "xavier"),
}
POOLINGS: dict[str, Callable[..., Layer]] = {"max": MaxPool2d, "avg": AvgPool2d, "lp": partial(LpPool2d, 2)}


def cnn(
    image: tuple[int, int, int],
    classes: int,
    *,
    conv_channels: tuple[int, ...] = (4, 4),
    kernel_size: int | Pair = 3,
    hidden_sizes: tuple[int, ...] = (20,),
    activation: str = "relu",
    pooling: Literal["max", "avg", "lp"] | None = "max",
    dropout: float = 0.0,
    algorithm: Algorithm = "direct",
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Sequential:
    """A network of [convolution, activation, pooling 2x2], ..., then [affine, activation], ..., affine.

    Convolutions keep rows and columns ("same" padding), each pooling halves them, rounding down. On small maps
    both are clipped: windows to the map, kernels to the taps that meet it at all (2 H - 1 by 2 W - 1); a window
    of one pixel is left out. The softmax is CrossEntropy's.

    Parameters
    ----------
    image : (C, H, W)
        What comes in.
    classes : int
        Output units.
    conv_channels : tuple of int
        Channels of each convolution; at least one.
    kernel_size : int or (rows, columns)
        Of every convolution.
    hidden_sizes : tuple of int
        Units of each hidden layer; () for none.
    activation : str
        "relu", "leaky_relu", "elu", "gelu", "softplus" (He initialisation of all weights), "sigmoid", "tanh" or
        "identity" (Xavier's); biases are zero.
    pooling : "max", "avg", "lp" (the Euclidean norm) or None
    dropout : float
        Behind each hidden layer; 0 leaves the layers out.
    algorithm : "direct", "winograd" or "auto"
        The convolutions', as `cnnx.conv2d` takes it.
    dtype, seed, backend
        As the layers take them; all weights and dropout's masks are drawn from the one seed, layer by layer.

    Returns
    -------
    Sequential

    Raises
    ------
    TypeError, ValueError
        An argument of another type or out of its range.

    Examples
    --------
    >>> from cnnx import nn
    >>> nn.cnn((1, 8, 8), 10, conv_channels=(8,), kernel_size=(3, 5), hidden_sizes=(), pooling="avg", seed=0)
    Sequential(
      (0) Conv2d(1, 8, (3, 5), padding=(1, 2))
      (1) ReLU()
      (2) AvgPool2d(2)
      (3) Flatten()
      (4) Affine(128, 10)
    )
    """
    channels, rows, columns = _image(image)
    kernel = _check.pair("kernel_size", kernel_size, 1)
    activate, init = _activation(activation)
    pool = None if pooling is None else POOLINGS[_check.choice("pooling", pooling, tuple(POOLINGS))]
    shared: dict[str, Any] = dict(dtype=dtype, seed=generator(seed), init=init, backend=backend)
    layers: list[Layer] = []
    for filters in _sizes("conv_channels", conv_channels, 1):
        taps = min(kernel[0], 2 * rows - 1), min(kernel[1], 2 * columns - 1)
        padding: Any = _shortest((taps[0] // 2, taps[1] // 2)) if taps[0] % 2 and taps[1] % 2 else "same"
        layers += [
            Conv2d(channels, filters, _shortest(taps), padding=padding, algorithm=algorithm, **shared),
            activate(backend=backend),
        ]
        window = min(2, rows), min(2, columns)
        if pool is not None and window != (1, 1):
            layers.append(pool(_shortest(window), backend=backend))
            rows, columns = rows // window[0], columns // window[1]
        channels = filters
    return _ended(layers, channels * rows * columns, classes, hidden_sizes, activate, dropout, shared)


def mlp(
    inputs: int,
    classes: int,
    *,
    hidden_sizes: tuple[int, ...] = (20,),
    activation: str = "relu",
    dropout: float = 0.0,
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    backend: str | None = None,
) -> Sequential:
    """A network of [affine, activation], ..., affine; images of `inputs` pixels are flattened first.

    Parameters, results and errors are `cnn`'s, without the convolutions'.

    Examples
    --------
    >>> from cnnx import nn
    >>> nn.mlp(784, 10, seed=0)
    Sequential(
      (0) Flatten()
      (1) Affine(784, 20)
      (2) ReLU()
      (3) Affine(20, 10)
    )
    """
    activate, init = _activation(activation)
    shared: dict[str, Any] = dict(dtype=dtype, seed=generator(seed), init=init, backend=backend)
    return _ended([], _check.integer("inputs", inputs, 1), classes, hidden_sizes, activate, dropout, shared)


def _ended(
    layers: list[Layer],
    inputs: int,
    classes: int,
    hidden_sizes: tuple[int, ...],
    activate: type[Layer],
    dropout: float,
    shared: dict[str, Any],
) -> Sequential:
    """The network: `layers`, and behind them the affine ones."""
    classes, rate = _check.integer("classes", classes, 1), below_one("dropout", dropout)
    layers.append(Flatten())
    for units in _sizes("hidden_sizes", hidden_sizes, 0):
        layers += [Affine(inputs, units, **shared), activate(backend=shared["backend"])]
        if rate:
            layers.append(Dropout(rate, seed=shared["seed"], backend=shared["backend"]))
        inputs = units
    return Sequential(*layers, Affine(inputs, classes, **shared))


def _image(image: object) -> tuple[int, ...]:
    if not isinstance(image, (tuple, list)) or len(image) != 3:
        raise TypeError(f"image: expected three integers (C, H, W), got {_check.shown(image)}")
    return tuple(_check.integer(f"image[{i}]", extent, 1) for i, extent in enumerate(image))


def _activation(name: object) -> tuple[type[Layer], str]:
    return ACTIVATIONS[_check.choice("activation", name, tuple(ACTIVATIONS))]


def _sizes(name: str, sizes: object, least: int) -> list[int]:
    """The sizes of layers, at least `least` many of them."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(f"{name}: expected a tuple of integers, got {type(sizes).__name__} {_check.shown(sizes)}")
    if len(sizes) < least:
        raise ValueError(f"{name}: expected at least {least} of them, got {_check.shown(sizes)}")
    return [_check.integer(f"{name}[{i}]", size, 1) for i, size in enumerate(sizes)]


def _shortest(pair: Pair) -> int | Pair:
    return pair[0] if pair[0] == pair[1] else pair


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

    `cnn` with these sizes. Source: CN (its CNNClassifier(n_conv_node=4, n_conv_layer=2, n_hidden_node=20,
    n_hidden_layer=1, dropout=0)).

    Parameters
    ----------
    image : (C, H, W)
        What comes in; each convolution block halves H and W, rounding down.
    classes, filters, conv_layers, hidden : int
        Output units, channels of each convolution, their number, units of the hidden layer.
    dropout : float
        Behind the hidden layer; 0 leaves the layer out.
    algorithm : "direct", "winograd" or "auto"
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
    _, rows, columns = _image(image)
    filters, hidden = _check.integer("filters", filters, 1), _check.integer("hidden", hidden, 1)
    conv_layers = _check.integer("conv_layers", conv_layers, 1)
    if not rows >> conv_layers or not columns >> conv_layers:
        raise ValueError(f"image: expected rows and columns that can be halved {conv_layers} times, got {image}")
    return cnn(
        image,
        classes,
        conv_channels=(filters,) * conv_layers,
        hidden_sizes=(hidden,),
        dropout=dropout,
        algorithm=algorithm,
        dtype=dtype,
        seed=seed,
        backend=backend,
    )


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

"""What export and import share: which operators of ONNX are which layers."""

from typing import Any

import numpy as np

from .. import _check, nn
from .._check import Array

try:
    import onnx as onnx
except ImportError as error:
    message = f"cnnx.io needs onnx: python -m pip install 'cnnx[onnx]' ({error})"
    raise ModuleNotFoundError(message, name="onnx") from error

# Operators that are a layer as they stand: the layer, its argument, the attribute that is it, and that one's default.
ACTIVATIONS: dict[str, tuple[type[nn.Layer], str, str, Any]] = {
    "Relu": (nn.ReLU, "", "", None),
    "Sigmoid": (nn.Sigmoid, "", "", None),
    "Tanh": (nn.Tanh, "", "", None),
    "Identity": (nn.Identity, "", "", None),
    "Softplus": (nn.Softplus, "", "", None),
    "HardSwish": (nn.HardSwish, "", "", None),
    "LeakyRelu": (nn.LeakyReLU, "negative_slope", "alpha", 0.01),
    "Elu": (nn.ELU, "alpha", "alpha", 1.0),
    "Softmax": (nn.Softmax, "axis", "axis", -1),
    "LogSoftmax": (nn.LogSoftmax, "axis", "axis", -1),
}

DTYPES: dict[np.dtype[Any], int] = {
    np.dtype("float32"): onnx.TensorProto.FLOAT,
    np.dtype("float64"): onnx.TensorProto.DOUBLE,
}


def output(layer: nn.Layer, *xs: Array) -> Array:
    """What a layer in evaluation mode makes of a batch without images: its shape and dtype count. Leaves no trace."""
    return layer._forward(*xs)[0]


def no_images(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A batch of none, for `output`."""
    return np.zeros((0, *(_check.integer("input_shape", extent, 1) for extent in shape)), dtype)

"""Layers one behind the other."""

import itertools
from typing import Any, Self

from ..ops._check import Array
from ._layer import Layer


class Sequential(Layer):
    """Layers one behind the other; also the network they make.

    Parameters
    ----------
    *layers : Layer

    Attributes
    ----------
    layers : tuple of Layer
    parameters, gradients, buffers
        Those of all layers, under the layer's number: "0.weight".

    Raises
    ------
    TypeError
        An argument is no layer.
    ValueError
        No layer, or one layer twice: it could not go back from two forward calls.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> model = nn.Sequential(nn.Affine(4, 3, seed=0), nn.ReLU(), nn.Affine(3, 2, seed=1))
    >>> model
    Sequential(
      (0) Affine(4, 3)
      (1) ReLU()
      (2) Affine(3, 2)
    )
    >>> sorted(model.parameters)
    ['0.bias', '0.weight', '2.bias', '2.weight']
    >>> model.forward(np.ones((5, 4), "float32")).shape
    (5, 2)
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__()
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers: expected layers, got {type(layer).__name__}")
        if not layers or len(set(map(id, layers))) < len(layers):
            raise ValueError(f"layers: expected at least one layer and none of them twice, got {list(layers)}")
        self.layers = layers

    def _joined(self, name: str) -> dict[str, Array]:
        return {
            f"{i}.{key}": value for i, layer in enumerate(self.layers) for key, value in getattr(layer, name).items()
        }

    @property
    def parameters(self) -> dict[str, Array]:
        return self._joined("parameters")

    @property
    def gradients(self) -> dict[str, Array]:
        return self._joined("gradients")

    @property
    def buffers(self) -> dict[str, Array]:
        return self._joined("buffers")

    def train(self, mode: bool = True) -> Self:
        for layer in self.layers:
            layer.train(mode)
        return super().train(mode)

    def _forward(self, x: Array) -> tuple[Array, Any]:
        for layer in self.layers:
            x = layer.forward(x)
        return x, True

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        """Without `input_grad` the way back ends at the first layer that learns."""
        layers = self.layers if input_grad else tuple(itertools.dropwhile(lambda one: not one.parameters, self.layers))
        grad: Array | None = grad_output
        for layer in reversed(layers):
            assert grad is not None, "only the first layer may skip its input's gradient"
            grad = layer.backward(grad, input_grad=input_grad or layer is not layers[0])
        return grad if input_grad else None

    def __repr__(self) -> str:
        lines = [f"({i}) {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self.layers)]
        return "Sequential(\n  " + "\n  ".join(lines) + "\n)"

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

"""Layers one behind the other."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, overload

import numpy as np

from .._check import Array
from ._layer import Layer


class Sequential(Layer):
    """Layers one behind the other; also the network they make.

    Parameters
    ----------
    *layers : Layer

    Attributes
    ----------
    layers : tuple of Layer
    parameters, gradients, buffers, generators
        Those of all layers, under the layer's number: "0.weight". Write into the arrays,
        `parameters["0.weight"][...] = w`: the mapping itself takes no new ones.
    training : bool
        What `train` and `eval` said last; at first whether any layer is in training.

    Raises
    ------
    TypeError
        An argument is no layer.
    ValueError
        No layer, or one layer twice, at whatever depth: it could not go back from two forward calls.

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

    _borrows = True

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers: expected layers, got {type(layer).__name__}")
        every = [id(one) for layer in layers for one in layer._walk()]
        if not layers or len(set(every)) < len(every):
            raise ValueError(f"layers: expected at least one layer and none of them twice, got {list(layers)}")
        super().__init__()
        self._children = layers
        self._names: dict[tuple[int, str], str] = {}  # (1, "weight") is "1.weight"
        self.training = any(layer.training for layer in layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self._children

    def _parts(self) -> Iterator[tuple[str, Layer]]:
        for i, layer in enumerate(self._children):
            for place, part in layer._parts():
                yield (f"{i}.{place}" if place else str(i)), part

    def _joined(self, name: str) -> Mapping[str, Any]:
        joined, names = {}, self._names
        for i, layer in enumerate(self._children):
            for key, array in getattr(layer, name).items():
                full = names.get((i, key))
                if full is None:
                    full = names[i, key] = f"{i}.{key}"
                joined[full] = array
        return MappingProxyType(joined)  # made anew at each call: what was assigned to it would be lost

    @property
    def parameters(self) -> Mapping[str, Array]:
        return self._joined("parameters")

    @property
    def gradients(self) -> Mapping[str, Array]:
        return self._joined("gradients")

    @property
    def buffers(self) -> Mapping[str, Array]:
        return self._joined("buffers")

    @property
    def generators(self) -> Mapping[str, np.random.Generator]:
        return self._joined("generators")

    def _forward(self, x: Array) -> tuple[Array, Any]:
        for layer in self._children:
            x = layer.forward(x)
        return x, True

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Array | None:
        """Without `input_grad` the way back ends at the first layer that learns."""
        layers, first = self._children, 0
        if not input_grad:
            while first < len(layers) and not layers[first].parameters:
                first += 1
        grad: Array | None = grad_output
        for i in range(len(layers) - 1, first - 1, -1):
            assert grad is not None, "only the first layer may skip its input's gradient"
            grad = layers[i].backward(grad, input_grad=input_grad or i != first)
        return grad if input_grad else None

    def __repr__(self) -> str:
        lines = [f"({i}) {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self.layers)]
        return "Sequential(\n  " + "\n  ".join(lines) + "\n)"

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | slice) -> Layer:
        """A layer; of a slice a Sequential of the same layers, not of copies."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __len__(self) -> int:
        return len(self.layers)

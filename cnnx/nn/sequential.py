"""Layers one behind the other."""

from typing import Any, overload

from ._layer import Layer
from ._wiring import chain
from .graph import Graph


class Sequential(Graph):
    """Layers one behind the other; also the network they make.

    A `Graph` whose lines have numbers for names, each of which takes what the one before gives.

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

    def __init__(self, *layers: Layer) -> None:
        for layer in layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers: expected layers, got {type(layer).__name__}")
        every = [id(one) for layer in layers for one in layer._walk()]
        if not layers or len(set(every)) < len(every):
            raise ValueError(f"layers: expected at least one layer and none of them twice, got {list(layers)}")
        for i, layer in enumerate(layers):
            least, most = layer._inputs()
            if least > 1 or most == 0:
                raise ValueError(f"layers: expected layers of one input, got {layer!r} as number {i}; a Graph takes it")
        Layer.__init__(self)
        self._set(chain(len(layers)), layers)

    def __getstate__(self) -> dict[str, Any]:
        """How many layers there are says how they are wired, so that pickles need not."""
        state = super().__getstate__()
        del state["_wiring"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._wiring = chain(len(self._children))

    def __repr__(self) -> str:
        lines = [f"({name}) {layer!r}".replace("\n", "\n  ") for name, layer in self._named()]
        return "Sequential(\n  " + "\n  ".join(lines) + "\n)"

    @overload
    def __getitem__(self, index: int | str) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index: int | str | slice) -> Layer:
        """A layer; of a slice a Sequential of the same layers, not of copies."""
        if isinstance(index, str):
            return super().__getitem__(index)  # type: ignore[no-any-return]
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

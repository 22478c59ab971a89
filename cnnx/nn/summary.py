"""What a network is made of: shapes, parameters, multiply-adds and memory, layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._check import Array
from .._text import aligned
from ._flat import Flat, Part


@dataclass(frozen=True)
class LayerSummary:
    """One layer, for one image.

    Attributes
    ----------
    layer : str
        The call that makes it, after its place in the network: "(0) Conv2d(1, 4, 3, padding=1)".
    output_shape : tuple of int
        Without the axis of the images.
    parameters : int
        How many numbers are learnt.
    multiply_adds : int
        Of the forward call: each weight of a convolution or an affine layer times the places where it is used, taps
        in the padding too; of a matrix product its terms; 0 for other layers.
    memory : int
        Bytes of its output (also where that is a view, as Flatten's may be), its parameters and its buffers.
    algorithm : str or None
        What a convolution with algorithm="auto" takes forward, "direct" or "winograd"; None for all others.
    """

    layer: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    memory: int
    algorithm: str | None = None


@dataclass(frozen=True)
class Summary:
    """What `Layer.summary` returns; its text is a table.

    Attributes
    ----------
    input_shape : tuple of int
    layers : tuple of LayerSummary
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """How many numbers are learnt in all."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiplications with an addition, of the forward call for one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def memory(self) -> int:
        """Bytes of all outputs for one image, of the parameters and the buffers."""
        return sum(layer.memory for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, as JSON takes them."""
        layers = [{**asdict(layer), "output_shape": list(layer.output_shape)} for layer in self.layers]
        totals = {name: getattr(self, name) for name in ("parameters", "multiply_adds", "memory")}
        return {"input_shape": list(self.input_shape), "layers": layers, **totals}

    def __str__(self) -> str:
        rows = [
            ("layer", "output", "parameters", "multiply-adds", "memory"),
            ("input", _shape(self.input_shape), *[""] * 3),
        ]
        rows += [(_named(one), _shape(one.output_shape), *_figures(one)) for one in self.layers]
        rows.append(("for one image", "", *_figures(self)))
        lines = [*aligned(rows, left=2)]
        rule = "-" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])

    __repr__ = __str__  # so that a prompt and a notebook show the table


def summarize(model: Flat, input_shape: object, dtype: npt.DTypeLike) -> Summary:
    """The summary of a network, found by a forward call of no image."""
    if model.inputs != 1:
        raise ValueError(f"summary: expected a network of one input, got one of {model.inputs}")
    if not isinstance(input_shape, (tuple, list)) or not input_shape:
        raise TypeError(f"input_shape: expected the integers (C, H, W) or (J,), got {_check.shown(input_shape)}")
    shape = tuple(_check.integer(f"input_shape[{i}]", extent, 1) for i, extent in enumerate(input_shape))
    values, rows = [np.zeros((0, *shape), dtype)], []
    for place, layer, sources in model.calls:
        xs = [values[i] for i in sources]
        values.append(layer.forward(*xs))
        rows.append(_row(place, layer, xs, values[-1]))
    return Summary(shape, tuple(rows))


def _row(place: str, layer: Part, xs: Sequence[Array], y: Array) -> LayerSummary:
    """What there is to say of a layer that makes y of xs."""
    learnt = layer.parameters.values()
    kept = sum(array.nbytes for array in (*learnt, *layer.buffers.values()))
    return LayerSummary(
        layer=f"({place}) {layer!r}" if place else repr(layer),
        output_shape=y.shape[1:],
        parameters=sum(w.size for w in learnt),
        multiply_adds=layer._multiply_adds(xs[0].shape, y.shape),
        memory=math.prod(y.shape[1:]) * y.dtype.itemsize + kept,
        algorithm=layer._chosen(xs[0].shape),
    )


def _named(one: LayerSummary) -> str:
    return f"{one.layer}: {one.algorithm}" if one.algorithm else one.layer


def _figures(of: LayerSummary | Summary) -> tuple[str, str, str]:
    return f"{of.parameters:,}", f"{of.multiply_adds:,}", f"{of.memory / 1024:,.1f} KiB"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

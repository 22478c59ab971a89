"""A network as the layers that compute, without the networks that they are in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from .._check import Array


class Part(Protocol):
    """What is asked here, and in a summary, of a layer."""

    @property
    def parameters(self) -> Mapping[str, Array]: ...
    @property
    def buffers(self) -> Mapping[str, Array]: ...
    def forward(self, x: Array, *others: Array) -> Array: ...
    def _inputs(self) -> tuple[int, int | None]: ...
    def _chosen(self, x: tuple[int, ...]) -> str | None: ...
    def _multiply_adds(self, x: tuple[int, ...], y: tuple[int, ...]) -> int: ...
    def _flatten(self, into: "Flat", place: str, sources: tuple[int, ...]) -> int: ...


class Call(NamedTuple):
    """One layer's call.

    Attributes
    ----------
    place : str
        Its names from the outermost network to it, "layer1.0.conv1"; "" of a layer that is no network.
    layer : Layer
    sources : tuple of int
        Which values it takes. The network's inputs are numbered first, then what the calls give, in their order.
    """

    place: str
    layer: Any
    sources: tuple[int, ...]


@dataclass
class Flat:
    """The calls of a network's forward call, in their order.

    Attributes
    ----------
    inputs : int
        How many.
    calls : list of Call
    output : int
        Which value the network returns.
    """

    inputs: int
    calls: list[Call] = field(default_factory=list)
    output: int = 0

    @classmethod
    def of(cls, model: Part) -> "Flat":
        """Of a network, or of a single layer."""
        inputs = max(1, model._inputs()[0])
        flat = cls(inputs)
        flat.output = model._flatten(flat, "", tuple(range(inputs)))
        return flat

    def add(self, place: str, layer: Part, sources: tuple[int, ...]) -> int:
        """One more; returns the number of its value."""
        self.calls.append(Call(place, layer, sources))
        return self.inputs + len(self.calls) - 1

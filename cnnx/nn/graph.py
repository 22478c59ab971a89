"""A network whose values branch and meet."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _check
from .._check import Array
from ..data._dataset import floating
from ..ops._plan import new
from ._flat import Flat
from ._fused import fused
from ._layer import Layer, counted
from ._names import check_evaluation, check_keys, check_once
from ._wiring import Wiring, completed, input_names, planned, shown_name, wired
from .compiled import Compiled


class Graph(Layer):
    """A network of layers by name, whose values may be used more than once: any that has no cycle.

    Each line names a value, the layer that gives it, and the values that this layer takes; a line without them takes
    the value of the line before, the first line the network's inputs. `Sequential` is a Graph of such lines alone.

    The gradient of a value that several lines use is the sum of theirs, added from the last line to the first.

    Parameters
    ----------
    *lines : (name, layer, *inputs)
        Names are any printable text. Lines may come in any order: they are put in one in which each finds what it
        takes.
    inputs : str or tuple of str
        The names of what `forward` takes. It returns the value that no line takes.

    Attributes
    ----------
    lines : tuple of (name, layer, *inputs)
        In the order in which they are computed.
    layers : tuple of Layer
        Those of the lines.
    inputs : tuple of str
    output : str
        The line whose value `forward` returns.
    parameters, gradients, buffers, generators
        Those of all layers, under the line's name: "conv.weight". Write into the arrays,
        `parameters["conv.weight"][...] = w`: the mapping itself takes no new ones.
    training : bool
        What `train` and `eval` said last; at first whether any layer is in training.

    Raises
    ------
    TypeError
        A line, a name or a layer is something else.
    ValueError
        No line; a name twice, or one that there is not; a line that needs its own value; another number of inputs than
        the layer takes; a value that no line takes, beside the output; one layer twice, at whatever depth; two arrays
        of one name.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> block = nn.Graph(
    ...     ("conv1", nn.Conv2d(8, 8, 3, padding=1, seed=0)),
    ...     ("relu1", nn.ReLU()),
    ...     ("conv2", nn.Conv2d(8, 8, 3, padding=1, seed=1)),
    ...     ("sum", nn.Add(), "conv2", "x"),
    ...     ("relu2", nn.ReLU()),
    ... )
    >>> block
    Graph(
      conv1 = Conv2d(8, 8, 3, padding=1)(x)
      relu1 = ReLU()(conv1)
      conv2 = Conv2d(8, 8, 3, padding=1)(relu1)
      sum = Add()(conv2, x)
      relu2 = ReLU()(sum)
    )
    >>> sorted(block.parameters)
    ['conv1.bias', 'conv1.weight', 'conv2.bias', 'conv2.weight']
    >>> block.forward(np.ones((5, 8, 6, 6), "float32")).shape
    (5, 8, 6, 6)
    """

    _borrows = True
    _wiring: Wiring

    def __init__(
        self,
        *lines: tuple[Any, ...],  # (name, layer, *inputs): types have no word for it
        inputs: str | tuple[str, ...] = "x",
    ) -> None:
        names = input_names(inputs)
        wiring, layers = wired(completed(lines, names), names)
        check_once(wiring.names, layers)
        super().__init__()
        self._set(wiring, layers)
        check_keys(self._named(), Flat.of(self))

    def _set(self, wiring: Wiring, layers: tuple[Layer, ...]) -> None:
        self._wiring = wiring
        self._children = layers
        self._names: dict[tuple[int, str], str] = {}  # (1, "weight") is "conv2.weight"
        self.training = any(layer.training for layer in layers)

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self._children

    @property
    def lines(self) -> tuple[tuple[Any, ...], ...]:
        values = self._wiring.values
        lines = zip(self._named(), self._wiring.sources, strict=True)
        return tuple((name, layer, *(values[i] for i in sources)) for (name, layer), sources in lines)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self._wiring.inputs

    @property
    def output(self) -> str:
        return self._wiring.values[self._wiring.output]

    def _named(self) -> Iterator[tuple[str, Layer]]:
        return zip(self._wiring.names, self._children, strict=True)

    def _inputs(self) -> tuple[int, int | None]:
        count = len(self._wiring.inputs)
        return count, count

    def _learns(self) -> bool:
        return any(layer._learns() for layer in self._children)

    def _flatten(self, into: Flat, place: str, sources: tuple[int, ...]) -> int:
        if type(self)._forward is not Graph._forward:  # it may do more than its lines say
            return super()._flatten(into, place, sources)
        values = list(sources)
        for (name, layer), taken in zip(self._named(), self._wiring.sources, strict=True):
            inner = f"{place}.{name}" if place else name
            values.append(layer._flatten(into, inner, tuple(values[i] for i in taken)))
        return values[self._wiring.output]

    def _joined(self, name: str) -> Mapping[str, Any]:
        joined, names = {}, self._names
        for i, layer in enumerate(self._children):
            for key, array in getattr(layer, name).items():
                full = names.get((i, key))
                if full is None:
                    full = names[i, key] = f"{self._wiring.names[i]}.{key}"
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

    def _forward(self, *xs: Array) -> tuple[Array, Any]:
        wiring = self._wiring
        values: list[Any] = [*xs, *[None] * (wiring.slots - len(xs))]
        target = 0
        for layer, (one, slots, target, clear) in zip(self._children, wiring.steps, strict=True):
            if one >= 0:
                values[target] = layer.forward(values[one])
            else:
                values[target] = layer.forward(*[values[i] for i in slots])
            for i in clear:  # so that it is gone, unless a layer keeps it for the way back
                values[i] = None
        return values[target], True

    def _backward(self, grad_output: Array, saved: Any, input_grad: bool) -> Any:
        """Without `input_grad` the way back leaves out what no layer behind it has to learn from."""
        wiring, layers = self._wiring, self._children
        first, wanted = len(wiring.inputs), self._wanted(input_grad)
        gradients: list[Any] = [None] * len(wanted)
        gradients[-1] = grad_output
        summed: set[int] = set()
        for i in range(len(layers) - 1, -1, -1):
            value = first + i
            if not wanted[value]:
                continue
            source, gradient = wiring.alone[i], gradients[value]
            gradients[value] = None
            on = wanted[source] if source >= 0 else any(map(wanted.__getitem__, wiring.sources[i]))
            found = layers[i].backward(gradient, input_grad=on)
            if not on:
                continue
            if source >= 0 and found.__class__ is not tuple and found is not None:
                gradients[source] = found
            else:
                self._add_up(i, gradients, found if isinstance(found, tuple) else (found,), wanted, summed)
        if not input_grad:
            return None
        return gradients[0] if first == 1 else tuple(gradients[:first])

    def _wanted(self, input_grad: bool) -> list[bool]:
        """Of each value, whether its gradient is wanted: by the inputs, or by a layer that it comes from."""
        wiring, count = self._wiring, len(self._children)
        wanted = [input_grad] * len(wiring.inputs)
        if input_grad:
            return wanted + [True] * count
        for i, layer in enumerate(self._children):
            wanted.append(any(map(wanted.__getitem__, wiring.sources[i])) or layer._learns())
            if wanted[-1] and wiring.narrow[i]:
                return wanted + [True] * (count - 1 - i)
        return wanted

    def _add_up(
        self, i: int, gradients: list[Any], found: tuple[Any, ...], wanted: list[bool], summed: set[int]
    ) -> None:
        """Add what line i found to the gradients of the values that it takes: `summed` are nobody else's."""
        sources, given = self._wiring.sources[i], sum(one is not None for one in found)
        if not len(found) == len(sources) == given:
            name = self._wiring.names[i]
            raise RuntimeError(f"{name}: expected gradients of {len(sources)} inputs, got {given}")
        for value, one in zip(sources, found, strict=True):
            before = gradients[value]
            if not wanted[value]:
                continue
            if before is None:
                gradients[value] = one
                continue
            if before.shape != one.shape:
                name = self._wiring.values[value]
                raise RuntimeError(f"{name}: expected gradients of one shape, got {before.shape} and {one.shape}")
            into = before if value in summed else new(before.shape, np.result_type(before, one))
            gradients[value] = np.add(before, one, out=into)
            summed.add(value)

    def compile(self, *input_shapes: tuple[int, ...], dtype: npt.DTypeLike | None = None) -> Compiled:
        """The network for inference of one shape: the same bits as `forward` in evaluation, in less time and memory.

        It freezes the network (`freeze`): what it is compiled to counts on the weights and buffers as they are now, and
        on the back end of now.

        Parameters
        ----------
        *input_shapes : tuple of int
            Of each input, (N, C, H, W) or (N, J).
        dtype : float32 or float64, or None
            The inputs'; None takes the parameters'.

        Returns
        -------
        Compiled
            To be called with arrays of these shapes. A thread needs one of its own.

        Raises
        ------
        TypeError
            Shapes that are none; another number of them than of inputs.
        ValueError
            The network, or a layer in it, is in training (`eval`); shapes that the layers do not take.
        """
        check_evaluation("compile", self)
        if len(input_shapes) != len(self.inputs):
            raise TypeError(f"compile: expected {counted(*self._inputs())}, a shape each, got {len(input_shapes)}")
        shapes = tuple(_shape(f"input_shapes[{i}]", shape) for i, shape in enumerate(input_shapes))
        kinds = [w.dtype for w in self.parameters.values()]
        kind = floating(dtype) if dtype is not None else kinds[0] if kinds else np.dtype("float32")
        return Compiled(Flat.of(self.freeze()), shapes, kind)

    def fuse(self) -> "Graph":
        """A copy for inference, in which what follows a convolution channel by channel is part of its weights.

        Batch normalisation, `Scale` and `Bias` go into the convolution, transposed convolution or affine layer
        whose value they alone take, for N2 F[k] g[k] / d[k] and (b[k] - mean[k]) g[k] / d[k] + beta[k] with d[k] =
        sqrt(var[k] + eps), in float64 and rounded once; `Scale` and `Bias` behind a batch normalisation that stays,
        as before a ReLU and a convolution, into its g and beta. Results are others in their last digits, which is
        why nothing does it unasked. Dropout and Identity, which do nothing in evaluation, are left out. Layers keep
        their names; those within layers are put with all others.

        Returns
        -------
        Graph
            In evaluation, with weights of its own.

        Raises
        ------
        ValueError
            The network, or a layer in it, is in training: call `eval` first.

        Examples
        --------
        >>> from cnnx import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False, seed=0), nn.BatchNorm2d(8), nn.ReLU())
        >>> model.eval().fuse()
        Graph(
          0 = Conv2d(3, 8, 3)(x)
          2 = ReLU()(0)
        )
        """
        check_evaluation("fuse", self)
        return Graph(*fused(Flat.of(self), self.inputs), inputs=self.inputs).eval()

    def __getstate__(self) -> dict[str, Any]:
        """With the wiring in plain tuples, from which it is planned anew."""
        return super().__getstate__() | {"_wiring": tuple(self._wiring[:3])}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._wiring = planned(*state["_wiring"])

    def __repr__(self) -> str:
        wiring = self._wiring
        values = [shown_name(name) for name in wiring.values]
        lines: list[str] = []
        for layer, sources in zip(self._children, wiring.sources, strict=True):
            name = values[len(wiring.inputs) + len(lines)]
            lines.append(f"{name} = {layer!r}({', '.join(values[i] for i in sources)})")
        if wiring.inputs != ("x",):
            lines.append(f"inputs={wiring.inputs!r}")
        return "Graph(\n  " + "\n  ".join(line.replace("\n", "\n  ") for line in lines) + "\n)"

    def __getitem__(self, name: str) -> Any:
        """The layer of a line."""
        if name not in self._wiring.names:
            raise KeyError(
                f"expected the name of a line, of {_check.shown(list(self._wiring.names))}, got {_check.shown(name)}"
            )
        return self._children[self._wiring.names.index(name)]

    def __len__(self) -> int:
        return len(self._children)


def _shape(name: str, shape: object) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or not shape:
        raise TypeError(f"{name}: expected the integers (N, C, H, W) or (N, J), got {_check.shown(shape)}")
    return tuple(_check.integer(f"{name}[{i}]", extent, 0 if i == 0 else 1) for i, extent in enumerate(shape))

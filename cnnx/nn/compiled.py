"""Inference of one shape: what a network's forward call comes to, worked out beforehand."""

import math
import threading
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from .. import _check
from .._check import Array
from ..ops._joined import Part, Step, joined
from ..ops._plan import Buffers, lending
from ..ops._replay import recorded
from ._flat import Flat
from ._storage import Lent, Storage
from .merge import Concat


class _Traced(NamedTuple):
    """One layer's call, as it went once."""

    lent: tuple[Lent, ...]
    own: Lent | None  # what it returned, if that was neither lent nor given: it is copied to where later calls find it


class Compiled:
    """A network for inputs of one shape (`Graph.compile`): the kernels of its forward call, on arrays that are shared.

    It computes what the network's `forward` computed in evaluation when it was compiled, to the last bit: with the
    weights and the back end of then. An array's place is used again once no layer needs what is there, and layers that
    work element by element write over what they read. A direct convolution takes along what stands behind it, a sum
    with another value of its shape, then ReLU or Clip: it finishes its outputs while they are in the cache. What is put
    together along the first axis that is not 1 lies where it belongs from the start. Weights of convolutions with few
    outputs in a plane, and of affine layers of few samples, are kept in the order in which they are read, where that is
    faster. Layers that keep something for the way back keep nothing here.

    Attributes
    ----------
    input_shapes : tuple of tuple of int
    output_shape : tuple of int
    dtype : numpy.dtype
    memory : int
        Bytes of all its arrays together, without weights and the kernels' own scratch memory.

    Examples
    --------
    >>> import numpy as np
    >>> from cnnx import nn
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, seed=0), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()).eval()
    >>> x = np.ones((5, 1, 8, 8), "float32")
    >>> fast = model.compile((5, 1, 8, 8))
    >>> fast
    Compiled((5, 1, 8, 8) -> (5, 36), float32, 2 steps, 4.1 KiB)
    >>> bool(np.all(fast(x) == model(x)))
    True
    """

    def __init__(self, flat: Flat, input_shapes: tuple[tuple[int, ...], ...], dtype: npt.DTypeLike) -> None:
        self.input_shapes, self.dtype = input_shapes, np.dtype(dtype)
        storage = Storage()
        traced = _trace(flat, [np.zeros(shape, dtype) for shape in input_shapes], storage)
        arena = storage.place()
        self.memory = arena.nbytes
        self._inputs = [arena.array(i, shape, self.dtype) for i, shape in enumerate(input_shapes)]
        steps: list[Part] = []
        values = list(self._inputs)
        for (_, layer, sources), (lent, own) in zip(flat.calls, traced, strict=True):
            buffers, given = Buffers(), [values[s] for s in sources]
            buffers.arrays = [arena.array(*one) for one in lent]
            y, calls = recorded(buffers, layer._infer, *given)
            if layer._replays and own is None:
                steps += calls
            elif type(layer) is Concat:
                steps += _copies(given, y, layer.axis)
            else:
                place = None if own is None else arena.array(*own)
                y = y if place is None else place
                steps.append(_calling(buffers, layer, given, place))
            values.append(y)
        self._steps = joined(steps, self.dtype.name, lambda array: not arena.has(array))
        self._output = values[flat.output]
        self.output_shape = self._output.shape
        self._busy = threading.Lock()

    def __call__(self, *xs: Array) -> Array:
        """The network's output, a new array.

        Parameters
        ----------
        *xs : arrays of `input_shapes`, dtype `dtype`

        Raises
        ------
        TypeError, ValueError
            Another number of inputs, another dtype or another shape.
        RuntimeError
            Another thread is within a call: compile once for each.
        """
        if len(xs) != len(self._inputs):
            raise TypeError(f"expected {len(self._inputs)} input(s), got {len(xs)}")
        for i, (x, shape) in enumerate(zip(xs, self.input_shapes, strict=True)):
            if np.shape(x) != shape:
                raise ValueError(f"x{i or ''}: expected shape {shape}, for which this was compiled, got {np.shape(x)}")
        given = _check.floats(**{f"x{i or ''}": x for i, x in enumerate(xs)})
        if given[0].dtype != self.dtype:
            raise TypeError(f"x: expected {self.dtype}, for which this was compiled, got {given[0].dtype}")
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("expected one call at a time, got one while another thread is within one; compile twice")
        try:
            for place, x in zip(self._inputs, given, strict=True):
                np.copyto(place, x)
            for step in self._steps:
                step()
            return self._output.copy()
        finally:
            self._busy.release()

    def forward(self, *xs: Array) -> Array:
        """The same as a call."""
        return self(*xs)

    def __reduce__(self) -> NoReturn:
        raise TypeError("Compiled: expected the network to be pickled and compiled where it is used")

    def __repr__(self) -> str:
        shapes = ", ".join(map(str, self.input_shapes))
        return (
            f"Compiled({shapes} -> {self.output_shape}, {self.dtype}, {len(self._steps)} steps, "
            f"{self.memory / 1024:.1f} KiB)"
        )


def _trace(flat: Flat, xs: list[Array], storage: Storage) -> list[_Traced]:
    """Run the calls once, to see what they are lent and what they return."""
    last = {value: i for i, call in enumerate(flat.calls) for value in call.sources}
    values: list[Any] = list(xs)
    parts = [storage.add(x.nbytes, -1) for x in xs]  # of each value
    traced, alike, members = [], [], {}
    for i, (_, layer, sources) in enumerate(flat.calls):
        buffers, given = Buffers(), [values[s] for s in sources]
        y = lending(buffers, layer._infer, *given)
        alike.append(all(x.shape == y.shape for x in given))
        if type(layer) is Concat and math.prod(y.shape[: layer.axis % y.ndim]) == 1:
            members[i] = [x.nbytes for x in given]
        for s in sources:
            storage.use(parts[s], i)
        lent = tuple(Lent(storage.add(a.nbytes, i), a.shape, a.dtype) for a in buffers.arrays)
        known = [(one.part, a) for one, a in zip(lent, buffers.arrays, strict=True)]
        known += [(parts[s], x) for s, x in zip(sources, given, strict=True)]
        part = next((part for part, a in known if np.may_share_memory(a, y)), None)
        own = None
        if part is None:
            part = storage.add(y.nbytes, i)
            own = Lent(part, y.shape, y.dtype)
        traced.append(_Traced(lent, own))
        parts.append(part)
        values.append(y)
        for s in (*sources, flat.inputs + i):
            if last.get(s, i) == i:
                values[s] = None  # or tracing would take more memory than a forward call
    for i, ((_, layer, sources), (lent, _)) in enumerate(zip(flat.calls, traced, strict=True)):
        if layer._in_place and lent and parts[flat.inputs + i] == lent[0].part and alike[i]:
            storage.merge(lent[0].part, parts[max(sources)], i)  # of a sum's, what was computed last
    for i, sizes in members.items():
        for s, begin, nbytes in zip(flat.calls[i].sources, accumulate(sizes, initial=0), sizes, strict=False):
            storage.nest(parts[s], nbytes, parts[flat.inputs + i], begin, i)
    return traced


def _copies(xs: list[Array], y: Array, axis: int) -> list[Step]:
    """Concatenation, without those that lie where they belong already."""
    ends = list(accumulate(x.shape[axis] for x in xs))
    places = np.split(y, ends[:-1], axis)
    moved = [(place, x) for place, x in zip(places, xs, strict=True) if place.ctypes.data != x.ctypes.data]
    return [partial(np.copyto, place, x) for place, x in moved if x.size]


def _calling(buffers: Buffers, layer: Any, given: list[Array], own: Array | None) -> Step:
    """A layer that may do more than to run kernels."""

    def step() -> None:
        y = lending(buffers, layer._infer, *given)
        if own is not None:
            np.copyto(own, y)

    return step

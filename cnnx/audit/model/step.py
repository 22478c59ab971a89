"""What a node computes, as cnnx has it: its layers or a movement of data, run in double and watched."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import backend as _backend
from ... import nn
from ..._check import Array
from ...io._reading import windows
from ...io._reading.fold import FOLDS, fold
from ...io._reading.node import Known, Node, Value
from ...io._reading.place import FIRST, NOWHERE, Place
from ...io._reading.rows import of_rows
from ...io._reading.table import ANYWHERE, layers
from ...nn._flat import Flat
from ...nn.evaluate import evaluating
from ..trace import KernelCall, address, inputs_count
from .truth import Computed, Elements, Given, Moved, Precision, reshaped

DOUBLE = np.dtype(np.float64)

# Operators that put numbers elsewhere and round nothing: NumPy says what is right, and every element is compared.
MOVES = {
    "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose",
    "Tile", "Unsqueeze", "Where",
}  # fmt: skip

# Operators that are judged otherwise than by the layer that import_onnx makes of them: one line each.
OWN: dict[str, Callable[[Node], Any]] = {
    "AveragePool": of_rows(windows.average),  # also where runtimes disagree: the audit is to say so
}

# Operators of two values, where import_onnx makes a layer that holds an operand which is in the file.
PAIRS = {"Add", "Mul", "Sub", "Sum"}


class UnjudgedError(Exception):
    """Why a node cannot be judged."""


class Run:
    """What one step made of its inputs: an array for each output, in double, and its elements with their bounds."""

    def __init__(self, arrays: list[Array], elements: list[Elements], calls: list[KernelCall]) -> None:
        self.arrays, self.elements, self.calls = arrays, elements, calls


class Step:
    """A node whose inputs are known arrays or captured values.

    Attributes
    ----------
    moves : bool
        It only puts numbers elsewhere, or computes with integers: NumPy says what is right.
    sources : list of int
        Which inputs are values.
    double : bool
        Its layers are to compute in double; False: in the model's own type.
    """

    def __init__(self, proto: Any, given: Sequence[Known | Array | None], opset: int, *, double: bool = True) -> None:
        self._proto, self._opset, self._double = proto, opset, double
        self.sources = [i for i, one in enumerate(given) if isinstance(one, np.ndarray)]
        self._constants: list[Known | None] = [one if isinstance(one, Known) else None for one in given]
        self.moves = proto.op_type in MOVES
        self._one = False
        self._layers: list[nn.Layer] = []
        if proto.domain not in ("", "ai.onnx"):
            raise UnjudgedError(f"an operator of {proto.domain!r}, which has no equation here")
        values = [one for one in given if isinstance(one, np.ndarray)]
        if values and proto.op_type in FOLDS and all(one.dtype.kind in "iub" for one in values):
            self.moves = True  # integers, which round nothing either
        if self.moves:
            return
        for one in values:
            if one.dtype not in (np.float32, np.float64):
                raise UnjudgedError(f"it takes {one.dtype}, and equations are of float32 and float64")
        self._layers = self._read(values)

    def _read(self, values: list[Array]) -> list[nn.Layer]:
        """Its layers, for values whose first axis is the images'; or, if there are none, for all of it as one image."""
        try:
            return self._read_at(FIRST, values)
        except UnjudgedError:
            if self._proto.op_type not in ANYWHERE:
                raise
            try:
                found = self._read_at(NOWHERE, values)
            except UnjudgedError:
                pass  # the first reason says more
            else:
                self._one = True
                return found
            raise

    def _read_at(self, place: Place, values: list[Array]) -> list[nn.Layer]:
        operator = self._proto.op_type
        rank = max((a.ndim for a in values), default=0)
        inputs: list[Known | Value | None] = []
        left = iter(values)
        self._operands: list[Array | None] = []
        for i, known in enumerate(self._constants):
            promoted = known is not None and operator in PAIRS and known.first.dtype.kind == "f"
            if i in self.sources:
                shape, operand = next(left).shape, None
            elif promoted and known is not None:
                operand = self._converted(known.first)
                operand = operand.reshape((1,) * (rank - operand.ndim) + operand.shape)
                shape = operand.shape
            else:
                inputs.append(None if known is None else Known.of(self._converted(known.first)))
                continue
            if operator in PAIRS and len(shape) < rank:
                shape = (1,) * (rank - len(shape)) + shape
            if not shape:
                raise UnjudgedError("it takes a value without axes")
            sizes = shape if place == NOWHERE else shape[1:]
            dtype = DOUBLE if self._double else values[0].dtype
            inputs.append(Value(f"input {i}", dtype, sizes, place=place))
            self._operands.append(operand)
        batch = next((a.shape[0] for a in values if a.ndim), None)
        node = Node(self._proto, inputs, self._opset, batch, {})
        self._rank = rank if operator in PAIRS else 0
        try:
            found = OWN[operator](node) if operator in OWN else layers(node)
            node.done()
            for target, source in node.fills:
                np.copyto(target, source)
        except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
            raise UnjudgedError(f"no equation here: {error}") from None
        return found if isinstance(found, list) else [found]

    def _converted(self, array: Array) -> Array:
        return array.astype(DOUBLE) if array.dtype == np.float32 and self._double else array

    def arrays(self, values: Sequence[Array]) -> list[Array]:
        """What its layers make of these, by the back end that is chosen."""
        if self.moves:
            return [self._converted(self.moved(values))]
        given = self._paired(values)
        with np.errstate(all="ignore"):
            found = [_evaluated(layer, *given) for layer in self._layers]
        return [array[0] for array in found] if self._one else found

    def _paired(self, values: Sequence[Array]) -> list[Array]:
        """Values and operands from the file in their order, of one rank."""
        left = iter(values)
        arrays = [next(left) if operand is None else operand for operand in self._operands]
        one = (1,) if self._one else ()
        return [np.ascontiguousarray(a.reshape(one + (1,) * (self._rank - a.ndim) + a.shape)) for a in arrays]

    def run(self, values: Sequence[tuple[Array, Elements]], precision: Precision) -> Run:
        """Compute it in double on these values, which are paired with their elements."""
        if self.moves:
            return self._moved(values, precision)
        left = iter(values)
        pairs = [
            (array, reshaped(next(left)[1], array.shape) if operand is None else Given(array, precision))
            for operand, array in zip(self._operands, self._paired([array for array, _ in values]), strict=True)
        ]
        run = Run([], [], [])
        for layer in self._layers:
            array, made = _run_layer(layer, pairs, precision, run.calls)
            run.arrays.append(array[0] if self._one else array)
            run.elements.append(reshaped(made, array.shape[1:]) if self._one else made)
        return run

    def _moved(self, values: Sequence[tuple[Array, Elements]], precision: Precision) -> Run:
        if self._proto.op_type == "Cast":
            return Run([self._converted(self.moved([array for array, _ in values]))], [values[0][1]], [])
        left = iter(values)
        given: list[Any] = [
            next(left) if i in self.sources else known and (known.first, Given(self._converted(known.first), precision))
            for i, known in enumerate(self._constants)
        ]
        array = self._converted(self._folded([one and Known.of(self._converted(one[0])) for one in given]))
        numbers = [one for one in given if one and one[0].dtype.kind == "f"]  # others are shapes, or say where to look
        if not numbers:
            return Run([array], [Given(array, precision)], [])
        places = iter(_places([a.shape for a, _ in numbers]))
        shown = [
            one and Known.of(next(places).astype(np.int64) if one[0].dtype.kind == "f" else one[0]) for one in given
        ]
        return Run([array], [Moved(self._folded(shown), [elements for _, elements in numbers], precision)], [])

    def moved(self, values: Sequence[Array]) -> Array:
        """What NumPy makes of it."""
        left = iter(values)
        return self._folded(
            [Known.of(next(left)) if i in self.sources else known for i, known in enumerate(self._constants)]
        )

    def _folded(self, inputs: Sequence[Known | Value | None]) -> Array:
        try:
            found = fold(Node(self._proto, inputs, self._opset, None, {}))
        except (TypeError, ValueError) as error:
            raise UnjudgedError(f"NumPy does not have it: {error}") from None
        assert found is not None, "all inputs are known"
        return found.first


def constant(
    proto: Any, given: Sequence[Known | Array | None], opset: int, numbers: Callable[..., Array]
) -> Known | None:
    """What a node gives that depends on no value, or on a value's shape alone; None if it is another."""
    if proto.op_type == "Constant" and [each.name for each in proto.attribute] == ["value"]:
        return Known.of(numbers(proto.name, proto.attribute[0].t))
    if proto.op_type == "Shape" and isinstance(given[0], np.ndarray):
        node = Node(proto, [], opset, None, {})
        start, stop, _ = slice(node.take("start", 0), node.take("end")).indices(given[0].ndim)
        return Known.of(np.array(given[0].shape[start:stop], np.int64))
    if proto.op_type not in FOLDS or not all(one is None or isinstance(one, Known) for one in given):
        return None
    return fold(Node(proto, list(given), opset, None, {}))  # type: ignore[arg-type]


def _evaluated(layer: nn.Layer, *given: Array) -> Array:
    with evaluating(layer):
        return layer.forward(*given)


def _places(shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """1, 2, 3, ... on through arrays of these shapes, as doubles, which layers move like any others."""
    places, first = [], 1
    for shape in shapes:
        count = math.prod(shape)
        places.append(np.arange(first, first + count, dtype=DOUBLE).reshape(shape))
        first += count
    return places


def _run_layer(
    layer: nn.Layer, given: list[tuple[Array, Elements]], precision: Precision, calls: list[KernelCall]
) -> tuple[Array, Elements]:
    flat = Flat.of(layer)
    values = list(given)
    for call in flat.calls:
        values.append(_run_leaf(call.layer, [values[i] for i in call.sources], precision, calls))
    return values[flat.output]


def _run_leaf(
    layer: Any, given: list[tuple[Array, Elements]], precision: Precision, calls: list[KernelCall]
) -> tuple[Array, Elements]:
    """One layer that computes: the kernel that it calls, linked to what it was given; or where it moves numbers to."""
    found: list[KernelCall] = []

    def watch(name: str, kernel: Callable[..., None]) -> Callable[..., None]:
        count = inputs_count(name)

        def watched(*arrays: Array, **numbers: float) -> None:
            kernel(*arrays, **numbers)
            found.append(KernelCall(name, arrays[:count], arrays[count:], dict(numbers)))

        return watched

    try:
        with _backend.use_backend("optimized"), _backend.intercept(watch), np.errstate(all="ignore"):
            array = _evaluated(layer, *(array for array, _ in given))
    except (TypeError, ValueError) as error:
        raise UnjudgedError(f"its equation does not take this: {error}") from None
    if not found:
        return array, _where(layer, given, precision)
    known: dict[tuple[int, int], Elements] = {address(array): elements for array, elements in given}
    for call in found:
        inputs = [
            reshaped(known[address(a)], a.shape) if a.size and address(a) in known else Given(a, precision)
            for a in call.inputs
        ]
        for i, output in enumerate(call.outputs):
            known[address(output)] = Computed(call, i, inputs, precision)
    calls += found
    _check_links(found, [array for array, elements in given if not isinstance(elements, Given)], array)
    return array, reshaped(known[address(array)], array.shape)


def _check_links(calls: list[KernelCall], computed: list[Array], result: Array) -> None:
    """Raise where numbers with bounds would get lost: a layer that copies what it computed, or what it takes."""
    taken = {address(a) for call in calls for a in call.inputs} | {address(result)}
    made = [output for call in calls for output in call.outputs if output.dtype.kind == "f"]  # no winners
    if not all(address(a) in taken for a in (*computed, *made) if a.size):
        raise UnjudgedError("its layer copies numbers between the kernels that it calls")
    if address(result) not in {address(a) for a in made}:
        raise UnjudgedError("its layer puts the kernel's results elsewhere")


def _where(layer: Any, given: list[tuple[Array, Elements]], precision: Precision) -> Elements:
    """Where a layer that calls no kernel takes its numbers from: it is shown their places."""
    if len(given) == 1 and isinstance(layer, (nn.Identity, nn.Dropout)):
        return given[0][1]
    where = _evaluated(layer, *_places([array.shape for array, _ in given]))
    return Moved(where.astype(np.int64), [elements for _, elements in given], precision)

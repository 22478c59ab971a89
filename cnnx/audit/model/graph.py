"""The nodes of an ONNX file in their order, models of one node alone, and when a value is needed no more."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..._check import Array
from ...io._operators import onnx
from ...io._reading.file import File
from ...io._reading.node import Known
from .step import constant

KEPT = 2**16  # bytes of a constant that is not computed anew: shapes, which depend on values that are gone, are small


class Input(NamedTuple):
    """What the graph says of a value that has to be given: its extents, None for one that is open."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None


class Line(NamedTuple):
    """A node: its place in the file's order, from 1, its name or that of its output."""

    number: int
    name: str
    operator: str
    proto: Any

    @property
    def outputs(self) -> list[str]:
        return [name for name in self.proto.output if name]


class Graph:
    """A file, read; arrays of it on demand.

    Attributes
    ----------
    lines : list of Line
    inputs : list of Input
    outputs : list of str
    opset : int
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = File(path)
        self._file.check()
        self.opset = self._file.opset
        self.inputs = [_input(each) for each in self._file.inputs]
        self.outputs = [each.name for each in self._file.outputs]
        self.lines = [
            Line(i, node.name or next(filter(None, node.output), ""), node.op_type, node)
            for i, node in enumerate(self._needed(), 1)
        ]
        self.known: dict[str, Known] = {}
        self._constants: dict[str, Line] = {}  # values that depend on nothing, by the node that gives them
        self._last = {name: line.number for line in self.lines for name in _taken(line.proto)}

    def _needed(self) -> list[Any]:
        """The nodes that an output depends on."""
        wanted, found = set(self.outputs), []
        for node in reversed(self._file.nodes):
            if not wanted.isdisjoint(node.output):
                wanted.update(_taken(node))
                found.append(node)
        return found[::-1]

    def given(self, line: Line, values: Mapping[str, Array]) -> list[Known | Array | None]:
        """What a node takes: arrays of the file, or values."""
        return [self._one(name, values) for name in line.proto.input]

    def _one(self, name: str, values: Mapping[str, Array]) -> Known | Array | None:
        if not name:
            return None
        if name in values:
            return values[name]
        if name not in self.known and name in self._constants:  # computed anew, where it was too large to be kept
            line = self._constants[name]
            self.folded(line, self.given(line, values))
        if name in self.known:
            return self.known[name]
        if name in self._file:
            return Known.of(self._file.array(name))
        raise ValueError(f"value {name!r}: expected one that a node or the file gives, got none")

    def folded(self, line: Line, given: list[Known | Array | None]) -> bool:
        """Whether a node depends on no value, or on shapes alone; what it gives is known then."""
        known = constant(line.proto, given, self.opset, self._file.numbers)
        if known is not None:
            self.known[line.outputs[0]], self._constants[line.outputs[0]] = known, line
        return known is not None

    def varies(self, line: Line) -> bool:
        """Whether a node depends on what goes in, once all have been looked at."""
        return line.outputs[0] not in self._constants

    def alone(self, line: Line, given: list[Known | Array | None]) -> tuple[bytes, dict[str, Array]]:
        """A node as a model of its own, and the values that it takes."""
        arrays, inputs = {}, {}
        for name, one in zip(line.proto.input, given, strict=True):
            if isinstance(one, Known):
                arrays[name] = np.asarray(one.first, order="C")
            elif one is not None:
                inputs[name] = one
        model = self._file.alone(line.proto, arrays)
        for name, array in inputs.items():
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
        return model.SerializeToString(), inputs

    def whole(self, values: dict[str, str]) -> bytes:
        """The whole model, which gives these values too, each under the name that it has here."""
        return self._file.whole(values)

    def forget(self, line: Line, *values: dict[str, Any]) -> None:
        """Let go of what no node after this one takes."""
        for held in values:
            for name in {*line.proto.input, *line.proto.output}:
                if self._last.get(name, 0) <= line.number:
                    held.pop(name, None)
        for name in line.proto.input:
            known = self.known.get(name)
            if known is not None and known.first.nbytes > KEPT and self._last.get(name, 0) <= line.number:
                del self.known[name]


def _taken(node: Any) -> Iterator[str]:
    """The values that a node takes, and those that nodes of a graph within it do."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            for inner in graph.node:
                yield from _taken(inner)


def _input(given: Any) -> Input:
    tensor = given.type.tensor_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except Exception:  # a type that is none
        raise ValueError(f"input {given.name!r}: expected an array, got ONNX's type {tensor.elem_type}") from None
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(d.dim_value if d.dim_value > 0 else None for d in tensor.shape.dim)
    return Input(given.name, dtype, shape)

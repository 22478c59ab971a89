"""The network that a file's nodes make, or all reasons why they make none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import _check, nn
from ..._check import Array
from ...ops._conv import Algorithm
from .._operators import ACTIVATIONS, DTYPES
from .extents import sizes_of
from .file import File
from .fold import FOLDS, fold, shape_of
from .node import Known, Node, UnknownShapeError, Value
from .place import FIRST, NOWHERE, Place
from .table import ANYWHERE, OPERATORS, layers

_MOST = 2**31  # bytes of what nodes make of less, and is the same everywhere; as many as one file may hold


@dataclass
class _Line:
    """A value of the network: the layer that gives it, or the reason why there is none."""

    title: str
    sources: list[str]
    layer: nn.Layer | None = None
    refusal: str = ""
    fills: list[tuple[Array, Array]] = field(default_factory=list)

    def fill(self) -> None:
        """Give the layer its numbers; the file's are let go of then."""
        while self.fills:
            np.copyto(*self.fills.pop())


class Network:
    """A file's nodes, one after the other, as far as `output` needs them."""

    def __init__(
        self,
        file: File,
        output: str | None,
        algorithm: Algorithm,
        shapes: Mapping[str, tuple[int | None, ...]] | None = None,
        batch_axis: int = 0,
    ) -> None:
        self._file, self._algorithm, self._shapes = file, algorithm, shapes or {}
        self._place = Place(batch_axis)
        self._ends: list[str] = [end.name for end in file.outputs]
        self.output = self._chosen(output)
        self._lines: dict[str, _Line] = {}
        self._makers: dict[str, Node] = {}
        self._values: dict[str, Known | Value] = {}
        self._check()
        self._batch: int | None = None
        for each in file.inputs:
            self._values[each.name] = self._input(each)
        for node in self._needed():
            self._read(node)

    def model(self) -> nn.Graph:
        """A Sequential where each layer takes what the one before gives, else a Graph; in evaluation mode.

        Once: what was read is let go of, so that weights are there twice at most.
        """
        last, why = self._last()
        names = self._reached(last)
        if refusals := [*(self._lines[name].refusal for name in names if self._lines[name].refusal), *why]:
            raise ValueError("; ".join(dict.fromkeys(refusals)))
        if not names:
            raise ValueError("graph: expected operators, got none")
        lines = [self._lines[name] for name in names]
        total = sum(target.nbytes for line in lines for target, _ in line.fills)
        if total > _MOST + 4 * self._file.size:
            raise ValueError(f"expected weights of at most {_MOST + 4 * self._file.size} bytes, got {total}")
        given = [one.name for one in self._file.inputs]
        self._file.forget()
        self._makers.clear()  # a circle: each of them has all of them
        self._values.clear()
        for line in lines:
            line.fill()
            if isinstance(line.layer, nn.Conv2d):
                line.layer.algorithm = self._algorithm
        taken = {source for line in lines for source in line.sources}
        # Some converters leave inputs behind that no node takes any more.
        inputs = [name for name in given if name in taken]
        before = [*inputs, *names[:-1]] if len(inputs) == 1 else []
        if all(line.sources == [name] for line, name in zip(lines, before, strict=False)) and before:
            return nn.Sequential(*(line.layer for line in lines if line.layer)).eval()
        titles = _titles(inputs, [(name, self._lines[name].title) for name in names])
        return nn.Graph(
            *(
                (titles[name], line.layer, *(titles[each] for each in line.sources))
                for name, line in zip(names, lines, strict=True)
            ),
            inputs=tuple(titles[name] for name in inputs),
        ).eval()

    def _chosen(self, output: str | None) -> str:
        if output is None:
            if len(self._ends) != 1:
                raise ValueError(f"graph: expected one output, or which of them, got {_check.shown(self._ends)}")
            return self._ends[0]
        if output not in {name for node in self._file.nodes for name in node.output if name}:
            raise ValueError(
                f"output: expected the name of a value, such as {_check.shown(self._ends)}, got {output!r}"
            )
        return output

    def _check(self) -> None:
        """Let onnx find what is not valid; with operators that nobody knows, to say them too."""
        try:
            self._file.check()
        except ValueError as error:
            unknown = [
                f"node {node.name!r} ({node.op_type}): expected an operator that cnnx has a layer for, got another"
                for node in self._file.nodes
                if node.op_type not in {*OPERATORS, *ACTIVATIONS, *FOLDS}
            ]
            raise ValueError("; ".join([*unknown, str(error)])) from None

    def _needed(self) -> list[Any]:
        """The nodes that the output depends on, in their order."""
        wanted, found = {self.output}, []
        for node in reversed(self._file.nodes):
            if not wanted.isdisjoint(node.output):
                wanted.update(node.input)
                found.append(node)
        return found[::-1]

    def _input(self, given: Any) -> Value:
        """A batch as the graph says that it comes in."""
        tensor = given.type.tensor_type
        dtype = next((ours for ours, theirs in DTYPES.items() if theirs == tensor.elem_type), None)
        if dtype is None:
            raise ValueError(f"input {given.name!r}: expected float32 or float64, got ONNX's type {tensor.elem_type}")
        wanted, axis = self._shapes.get(given.name), self._place.axis or 0
        if not tensor.HasField("shape") and wanted is None:
            return Value(given.name, dtype, None, place=self._place)
        sizes = [extent.dim_value if extent.dim_value > 0 else None for extent in tensor.shape.dim]
        if wanted is not None:
            fits = not tensor.HasField("shape") or (
                len(sizes) == len(wanted)
                and all(
                    None in (a, b) or a == b or i == axis for i, (a, b) in enumerate(zip(sizes, wanted, strict=True))
                )
            )
            if not fits:
                raise ValueError(f"input_shape: expected {given.name!r} to be {sizes} (None: any), got {wanted}")
            sizes = [a if b is None else b for a, b in zip(sizes or wanted, wanted, strict=True)]
        if axis >= len(sizes):
            which = f"axis {axis}, of the images, got {len(sizes)} axes" if axis else "an axis of the images, got none"
            raise ValueError(f"input {given.name!r}: expected {which}")
        if any(each is not None and each > _check.LARGEST for each in sizes):
            raise ValueError(
                f"input {given.name!r}: expected at most {_check.LARGEST} elements along an axis, got {sizes}"
            )
        self._batch = self._batch or sizes[axis]
        return Value(given.name, dtype, (*sizes[:axis], *sizes[axis + 1 :]), place=self._place)

    def _given(self, name: str) -> Known | Value | None:
        if name and name not in self._values and name in self._file:
            self._values[name] = Known.of(self._file.array(name))
        return self._values.get(name)

    def _read(self, proto: Any) -> None:
        node = Node(proto, [], self._file.opset, self._batch, self._makers)
        try:
            node = Node(
                proto, [self._given(name) for name in proto.input], *(self._file.opset, self._batch, self._makers)
            )
            if proto.domain not in ("", "ai.onnx"):
                raise ValueError(f"expected an operator of ONNX itself, got one of {proto.domain!r}")
            if node.operator == "Constant" and [each.name for each in proto.attribute] == ["value"]:
                known: Known | None = Known.of(self._file.numbers(node.name, proto.attribute[0].t))
            elif node.operator == "Shape" and node.sources:
                known = shape_of(node)
            else:
                known = fold(node)
            if known is not None:
                self._values[node.outputs[0]] = known
                return
            if not node.sources:
                raise ValueError("expected a value that depends on the images, got constants alone")
            if (moved := self._aligned(node)) != node.sources:
                ahead = iter(moved)
                inputs = [next(ahead) if isinstance(one, Value) else one for one in node.inputs]
                node = Node(proto, inputs, self._file.opset, self._batch, self._makers)
            found = layers(node)
            self._add(node, found if isinstance(found, list) else [found])
        except (TypeError, ValueError, ArithmeticError, MemoryError) as error:
            self._refuse(node, error)

    def _add(self, node: Node, found: list[nn.Layer]) -> None:
        """The values that these layers give."""
        dtype, guessed = node.sources[0].dtype, any(each.guessed for each in node.sources)
        if len(found) == 1 and isinstance(found[0], nn.Identity) and node.gives != node.place:
            self._values[node.outputs[0]] = node.sources[0]._replace(place=node.gives)  # nothing moves but the images
            return
        made = [
            Value(name, dtype, sizes_of(layer, node.sources), guessed, node.gives)
            for name, layer in zip(node.outputs, found, strict=False)
        ]
        sources = [each.name for each in node.sources]
        for value, layer in zip(made, found, strict=False):
            self._values[value.name], self._makers[value.name] = value, node
            self._lines[value.name] = _Line(node.name, sources, layer, fills=node.fills)
        for name in node.outputs[len(found) :]:
            self._refuse(node, ValueError("expected its first output alone to be used, got another too"), [name])

    def _aligned(self, node: Node) -> list[Value]:
        """What a node takes, with the images where it can take them: in the first axis, or all values' in the same."""
        values = node.sources
        if node.operator not in OPERATORS and node.operator not in ACTIVATIONS:
            return values  # of which there is none, wherever the images are
        if node.operator not in ANYWHERE:
            return [self._placed(one, FIRST, f"{node.name} input") for one in values]
        ends = {(one.place, None if one.place == FIRST else one.rank) for one in values if not one.guessed}
        if len(ends) < 2:
            return values
        if self._batch != 1:
            places = [one.place for one in values]
            if len(set(places)) == 1:  # of several ranks, which the node speaks of
                return values
            raise ValueError(f"expected values whose images are along the same axis, got {_said(places)}")
        rank = max(one.rank or 0 for one in values)
        return [self._placed(one, NOWHERE, f"{node.name} input", rank) for one in values]

    def _placed(self, value: Value, place: Place, title: str, rank: int = 0) -> Value:
        """A value with its images there: what a single one's file can say by another shape, or as it is."""
        if value.place == place and (place == FIRST or value.rank == rank):
            return value
        if value.guessed:
            return value
        if value.sizes is None or None in value.sizes:
            raise UnknownShapeError(f"expected a value of known shape, or the images first, got {_said([value.place])}")
        outer: list[int] = value.place.outer(value.sizes)  # type: ignore[assignment]
        if self._batch != 1 or (place == FIRST and outer[:1] != [1]):
            raise ValueError(f"expected values with the images first, got {_said([value.place])}")
        shape = (1,) * (rank - len(outer)) + tuple(outer)
        sizes = place.of(shape)
        if sizes == value.sizes:
            return value._replace(place=place)
        layer = nn.Flatten() if len(sizes) == 1 else nn.Reshape(sizes)
        name = f"{value.name}\0{sizes}"
        self._lines[name] = _Line(title, [value.name], layer)
        return value._replace(name=name, sizes=sizes, place=place)

    def _refuse(self, node: Node, error: Exception, names: list[str] | None = None) -> None:
        """Keep the reason, for when the value is wanted; none if it is only that a node before has been refused."""
        guessed = [each for each in node.sources if each.guessed]
        none = not any(node.operator in known for known in (OPERATORS, ACTIVATIONS, FOLDS, ("Shape",)))  # for any shape
        consequence = bool(guessed and not none) and (
            isinstance(error, UnknownShapeError) or any(each.dtype.kind in "iub" for each in guessed)  # shapes
        )
        refusal = "" if consequence else f"node {node.name!r} ({node.operator}): {error}"
        sources = [each.name for each in node.sources]
        known = (one.first.dtype for one in node.inputs if isinstance(one, Known))
        dtype = node.sources[0].dtype if sources else next(known, np.dtype(np.float32))
        if node.operator in ("Shape", "Size"):
            dtype = np.dtype(np.int64)
        for name in node.outputs if names is None else names:
            self._values[name] = Value(name, dtype, None, guessed=True, place=node.place)
            self._lines[name], self._makers[name] = _Line(node.name, sources, refusal=refusal), node

    def _last(self) -> tuple[str, list[str]]:
        """The output's name among the lines, and why it cannot be the output."""
        found = self._values.get(self.output)
        if not isinstance(found, Value):
            return self.output, []
        if found.place == self._place:
            return found.name, []
        try:
            return self._placed(found, FIRST, "output").name, []
        except ValueError as error:
            return found.name, [f"output {self.output!r}: {error}"]

    def _reached(self, last: str) -> list[str]:
        """The values that the output really takes, in their order, itself the last."""
        wanted = {last}
        for name in reversed(self._lines):
            if name in wanted:
                wanted.update(self._lines[name].sources)
        return [name for name in self._lines if name in wanted]


def _said(places: list[Place]) -> str:
    """Where images are, for a message."""
    return ", ".join(
        "none known" if one.axis is None else f"axis {one.axis}" + (", with others" if one.shared else "")
        for one in places
    )


def _titles(inputs: list[str], lines: list[tuple[str, str]]) -> dict[str, str]:
    """Names that a Graph takes, each once and without the dot that parts them from the names of weights."""
    titles: dict[str, str] = {}
    taken: set[str] = set()
    for key, wanted in (*((name, name) for name in inputs), *lines):
        title = "".join(letter if letter.isprintable() else "_" for letter in (wanted or key)).replace(".", "/") or "_"
        stem, number = re.sub(r" \d+$", "", title), 1
        while title in taken:
            number += 1
            title = f"{stem} {number}"
        taken.add(title)
        titles[key] = title
    return titles

"""The graph of an ONNX model as a chain of nodes, or the reason why it is none."""

from collections import deque
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from ._operators import DTYPES, no_images, onnx

OLDEST_OPSET = 13  # Softmax meant something else before
LARGEST_FILE = 2**31  # what protobuf reads


class Node:
    """An operator of the chain: its attributes, and its inputs other than the one before."""

    def __init__(self, node: Any, constants: list[Array | None]) -> None:
        self.operator: str = node.op_type
        self.name = f"{node.name!r} ({node.op_type})"
        self.constants = constants
        self._attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}

    def take(self, name: str, default: Any) -> Any:
        """An attribute, which is then seen to."""
        value = self._attributes.pop(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def expect(self, name: str, default: Any, expected: Any) -> None:
        """Raise unless an attribute is what layers have."""
        value = self.take(name, default)
        if value != expected:
            raise ValueError(f"{name}: expected {expected}, got {_check.shown(value)}")

    def constant(self, index: int, name: str) -> Array:
        """The input of that number, which has to be there."""
        found = self.optional(index)
        if found is None:
            raise ValueError(f"{name}: expected an array in the file, got none")
        return found

    def optional(self, index: int) -> Array | None:
        return self.constants[index - 1] if index <= len(self.constants) else None

    def done(self) -> None:
        """Raise if there are attributes that nobody asked about."""
        if self._attributes:
            raise ValueError(f"attributes: expected none that layers have not, got {sorted(self._attributes)}")


def read(data: bytes) -> tuple[deque[Node], Array | None]:
    """The nodes of a model in order, and a batch of none as it comes in (None where the model leaves its size open).

    Raises
    ------
    ValueError
        No ONNX model, an old one, or no chain.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own, which onnx does not name
        raise ValueError(f"no ONNX: {error}") from None
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise ValueError(f"opset {opset}: expected at least {OLDEST_OPSET}; onnx.version_converter makes it newer")
    graph = model.graph
    constants = {tensor.name: _array(tensor.name, tensor) for tensor in graph.initializer}
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # of classes without a common one
        raise ValueError(f"no valid ONNX: {error}") from None
    if graph.sparse_initializer:
        raise ValueError("sparse_initializer: expected dense arrays, got sparse ones")
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ValueError(f"graph: expected one input and one output, got {len(inputs)} and {len(graph.output)}")
    nodes = _chain(graph, inputs[0].name, constants)
    if not nodes:
        raise ValueError("graph: expected operators, got none")
    return nodes, _input(inputs[0])


def _chain(graph: Any, before: str, constants: dict[str, Array]) -> deque[Node]:
    """The nodes in order, each fed by the one before it and by constants; those that make constants do."""
    nodes: deque[Node] = deque()
    for node in graph.node:
        name = f"node {node.name!r} ({node.op_type})"
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(f"{name}: expected an operator of ONNX itself, got one of {node.domain!r}")
        if node.op_type == "Constant" and [each.name for each in node.attribute] == ["value"]:
            constants[node.output[0]] = _array(node.output[0], node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        else:
            inputs = list(node.input)
            if node.op_type == "Add" and inputs[-1] == before:  # either order will do
                inputs.reverse()
            wrong = [each for each in inputs[1:] if each and each not in constants]
            if not inputs or inputs[0] != before or wrong:
                raise ValueError(f"{name}: expected what the node before it gives and constants, got {inputs}")
            nodes.append(Node(node, [constants.get(each) for each in inputs[1:]]))
            before = node.output[0]
    if graph.output[0].name != before:
        raise ValueError(f"graph: expected the last node's output {before!r}, got {graph.output[0].name!r}")
    return nodes


def _array(name: str, tensor: Any) -> Array:
    if onnx.external_data_helper.uses_external_data(tensor):
        raise ValueError(f"{name}: expected an array in the file, got one in another")
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # whatever a tensor that is none raises
        raise ValueError(f"{name}: {error}") from None


def _input(value: Any) -> Array | None:
    """A batch of none as the graph says it comes in; None where it leaves the size open."""
    tensor = value.type.tensor_type
    dtype = next((ours for ours, theirs in DTYPES.items() if theirs == tensor.elem_type), None)
    if dtype is None:
        raise ValueError(f"input {value.name!r}: expected float32 or float64, got ONNX's type {tensor.elem_type}")
    extents = [each.dim_value for each in tensor.shape.dim]
    return no_images(tuple(extents[1:]), dtype) if extents and all(each > 0 for each in extents[1:]) else None

"""The file of an ONNX model: read, checked, its arrays on demand, also those that stand in files beside it."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ... import _check
from ..._check import Array
from ..._files import reading
from .._operators import onnx

OLDEST_OPSET = 7  # before, broadcasting meant something else
LARGEST_FILE = 2**31  # what protobuf reads


class File:
    """A model that onnx finds valid, or would but for operators that it does not know.

    Attributes
    ----------
    opset : int
    nodes, inputs, outputs : of onnx
        Inputs without those that are initialisers.
    size : int
        Bytes of all files of which something was read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._folder = Path(os.path.realpath(Path(path).parent))
        with reading(path) as file:
            self.size = os.fstat(file.fileno()).st_size
            if self.size > LARGEST_FILE:
                raise ValueError(f"expected at most {LARGEST_FILE} bytes, got {self.size}")
            data = file.read()
        try:
            self._model = onnx.load_model_from_string(data)
        except Exception as error:  # protobuf's own, which onnx does not name
            raise ValueError(f"no ONNX: {error}") from None
        self.opset = next((one.version for one in self._model.opset_import if one.domain in ("", "ai.onnx")), 0)
        newest = onnx.defs.onnx_opset_version()
        if not OLDEST_OPSET <= self.opset <= newest:
            raise ValueError(f"opset {self.opset}: expected one from {OLDEST_OPSET} to {newest}")
        graph = self._model.graph
        if graph.sparse_initializer:
            raise ValueError("sparse_initializer: expected dense arrays, got sparse ones")
        names = [one.name for one in (*graph.initializer, *graph.input, *graph.output)]
        for node in graph.node:
            names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        if wrong := [
            name for name in names if not isinstance(name, str)
        ]:  # protobuf gives bytes where they are no text
            raise ValueError(f"names: expected text in UTF-8, got {_check.shown(wrong[0])}")
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes = list(graph.node)
        for node in self.nodes:
            if any(map(onnx.external_data_helper.uses_external_data, _within_node(node))):  # onnx would open any file
                raise ValueError(
                    f"node {node.name!r} ({node.op_type}): expected numbers in the file, got some in another"
                )
        self.inputs = [one for one in graph.input if one.name not in self._tensors]
        self.outputs = list(graph.output)

    def forget(self) -> None:
        """Let go of the model, once all that is wanted of it is known."""
        self._model = None
        self._tensors.clear()
        for held in (self.nodes, self.inputs, self.outputs):
            held.clear()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def array(self, name: str) -> Array:
        """An initialiser."""
        return self.numbers(name, self._tensors[name])

    def numbers(self, name: str, tensor: Any) -> Array:
        """What a tensor of the model holds, wherever it stands."""
        if onnx.external_data_helper.uses_external_data(tensor):
            return self._beside(name, tensor)
        try:
            return np.asarray(onnx.numpy_helper.to_array(tensor))
        except Exception as error:  # whatever a tensor that is none raises
            raise ValueError(f"{name}: {error}") from None

    def _beside(self, name: str, tensor: Any) -> Array:
        """A tensor whose numbers stand in a file of their own, within the model's folder."""
        where = {entry.key: entry.value for entry in tensor.external_data}
        place = where.get("location", "")
        path = self._within(name, place)
        dtype = _plain_dtype(name, tensor)
        count = math.prod(tensor.dims)
        bytes_ = count * dtype.itemsize
        try:
            offset, length = int(where.get("offset") or 0), int(where.get("length") or bytes_)
        except ValueError:
            raise ValueError(f"{name}: expected integers, got offset and length {_check.shown(where)}") from None
        try:
            with reading(path) as file:
                size = os.fstat(file.fileno()).st_size
                if min(offset, *tensor.dims, 0) < 0 or length != bytes_ or offset + bytes_ > size:
                    raise ValueError(
                        f"{name}: expected {bytes_} bytes for shape {_check.shown(list(tensor.dims))} in {place!r}, a "
                        f"file of {size}, got {length} from {offset}"
                    )
                file.seek(offset)
                found = np.fromfile(file, dtype, count)
        except OSError as error:
            raise ValueError(f"{name}: expected its numbers in {place!r} beside the model: {error.strerror}") from None
        if found.size != count:
            raise ValueError(f"{name}: {place!r} ends within it; it was changed while it was read")
        self.size += bytes_
        return found.reshape(tensor.dims)

    def _within(self, name: str, place: str) -> Path:
        """A path that is in the model's folder, also behind all links."""
        parts = Path(place).parts
        if place and "\0" not in place and not Path(place).is_absolute() and ".." not in parts:
            found = Path(os.path.realpath(self._folder / place))
            if found.is_relative_to(self._folder):
                return found
        raise ValueError(f"{name}: expected its numbers in a file within the model's folder, got {_check.shown(place)}")

    def whole(self, values: dict[str, str]) -> bytes:
        """The model with all its arrays, as a file of its own that gives these values too, under other names.

        By an Identity each: a runtime may fuse nodes otherwise where a value is an output of the graph itself.
        """
        model = self._model
        tensors = list(model.graph.initializer)
        if any(map(onnx.external_data_helper.uses_external_data, tensors)):
            model = onnx.ModelProto()
            model.CopyFrom(self._model)
            for tensor in model.graph.initializer:
                tensor.CopyFrom(onnx.numpy_helper.from_array(self.array(tensor.name), tensor.name))
        more = onnx.ModelProto()
        for name, other in values.items():
            more.graph.node.append(onnx.helper.make_node("Identity", [name], [other], name=other))
            more.graph.output.append(onnx.ValueInfoProto(name=other))
        data: bytes = model.SerializeToString() + more.SerializeToString()  # protobuf reads the two as one message
        return data

    def alone(self, node: Any, arrays: dict[str, Array]) -> Any:
        """A model of one of its nodes, which holds these arrays; its other inputs and all outputs are the node's."""
        model = onnx.ModelProto(ir_version=self._model.ir_version, opset_import=self._model.opset_import)
        model.functions.extend(self._model.functions)
        graph = model.graph
        graph.name = "node"
        graph.node.append(node)
        graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
        return model

    def check(self) -> None:
        """Raise where onnx finds the model invalid."""
        bare = self._bare()
        for end in bare.graph.output:
            end.type.tensor_type.shape.SetInParent()  # of what comes out nobody needs to know the shape
        try:
            onnx.checker.check_model(bare)
        except Exception as error:  # of classes without a common one
            raise ValueError(f"no valid ONNX: {error}") from None

    def _bare(self) -> Any:
        """The model without its arrays, which become inputs: onnx need not copy them, and must not open other files."""
        bare = onnx.ModelProto(ir_version=self._model.ir_version, opset_import=self._model.opset_import)
        graph = self._model.graph
        bare.graph.name = graph.name
        bare.graph.node.extend(graph.node)
        bare.graph.output.extend(graph.output)
        bare.graph.input.extend(self.inputs)
        for tensor in self._tensors.values():
            bare.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        return bare


def _plain_dtype(name: str, tensor: Any) -> np.dtype[Any]:
    """The dtype of numbers as they stand in files: little-endian."""
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except Exception:  # a number that is no type
        dtype = np.dtype(object)
    if dtype.kind not in "fiub" or dtype.char not in np.typecodes["All"]:
        raise ValueError(f"{name}: expected numbers that NumPy has, got ONNX's type {tensor.data_type}")
    little: np.dtype[Any] = dtype.newbyteorder("<")
    return little


def _within_node(node: Any) -> Iterator[Any]:
    """The tensors in a node's attributes, also in graphs within it."""
    for attribute in node.attribute:
        sparse = [
            *attribute.sparse_tensors,
            *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
        ]
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for each in sparse:
            yield each.values
            yield each.indices
        for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from graph.initializer
            for each in graph.sparse_initializer:
                yield each.values
                yield each.indices
            for inner in graph.node:
                yield from _within_node(inner)

"""A back end of cnnx as an engine: node by node, by its layers with the back end's kernels."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

import cnnx

from .... import backend as _backend
from ....io._operators import onnx
from ....io._reading.node import Known
from ...data import Array
from ..step import Step, UnjudgedError


class BackEnd:
    """Kernels of this name behind cnnx's layers."""

    whole = False

    def __init__(self, name: str, *, threads: int) -> None:
        self.name, self.version, self._threads = name, f"cnnx {cnnx.__version__}", threads

    def run(self, model: bytes, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """A model of one node or more, whose operators all have layers."""
        proto = onnx.load_model_from_string(model)
        opset = next((one.version for one in proto.opset_import if one.domain in ("", "ai.onnx")), 0)
        known = {one.name: Known.of(np.asarray(onnx.numpy_helper.to_array(one))) for one in proto.graph.initializer}
        values = dict(inputs)
        try:
            for node in proto.graph.node:
                given = [values.get(name, known.get(name)) if name else None for name in node.input]
                step = Step(node, given, opset, double=False)
                with _backend.use_backend(self.name), self._on_threads():
                    found = step.arrays([one for one in given if isinstance(one, np.ndarray)])
                values.update(zip(node.output, found, strict=False))
        except UnjudgedError as error:
            raise NotImplementedError(str(error)) from None
        return [values[name] for name in outputs]

    def _on_threads(self) -> AbstractContextManager[object]:
        with_threads = _backend.with_threads(self.name)
        return nullcontext() if with_threads is None else with_threads(self._threads)

    def kept(self, model: bytes) -> set[str]:
        """All."""
        return {name for node in onnx.load_model_from_string(model).graph.node for name in node.output}

"""ONNX Runtime as an engine of whole models (extra `onnxruntime`), for `cnnx audit --model`."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ._kernels import Array

try:
    import onnx
    import onnxruntime
except ImportError as error:
    message = f"engine onnxruntime needs it: python -m pip install 'cnnx[onnxruntime]' ({error})"
    raise ModuleNotFoundError(message, name="onnxruntime") from error

LARGE = "256"  # bytes of an array that an optimised model holds in a file beside it, which nobody reads


class Engine:
    """Its sessions on the CPU, with all its optimisations on."""

    name, whole = "onnxruntime", True
    version: str = onnxruntime.__version__

    def __init__(self, *, threads: int, exact: bool) -> None:
        self._threads = threads  # it computes in the model's own type, exact or not

    def run(self, model: bytes, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """A session of its own for each call."""
        session = self._session(model, self._settings())
        found: list[Array] = session.run(list(outputs), dict(inputs))
        return found

    def kept(self, model: bytes) -> set[str]:
        """What its optimised graph still has, before it chooses layouts: those have names of their own."""
        with tempfile.TemporaryDirectory() as folder:
            settings = self._settings()
            settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            settings.optimized_model_filepath = os.path.join(folder, "optimised.onnx")
            entries = {"external_initializers_file_name": "arrays", "external_initializers_min_size_in_bytes": LARGE}
            for key, value in entries.items():
                settings.add_session_config_entry(f"session.optimized_model_{key}", value)
            self._session(model, settings)
            graph = onnx.load(settings.optimized_model_filepath, load_external_data=False).graph
        return {name for node in graph.node for name in node.output if name}

    def _settings(self) -> Any:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.enable_cpu_mem_arena = False  # one run each
        settings.log_severity_level = 4  # what cannot be done comes as an exception
        return settings

    @staticmethod
    def _session(model: bytes, settings: Any) -> Any:
        try:
            return onnxruntime.InferenceSession(model, settings, ["CPUExecutionProvider"])
        except Exception as error:
            if "NOT_IMPLEMENTED" not in str(error):
                raise
            raise NotImplementedError(f"onnxruntime has no kernel for it: {' '.join(str(error).split())}") from None

"""ONNX Runtime as an engine of whole models (extra `onnxruntime`), for `cnnx audit --model`."""

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ._kernels import Array

try:
    import onnx
    import onnxruntime
except ImportError as error:
    message = f"engine onnxruntime needs it: python -m pip install 'cnnx[onnxruntime]' ({error})"
    raise ModuleNotFoundError(message, name="onnxruntime") from error

# What may be fused with the kernel before it.
ELEMENTWISE = {
    "Add", "BatchNormalization", "Clip", "Div", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Mul",
    "PRelu", "Relu", "Sigmoid", "Softplus", "Sub", "Sum", "Tanh",
}  # fmt: skip

MOVES = {"Identity", "ReorderInput", "ReorderOutput"}

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
        """What its optimised graph still has.

        Before it chooses layouts, the graph says so by names. With layouts come names of their own, and more is fused:
        what stands alone and what does not is then seen by taking values out, those between operators of two kinds at a
        time. Where that makes it run other kernels, they were fused.
        """
        graph = onnx.load_model_from_string(model).graph
        makers = {name: node.op_type for node in graph.node for name in node.output}
        users: dict[str, set[str]] = {}
        for node in graph.node:
            for name in node.input:
                users.setdefault(name, set()).add(node.op_type)
        ends = {one.name for one in graph.output}
        del graph
        named = self._optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
        between: dict[tuple[str, ...], list[str]] = {}
        for name in (name for node in named.node for name in node.output if name in makers and name not in ends):
            between.setdefault((makers[name], *sorted(users.get(name, ()))), []).append(name)
        taken: list[str] = []
        kernels = self._kernels(model)
        sure = [kinds for kinds in between if not ELEMENTWISE.intersection(kinds[1:])]
        if self._kernels(_giving(model, [name for kinds in sure for name in between[kinds]])) == kernels:
            taken += [name for kinds in sure for name in between.pop(kinds)]
        for names in between.values():
            if self._kernels(_giving(model, [*taken, *names])) == kernels:
                taken += names
        return {*taken, *ends}

    def _kernels(self, model: bytes) -> Counter[str]:
        """How many of which kind it runs, apart from those that change a layout alone or hand a value out."""
        nodes = self._optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL).node
        return Counter(f"{node.domain}.{node.op_type}" for node in nodes if node.op_type not in MOVES)

    def _optimised(self, model: bytes, level: Any) -> Any:
        """The graph that it makes of a model."""
        with tempfile.TemporaryDirectory() as folder:
            settings = self._settings()
            settings.graph_optimization_level = level
            settings.optimized_model_filepath = os.path.join(folder, "optimised.onnx")
            entries = {"external_initializers_file_name": "arrays", "external_initializers_min_size_in_bytes": LARGE}
            for key, value in entries.items():
                settings.add_session_config_entry(f"session.optimized_model_{key}", value)
            self._session(model, settings)
            return onnx.load(settings.optimized_model_filepath, load_external_data=False).graph

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


def _giving(model: bytes, values: Sequence[str]) -> bytes:
    """A model that gives these values too, by an Identity each: as outputs of the graph they would be fused less.

    protobuf reads two messages, one behind the other, as one.
    """
    more = onnx.ModelProto()
    for name in values:
        more.graph.node.append(onnx.helper.make_node("Identity", [name], [f"{name}/taken"]))
        more.graph.output.append(onnx.ValueInfoProto(name=f"{name}/taken"))
    data: bytes = model + more.SerializeToString()
    return data

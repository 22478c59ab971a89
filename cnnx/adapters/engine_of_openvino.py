"""OpenVINO as an engine of whole models (extra `openvino`), for `cnnx audit --model`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ._kernels import Array

try:
    import openvino
except ImportError as error:
    message = f"engine openvino needs it: python -m pip install 'cnnx[openvino]' ({error})"
    raise ModuleNotFoundError(message, name="openvino") from error


class Engine:
    """Its plugin for the CPU. Left to itself it computes in bfloat16 where the processor can: exact=False leaves it."""

    name, whole = "openvino", True
    version: str = openvino.__version__.partition("-")[0]

    def __init__(self, *, threads: int, exact: bool) -> None:
        self._core = openvino.Core()
        self._settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if exact:
            self._settings["INFERENCE_PRECISION_HINT"] = "f32"

    def run(self, model: bytes, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """A model compiled for each call."""
        read = self._read(model)
        ins, outs = _places(read.inputs, list(inputs)), _places(read.outputs, outputs)
        request = self._compiled(read).create_infer_request()
        request.infer({i: np.asarray(array, order="C") for i, array in zip(ins, inputs.values(), strict=True)})
        return [np.array(request.get_output_tensor(i).data) for i in outs]

    def kept(self, model: bytes) -> set[str]:
        """What the last of the layers gives that each of its kernels says it is made of."""
        read = self._core.read_model(model)
        names = {
            op.get_friendly_name(): (place, {name for port in op.outputs() for name in port.get_names()})
            for place, op in enumerate(read.get_ordered_ops())
        }
        kept: set[str] = set()
        for op in self._core.compile_model(read, "CPU", self._settings).get_runtime_model().get_ordered_ops():
            known = [names[layer] for layer in _layers(op) if layer in names]
            kept |= max(known, key=lambda one: one[0])[1] if known else set()
        return kept

    def _read(self, model: bytes) -> Any:
        try:
            return self._core.read_model(model)
        except RuntimeError as error:
            raise _not_taken(error) from None

    def _compiled(self, read: Any) -> Any:
        try:
            return self._core.compile_model(read, "CPU", self._settings)
        except RuntimeError as error:
            raise _not_taken(error) from None


def _places(ports: Sequence[Any], names: Sequence[str]) -> Sequence[int]:
    """Where ports of these names stand. What computes nothing is left out when a model is read, and takes a name along:
    then they stand in the order of the file, which is that of the names."""
    known = {name: place for place, port in enumerate(ports) for name in port.get_names()}
    if len(ports) == len(names) and not known.keys() >= set(names):
        return range(len(names))
    return [known[name] for name in names]


def _not_taken(error: RuntimeError) -> NotImplementedError:
    return NotImplementedError(f"openvino does not take it: {' '.join(str(error).split())[:300]}")


def _layers(op: Any) -> list[str]:
    """The layers of the file that one of its kernels computes."""
    about = op.get_rt_info()
    return str(about["originalLayersNames"].astype(str)).split(",") if "originalLayersNames" in about else []

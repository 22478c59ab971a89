"""OpenVINO as a back end (extra `openvino`): a model of one node for each kind of call, forward only.

In float32: left to itself it computes in bfloat16 where the processor can, and float64 in float32 in any case.
"""

from typing import Any

import numpy as np

from ._kernels import Array

try:
    import openvino

    from ._onnx_nodes import Compute, NoNodeError, of_nodes, onnx
except ImportError as error:
    message = f"back end openvino needs it: python -m pip install 'cnnx[openvino]' ({error})"
    raise ModuleNotFoundError(message, name="openvino") from error

_core = openvino.Core()


def prepare(model: bytes, threads: int, *, exact: bool = True) -> Compute:
    """What computes a model; exact=False: in whatever precision it takes by itself, float64 too."""
    if exact and onnx.load_model_from_string(model).graph.input[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise NoNodeError  # it takes float64 and computes in float32
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        **({"INFERENCE_PRECISION_HINT": "f32"} if exact else {}),
    }
    try:
        request = _core.compile_model(_core.read_model(model), "CPU", settings).create_infer_request()
    except RuntimeError as error:
        raise NoNodeError from error

    def compute(inputs: dict[str, Array]) -> Array:
        request.infer({name: np.asarray(array, order="C") for name, array in inputs.items()})
        return np.array(request.get_output_tensor(0).data)

    return compute


# Static shapes: LRN of more than three channels with open shapes gives an empty array.
KERNELS = of_nodes("openvino", prepare, {}, no_gradients="OpenVINO computes no gradients", static=True)
KERNELS.about = (
    f"openvino {openvino.__version__.partition('-')[0]}, INFERENCE_PRECISION_HINT f32; float32 alone, "
    "as it computes float64 in float32"
)

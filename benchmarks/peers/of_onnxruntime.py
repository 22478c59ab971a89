"""How onnxruntime computes a figure: a model of one node, weights in it. It has no gradients here."""

import os
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplemented_

from .figures import Call, Figure

NODES = {"max pool forward": "MaxPool", "average pool forward": "AveragePool", "affine forward": "Gemm"}
ACTIVATIONS = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def about() -> dict[str, Any]:
    """What goes into the record."""
    return {"version": onnxruntime.__version__, "threads": int(os.environ["OMP_NUM_THREADS"])}


def prepare(figure: Figure, arrays: dict[str, np.ndarray]) -> Call:
    """The call to be timed."""
    if figure.call == "conv2d":
        node, attributes = "Conv", _window(figure.options)
        attributes |= {"group": figure.options["groups"], "kernel_shape": list(arrays["weight"].shape[2:])}
    elif figure.call in ("max pool forward", "average pool forward"):
        node, attributes = NODES[figure.call], _window(figure.options)
        attributes["kernel_shape"] = [figure.options["kernel_size"]] * 2
    elif figure.call == "affine forward":
        node, attributes = "Gemm", {"transB": 1}
    elif figure.call == "activation forward":
        node, attributes = ACTIVATIONS[figure.options["name"]], {}
    else:
        raise NotImplementedError("onnxruntime has no gradients and no training here")
    weights = {name: arrays[name] for name in ("weight", "bias") if name in arrays}
    session = _session(node, attributes, weights, arrays["x"])
    given = {"x": arrays["x"]}
    return lambda: session.run(None, given)


def _window(options: dict[str, Any]) -> dict[str, Any]:
    return {"strides": [options["stride"]] * 2, "pads": [options["padding"]] * 4}


def _session(
    node: str, attributes: dict[str, Any], weights: dict[str, np.ndarray], x: np.ndarray
) -> onnxruntime.InferenceSession:
    kind = TensorProto.FLOAT if x.dtype == np.float32 else TensorProto.DOUBLE
    graph = helper.make_graph(
        [helper.make_node(node, ["x", *weights], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", kind, list(x.shape))],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except NotImplemented_ as error:  # no RuntimeError, nor any other of Python's
        raise NotImplementedError(str(error)) from error

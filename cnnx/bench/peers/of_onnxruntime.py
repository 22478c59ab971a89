"""ONNX Runtime as a peer: a model of one node, weights in it; forward only."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ... import _check
from ._asked import Array, Arrays, Call, Options, flat, in_full, window

try:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotThereError
except ImportError as error:
    message = f"peer onnxruntime needs it: python -m pip install 'cnnx[onnxruntime]' ({error})"
    raise ModuleNotFoundError(message, name="onnxruntime") from error

LACKS = {
    "step": "ONNX has no step function",
    "dropout": "ONNX draws the mask itself",
    "silu": "ONNX Runtime has no SiLU of one node",
    "squared_error": "ONNX has no squared error",
}
OPSET, IR = 17, 8
OPSETS = {"Gelu": 20, "LpPool": 18, "GroupNormalization": 21}  # before, they were not there, or said less
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}

_threads = 1

# A node's name, its attributes, and the inputs of the call; the other arrays are constants of the model.
Node = tuple[str, dict[str, Any], tuple[str, ...]]


def about() -> dict[str, str]:
    """Versions."""
    return {"onnxruntime": onnxruntime.__version__}


def set_threads(n: int) -> None:
    """How many threads the calls that are prepared from now on have."""
    global _threads
    _threads = n


def prepare(op: str, direction: str, arrays: Arrays, options: Options) -> Call:
    """The call to be timed: a session's run."""
    if direction != "forward":
        raise NotImplementedError("ONNX Runtime computes no gradients")
    if op in LACKS:
        raise NotImplementedError(LACKS[op])
    arrays = dict(arrays)  # to which a node may add constants
    node, attributes, names = NODES[op](arrays, in_full(op, direction, options))
    constants = {name: arrays[name] for name in CONSTANTS if name in arrays and name not in names}
    given = {name: arrays[name].astype("int64") if name == "target" else arrays[name].copy() for name in names}
    return partial(_session(node, attributes, given, constants).run, None, given)


def result(returned: Any) -> list[Array]:
    """The arrays that a call returned."""
    return [np.asarray(part) for part in flat(returned)]


def _session(node: str, attributes: dict[str, Any], given: Arrays, constants: Arrays) -> Any:
    first = next(iter(given.values()))
    graph = helper.make_graph(
        [helper.make_node(node, [*given, *constants], ["result"], **attributes)],
        "one",
        [helper.make_tensor_value_info(name, TYPES[a.dtype.name], a.shape) for name, a in given.items()],
        [helper.make_tensor_value_info("result", TYPES[first.dtype.name], None)],
        [numpy_helper.from_array(a, name) for name, a in constants.items()],
    )
    opset = helper.make_opsetid("", OPSETS.get(node, OPSET))
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = _threads, 1
    settings.log_severity_level = 4  # what cannot be done comes as an exception
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    except NotThereError as error:  # no RuntimeError, nor any other of Python's
        raise NotImplementedError(f"ONNX Runtime has no {node} of {first.dtype.name} on the CPU") from error


# -------------------------------------------------------------------------------------------- nodes

# In the order in which nodes have them.
CONSTANTS = (
    "roi",
    "scales",
    "sizes",
    "min",
    "max",
    "weight",
    "bias",
    "running_mean",
    "running_var",
)


def _plain(node: str, **names: str) -> Callable[[Arrays, Options], Node]:
    """A node of one input, whose attributes are cnnx's options by other names."""
    return lambda arrays, o: (node, {theirs: o[ours] for theirs, ours in names.items()}, ("x",))


def _windows(arrays: Arrays, o: Options) -> dict[str, Any]:
    w = window(arrays, o)
    (top, bottom), (left, right) = w.rows, w.columns
    return dict(kernel_shape=w.size, strides=w.stride, pads=(top, left, bottom, right))


def _conv2d(arrays: Arrays, o: Options) -> Node:
    dilations = window(arrays, o).dilation
    return "Conv", {**_windows(arrays, o), "dilations": dilations, "group": o["groups"]}, ("x",)


def _conv_transpose2d(arrays: Arrays, o: Options) -> Node:
    w = window(arrays, o)
    more = _check.pair("output_padding", o["output_padding"], 0)
    if more[0] >= w.stride[0] or more[1] >= w.stride[1]:
        raise NotImplementedError("ONNX Runtime takes an output padding below the stride alone")
    return (
        "ConvTranspose",
        {**_windows(arrays, o), "dilations": w.dilation, "group": o["groups"], "output_padding": more},
        ("x",),
    )


def _pool(node: str, arrays: Arrays, o: Options, **attributes: Any) -> Node:
    w = window(arrays, o)
    if max(w.rows) >= w.size[0] or max(w.columns) >= w.size[1]:
        raise NotImplementedError("ONNX Runtime pads by less than a window")
    return node, {**_windows(arrays, o), "ceil_mode": int(o["ceil_mode"]), **attributes}, ("x",)


def _max_pool2d(arrays: Arrays, o: Options) -> Node:
    if o["return_winners"]:
        raise NotImplementedError("ONNX counts winners through the whole tensor")
    return _pool("MaxPool", arrays, o)


def _global_max_pool2d(arrays: Arrays, o: Options) -> Node:
    if o["return_winners"]:
        raise NotImplementedError("ONNX's GlobalMaxPool has no winners")
    return "GlobalMaxPool", {}, ("x",)


def _avg_pool2d(arrays: Arrays, o: Options) -> Node:
    return _pool("AveragePool", arrays, o, count_include_pad=int(o["count_include_pad"]))


def _lp_pool2d(arrays: Arrays, o: Options) -> Node:
    if o["normalize"] or o["norm_type"] != int(o["norm_type"]):
        raise NotImplementedError("ONNX's LpPool takes whole norms and does not divide by the window's size")
    return _pool("LpPool", arrays, o, p=int(o["norm_type"]))


def _upsample2d(arrays: Arrays, o: Options) -> Node:
    size = _check.pair("size", o["size"], 1)
    arrays["roi"] = arrays["scales"] = np.zeros(0, np.float32)
    arrays["sizes"] = np.array([*arrays["x"].shape[:2], *size], np.int64)
    mode = {"mode": "nearest", "nearest_mode": o["rounding"]} if o["mode"] == "nearest" else {"mode": "linear"}
    return "Resize", {"coordinate_transformation_mode": o["coordinates"], **mode}, ("x",)


def _clip(arrays: Arrays, o: Options) -> Node:
    for name in ("min", "max"):
        arrays[name] = np.asarray(o[name], arrays["x"].dtype)
    return "Clip", {}, ("x",)


def _prelu(arrays: Arrays, o: Options) -> Node:
    if arrays["x"].ndim == 0:
        raise NotImplementedError("ONNX's PRelu gives a number without axes one")
    axes = arrays["x"].ndim - 2 if arrays["weight"].size > 1 else 0  # slopes meet the last axes there, not the channels
    arrays["weight"] = arrays["weight"].reshape(-1, *[1] * axes)
    return "PRelu", {}, ("x",)


def _local_response_norm(arrays: Arrays, o: Options) -> Node:
    if o["size"] % 2 == 0 or o["alpha"] == 0 or arrays["x"].ndim != 4:
        raise NotImplementedError("ONNX Runtime's LRN takes images, odd sizes and an alpha above 0 alone")
    return "LRN", {"size": o["size"], "alpha": o["alpha"], "beta": o["beta"], "bias": o["k"]}, ("x",)


def _batch_norm2d(arrays: Arrays, o: Options) -> Node:
    if o["training"]:
        raise NotImplementedError("ONNX Runtime has batch normalisation for inference alone")
    return "BatchNormalization", {"epsilon": o["eps"]}, ("x",)


def _norm(arrays: Arrays, parameters: Any) -> None:
    """ONNX's have a scale and a bias; a missing one is made."""
    arrays.setdefault("weight", np.ones(parameters, arrays["x"].dtype))
    arrays.setdefault("bias", np.zeros(parameters, arrays["x"].dtype))


def _group_norm(arrays: Arrays, o: Options) -> Node:
    _norm(arrays, arrays["x"].shape[1])
    kept = TYPES[arrays["x"].dtype.name]  # without a word statistics are floats, of doubles too
    return "GroupNormalization", {"num_groups": o["num_groups"], "epsilon": o["eps"], "stash_type": kept}, ("x",)


def _instance_norm(arrays: Arrays, o: Options) -> Node:
    _norm(arrays, arrays["x"].shape[1])
    return "InstanceNormalization", {"epsilon": o["eps"]}, ("x",)


def _layer_norm(arrays: Arrays, o: Options) -> Node:
    _norm(arrays, o["normalized_shape"])
    return "LayerNormalization", {"axis": -np.size(o["normalized_shape"]), "epsilon": o["eps"]}, ("x",)


def _cross_entropy(arrays: Arrays, o: Options) -> Node:
    if arrays["target"].ndim != 1:
        raise NotImplementedError("ONNX's cross entropy takes class indices")
    return "SoftmaxCrossEntropyLoss", {"reduction": o["reduction"]}, ("logits", "target")


NODES: dict[str, Callable[[Arrays, Options], Node]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "lp_pool2d": _lp_pool2d,
    "global_avg_pool2d": _plain("GlobalAveragePool"),
    "global_max_pool2d": _global_max_pool2d,
    "upsample2d": _upsample2d,
    "relu": _plain("Relu"),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "identity": _plain("Identity"),
    "leaky_relu": _plain("LeakyRelu", alpha="negative_slope"),
    "elu": _plain("Elu", alpha="alpha"),
    "softplus": _plain("Softplus"),
    "gelu": _plain("Gelu"),
    "clip": _clip,
    "hard_sigmoid": _plain("HardSigmoid", alpha="alpha", beta="beta"),
    "hard_swish": _plain("HardSwish"),
    "prelu": _prelu,
    "softmax": _plain("Softmax", axis="axis"),
    "log_softmax": _plain("LogSoftmax", axis="axis"),
    "affine": lambda arrays, o: ("Gemm", {"transB": 1}, ("x",)),
    "add": lambda arrays, o: ("Add", {}, ("a", "b")),
    "multiply": lambda arrays, o: ("Mul", {}, ("a", "b")),
    "matmul": lambda arrays, o: ("MatMul", {}, ("a", "b")),
    "flatten": _plain("Flatten"),
    "batch_norm2d": _batch_norm2d,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
    "cross_entropy": _cross_entropy,
}

"""ONNX Runtime as a back end (extra `onnxruntime`): a model of one node for each kind of call, forward only."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backend as _backend
from ._kernels import Array, Frame, Kernels, frame, framed, members
from ._resizing import coordinates, exact

try:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
except ImportError as error:
    message = f"back end onnxruntime needs it: python -m pip install 'cnnx[onnxruntime]' ({error})"
    raise ModuleNotFoundError(message, name="onnxruntime") from error

ONE_TYPE = "ONNX's costs are of the arrays' type; cnnx's are computed in double"
FORWARD = "ONNX Runtime computes no gradients"
SPARED = "ONNX has it for inference alone, where it is the identity"
_threads = 1


@contextmanager
def _with_threads(n: int) -> Iterator[None]:
    global _threads
    before, _threads = _threads, n
    try:
        yield
    finally:
        _threads = before


KERNELS = Kernels(
    {
        "gelu": "ONNX Runtime computes 1 + erf(z / sqrt 2), which cancels for negative z",
        "step": "ONNX has no step function",
        "silu": "ONNX Runtime has no SiLU of one node",
        "local_response_norm": "ONNX Runtime moves one sum from channel to channel, which cancels",
        "dropout": SPARED,
        "squared_error": "ONNX has no squared error",
        "cross_entropy": ONE_TYPE,
        "cross_entropy_index": ONE_TYPE,
        "batch_norm2d": "ONNX has it for inference alone, folded into one factor and one summand, which cancels",
        **dict.fromkeys(
            ("group_norm", "group_norm_statistics"),
            "ONNX Runtime keeps the statistics in the arrays' type: numbers far from 0 lose themselves",
        ),
        "max_pool2d_winners": "ONNX counts winners through the whole tensor",
        **{name: FORWARD for name in _backend.kernel_names("reference") if "_grad_" in name},
    },
    compat="onnx",
    with_threads=_with_threads,
)
kernel = KERNELS.kernel
OPSET, IR = 17, 8
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@functools.lru_cache(maxsize=512)
def _session(
    node: str,
    dtype: str,
    ranks: tuple[int, ...],
    options: tuple[tuple[str, Any], ...],
    threads: int,
    sizes: tuple[int, ...] = (),
) -> Any:
    """A model of one node with inputs of these ranks, computed by so many threads. sizes: what a Resize makes."""
    names = [f"x{i}" for i in range(len(ranks))]
    inputs = [
        helper.make_tensor_value_info(name, TYPES[dtype], [None] * rank)
        for name, rank in zip(names, ranks, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TYPES[dtype], [None] * ranks[0])
    constants = [helper.make_tensor("sizes", TensorProto.INT64, [len(sizes)], sizes)] if sizes else []
    made = helper.make_node(node, [*names, *(["", "", "sizes"] if sizes else [])], ["y"], **dict(options))
    graph = helper.make_graph([made], node, inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")  # many sessions are kept
    settings.log_severity_level = 4  # what cannot be done comes as an exception
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    except Exception as error:
        if "NOT_IMPLEMENTED" not in str(error):
            raise
        raise KERNELS.lacks(f"onnxruntime has no {node} of {dtype} on the CPU") from None


def _run(node: str, *inputs: Array, sizes: tuple[int, ...] = (), **options: Any) -> Array:
    ranks = tuple(a.ndim for a in inputs)
    session = _session(node, inputs[0].dtype.name, ranks, tuple(sorted(options.items())), _threads, sizes)
    result: Array = session.run(None, {f"x{i}": a for i, a in enumerate(inputs)})[0]
    return result


def _pads(Z: Array, around: Frame, R: int, S: int, fill: float) -> tuple[Array, tuple[int, ...]]:
    """The image and ONNX's pads; an image that is to be cut, or padded by a window or more, is framed first."""
    if min(around) >= 0 and max(around.top, around.bottom) < R and max(around.left, around.right) < S:
        return Z, (around.top, around.left, around.bottom, around.right)
    return framed(Z, around, fill), (0, 0, 0, 0)


@kernel
def conv2d(Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int,
           groups: int) -> None:  # fmt: skip
    R, S = F.shape[2:]
    around = frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w, d_h=d_h, d_w=d_w)
    x, pads = _pads(Z, around, R, S, 0.0)
    Y[...] = _run("Conv", x, F, b, strides=(u, v), dilations=(d_h, d_w), group=groups, pads=pads)


@kernel
def conv_transpose2d(Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int,
                     groups: int) -> None:  # fmt: skip
    behind = [
        step * (extent - 1) + apart * (taps - 1) + 1 - before - count
        for step, extent, apart, taps, before, count in zip(
            (u, v), Z.shape[2:], (d_h, d_w), F.shape[2:], (p_h, p_w), Y.shape[2:], strict=True
        )
    ]
    pads, more = (p_h, p_w, *(max(0, n) for n in behind)), tuple(max(0, -n) for n in behind)
    if more[0] >= u or more[1] >= v:
        raise KERNELS.lacks("onnxruntime's ConvTranspose adds fewer rows and columns than its strides")
    geometry = dict(strides=(u, v), dilations=(d_h, d_w), pads=pads, output_padding=more)
    Y[...] = _run("ConvTranspose", Z, F, b, **geometry, group=groups)


@kernel
def max_pool2d(Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int) -> None:
    x, pads = _pads(Z, frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w), R, S, -np.inf)
    Y[...] = _run("MaxPool", x, kernel_shape=(R, S), strides=(u, v), pads=pads)


@kernel
def avg_pool2d(Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, p_b: int, p_r: int,
               include_pad: int) -> None:  # fmt: skip
    geometry = dict(R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w)
    around = frame(Z, Y, **geometry)
    if include_pad and (members(Z, Y, p_b, p_r, True, **geometry) != R * S).any():
        raise KERNELS.lacks("onnxruntime's AveragePool divides by the whole window where padding counts")
    x, pads = _pads(Z, around, R, S, 0.0)
    if x is not Z and not include_pad and max(around) > 0:
        raise KERNELS.lacks("onnxruntime's AveragePool takes no padding beside rows or columns to leave out")
    Y[...] = _run("AveragePool", x, kernel_shape=(R, S), strides=(u, v), pads=pads, count_include_pad=include_pad)


@kernel
def lp_pool2d(Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, rho: float,
              normalize: int) -> None:  # fmt: skip
    if normalize or rho != int(rho):
        raise KERNELS.lacks("ONNX's LpPool takes whole norms and does not divide by the window's size")
    x, pads = _pads(Z, frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w), R, S, 0.0)
    Y[...] = _run("LpPool", x, kernel_shape=(R, S), strides=(u, v), pads=pads, p=int(rho))


def _resize(Z: Array, Y: Array, numbers: dict[str, int], *roundings: str, **mode: str) -> None:
    if not exact(numbers):
        raise KERNELS.lacks("onnxruntime rounds coordinates, so that weights' errors grow with the place")
    name, rounding = coordinates(Z, Y, numbers, roundings or ("",))[0]
    options = {"nearest_mode": rounding} if rounding else {}
    Y[...] = _run("Resize", Z, sizes=Y.shape, coordinate_transformation_mode=name, **mode, **options)


@kernel
def upsample2d_nearest(Z: Array, Y: Array, **numbers: int) -> None:
    _resize(Z, Y, numbers, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", mode="nearest")


@kernel
def upsample2d_bilinear(Z: Array, Y: Array, **numbers: int) -> None:
    _resize(Z, Y, numbers, mode="linear")


@kernel
def relu(Z: Array, Y: Array) -> None:
    Y[...] = _run("Relu", Z)


@kernel
def sigmoid(Z: Array, Y: Array) -> None:
    Y[...] = _run("Sigmoid", Z)


@kernel
def tanh(Z: Array, Y: Array) -> None:
    Y[...] = _run("Tanh", Z)


@kernel
def identity(Z: Array, Y: Array) -> None:
    Y[...] = _run("Identity", Z)


@kernel
def leaky_relu(Z: Array, Y: Array, *, slope: float) -> None:
    Y[...] = _run("LeakyRelu", Z, alpha=slope)


@kernel
def elu(Z: Array, Y: Array, *, alpha: float) -> None:
    Y[...] = _run("Elu", Z, alpha=alpha)


@kernel
def softplus(Z: Array, Y: Array) -> None:
    Y[...] = _run("Softplus", Z)


@kernel
def clip(Z: Array, Y: Array, *, low: float, high: float) -> None:
    Y[...] = _run("Clip", Z, np.asarray(low, Z.dtype), np.asarray(high, Z.dtype))


@kernel
def hard_sigmoid(Z: Array, Y: Array, *, alpha: float, beta: float) -> None:
    Y[...] = _run("HardSigmoid", Z, alpha=alpha, beta=beta)


@kernel
def hard_swish(Z: Array, Y: Array) -> None:
    Y[...] = _run("HardSwish", Z)


@kernel
def prelu(Z: Array, w: Array, Y: Array) -> None:
    Y[...] = _run("PRelu", Z, w[:, None])


@kernel
def softmax(Z: Array, Y: Array) -> None:
    Y[...] = _run("Softmax", Z, axis=1)


@kernel
def log_softmax(Z: Array, Y: Array) -> None:
    Y[...] = _run("LogSoftmax", Z, axis=1)


@kernel
def add(A: Array, B: Array, Y: Array) -> None:
    Y[...] = _run("Add", A, B)


@kernel
def multiply(A: Array, B: Array, Y: Array) -> None:
    Y[...] = _run("Mul", A, B)


@kernel
def matmul(A: Array, B: Array, Y: Array) -> None:
    Y[...] = _run("MatMul", A, B)


@kernel
def affine(Z: Array, w: Array, b: Array, Y: Array) -> None:
    Y[...] = _run("Gemm", Z, w, b, transB=1)

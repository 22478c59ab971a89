"""Engines that compute a model of one ONNX node: all their kernels, forward only, by what one engine says of itself."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backend as _backend
from ._kernels import Array, Frame, Kernels, frame, framed, members
from ._resizing import coordinates, exact

try:
    import onnx as onnx
    from onnx import TensorProto, helper
except ImportError as error:
    message = f"engines that run ONNX nodes need it: python -m pip install 'cnnx[onnx]' ({error})"
    raise ModuleNotFoundError(message, name="onnx") from error

Compute = Callable[[dict[str, Array]], Array]  # a model's only output, of its inputs by name

ONE_TYPE = "ONNX's costs are of the arrays' type; cnnx's are computed in double"
NORMS = ("group_norm", "group_norm_statistics")
LEFT_OUT = {
    "step": "ONNX has no step function",
    "silu": "ONNX has no SiLU of one node before its opset 24",
    "dropout": "ONNX has it for inference alone, where it is the identity",
    "squared_error": "ONNX has no squared error",
    "cross_entropy": ONE_TYPE,
    "cross_entropy_index": ONE_TYPE,
    **dict.fromkeys(NORMS, "ONNX has group normalisation in one node, without the statistics"),
    **dict.fromkeys(
        ("batch_norm2d_statistics_mean", "batch_norm2d_statistics_var"), "ONNX has batch normalisation in one node"
    ),
    "max_pool2d_winners": "ONNX counts winners through the whole tensor",
}
OPSET, IR = 17, 8
LATER = {"Gelu": (20, 9)}  # nodes of later opsets
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


class NoNodeError(Exception):
    """An engine has no kernel for a model's node."""


def one_node(
    node: str, dtype: str, shapes: tuple[tuple[int | None, ...], ...], sizes: tuple[int, ...] = (), **options: Any
) -> bytes:
    """A model of one node with inputs x0, x1, ... of these shapes and the output y. sizes: what a Resize makes."""
    names = [f"x{i}" for i in range(len(shapes))]
    inputs = [
        helper.make_tensor_value_info(name, TYPES[dtype], shape) for name, shape in zip(names, shapes, strict=True)
    ]
    output = helper.make_tensor_value_info("y", TYPES[dtype], [None] * len(shapes[0]))
    constants = [helper.make_tensor("sizes", TensorProto.INT64, [len(sizes)], sizes)] if sizes else []
    made = helper.make_node(node, [*names, *(["", "", "sizes"] if sizes else [])], ["y"], **options)
    graph = helper.make_graph([made], node, inputs, [output], constants)
    opset, ir = LATER.get(node, (OPSET, IR))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def of_nodes(
    engine: str,
    prepare: Callable[[bytes, int], Compute],
    left_out: Mapping[str, str],
    *,
    no_gradients: str,
    static: bool = False,
    obeys_threads: bool = True,
) -> Kernels:
    """The kernels of an engine.

    Parameters
    ----------
    engine : str
        Its name, for messages.
    prepare : function
        Of a model and a number of threads: what computes it. It raises `NoNodeError` where the engine has no kernel.
    left_out : dict
        Kernels that it lacks or that are not to be judged, with the reason.
    no_gradients : str
        The reason for all gradients.
    static : bool
        Whether models have to say their shapes.
    obeys_threads : bool
        Whether the number of threads does anything; if not the audit lists them as not tested.
    """
    nodes = _Nodes(engine, prepare, static)
    without = {name: no_gradients for name in _backend.kernel_names("reference") if "_grad_" in name}
    kernels = Kernels(
        {**LEFT_OUT, **left_out, **without},
        compat="onnx",
        with_threads=nodes.with_threads if obeys_threads else None,
    )
    nodes.lacks = kernels.lacks
    for name, function in vars(_Nodes).items():
        if name in _backend.kernel_names("reference") and name not in kernels.left_out:
            kernels.kernel(functools.update_wrapper(functools.partial(function, nodes), function))
    return kernels


def _pads(Z: Array, around: Frame, R: int, S: int, fill: float) -> tuple[Array, tuple[int, ...]]:
    """The image and ONNX's pads; an image that is to be cut, or padded by a window or more, is framed first."""
    if min(around) >= 0 and max(around.top, around.bottom) < R and max(around.left, around.right) < S:
        return Z, (around.top, around.left, around.bottom, around.right)
    return framed(Z, around, fill), (0, 0, 0, 0)


def _single(value: Any) -> bool:
    """Whether an attribute is what float32 can hold, or no number."""
    return not isinstance(value, float) or float(np.float32(value)) == value


class _Nodes:
    """The kernels, as methods by their names."""

    lacks: Callable[[str], _backend.MissingKernelError]

    def __init__(self, engine: str, prepare: Callable[[bytes, int], Compute], static: bool) -> None:
        self.engine, self.static, self.threads = engine, static, 1
        self._prepare = prepare
        self._prepared = functools.lru_cache(maxsize=512)(self._made)

    @contextmanager
    def with_threads(self, n: int) -> Iterator[None]:
        before, self.threads = self.threads, n
        try:
            yield
        finally:
            self.threads = before

    def _made(
        self,
        node: str,
        dtype: str,
        shapes: tuple[tuple[int | None, ...], ...],
        options: tuple[tuple[str, Any], ...],
        threads: int,
        sizes: tuple[int, ...] = (),
    ) -> Compute:
        try:
            return self._prepare(one_node(node, dtype, shapes, sizes, **dict(options)), threads)
        except NoNodeError:
            raise self.lacks(f"{self.engine} has no {node} of {dtype} on the CPU") from None

    def _run(self, node: str, *inputs: Array, sizes: tuple[int, ...] = (), **options: Any) -> Array:
        if inputs[0].dtype == np.float64 and not all(_single(value) for value in options.values()):
            raise self.lacks("ONNX's attributes are float32")
        shapes = tuple(a.shape if self.static else (None,) * a.ndim for a in inputs)
        compute = self._prepared(
            node, inputs[0].dtype.name, shapes, tuple(sorted(options.items())), self.threads, sizes
        )
        try:
            return compute({f"x{i}": a for i, a in enumerate(inputs)})
        except NoNodeError:
            raise self.lacks(f"{self.engine} has no {node} of {inputs[0].dtype.name} on the CPU") from None

    def conv2d(self, Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int, d_w: int,
               groups: int) -> None:  # fmt: skip
        R, S = F.shape[2:]
        around = frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w, d_h=d_h, d_w=d_w)
        x, pads = _pads(Z, around, R, S, 0.0)
        Y[...] = self._run("Conv", x, F, b, strides=(u, v), dilations=(d_h, d_w), group=groups, pads=pads)

    def conv_transpose2d(self, Z: Array, F: Array, b: Array, Y: Array, *, u: int, v: int, p_h: int, p_w: int, d_h: int,
                         d_w: int, groups: int) -> None:  # fmt: skip
        behind = [
            step * (extent - 1) + apart * (taps - 1) + 1 - before - count
            for step, extent, apart, taps, before, count in zip(
                (u, v), Z.shape[2:], (d_h, d_w), F.shape[2:], (p_h, p_w), Y.shape[2:], strict=True
            )
        ]
        pads, more = (p_h, p_w, *(max(0, n) for n in behind)), tuple(max(0, -n) for n in behind)
        if more[0] >= u or more[1] >= v:
            raise self.lacks(f"{self.engine}'s ConvTranspose adds fewer rows and columns than its strides")
        geometry = dict(strides=(u, v), dilations=(d_h, d_w), pads=pads, output_padding=more)
        Y[...] = self._run("ConvTranspose", Z, F, b, **geometry, group=groups)

    def max_pool2d(self, Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int) -> None:
        x, pads = _pads(Z, frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w), R, S, -np.inf)
        Y[...] = self._run("MaxPool", x, kernel_shape=(R, S), strides=(u, v), pads=pads)

    def avg_pool2d(self, Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, p_b: int, p_r: int,
                   include_pad: int) -> None:  # fmt: skip
        geometry = dict(R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w)
        around = frame(Z, Y, **geometry)
        if include_pad and (members(Z, Y, p_b, p_r, True, **geometry) != R * S).any():
            raise self.lacks(f"{self.engine}'s AveragePool divides by the whole window where padding counts")
        x, pads = _pads(Z, around, R, S, 0.0)
        if x is not Z and not include_pad and max(around) > 0:
            raise self.lacks(f"{self.engine}'s AveragePool takes no padding beside rows or columns to leave out")
        Y[...] = self._run("AveragePool", x, kernel_shape=(R, S), strides=(u, v), pads=pads,
                           count_include_pad=include_pad)  # fmt: skip

    def lp_pool2d(self, Z: Array, Y: Array, *, R: int, S: int, u: int, v: int, p_h: int, p_w: int, rho: float,
                  normalize: int) -> None:  # fmt: skip
        if normalize or rho != int(rho):
            raise self.lacks("ONNX's LpPool takes whole norms and does not divide by the window's size")
        x, pads = _pads(Z, frame(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w), R, S, 0.0)
        Y[...] = self._run("LpPool", x, kernel_shape=(R, S), strides=(u, v), pads=pads, p=int(rho))

    def _resize(self, Z: Array, Y: Array, numbers: dict[str, int], *roundings: str, **mode: str) -> None:
        if not exact(numbers):
            raise self.lacks(f"{self.engine} rounds coordinates, so that weights' errors grow with the place")
        name, rounding = coordinates(Z, Y, numbers, roundings or ("",))[0]
        options = {"nearest_mode": rounding} if rounding else {}
        Y[...] = self._run("Resize", Z, sizes=Y.shape, coordinate_transformation_mode=name, **mode, **options)

    def upsample2d_nearest(self, Z: Array, Y: Array, **numbers: int) -> None:
        self._resize(Z, Y, numbers, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil", mode="nearest")

    def upsample2d_bilinear(self, Z: Array, Y: Array, **numbers: int) -> None:
        self._resize(Z, Y, numbers, mode="linear")

    def relu(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Relu", Z)

    def sigmoid(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Sigmoid", Z)

    def tanh(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Tanh", Z)

    def identity(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Identity", Z)

    def leaky_relu(self, Z: Array, Y: Array, *, slope: float) -> None:
        Y[...] = self._run("LeakyRelu", Z, alpha=slope)

    def elu(self, Z: Array, Y: Array, *, alpha: float) -> None:
        Y[...] = self._run("Elu", Z, alpha=alpha)

    def softplus(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Softplus", Z)

    def gelu(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Gelu", Z)

    def clip(self, Z: Array, Y: Array, *, low: float, high: float) -> None:
        Y[...] = self._run("Clip", Z, np.asarray(low, Z.dtype), np.asarray(high, Z.dtype))

    def hard_sigmoid(self, Z: Array, Y: Array, *, alpha: float, beta: float) -> None:
        Y[...] = self._run("HardSigmoid", Z, alpha=alpha, beta=beta)

    def hard_swish(self, Z: Array, Y: Array) -> None:
        if Z.dtype == np.float64:
            raise self.lacks("ONNX defines HardSwish by a sixth of float32")
        Y[...] = self._run("HardSwish", Z)

    def prelu(self, Z: Array, w: Array, Y: Array) -> None:
        Y[...] = self._run("PRelu", Z, w[:, None])

    def softmax(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("Softmax", Z, axis=1)

    def log_softmax(self, Z: Array, Y: Array) -> None:
        Y[...] = self._run("LogSoftmax", Z, axis=1)

    def add(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._run("Add", A, B)

    def multiply(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._run("Mul", A, B)

    def matmul(self, A: Array, B: Array, Y: Array) -> None:
        Y[...] = self._run("MatMul", A, B)

    def affine(self, Z: Array, w: Array, b: Array, Y: Array) -> None:
        Y[...] = self._run("Gemm", Z, w, b, transB=1)

    def batch_norm2d(self, Z: Array, g: Array, b: Array, mean: Array, var: Array, Y: Array, *, eps: float) -> None:
        kept = (mean.astype(Z.dtype), var.astype(Z.dtype))
        if (kept[0] != mean).any() or (kept[1] != var).any():
            raise self.lacks(
                "ONNX's statistics are of the arrays' type; cnnx's are double where a batch has given them"
            )
        Y[...] = self._run("BatchNormalization", Z, g, b, *kept, epsilon=eps)

    def local_response_norm(self, Z: Array, Y: Array, *, size: int, alpha: float, beta: float, k: float) -> None:
        images = Z.reshape(*Z.shape[:2], -1, 1)  # some engines take four axes alone
        Y[...] = self._run("LRN", images, size=size, alpha=alpha, beta=beta, bias=k).reshape(Y.shape)

"""Engines that run an ONNX node, asked by one node each; what computes it is the engine's adapter."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from ..asked import Array, Asked, LacksError, adapter


class Nodes(Asked):
    """An engine by its adapter's function `prepare(model, threads)`, which may have further settings."""

    adapter = ""
    settings: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, threads: int | None = None) -> None:
        self._threads = 2
        self._adapter = adapter(self.adapter)
        self._onnx = adapter("_onnx_nodes").onnx
        super().__init__(threads)

    def prepare(self, model: bytes, threads: int) -> Any:
        return self._adapter.prepare(model, threads, **self.settings)

    def node(self, op: str, *inputs: Any, outputs: int = 1, wanted: int = 0, opset: int = 18, **options: Any) -> Array:
        """One output of a node; of the inputs "" is left out.

        What is no first input is a constant, but for batch normalisation's: it writes to its statistics.
        """
        helper = self._onnx.helper
        given = [(f"x{i}", np.asarray(a)) for i, a in enumerate(inputs) if not (isinstance(a, str) and a == "")]
        names = ["" if isinstance(a, str) and a == "" else f"x{i}" for i, a in enumerate(inputs)]
        made = [f"y{i}" for i in range(outputs)]
        kind = self._onnx.helper.np_dtype_to_tensor_dtype
        x = given[0][1]
        inputs_too = given if op == "BatchNormalization" else given[:1]
        ranks = {"SoftmaxCrossEntropyLoss": 0, "BatchNormalization": 1 if wanted else x.ndim}
        shape = [None] * ranks.get(op, x.ndim)
        integer = op == "MaxPool" and wanted
        out = helper.make_tensor_value_info(
            made[wanted], self._onnx.TensorProto.INT64 if integer else kind(x.dtype), shape
        )
        graph = helper.make_graph(
            [helper.make_node(op, names, made, **{name: v for name, v in options.items() if v is not None})],
            op,
            [helper.make_tensor_value_info(name, kind(a.dtype), a.shape) for name, a in inputs_too],
            [out],
            [self._onnx.numpy_helper.from_array(a, name) for name, a in given[len(inputs_too) :]],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        nothing = adapter("_onnx_nodes").NoNodeError
        try:
            return np.asarray(self.prepare(model.SerializeToString(), self._threads)(dict(inputs_too)))
        except nothing:
            raise LacksError(f"refuses the node {op}") from None

    # -------------------------------------------------------------------------------- calls

    def relu(self, x: Array) -> Array:
        return self.node("Relu", x)

    def leaky_relu(self, x: Array, slope: float | None = None) -> Array:
        return self.node("LeakyRelu", x, alpha=slope)

    def elu(self, x: Array, alpha: float) -> Array:
        return self.node("Elu", x, alpha=alpha)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return self.node("Clip", x, np.float32(low), np.float32(high))

    def gelu(self, x: Array) -> Array:
        return self.node("Gelu", x, opset=20)

    def sigmoid(self, x: Array) -> Array:
        return self.node("Sigmoid", x)

    def tanh(self, x: Array) -> Array:
        return self.node("Tanh", x)

    def hard_sigmoid(self, x: Array) -> Array:
        return self.node("HardSigmoid", x)

    def softmax(self, x: Array) -> Array:
        return self.node("Softmax", x)

    def matmul(self, a: Array, b: Array) -> Array:
        return self.node("MatMul", a, b)

    @staticmethod
    def _pads(padding: int | str) -> dict[str, Any]:
        return {"auto_pad": "SAME_UPPER"} if isinstance(padding, str) else {"pads": [padding] * 4}

    def conv2d(self, x: Array, w: Array, padding: int | str = 0, stride: int = 1) -> Array:
        return self.node("Conv", x, w, strides=[stride, stride], **self._pads(padding))

    def _pool(self, op: str, x: Array, kernel: Any, stride: Any = 1, padding: int | str = 0, ceil: bool = False,
              **more: Any) -> Array:  # fmt: skip
        size, step = ([v, v] if isinstance(v, int) else list(v) for v in (kernel, stride))
        options = {"ceil_mode": 1} if ceil else {}
        return self.node(op, x, kernel_shape=size, strides=step, **self._pads(padding), **options, **more)

    def max_pool(self, x: Array, **geometry: Any) -> Array:
        return self._pool("MaxPool", x, **geometry)

    def max_indices(self, x: Array, **geometry: Any) -> Array:
        return self._pool("MaxPool", x, outputs=2, wanted=1, **geometry)

    def avg_pool(self, x: Array, include: bool | None = None, **geometry: Any) -> Array:
        return self._pool("AveragePool", x, count_include_pad=None if include is None else int(include), **geometry)

    def lp_pool(self, x: Array, p: int, **geometry: Any) -> Array:
        return self._pool("LpPool", x, p=p, **geometry)

    def resize(self, x: Array, size: tuple[int, int], mode: str) -> Array:
        sizes = np.array([*x.shape[:2], *size], "int64")
        return self.node("Resize", x, "", "", sizes, mode="linear" if mode == "bilinear" else mode)

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        def of(i: int) -> Array:
            given = [np.full(x.shape[1], value, "float32") for value in (1, 0, 0, 1)]  # an engine may write to them
            return self.node("BatchNormalization", x, *given, outputs=3, wanted=i, training_mode=1, momentum=momentum)

        return of(0), of(1), of(2)

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        if smoothing:
            raise LacksError("no label smoothing")
        more = [] if weight is None else [weight]
        return float(self.node("SoftmaxCrossEntropyLoss", logits, target.astype("int64"), *more).reshape(-1)[0])


class Threaded(Nodes):
    """One whose number of threads can be set."""

    def set_threads(self, n: int) -> None:
        self._threads = n


class OnnxRuntime(Threaded):
    distribution, adapter = "onnxruntime", "of_onnxruntime"


class OnnxReference(Nodes):
    distribution, adapter = "onnx", "of_onnx_reference"


class OpenVino(Threaded):
    distribution, adapter = "openvino", "of_openvino"
    settings = MappingProxyType({"exact": False})  # its own precision


class Tract(Nodes):
    distribution, adapter = "tract", "of_tract"


class OpenCV(Threaded):
    distribution, adapter = "opencv-python-headless", "of_opencv"


class Mnn(Threaded):
    distribution, adapter = "MNN", "of_mnn"
    settings = MappingProxyType({"exact": False})

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        raise LacksError("its converter does not take a batch normalisation that trains")

"""tinygrad on the CPU, asked by the methods of its Tensor and tinygrad.nn."""

import os
from typing import Any

os.environ.setdefault("DEV", "CPU")
import numpy as np
from tinygrad import Tensor, nn
from tinygrad.helpers import Context

from ..asked import Array, Asked, LacksError, given


class Tinygrad(Asked):
    distribution = "tinygrad"

    def array(self, a: Array) -> Any:
        return Tensor(a)

    def call(self, name: str, *arrays: Array, **options: Any) -> Array:
        found: Array = self._method(name)(*map(self.array, arrays), **options).numpy()
        return found

    def backward(self, function: Any, x: Any) -> Any:
        return function(x).sum().gradient(x)[0].numpy()

    relu, sigmoid, tanh, elu = map(staticmethod, (Tensor.relu, Tensor.sigmoid, Tensor.tanh, Tensor.elu))
    gelu, hard_sigmoid, softmax = map(staticmethod, (Tensor.gelu, Tensor.hardsigmoid, Tensor.softmax))
    matmul = staticmethod(Tensor.matmul)

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return x.leaky_relu() if slope is None else x.leaky_relu(slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return x.clip(low, high)

    def _number(self, padding: int | str) -> int:
        if isinstance(padding, str):
            raise LacksError("no padding same")
        return padding

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        return x.conv2d(w, stride=stride, padding=self._number(padding))

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return x.max_pool2d(kernel, stride, padding=self._number(padding), ceil_mode=ceil)

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        more = {} if include is None else {"count_include_pad": include}
        return x.avg_pool2d(kernel, stride, padding=self._number(padding), ceil_mode=ceil, **more)

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return x.interpolate(size, "linear" if mode == "bilinear" else mode)

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = nn.BatchNorm(x.shape[1], **given(momentum=momentum))
        with Context(TRAINING=1):
            y = layer(Tensor(x)).numpy()
        return y, layer.running_mean.numpy(), layer.running_var.numpy()

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        if weight is not None:
            raise LacksError("no weights of classes")
        return float(np.asarray(Tensor(logits).cross_entropy(Tensor(target), label_smoothing=smoothing).numpy()))

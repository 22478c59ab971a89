"""PaddlePaddle, asked by paddle.nn.functional and its layers."""

from typing import Any

import numpy as np
import paddle
from paddle.nn import functional

from ..asked import Array, Asked, given


class Paddle(Asked):
    distribution = "paddlepaddle"

    def set_threads(self, n: int) -> None:
        paddle.base.core.set_num_threads(n)

    def array(self, a: Array) -> Any:
        return paddle.to_tensor(a)

    def backward(self, function: Any, x: Any) -> Any:
        x.stop_gradient = False
        function(x).sum().backward()
        return x.grad

    relu, sigmoid, tanh = map(staticmethod, (functional.relu, functional.sigmoid, paddle.tanh))
    elu, gelu, hard_sigmoid = map(staticmethod, (functional.elu, functional.gelu, functional.hardsigmoid))
    softmax, matmul = map(staticmethod, (functional.softmax, paddle.matmul))

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return functional.leaky_relu(x) if slope is None else functional.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return paddle.clip(x, low, high)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        return functional.conv2d(x, w, stride=stride, padding=padding if padding == 0 else "SAME")

    def _around(self, padding: int | str) -> Any:
        return "SAME" if padding == "same" else padding

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return functional.max_pool2d(x, kernel, stride, self._around(padding), ceil_mode=ceil)

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        more = {} if include is None else {"exclusive": not include}
        return functional.avg_pool2d(x, kernel, stride, self._around(padding), ceil_mode=ceil, **more)

    def lp_pool(self, x: Any, p: int, kernel: int) -> Any:
        return functional.lp_pool2d(x, p, kernel)

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return functional.interpolate(x, size, mode=mode)

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = paddle.nn.BatchNorm2D(x.shape[1], **given(momentum=momentum))
        y = layer(paddle.to_tensor(x)).numpy()
        return y, np.asarray(layer._mean), np.asarray(layer._variance)

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        w = None if weight is None else paddle.to_tensor(weight)
        a, t = paddle.to_tensor(logits), paddle.to_tensor(target)
        return float(functional.cross_entropy(a, t, weight=w, label_smoothing=smoothing))

"""MLX on the CPU, asked by mlx.nn; its images are (N, H, W, C)."""

from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn

from ..asked import Array, Asked, LacksError, adapter, given

mx.set_default_device(mx.cpu)


_last, _second = adapter("_functions").channels_last(mx.transpose)


class Mlx(Asked):
    distribution = "mlx"

    def array(self, a: Array) -> Any:
        return mx.array(a)

    def backward(self, function: Any, x: Any) -> Any:
        return mx.grad(lambda t: function(t).sum())(x)

    relu, sigmoid, tanh, elu, gelu = map(staticmethod, (nn.relu, mx.sigmoid, mx.tanh, nn.elu, nn.gelu))
    matmul = staticmethod(mx.matmul)

    def softmax(self, x: Any) -> Any:
        return mx.softmax(x, axis=-1)

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return nn.leaky_relu(x) if slope is None else nn.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return mx.clip(x, low, high)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        if isinstance(padding, str):
            raise LacksError("no padding same")
        return _second(mx.conv2d(_last(x), _last(w), stride, padding))

    def _pool(self, kind: Any, x: Any, kernel: Any, stride: Any, padding: int | str, ceil: bool) -> Any:
        self.no_ceil(ceil)
        if isinstance(padding, str):
            raise LacksError("no padding same")
        return _second(kind(kernel, stride, padding)(_last(x)))

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return self._pool(nn.MaxPool2d, x, kernel, stride, padding, ceil)

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        return self._pool(nn.AvgPool2d, x, kernel, stride, padding, ceil)

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        scale = tuple(m / n for m, n in zip(size, x.shape[2:], strict=True))
        return _second(nn.Upsample(scale, "linear" if mode == "bilinear" else mode)(_last(x)))

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = nn.BatchNorm(x.shape[1], **given(momentum=momentum))
        y = np.asarray(_second(layer(_last(mx.array(x)))))
        return y, np.asarray(layer.running_mean), np.asarray(layer.running_var)

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        w = None if weight is None else mx.array(weight[target])
        a, t = mx.array(logits), mx.array(target)
        return float(nn.losses.cross_entropy(a, t, w, label_smoothing=smoothing, reduction="mean"))

"""cnnx itself, by its public functions and layers."""

from typing import Any

import numpy as np

import cnnx
from cnnx import nn

from ..asked import Array, Asked, LacksError, given


class Cnnx(Asked):
    distribution = "cnnx"

    def set_threads(self, n: int) -> None:
        cnnx.native.set_num_threads(n)

    def gradient(self, name: str, x: Array, **options: Any) -> Array:
        y = self.call(name, x, **options)
        if name.endswith("_pool"):
            names = {"max_pool": "max_pool2d", "avg_pool": "avg_pool2d", "lp_pool": "lp_pool2d"}
            norm = [options.pop("p")] if name == "lp_pool" else []
            size = options.pop("kernel")
            back = getattr(cnnx, f"{names[name]}_backward")
            return np.asarray(back(np.ones_like(y), x, *norm, size, **options))
        renamed = {"slope": "negative_slope", "low": "min", "high": "max"}
        back = getattr(cnnx, f"{name}_backward")
        return np.asarray(back(np.ones_like(y), x, **{renamed.get(key, key): v for key, v in options.items()}))

    relu, sigmoid, tanh, gelu = map(staticmethod, (cnnx.relu, cnnx.sigmoid, cnnx.tanh, cnnx.gelu))
    hard_sigmoid, elu, matmul = (staticmethod(f) for f in (cnnx.hard_sigmoid, cnnx.elu, cnnx.matmul))

    def clip(self, x: Array, low: float, high: float) -> Array:
        return cnnx.clip(x, low, high)

    def leaky_relu(self, x: Array, slope: float | None = None) -> Array:
        return cnnx.leaky_relu(x) if slope is None else cnnx.leaky_relu(x, negative_slope=slope)

    def softmax(self, x: Array) -> Array:
        return cnnx.softmax(x, axis=-1)

    def conv2d(self, x: Array, w: Array, padding: Any = 0, stride: int = 1) -> Array:
        return cnnx.conv2d(x, w, padding=padding, stride=stride)

    def max_pool(self, x: Array, kernel: Any, stride: Any, padding: Any = 0, ceil: bool = False) -> Array:
        return np.asarray(cnnx.max_pool2d(x, kernel, stride=stride, padding=padding, ceil_mode=ceil))

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: Any = 0, ceil: bool = False, include: bool | None = None
    ) -> Array:
        more: dict[str, Any] = given(count_include_pad=include)
        return cnnx.avg_pool2d(x, kernel, stride=stride, padding=padding, ceil_mode=ceil, **more)

    def lp_pool(self, x: Array, p: int, kernel: int) -> Array:
        return cnnx.lp_pool2d(x, p, kernel)

    def resize(self, x: Array, size: tuple[int, int], mode: str) -> Array:
        return cnnx.upsample2d(x, size=size, mode=mode)  # type: ignore[arg-type]

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = nn.BatchNorm2d(x.shape[1], **given(momentum=momentum))
        layer.train()
        y = layer.forward(x)
        return y, layer.buffers["running_mean"], layer.buffers["running_var"]

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        if weight is not None:
            raise LacksError("no weights of classes")
        if smoothing:
            raise LacksError("no label smoothing")
        return float(cnnx.cross_entropy(logits, target))

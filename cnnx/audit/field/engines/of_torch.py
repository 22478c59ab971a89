"""PyTorch, asked by torch.nn.functional and its layers."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..asked import Array, Asked, given


class Torch(Asked):
    distribution = "torch"

    def set_threads(self, n: int) -> None:
        torch.set_num_threads(n)

    def array(self, a: Array) -> Any:
        return torch.from_numpy(a.copy())

    def backward(self, function: Any, x: Any) -> Any:
        x.requires_grad_()
        function(x).sum().backward()
        return x.grad

    relu, sigmoid, tanh = map(staticmethod, (torch.relu, torch.sigmoid, torch.tanh))
    elu, gelu, hard_sigmoid = map(staticmethod, (functional.elu, functional.gelu, functional.hardsigmoid))
    matmul = staticmethod(torch.matmul)

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return functional.leaky_relu(x) if slope is None else functional.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return torch.clip(x, low, high)

    def softmax(self, x: Any) -> Any:
        return torch.softmax(x, -1)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        if padding == "same" and stride > 1:
            raise self.lacks("padding same with stride 1 alone")
        return functional.conv2d(x, w, padding=padding, stride=stride)

    def _same(self, padding: int | str) -> int:
        if isinstance(padding, str):
            raise self.lacks("no padding same in pooling")
        return padding

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return functional.max_pool2d(x, kernel, stride, self._same(padding), ceil_mode=ceil)

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        more = {} if include is None else {"count_include_pad": include}
        return functional.avg_pool2d(x, kernel, stride, self._same(padding), ceil_mode=ceil, **more)

    def lp_pool(self, x: Any, p: int, kernel: int) -> Any:
        return functional.lp_pool2d(x, p, kernel)

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return functional.interpolate(x, size, mode=mode)

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = torch.nn.BatchNorm2d(x.shape[1], **given(momentum=momentum))
        y = layer(torch.from_numpy(x)).detach().numpy()
        return y, np.asarray(layer.running_mean), np.asarray(layer.running_var)

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        w = None if weight is None else torch.from_numpy(weight)
        a, t = torch.from_numpy(logits), torch.from_numpy(target)
        return float(functional.cross_entropy(a, t, weight=w, label_smoothing=smoothing))

"""MLX as a back end (extra `mlx`), forward and backward, on the CPU.

Its pooling layers pad both sides alike, so that images are padded before; the number of its threads cannot be set.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._functions import Function, Library, Pads, Pair, channels_last, of_functions
from ._kernels import Array

try:
    import mlx.core as mx
    from mlx import nn
except ImportError as error:
    message = f"back end mlx needs it: python -m pip install 'cnnx[mlx]' ({error})"
    raise ModuleNotFoundError(message, name="mlx") from error

mx.set_default_device(mx.cpu)


_last, _second = channels_last(mx.transpose)


def _log_softmax(z: Any) -> Any:
    if z.shape[1] == 1:
        raise KERNELS.lacks("MLX's log_softmax of one class is left out")
    return nn.log_softmax(z, axis=1)


class Mlx(Library):
    name = "mlx"
    max_pads = avg_pads = False
    elementwise = {  # noqa: RUF012  # ClassVar in the base
        "relu": nn.relu, "sigmoid": mx.sigmoid, "tanh": mx.tanh, "softplus": nn.softplus, "silu": nn.silu,
        "gelu": nn.gelu, "hard_swish": nn.hardswish, "elu": lambda z, alpha: nn.elu(z, alpha),
        "leaky_relu": lambda z, slope: nn.leaky_relu(z, slope),
        "clip": lambda z, low, high: mx.clip(z, low, high),
    }  # fmt: skip
    rows = {  # noqa: RUF012
        "softmax": functools.partial(mx.softmax, axis=1),
        "log_softmax": _log_softmax,
    }
    left_out = {  # noqa: RUF012
        **dict.fromkeys(("hard_sigmoid", "hard_sigmoid_grad_input"), "mlx.nn has none"),
        "max_pool2d_grad_input": "MLX gives ties a share each",
    }

    def array(self, a: Array) -> Any:
        if a.dtype != np.float32:
            raise KERNELS.lacks("the adapter asks MLX for float32 alone, which is what it has on every device")
        return mx.array(a)

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        gradients: Sequence[Any] = mx.vjp(lambda *given: [function(*given)], list(inputs), [delta])[1]
        return gradients

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        before, behind = zip(*pads, strict=True)
        y = mx.conv_general(_last(x), _last(w), stride, (list(before), list(behind)), dilation, groups=groups)
        return _second(y)

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        return _second(nn.MaxPool2d(window, stride)(_last(x)))

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        return _second(nn.AvgPool2d(window, stride)(_last(x)))


KERNELS = of_functions(Mlx())
KERNELS.about = f"mlx {mx.__version__}, on the CPU, float32 alone; its threads cannot be set"

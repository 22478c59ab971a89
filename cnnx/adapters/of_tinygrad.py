"""tinygrad as a back end (extra `tinygrad`), forward and backward, on the CPU.

It compiles every kernel with clang, which has to be installed (its variable CC names another); the number of its
threads is read when it starts.
"""

import functools
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ._functions import Function, Library, Pads, Pair, of_functions
from ._kernels import Array

os.environ.setdefault("DEV", "CPU")
try:
    from tinygrad import Tensor
except ImportError as error:
    message = f"back end tinygrad needs it: python -m pip install 'cnnx[tinygrad]' ({error})"
    raise ModuleNotFoundError(message, name="tinygrad") from error
if shutil.which(os.environ.get("CC", "clang")) is None:
    raise ImportError("back end tinygrad needs clang, with which it compiles its kernels: install it, or set CC")


class Tinygrad(Library):
    name = "tinygrad"
    elementwise = {  # noqa: RUF012  # ClassVar in the base
        "relu": Tensor.relu, "sigmoid": Tensor.sigmoid, "tanh": Tensor.tanh, "softplus": Tensor.softplus,
        "silu": Tensor.silu, "hard_swish": Tensor.hardswish, "elu": lambda z, alpha: z.elu(alpha),
        "leaky_relu": lambda z, slope: z.leaky_relu(slope),
        "clip": lambda z, low, high: z.clip(low, high),
        "hard_sigmoid": lambda z, alpha, beta: z.hardsigmoid(alpha, beta),
    }  # fmt: skip
    rows = {  # noqa: RUF012
        "softmax": functools.partial(Tensor.softmax, axis=1),
        "log_softmax": functools.partial(Tensor.log_softmax, axis=1),
    }
    left_out = {  # noqa: RUF012
        **dict.fromkeys(("gelu", "gelu_grad_input"), "tinygrad's gelu is that by tanh"),
        "max_pool2d_grad_input": "tinygrad gives ties a share each",
    }

    def array(self, a: Array) -> Any:
        return Tensor(a)

    def numpy(self, y: Any) -> Array:
        found: Array = y.numpy()
        return found

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        gradients: Sequence[Any] = function(*inputs).gradient(*inputs, gradient=delta)
        return gradients

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        return x.conv2d(w, None, groups, stride, dilation, _by_side(pads))

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        return x.max_pool2d(window, stride, padding=_by_side(pads))

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        return x.avg_pool2d(window, stride, padding=_by_side(pads), count_include_pad=include_pad)


def _by_side(pads: Pads) -> tuple[int, ...]:
    (top, bottom), (left, right) = pads
    return left, right, top, bottom


KERNELS = of_functions(Tinygrad())
KERNELS.about = f"tinygrad {version('tinygrad')}, on the CPU, in the arrays' own type; its threads cannot be set"

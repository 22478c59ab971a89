"""PaddlePaddle as a back end (extra `paddle`), forward and backward, on the CPU.

The number of its threads, MKL's and oneDNN's, is set by paddle.base.core.set_num_threads. Nothing tells it: what is put
back is that of Paddle's flag.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ._functions import Function, Library, Pads, Pair, of_functions
from ._kernels import Array

try:
    import paddle
    from paddle.nn import functional
except ImportError as error:
    message = f"back end paddle needs it: python -m pip install 'cnnx[paddle]' ({error})"
    raise ModuleNotFoundError(message, name="paddle") from error


@contextmanager
def _with_threads(n: int) -> Iterator[None]:
    (before,) = paddle.get_flags("FLAGS_paddle_num_threads").values()
    paddle.base.core.set_num_threads(n)
    try:
        yield
    finally:
        paddle.base.core.set_num_threads(before)


def _flat(pads: Pads) -> list[int]:
    return [*pads[0], *pads[1]]


class Paddle(Library):
    name = "paddle"
    elementwise = {  # noqa: RUF012  # ClassVar in the base
        "relu": functional.relu, "sigmoid": functional.sigmoid, "tanh": paddle.tanh,
        "softplus": functional.softplus, "silu": functional.silu, "gelu": functional.gelu,
        "elu": lambda z, alpha: functional.elu(z, alpha),
        "leaky_relu": lambda z, slope: functional.leaky_relu(z, slope),
        "clip": lambda z, low, high: paddle.clip(z, low, high),
        "hard_sigmoid": lambda z, alpha, beta: functional.hardsigmoid(z, alpha, beta),
        "hard_swish": functional.hardswish,
    }  # fmt: skip
    rows = {  # noqa: RUF012
        "softmax": functools.partial(functional.softmax, axis=1),
        "log_softmax": functools.partial(functional.log_softmax, axis=1),
    }

    def array(self, a: Array) -> Any:
        return paddle.to_tensor(a)

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        for one in inputs:
            one.stop_gradient = False
        gradients: Sequence[Any] = paddle.grad(function(*inputs), list(inputs), grad_outputs=delta)
        return gradients

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        return functional.conv2d(x, w, None, stride, _flat(pads), dilation, groups)

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        return functional.max_pool2d(x, window, stride, _flat(pads))

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        return functional.avg_pool2d(x, window, stride, _flat(pads), exclusive=not include_pad)


KERNELS = of_functions(Paddle(), with_threads=_with_threads)
KERNELS.about = f"paddlepaddle {paddle.__version__}, in the arrays' own type"

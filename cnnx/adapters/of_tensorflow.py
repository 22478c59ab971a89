"""TensorFlow as a back end (extra `tensorflow`), forward and backward, on the CPU.

Its numbers of threads can be set only before it computes anything, which is too early for the check `threads`.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

from ._functions import Function, Library, Pads, Pair, channels_last, of_functions
from ._kernels import Array

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it tells of its own build otherwise
try:
    import tensorflow as tf
except ImportError as error:
    message = f"back end tensorflow needs it: python -m pip install 'cnnx[tensorflow]' ({error})"
    raise ModuleNotFoundError(message, name="tensorflow") from error


_last, _second = channels_last(tf.transpose)


class TensorFlow(Library):
    name = "tensorflow"
    avg_pads = False
    elementwise = {  # noqa: RUF012  # ClassVar in the base
        "relu": tf.nn.relu, "sigmoid": tf.nn.sigmoid, "tanh": tf.nn.tanh, "softplus": tf.nn.softplus,
        "silu": tf.nn.silu, "gelu": tf.nn.gelu, "leaky_relu": lambda z, slope: tf.nn.leaky_relu(z, slope),
        "clip": lambda z, low, high: tf.clip_by_value(z, low, high),
    }  # fmt: skip
    rows = {  # noqa: RUF012
        "softmax": functools.partial(tf.nn.softmax, axis=1),
        "log_softmax": functools.partial(tf.nn.log_softmax, axis=1),
    }
    left_out = {  # noqa: RUF012
        **dict.fromkeys(("elu", "elu_grad_input"), "tf.nn.elu has alpha 1 alone"),
        **dict.fromkeys(
            ("hard_sigmoid", "hard_sigmoid_grad_input", "hard_swish", "hard_swish_grad_input"), "tf.nn has none"
        ),
    }

    def array(self, a: Array) -> Any:
        return tf.constant(a)

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        with tf.GradientTape() as tape:
            for one in inputs:
                tape.watch(one)
            y = function(*inputs)
        gradients: Sequence[Any] = tape.gradient(y, list(inputs), output_gradients=delta)
        return gradients

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        if groups > 1:
            raise KERNELS.lacks("TensorFlow's convolution on the CPU has no groups backward")
        if max(dilation) > 1 and max(stride) > 1:
            raise KERNELS.lacks("TensorFlow's convolution has strides or dilations")
        kernel, around = tf.transpose(w, (2, 3, 1, 0)), [(0, 0), *pads, (0, 0)]
        return _second(tf.nn.conv2d(_last(x), kernel, stride, around, dilations=dilation))

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        return _second(tf.nn.max_pool2d(_last(x), window, stride, [(0, 0), *pads, (0, 0)]))

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        return _second(tf.nn.avg_pool2d(_last(x), window, stride, "VALID"))


KERNELS = of_functions(TensorFlow())
KERNELS.about = f"tensorflow {tf.__version__}, in the arrays' own type; its threads cannot be set once it computes"

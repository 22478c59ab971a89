"""TensorFlow, asked by tf.nn; with tf.keras' layers it would be Keras that answers."""

from typing import Any

import tensorflow as tf

from ..asked import Array, Asked, by_side


def last(x: Any) -> Any:
    """Channels from the second axis to the last one."""
    return tf.transpose(x, (0, 2, 3, 1))


def second(x: Any) -> Any:
    """Channels from the last axis to the second one."""
    return tf.transpose(x, (0, 3, 1, 2))


class OnTensorFlow(Asked):
    """Whoever computes on TensorFlow's arrays."""

    def set_threads(self, n: int) -> None:
        tf.config.threading.set_intra_op_parallelism_threads(n)

    def array(self, a: Array) -> Any:
        return tf.constant(a)

    def backward(self, function: Any, x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(function(x))
        return tape.gradient(y, x)


class TensorFlow(OnTensorFlow):
    distribution = "tensorflow-cpu"

    relu, sigmoid, tanh = map(staticmethod, (tf.nn.relu, tf.nn.sigmoid, tf.nn.tanh))
    gelu, softmax, matmul = map(staticmethod, (tf.nn.gelu, tf.nn.softmax, tf.linalg.matmul))

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return tf.nn.leaky_relu(x) if slope is None else tf.nn.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return tf.clip_by_value(x, low, high)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        kernel = tf.transpose(w, (2, 3, 1, 0))
        return second(tf.nn.conv2d(last(x), kernel, stride, "SAME" if padding == "same" else "VALID"))

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        self.no_ceil(ceil)
        around = "SAME" if padding == "same" else [(0, 0), *by_side(padding), (0, 0)] if padding else "VALID"
        return second(tf.nn.max_pool2d(last(x), kernel, stride, around))

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        self.no_ceil(ceil)
        if padding not in (0, "same"):
            raise self.lacks("average pooling without explicit padding")
        return second(tf.nn.avg_pool2d(last(x), kernel, stride, "SAME" if padding else "VALID"))

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return second(tf.image.resize(last(x), size, mode))

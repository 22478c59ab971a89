"""Keras on TensorFlow, asked by its layers and keras.ops; its images are (N, H, W, C)."""

import os
from typing import Any

import numpy as np

from ..asked import Array, LacksError, given
from .of_tensorflow import OnTensorFlow, last, second

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras  # it reads the variable
from keras import layers, ops


class Keras(OnTensorFlow):
    distribution = "keras"

    relu, sigmoid, tanh, elu = map(staticmethod, (ops.relu, ops.sigmoid, ops.tanh, ops.elu))
    hard_sigmoid, softmax, matmul = map(staticmethod, (ops.hard_sigmoid, ops.softmax, ops.matmul))
    gelu = staticmethod(keras.activations.gelu)

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return layers.LeakyReLU()(x) if slope is None else layers.LeakyReLU(negative_slope=slope)(x)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return ops.clip(x, low, high)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        around = "same" if padding == "same" else "valid"
        return second(ops.conv(last(x), ops.transpose(w, (2, 3, 1, 0)), stride, around))

    def _around(self, padding: int | str, ceil: bool) -> str:
        self.no_ceil(ceil)
        if padding not in (0, "same"):
            raise LacksError("pooling without explicit padding")
        return "same" if padding else "valid"

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return second(layers.MaxPooling2D(kernel, stride, self._around(padding, ceil))(last(x)))

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        return second(layers.AveragePooling2D(kernel, stride, self._around(padding, ceil))(last(x)))

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return second(ops.image.resize(last(x), size, mode, data_format="channels_last"))

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = layers.BatchNormalization(**given(momentum=momentum))
        y = layer(last(self.array(x)), training=True)
        return np.asarray(second(y)), np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)

    def cross_entropy(self, logits: Array, target: Array, weight: Array | None = None, smoothing: float = 0) -> float:
        rows = np.eye(logits.shape[1], dtype="float32")[target]
        cost = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
        return float(cost(rows, logits, sample_weight=None if weight is None else weight[target]))

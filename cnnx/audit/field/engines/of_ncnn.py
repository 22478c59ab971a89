"""ncnn, asked by a net of one layer; what computes it is the engine's adapter."""

from typing import Any

import numpy as np

from ..asked import Array, Asked, LacksError, adapter


class Ncnn(Asked):
    distribution = "ncnn"

    def __init__(self, threads: int | None = None) -> None:
        self._adapter = adapter("of_ncnn")
        super().__init__(threads)

    def set_threads(self, n: int) -> None:
        self._adapter.set_threads(n)

    def _run(self, layer: str, x: Array, *arrays: Array, **numbers: float) -> Array:
        """Of a batch image by image; numbers by n and their key."""
        given = {int(key[1:]): value for key, value in numbers.items()}
        made = [self._adapter.run(layer, given, one, *arrays, exact=False) for one in x]
        return np.stack(made)

    def relu(self, x: Array) -> Array:
        return self._run("ReLU", x)

    def leaky_relu(self, x: Array, slope: float | None = None) -> Array:
        if slope is None:
            raise LacksError("no slope by default, but that of relu")
        return self._run("ReLU", x, n0=slope)

    def elu(self, x: Array, alpha: float) -> Array:
        return self._run("ELU", x, n0=alpha)

    def clip(self, x: Array, low: float, high: float) -> Array:
        return self._run("Clip", x, n0=low, n1=high)

    def gelu(self, x: Array) -> Array:
        return self._run("GELU", x)

    def sigmoid(self, x: Array) -> Array:
        return self._run("Sigmoid", x)

    def tanh(self, x: Array) -> Array:
        return self._run("TanH", x)

    def hard_sigmoid(self, x: Array) -> Array:
        return self._run("HardSigmoid", x)

    def softmax(self, x: Array) -> Array:
        return self._run("Softmax", x, n0=0, n1=1)

    def matmul(self, a: Array, b: Array) -> Array:
        return self._run("InnerProduct", a, b.T, n0=b.shape[1], n1=0, n2=b.size)

    def conv2d(self, x: Array, w: Array, padding: int | str = 0, stride: int = 1) -> Array:
        K, _, R, S = w.shape
        around = -233 if isinstance(padding, str) else padding  # its number for SAME_UPPER
        return self._run("Convolution", x, w, n0=K, n1=S, n11=R, n3=stride, n13=stride, n4=around, n6=w.size)

    def _pool(
        self, kind: int, x: Array, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False,
        include: bool | None = None,
    ) -> Array:  # fmt: skip
        (R, S), (u, v) = ((a, a) if isinstance(a, int) else a for a in (kernel, stride))
        mode = 2 if isinstance(padding, str) else 0 if ceil else 1  # its modes same upper, full and valid
        more = {} if include is None else {"n6": int(include)}
        around = 0 if isinstance(padding, str) else padding
        return self._run("Pooling", x, n0=kind, n1=S, n11=R, n2=v, n12=u, n3=around, n5=mode, **more)

    def max_pool(self, x: Array, **geometry: Any) -> Array:
        return self._pool(0, x, **geometry)

    def avg_pool(self, x: Array, **geometry: Any) -> Array:
        return self._pool(1, x, **geometry)

    def resize(self, x: Array, size: tuple[int, int], mode: str) -> Array:
        return self._run("Interp", x, n0=1 if mode == "nearest" else 2, n3=size[0], n4=size[1])

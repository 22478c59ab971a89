"""JAX with flax, asked by jax.nn, flax.linen and jax.image."""

from typing import Any

import jax
import numpy as np
from flax import linen
from jax import numpy as jnp

from ..asked import Array, Asked, adapter, by_side, given

_last, _second = adapter("_functions").channels_last(jnp.transpose)


class Jax(Asked):
    distribution = "jax"

    def array(self, a: Array) -> Any:
        return jnp.asarray(a)

    def backward(self, function: Any, x: Any) -> Any:
        return jax.grad(lambda t: function(t).sum())(x)

    relu, sigmoid, tanh = map(staticmethod, (jax.nn.relu, jax.nn.sigmoid, jnp.tanh))
    elu, gelu, hard_sigmoid = map(staticmethod, (jax.nn.elu, jax.nn.gelu, jax.nn.hard_sigmoid))
    softmax, matmul = map(staticmethod, (jax.nn.softmax, jnp.matmul))

    def leaky_relu(self, x: Any, slope: float | None = None) -> Any:
        return jax.nn.leaky_relu(x) if slope is None else jax.nn.leaky_relu(x, slope)

    def clip(self, x: Any, low: float, high: float) -> Any:
        return jnp.clip(x, low, high)

    def conv2d(self, x: Any, w: Any, padding: int | str = 0, stride: int = 1) -> Any:
        return jax.lax.conv(x, w, (stride, stride), "SAME" if padding == "same" else "VALID")

    def max_pool(self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False) -> Any:
        return self._pool(linen.max_pool, x, kernel, stride, padding, ceil)

    def avg_pool(
        self, x: Any, kernel: Any, stride: Any, padding: int | str = 0, ceil: bool = False, include: bool | None = None
    ) -> Any:
        more = {} if include is None else {"count_include_pad": include}
        return self._pool(linen.avg_pool, x, kernel, stride, padding, ceil, **more)

    def _pool(self, pool: Any, x: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, **more: Any) -> Any:
        self.no_ceil(ceil)
        size, step = ((v, v) if isinstance(v, int) else v for v in (kernel, stride))
        return _second(pool(_last(x), size, step, "SAME" if padding == "same" else by_side(padding), **more))

    def resize(self, x: Any, size: tuple[int, int], mode: str) -> Any:
        return jax.image.resize(x, (*x.shape[:2], *size), mode)

    def batch_norm(self, x: Array, momentum: float | None = None) -> tuple[Array, Array, Array]:
        layer = linen.BatchNorm(use_running_average=False, **given(momentum=momentum))
        images = _last(jnp.asarray(x))
        variables = layer.init(jax.random.key(0), images)
        y, kept = layer.apply(variables, images, mutable=["batch_stats"])
        stats = kept["batch_stats"]
        return np.asarray(_second(y)), np.asarray(stats["mean"]), np.asarray(stats["var"])

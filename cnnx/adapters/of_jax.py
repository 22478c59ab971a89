"""JAX with flax as a back end (extra `jax`), forward and backward, on the CPU.

float64 is switched on (jax_enable_x64), matrix products and convolutions have the highest precision that there is
(jax_default_matmul_precision), both for the whole process; XLA's number of threads cannot be set in a running one.
"""

import functools
from collections.abc import Sequence
from typing import Any

from ._functions import Function, Library, Pads, Pair, channels_last, of_functions
from ._kernels import Array

try:
    import flax
    import jax
    from flax import linen
    from jax import lax
    from jax import numpy as jnp
except ImportError as error:
    message = f"back end jax needs it: python -m pip install 'cnnx[jax]' ({error})"
    raise ModuleNotFoundError(message, name="jax") from error

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_matmul_precision", "highest")


_last, _second = channels_last(jnp.transpose)


class Jax(Library):
    name = "jax"
    elementwise = {  # noqa: RUF012  # ClassVar in the base
        "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "softplus": jax.nn.softplus,
        "silu": jax.nn.silu, "hard_swish": jax.nn.hard_swish, "elu": jax.nn.elu,
        "leaky_relu": lambda z, slope: jax.nn.leaky_relu(z, slope),
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "clip": lambda z, low, high: jnp.clip(z, low, high),
    }  # fmt: skip
    rows = {  # noqa: RUF012
        "softmax": functools.partial(jax.nn.softmax, axis=1),
        "log_softmax": functools.partial(jax.nn.log_softmax, axis=1),
    }
    left_out = {  # noqa: RUF012
        **dict.fromkeys(("hard_sigmoid", "hard_sigmoid_grad_input"), "jax.nn has it with alpha 1/6 alone")
    }

    def array(self, a: Array) -> Any:
        return jnp.asarray(a)

    def vjp(self, function: Function, inputs: Sequence[Any], delta: Any) -> Sequence[Any]:
        gradients: Sequence[Any] = jax.vjp(function, *inputs)[1](delta)
        return gradients

    def conv2d(self, x: Any, w: Any, stride: Pair, pads: Pads, dilation: Pair, groups: int) -> Any:
        return lax.conv_general_dilated(x, w, stride, pads, rhs_dilation=dilation, feature_group_count=groups)

    def max_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads) -> Any:
        return _second(linen.max_pool(_last(x), window, stride, pads))

    def avg_pool2d(self, x: Any, window: Pair, stride: Pair, pads: Pads, include_pad: bool) -> Any:
        y = linen.avg_pool(_last(x), window, stride, pads, count_include_pad=include_pad)
        return _second(y.astype(x.dtype))  # its division by counts makes float64 of float32 where float64 is on


KERNELS = of_functions(Jax())
KERNELS.about = (
    f"jax {jax.__version__}, flax {flax.__version__}; float64 on, matmul precision highest; its threads cannot be set"
)

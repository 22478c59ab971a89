"""Calls of ordinary shapes, such as a test with one random input has: what `allclose` is tried on."""

from typing import Any

from ....ops import Case, Draw


def conv(channels: tuple[int, int] = (8, 16), *, groups: int = 1, kernel: int = 3, **options: Any) -> Case:
    """A convolution of two images of 12 x 12."""
    C, K = channels
    arrays = {"x": (2, C, 12, 12), "weight": (K, C // groups, kernel, kernel), "bias": (K,)}
    return Case("usual", arrays, {"padding": 1, **options} | ({"groups": groups} if groups > 1 else {}))


def conv_transpose(*, groups: int = 1, **options: Any) -> Case:
    """A transposed convolution of two images of 6 x 6."""
    arrays = {"x": (2, 8, 6, 6), "weight": (8, 8 // groups, 3, 3), "bias": (8,)}
    options = {"stride": 2, "padding": 1, "output_padding": 1, **options}
    return Case("usual", arrays, options | ({"groups": groups} if groups > 1 else {}))


def pool(kernel_size: int = 2, *, x: tuple[int, ...] = (2, 4, 12, 12), **options: Any) -> Case:
    """Pooling of two images of 12 x 12."""
    return Case("usual", {"x": x}, {"kernel_size": kernel_size, **options})


def resize(**options: Any) -> Case:
    """Images of 6 x 6, twice as large."""
    return Case("usual", {"x": (2, 3, 6, 6)}, {"size": (12, 12), **options})


def elements(**options: Any) -> Case:
    """Some numbers."""
    return Case("usual", {"x": (16, 64)}, options)


def batch_norm(*, training: bool = True, **options: Any) -> Case:
    """Four images of 6 x 6."""
    C = 8
    running: dict[str, Any] = {} if training else {"running_mean": (C,), "running_var": Draw((C,), "positive")}
    arrays: dict[str, Any] = {"x": Draw((4, C, 6, 6), "channels"), "weight": (C,), "bias": (C,), **running}
    return Case("usual", arrays, {"training": training, **options})


def layer_norm(**options: Any) -> Case:
    """Sixteen rows of 32."""
    arrays: dict[str, Any] = {"x": Draw((16, 32), "sets", length=32), "weight": (32,), "bias": (32,)}
    return Case("usual", arrays, {"normalized_shape": (32,), **options})


def entropy(reduction: str = "mean") -> Case:
    """Sixteen examples of ten classes."""
    arrays: dict[str, Any] = {"logits": (16, 10), "target": Draw((16,), "index", high=10)}
    return Case("usual", arrays, {"reduction": reduction})


USUAL: dict[str, Case] = {
    "conv2d": conv(),
    "conv_transpose2d": conv_transpose(),
    **{name: pool() for name in ("max_pool2d", "avg_pool2d")},
    "upsample2d": resize(mode="bilinear"),
    **{name: elements() for name in ("relu", "sigmoid", "tanh", "softplus", "gelu", "hard_sigmoid")},
    "leaky_relu": elements(negative_slope=0.2),
    "elu": elements(),
    "clip": elements(min=0.0, max=1.0),
    **{name: Case("usual", {"x": (16, 10)}) for name in ("softmax", "log_softmax")},
    "cross_entropy": entropy(),
    **{name: Case("usual", {"a": (16, 10), "b": (10,)}) for name in ("add", "multiply")},
    "affine": Case("usual", {"x": (16, 32), "weight": (10, 32), "bias": (10,)}),
    "dropout": Case("usual", {"x": (16, 32), "mask": Draw((16, 32), "mask")}, {"rate": 0.5}),
    "batch_norm2d": batch_norm(),
    "layer_norm": layer_norm(),
    "local_response_norm": Case("usual", {"x": (2, 8, 6, 6)}, {"size": 5}),
}

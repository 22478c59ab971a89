"""Cases that each search begins with, whatever its seed: shapes as networks have them, and settings seldom drawn.

Each is of a kind that a library was wrong at (`cnnx.audit.mutants.field`) while all of an op's own cases passed:
padding that is wider behind than before, blocks of channels together with a stride, hundreds of channels, a slope below
0, whole factors of resizing in every rounding. They are judged as drawn cases are, some elements of each.
"""

from itertools import product
from typing import Any

from ...ops import Case, Draw

PREFIX = "standing, "  # of their names
Shape = tuple[int, ...]


def _conv(name: str, x: Shape, weight: Shape, **options: Any) -> Case:
    return Case(PREFIX + name, {"x": x, "weight": weight, "bias": (weight[0],)}, options)


def _transposed(name: str, x: Shape, weight: Shape, **options: Any) -> Case:
    arrays = {"x": x, "weight": weight, "bias": (weight[1] * options.get("groups", 1),)}
    return Case(PREFIX + name, arrays, options)


def _of_x(name: str, x: Shape, **options: Any) -> Case:
    return Case(PREFIX + name, {"x": x}, options)


def _pool(name: str, x: Shape, kernel_size: Any, **options: Any) -> Case:
    return _of_x(name, x, kernel_size=kernel_size, **options)


def _pools(more: str = "", **options: Any) -> tuple[Case, ...]:
    return (
        _pool(f"320 channels{more}", (1, 320, 2, 3), 2, stride=1, **options),
        _pool(f"wider below{more}", (1, 2, 6, 7), 3, stride=2, padding=((0, 1), (0, 1)), **options),
        _pool(
            f"wider below than at the left{more}", (1, 2, 7, 6), (4, 3), stride=2, padding=((1, 2), (0, 1)), **options
        ),
    )


def _norm(name: str, x: Shape, kind: Any, parameters: Shape, length: int = 0, **options: Any) -> Case:
    arrays: dict[str, Any] = {"x": Draw(x, kind, length=length), "weight": parameters, "bias": parameters}
    return Case(PREFIX + name, arrays, options)


STANDING: dict[str, tuple[Case, ...]] = {
    "conv2d": (
        _conv("wider below, stride", (2, 8, 8, 9), (8, 8, 3, 3), stride=2, padding=((0, 1), (0, 1))),
        _conv("wider below than above", (1, 3, 8, 10), (8, 3, 5, 5), stride=2, padding=((1, 2), (1, 2))),
        _conv("depthwise, 16 channels, stride", (2, 16, 8, 7), (16, 1, 3, 3), stride=2, padding=1, groups=16),
        _conv("depthwise, 32 channels", (1, 32, 5, 6), (32, 1, 3, 3), padding=1, groups=32),
        _conv("32 channels, stride", (1, 32, 7, 9), (24, 32, 3, 3), stride=2, padding=1),
        _conv("1x1, 64 channels, stride", (1, 64, 5, 6), (48, 64, 1, 1), stride=2),
        _conv("groups of 8", (2, 32, 5, 4), (32, 8, 3, 3), padding=1, groups=4),
    ),
    "conv_transpose2d": (
        _transposed("4x4, stride", (1, 16, 5, 6), (16, 8, 4, 4), stride=2, padding=1),
        _transposed("wider below", (1, 8, 5, 4), (8, 16, 3, 3), stride=2, padding=((0, 1), (0, 1))),
        _transposed("depthwise, 16 channels", (1, 16, 5, 4), (16, 1, 3, 3), stride=2, padding=1, groups=16),
    ),
    "max_pool2d": _pools(),
    "avg_pool2d": (*_pools(), *_pools(", counted", count_include_pad=True)),
    "lp_pool2d": _pools(norm_type=2),
    **{name: (_of_x("320 channels", (1, 320, 3, 3)),) for name in ("global_avg_pool2d", "global_max_pool2d")},
    "upsample2d": (
        *(
            _of_x(f"whole factors, {coordinates}, {rounding}", (1, 3, 4, 5), size=(8, 15), **words)
            for coordinates, rounding in product(
                ("asymmetric", "align_corners"), ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
            )
            for words in ({"coordinates": coordinates, "rounding": rounding},)
        ),
        *(
            _of_x(f"whole factors, {mode}, 320 channels", (1, 320, 2, 3), size=(4, 6), mode=mode)
            for mode in ("nearest", "bilinear")
        ),
    ),
    "leaky_relu": (_of_x("slope below 0", (70,), negative_slope=-0.5),),
    "elu": (_of_x("alpha below 0", (70,), alpha=-2.0),),
    "prelu": (Case(f"{PREFIX}320 channels", {"x": (1, 320, 3), "weight": (320,)}),),
    **{name: (_of_x("200 classes", (8, 200)),) for name in ("softmax", "log_softmax")},
    "affine": (Case(f"{PREFIX}512 to 10", {"x": (8, 512), "weight": (10, 512), "bias": (10,)}),),
    "batch_norm2d": (
        _norm("64 channels", (3, 64, 2, 3), "channels", (64,), training=True),
        _norm("320 channels", (2, 320, 2, 1), "channels", (320,), training=True),
    ),
    "group_norm": (_norm("32 groups", (2, 64, 3, 2), "sets", (64,), 12, num_groups=32),),
    "instance_norm": (_norm("320 channels", (1, 320, 3, 2), "sets", (320,), 6),),
    "layer_norm": (_norm("768 units", (4, 768), "sets", (768,), 768, normalized_shape=(768,)),),
    "local_response_norm": (_of_x("96 channels", (1, 96, 3), size=5),),
    "cross_entropy": (Case(f"{PREFIX}200 classes", {"logits": (8, 200), "target": Draw((8,), "index", high=200)}),),
}

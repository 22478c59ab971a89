"""What comes out if something is forgotten, by op and result: homework's numbers are looked for among it.

Each file has for its ops a function that gives, for a case, the results of mistakes by their keys in
`cnnx/lang/*/check.toml`. A key may come several times, for several ways to make the same mistake.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...data import Array
from . import costs, layers, norm, windows

# A mistake's key, and what would come out.
Made = Iterator[tuple[str, Array]]
Maker = Callable[[Mapping[str, Array], Mapping[str, Any], Array | None], Made]

MISTAKES: dict[tuple[str, str], Maker] = {
    ("conv2d", "y"): windows.conv_y,
    ("conv2d", "x"): windows.conv_x,
    ("conv2d", "weight"): windows.conv_weight,
    ("conv2d", "bias"): windows.conv_bias,
    ("max_pool2d", "y"): windows.pool_y,
    ("max_pool2d", "x"): windows.max_x,
    ("avg_pool2d", "y"): windows.pool_y,
    ("avg_pool2d", "x"): windows.average_x,
    ("affine", "y"): layers.affine_y,
    ("affine", "x"): layers.affine_x,
    ("affine", "weight"): layers.affine_weight,
    ("affine", "bias"): layers.affine_bias,
    ("relu", "x"): layers.relu_x,
    ("sigmoid", "x"): layers.sigmoid_x,
    ("tanh", "x"): layers.tanh_x,
    ("softmax", "y"): layers.softmax_y,
    ("batch_norm2d", "y"): norm.norm_y,
    ("batch_norm2d", "inference"): norm.norm_inference,
    ("batch_norm2d", "x"): norm.norm_x,
    ("batch_norm2d", "weight"): norm.norm_weight,
    ("batch_norm2d", "bias"): norm.norm_bias,
    ("cross_entropy", "y"): costs.cross_entropy_y,
    ("cross_entropy", "x"): costs.cross_entropy_x,
    ("squared_error", "y"): costs.squared_error_y,
    ("squared_error", "x"): costs.squared_error_x,
}
DIGITS = "digits"  # right, but not to the last digits
# What is no mistake, but another convention than cnnx's: a source has it so, or the equation leaves it open.
CONVENTIONS = (
    "mean_n", "ties_all", "ties_last", "ties_split", "pad_zero", "kink", "sum_not_mean", "log_delta", DIGITS,
    "drop_keep", "drop_at_inference", "drop_rows", "norm_eps",
)  # fmt: skip

"""The public face of every op, and the one list that harness, benchmarks, docs and CLI walk."""

from ._activation_ops import OPS as _ACTIVATION
from ._algorithm import conv2d_algorithm as conv2d_algorithm
from ._spec import Case as Case
from ._spec import Draw as Draw
from ._spec import Op as Op
from .activation import clip as clip
from .activation import clip_backward as clip_backward
from .activation import elu as elu
from .activation import elu_backward as elu_backward
from .activation import gelu as gelu
from .activation import gelu_backward as gelu_backward
from .activation import hard_sigmoid as hard_sigmoid
from .activation import hard_sigmoid_backward as hard_sigmoid_backward
from .activation import hard_swish as hard_swish
from .activation import hard_swish_backward as hard_swish_backward
from .activation import identity as identity
from .activation import identity_backward as identity_backward
from .activation import leaky_relu as leaky_relu
from .activation import leaky_relu_backward as leaky_relu_backward
from .activation import relu as relu
from .activation import relu_backward as relu_backward
from .activation import sigmoid as sigmoid
from .activation import sigmoid_backward as sigmoid_backward
from .activation import silu as silu
from .activation import silu_backward as silu_backward
from .activation import softplus as softplus
from .activation import softplus_backward as softplus_backward
from .activation import step as step
from .activation import step_backward as step_backward
from .activation import tanh as tanh
from .activation import tanh_backward as tanh_backward
from .affine import OP as _AFFINE
from .affine import affine as affine
from .affine import affine_backward as affine_backward
from .arithmetic import OPS as _ARITHMETIC
from .arithmetic import add as add
from .arithmetic import add_backward as add_backward
from .arithmetic import multiply as multiply
from .arithmetic import multiply_backward as multiply_backward
from .avg_pool2d import OP as _AVG_POOL2D
from .avg_pool2d import avg_pool2d as avg_pool2d
from .avg_pool2d import avg_pool2d_backward as avg_pool2d_backward
from .batch_norm2d import OP as _BATCH_NORM2D
from .batch_norm2d import batch_norm2d as batch_norm2d
from .batch_norm2d import batch_norm2d_backward as batch_norm2d_backward
from .concat import concat as concat
from .concat import concat_backward as concat_backward
from .conv2d import OP as _CONV2D
from .conv2d import conv2d as conv2d
from .conv2d import conv2d_backward as conv2d_backward
from .conv_transpose2d import OP as _CONV_TRANSPOSE2D
from .conv_transpose2d import conv_transpose2d as conv_transpose2d
from .conv_transpose2d import conv_transpose2d_backward as conv_transpose2d_backward
from .cross_entropy import OP as _CROSS_ENTROPY
from .cross_entropy import cross_entropy as cross_entropy
from .cross_entropy import cross_entropy_backward as cross_entropy_backward
from .dropout import OP as _DROPOUT
from .dropout import dropout as dropout
from .dropout import dropout_backward as dropout_backward
from .flatten import OP as _FLATTEN
from .flatten import flatten as flatten
from .flatten import flatten_backward as flatten_backward
from .global_pool2d import OPS as _GLOBAL_POOL2D
from .global_pool2d import global_avg_pool2d as global_avg_pool2d
from .global_pool2d import global_avg_pool2d_backward as global_avg_pool2d_backward
from .global_pool2d import global_max_pool2d as global_max_pool2d
from .global_pool2d import global_max_pool2d_backward as global_max_pool2d_backward
from .group_norm import OPS as _GROUP_NORM
from .group_norm import group_norm as group_norm
from .group_norm import group_norm_backward as group_norm_backward
from .group_norm import instance_norm as instance_norm
from .group_norm import instance_norm_backward as instance_norm_backward
from .layer_norm import OP as _LAYER_NORM
from .layer_norm import layer_norm as layer_norm
from .layer_norm import layer_norm_backward as layer_norm_backward
from .local_response_norm import OP as _LOCAL_RESPONSE_NORM
from .local_response_norm import local_response_norm as local_response_norm
from .local_response_norm import local_response_norm_backward as local_response_norm_backward
from .lp_pool2d import OP as _LP_POOL2D
from .lp_pool2d import lp_pool2d as lp_pool2d
from .lp_pool2d import lp_pool2d_backward as lp_pool2d_backward
from .matmul import OP as _MATMUL
from .matmul import matmul as matmul
from .matmul import matmul_backward as matmul_backward
from .max_pool2d import OP as _MAX_POOL2D
from .max_pool2d import max_pool2d as max_pool2d
from .max_pool2d import max_pool2d_backward as max_pool2d_backward
from .prelu import OP as _PRELU
from .prelu import prelu as prelu
from .prelu import prelu_backward as prelu_backward
from .softmax import OPS as _SOFTMAX
from .softmax import log_softmax as log_softmax
from .softmax import log_softmax_backward as log_softmax_backward
from .softmax import softmax as softmax
from .softmax import softmax_backward as softmax_backward
from .squared_error import OP as _SQUARED_ERROR
from .squared_error import squared_error as squared_error
from .squared_error import squared_error_backward as squared_error_backward
from .upsample2d import OP as _UPSAMPLE2D
from .upsample2d import upsample2d as upsample2d
from .upsample2d import upsample2d_backward as upsample2d_backward

OPS: tuple[Op, ...] = (
    _CONV2D,
    _CONV_TRANSPOSE2D,
    _MAX_POOL2D,
    _AVG_POOL2D,
    _LP_POOL2D,
    *_GLOBAL_POOL2D,
    _UPSAMPLE2D,
    *_ACTIVATION,
    _PRELU,
    *_SOFTMAX,
    _AFFINE,
    *_ARITHMETIC,
    _MATMUL,
    _FLATTEN,
    _DROPOUT,
    _BATCH_NORM2D,
    *_GROUP_NORM,
    _LAYER_NORM,
    _LOCAL_RESPONSE_NORM,
    _SQUARED_ERROR,
    _CROSS_ENTROPY,
)

# Written out, so that type checkers see the names; in the order of OPS, which a test holds it against, and what takes a
# list of arrays, or shapes.
__all__ = [  # noqa: RUF022
    "conv2d",
    "conv2d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "lp_pool2d",
    "lp_pool2d_backward",
    "global_avg_pool2d",
    "global_avg_pool2d_backward",
    "global_max_pool2d",
    "global_max_pool2d_backward",
    "upsample2d",
    "upsample2d_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "tanh_backward",
    "step",
    "step_backward",
    "identity",
    "identity_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "elu",
    "elu_backward",
    "softplus",
    "softplus_backward",
    "gelu",
    "gelu_backward",
    "clip",
    "clip_backward",
    "hard_sigmoid",
    "hard_sigmoid_backward",
    "hard_swish",
    "hard_swish_backward",
    "silu",
    "silu_backward",
    "prelu",
    "prelu_backward",
    "softmax",
    "softmax_backward",
    "log_softmax",
    "log_softmax_backward",
    "affine",
    "affine_backward",
    "add",
    "add_backward",
    "multiply",
    "multiply_backward",
    "matmul",
    "matmul_backward",
    "flatten",
    "flatten_backward",
    "dropout",
    "dropout_backward",
    "batch_norm2d",
    "batch_norm2d_backward",
    "group_norm",
    "group_norm_backward",
    "instance_norm",
    "instance_norm_backward",
    "layer_norm",
    "layer_norm_backward",
    "local_response_norm",
    "local_response_norm_backward",
    "squared_error",
    "squared_error_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "concat",
    "concat_backward",
    "conv2d_algorithm",
]

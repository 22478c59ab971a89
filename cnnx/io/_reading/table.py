"""Which operators become which layers."""

from collections.abc import Callable
from typing import Any

from ... import nn
from .._operators import ACTIVATIONS
from . import arithmetic, composed, einsum, norms, padding, reducing, reshaping, resizing, shapes, weights, windows
from .fold import number
from .node import Node
from .rows import of_rows

Converter = Callable[[Node], nn.Layer | list[nn.Layer]]  # a list: a layer for each output


def layers(node: Node) -> nn.Layer | list[nn.Layer]:
    """The layer that a node is, or one for each of its outputs.

    Raises
    ------
    UnknownShapeError
        There is none as long as the shape of what comes in is not known.
    TypeError, ValueError
        There is none for this operator, or this form of it.
    """
    if node.operator in OPERATORS:
        found = OPERATORS[node.operator](node)
    elif node.operator in ACTIVATIONS:
        kind, argument, attribute, default = ACTIVATIONS[node.operator]
        options: dict[str, Any] = {argument: number(node.take(attribute, default))} if argument else {}
        found = kind(**options)
    else:
        raise ValueError(f"expected an operator that cnnx has a layer for, got another{_why(node.operator)}")
    node.take("consumed_inputs")  # a leftover of the first opsets, which says nothing
    node.done()
    return found


def _why(operator: str) -> str:
    """What an operator is that no layer will be, and what to do."""
    for reason, operators in _NONE.items():
        if operator in operators or (operator.startswith("QLinear") and "QuantizeLinear" in operators):
            return f": {reason}"
    return ""


_NONE = {
    "of a quantised network, whose float32 original can be read": {
        *("ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QuantizeLinear"),
    },
    "it gives as many as there happen to be, and no gradient; output= takes a value before it": {
        *("ArgMax", "ArgMin", "NonMaxSuppression", "NonZero", "TopK", "Unique"),
    },
    "it is recurrent": {"GRU", "LSTM", "RNN", "Scan"},
    "which nodes are computed depends on the images": {"If", "Loop"},
}

OPERATORS: dict[str, Converter] = {
    "Abs": composed.magnitude,
    "Add": arithmetic.add,
    "AveragePool": of_rows(windows.average_pool),
    "BatchNormalization": of_rows(weights.batch_norm),
    "Cast": shapes.cast,
    "Celu": composed.celu,
    "Clip": weights.clip,
    "Concat": shapes.concat,
    "Conv": of_rows(windows.conv),
    "ConvTranspose": of_rows(windows.conv_transpose),
    "DepthToSpace": shapes.depth_to_space,
    "Div": arithmetic.divide,
    "Dropout": weights.dropout,
    "Einsum": einsum.einsum,
    "Expand": composed.expand,
    "Flatten": reshaping.flatten,
    "Gather": shapes.gather,
    "Gelu": weights.gelu,
    "Gemm": weights.gemm,
    "GlobalAveragePool": of_rows(windows.global_average_pool),
    "GlobalMaxPool": of_rows(windows.global_max_pool),
    "GroupNormalization": norms.group_norm,
    "HardSigmoid": weights.hard_sigmoid,
    "InstanceNormalization": norms.instance_norm,
    "LRN": weights.local_response_norm,
    "LayerNormalization": norms.layer_norm,
    "Log": composed.logarithm,
    "LogSoftmax": weights.softmax,
    "LpPool": of_rows(windows.lp_pool),
    "MatMul": weights.mat_mul,
    "Max": composed.extreme,
    "MaxPool": of_rows(windows.max_pool),
    "Min": composed.extreme,
    "Mish": composed.mish,
    "Mul": arithmetic.multiply,
    "Neg": arithmetic.negated,
    "PRelu": weights.p_relu,
    "Pad": padding.pad,
    "Pow": windows.mean_of_powers,
    "ReduceL1": reducing.reduced,
    "ReduceL2": reducing.reduced,
    "ReduceMax": reducing.reduced,
    "ReduceMean": reducing.reduced,
    "ReduceMin": reducing.reduced,
    "ReduceSum": reducing.reduced,
    "ReduceSumSquare": reducing.reduced,
    "RMSNormalization": norms.rms_norm,
    "Reshape": reshaping.reshape,
    "Resize": resizing.resize,
    "Selu": composed.selu,
    "Slice": shapes.cut,
    "Softmax": weights.softmax,
    "SpaceToDepth": shapes.depth_to_space,
    "Split": shapes.split,
    "Squeeze": reshaping.squeeze,
    "Sub": arithmetic.subtract,
    "Sum": arithmetic.add,
    "Tile": shapes.tile,
    "Transpose": reshaping.transpose,
    "Unsqueeze": reshaping.unsqueeze,
    "Upsample": resizing.resize,
    "Where": composed.where,
}

# Operators that take a value wherever the images' axis is, and say where it is in what they give (`Node.gives`).
ANYWHERE = {
    *(
        "Abs",
        "Add",
        "Cast",
        "Celu",
        "Clip",
        "Concat",
        "Div",
        "Dropout",
        "Einsum",
        "Expand",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
    ),
    *("HardSigmoid", "LayerNormalization", "Log", "LogSoftmax", "MatMul", "Max", "Min", "Mish", "Mul", "Neg", "Pow"),
    "RMSNormalization",
    *(operator for operator in OPERATORS if operator.startswith("Reduce")),
    *("Reshape", "Selu", "Slice", "Softmax", "Split", "Squeeze", "Sub", "Sum", "Transpose", "Unsqueeze", "Where"),
    *ACTIVATIONS,
}

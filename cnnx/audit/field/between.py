"""What changes from one engine to another: for ops, and for the nodes of an ONNX file."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .questions import QUESTIONS
from .table import TABLE, lacks

POOLING = ("max_pool2d", "avg_pool2d", "lp_pool2d", "global_avg_pool2d", "global_max_pool2d")
GROUPS = {
    "pooling": POOLING,
    "convolution": ("conv2d", "conv_transpose2d"),
    "activations": ("relu", "leaky_relu", "elu", "clip", "gelu", "sigmoid", "tanh", "hard_sigmoid"),
    "normalisation": ("batch_norm2d",),
    "costs": ("cross_entropy",),
}
SAME, DIFFERENT, MISSING = "same", "different", "missing"


@dataclass(frozen=True)
class Row:
    """A question and the answers of two engines."""

    key: str
    answers: tuple[str, str]

    @property
    def verdict(self) -> str:
        """Whether they agree, differ, or one of them does not have it."""
        if any(map(lacks, self.answers)):
            return MISSING
        return SAME if self.answers[0] == self.answers[1] else DIFFERENT


def known_ops() -> tuple[str, ...]:
    """The ops and groups of ops that questions are about."""
    return tuple(dict.fromkeys([*GROUPS, *(op for one in QUESTIONS.values() for op in one.ops)]))


def keys_of(op: str) -> tuple[str, ...]:
    """The questions about an op or a group of ops, all with ""."""
    ops = GROUPS.get(op, (op,))
    return tuple(key for key, one in QUESTIONS.items() if key in TABLE.answers and (not op or {*ops} & {*one.ops}))


def between(one: str, other: str, op: str = "") -> list[Row]:
    """The answers of two engines to the questions about an op."""
    return [Row(key, (TABLE.answers[key][one], TABLE.answers[key][other])) for key in keys_of(op)]


# --------------------------------------------------------------------------------------- an ONNX file

Attributes = Mapping[str, Any]
GRADIENTS = ("slope", "gradient", "ties")


def _ceil(a: Attributes) -> bool:
    return bool(a.get("ceil_mode"))


def _same(a: Attributes) -> bool:
    return str(a.get("auto_pad", "")).startswith("SAME")


def _even(a: Attributes) -> bool:
    """Whether some axis of the kernel is even, or its shape is not said: "same" then pads one side more at stride 1."""
    return any(k % 2 == 0 for k in a.get("kernel_shape", (2,)))


def _strided(a: Attributes) -> bool:
    return any(stride > 1 for stride in a.get("strides", ()))


def _padded(a: Attributes) -> bool:
    return _same(a) or any(a.get("pads", ()))


def _always(a: Attributes) -> bool:
    return True


# Of each question the operators that it is about, and by which attributes; what is asked of defaults or of gradients
# does not matter for a file, which says what it means and is run forward.
NODES: dict[str, tuple[str, Callable[[Attributes], bool]]] = {
    "ceil_divisor": ("AveragePool", lambda a: _ceil(a) and not (a.get("count_include_pad") and _padded(a))),
    "ceil_divisor_padded": ("AveragePool", lambda a: _ceil(a) and bool(a.get("count_include_pad")) and _padded(a)),
    "ceil_start": ("MaxPool AveragePool LpPool", lambda a: _ceil(a) and _padded(a)),
    "same_divisor": ("AveragePool", lambda a: _same(a) and not a.get("count_include_pad")),
    "same_odd_pool": ("MaxPool AveragePool LpPool", lambda a: _same(a) and _even(a)),
    "same_odd_pool_stride": ("MaxPool AveragePool LpPool", lambda a: _same(a) and _strided(a)),
    "maximum_padding": ("MaxPool", _padded),
    "maximum_of_minus_infinity": ("MaxPool GlobalMaxPool", _always),
    "nan_first": ("MaxPool", _always),
    "nan_middle": ("MaxPool", _always),
    "nan_last": ("MaxPool", _always),
    "lp_sign": ("LpPool", lambda a: a.get("p", 2) % 2 == 1),
    "lp_division": ("LpPool", _always),
    "relu_minus_zero": ("Relu", _always),
    "relu_nan": ("Relu", _always),
    "gelu_tail": ("Gelu", lambda a: a.get("approximate", "none") == "none"),
    "sigmoid_tail": ("Sigmoid", _always),
    "tanh_far": ("Tanh", _always),
    "softmax_of_minus_infinity": ("Softmax", _always),
    "running_variance": ("BatchNormalization", lambda a: bool(a.get("training_mode"))),
    "variance_far_from_zero": ("BatchNormalization", lambda a: bool(a.get("training_mode"))),
    "weighted_mean": ("SoftmaxCrossEntropyLoss", _always),
    "kernel_flipped": ("Conv", _always),
    "same_odd_conv": ("Conv", lambda a: _same(a) and _even(a) and not _strided(a)),
    "same_odd_conv_stride": ("Conv", lambda a: _same(a) and _strided(a)),
    "integers_exact": ("Conv", _always),
    "precision_conv": ("Conv", _always),
    "subnormal": ("Conv", _always),
    "batch_conv": ("Conv", _always),
    "precision_matmul": ("MatMul Gemm", _always),
    "batch_matmul": ("MatMul Gemm", _always),
    "threads_bits": ("Conv MatMul Gemm", _always),
}


@dataclass(frozen=True)
class Node:
    """A node of a model and what differs, or is missing, in it between two engines."""

    name: str
    operator: str
    rows: list[Row]


def of_model(path: Path, one: str, other: str) -> tuple[int, list[Node]]:
    """How many nodes an ONNX file has, and those in which two engines differ, in the file's order.

    Nodes of branches, bodies and of the file's own functions are among them.

    Raises
    ------
    ValueError
        The file is no ONNX model.
    """
    try:
        import onnx
    except ImportError as error:
        message = f"--model needs onnx: python -m pip install 'cnnx[onnx]' ({error})"
        raise ModuleNotFoundError(message, name="onnx") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"--model: expected an ONNX file, got {path}: {error}") from None
    except Exception as error:
        if type(error).__name__ != "DecodeError":  # protobuf's, whose module differs by its implementation
            raise
        raise ValueError(f"--model: expected an ONNX file, got {path}: {error}") from None
    nodes, found = list(_nodes(model.graph.node, onnx.AttributeProto)), []
    for function in model.functions:
        nodes += _nodes(function.node, onnx.AttributeProto)
    for place, node in enumerate(nodes):
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in node.attribute}
        rows = [row for row in _rows(node.op_type, attributes, one, other) if row.verdict != SAME]
        if rows:
            found.append(Node(node.name or f"node {place}", node.op_type, rows))
    return len(nodes), found


def _nodes(nodes: Iterable[Any], kinds: Any) -> Iterator[Any]:
    """The nodes, and behind each those of its branches and bodies (If, Loop, Scan)."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == kinds.GRAPH:
                yield from _nodes(attribute.g.node, kinds)
            for graph in attribute.graphs:
                yield from _nodes(graph.node, kinds)


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _rows(operator: str, attributes: Attributes, one: str, other: str) -> Iterator[Row]:
    for key, (operators, concerned) in NODES.items():
        if operator in operators.split() and concerned(attributes) and key in TABLE.answers:
            yield Row(key, (TABLE.answers[key][one], TABLE.answers[key][other]))

"""ONNX to networks: chains of operators that are layers."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _check, nn
from .._check import Array
from .._files import reading
from ..nn.evaluate import evaluating
from ..nn.init import blank
from ._graph import LARGEST_FILE, Node, read
from ._layers import arrays, fill
from ._operators import ACTIVATIONS, output


def import_onnx(path: str | os.PathLike[str]) -> nn.Sequential:
    """Read a network from an ONNX model: a chain of operators that cnnx has as layers.

    Those are Conv, Gemm (or MatMul, Add), MaxPool, AveragePool, GlobalAveragePool, LpPool, BatchNormalization, Flatten
    (or Reshape to rows), Dropout, Relu, Clip, LeakyRelu, Elu, Gelu, Sigmoid, Tanh, Softplus, Softmax, LogSoftmax and
    Identity, for images, in float32 or float64.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Sequential
        In evaluation mode.

    Raises
    ------
    ModuleNotFoundError
        onnx is not installed (extra `onnx`).
    ValueError
        No ONNX model, one of an opset before 13, or one that no chain of cnnx's layers computes: the message names
        the node.
    OSError
        The file cannot be read, or is a directory or a device.

    Examples
    --------
    >>> import tempfile
    >>> from cnnx import io
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     io.import_onnx(file.name)
    Traceback (most recent call last):
        ...
    ValueError: /tmp/...: expected an ONNX model that cnnx has layers for: ...
    """
    try:
        with reading(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > LARGEST_FILE:
                raise ValueError(f"expected at most {LARGEST_FILE} bytes, got {size}")
            return _model(file.read())
    except ValueError as error:
        why = " ".join(str(error).split())  # onnx writes paragraphs
        raise ValueError(f"{os.fspath(path)}: expected an ONNX model that cnnx has layers for: {why}") from None


def _model(data: bytes) -> nn.Sequential:
    nodes, x = read(data)
    layers = []
    while nodes:
        node = nodes.popleft()
        try:
            layer = _layer(node, nodes, x)
            with evaluating(layer):
                x = None if x is None else output(layer, x)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"node {node.name}: {error}") from None
        layers.append(layer)
    return nn.Sequential(*layers).eval()


# ------------------------------------------------------------------------------------------ operators


def _layer(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    """The layer that a node is, together with those after it that belong to it."""
    if node.operator in ACTIVATIONS:
        kind, argument, attribute, default = ACTIVATIONS[node.operator]
        options: dict[str, Any] = {argument: _number(node.take(attribute, default))} if argument else {}
        layer = kind(**options)
    elif node.operator in _LAYERS:
        layer = _LAYERS[node.operator](node, following, x)
    else:
        raise ValueError("expected an operator that cnnx has a layer for, got another")
    node.done()
    return layer


def _number(value: float) -> float:
    """The shortest decimal of ONNX's float32 attributes: 0.1, not 0.10000000149011612."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _made(kind: Callable[..., nn.Layer], *arguments: Any, found: dict[str, Array], **options: Any) -> nn.Layer:
    """A layer with these arrays."""
    dtype = next(iter(found.values())).dtype
    with blank():
        layer = kind(*arguments, dtype=dtype, **options)
    for name, expected in arrays(layer).items():
        array = found[name]
        if (array.shape, array.dtype) != (expected.shape, expected.dtype):
            raise ValueError(f"{name}: expected {expected.dtype} {expected.shape}, got {array.dtype} {array.shape}")
    fill(layer, {name: np.array(array, order="C") for name, array in found.items()})
    return layer


def _conv(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    weight, bias = node.constant(1, "weight"), node.optional(2)
    if weight.ndim != 4:
        raise ValueError(f"weight: expected four axes, got shape {weight.shape}")
    node.expect("kernel_shape", list(weight.shape[2:]), list(weight.shape[2:]))
    groups = node.take("group", 1)
    return _made(
        nn.Conv2d,
        weight.shape[1] * groups,
        weight.shape[0],
        _short(weight.shape[2:]),
        stride=_short(node.take("strides", [1, 1])),
        padding=_padding(node),
        dilation=_short(node.take("dilations", [1, 1])),
        groups=groups,
        bias=bias is not None,
        found={"weight": weight} | ({} if bias is None else {"bias": bias}),
    )


def _gemm(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("transA", 0, 0)
    weight, bias = node.constant(1, "B"), node.optional(2)
    if not node.take("transB", 0):
        weight = weight.T
    alpha, beta = (np.asarray(node.take(name, 1.0), weight.dtype) for name in ("alpha", "beta"))
    return _affine(weight * alpha if alpha != 1 else weight, bias if bias is None or beta == 1 else bias * beta)


def _matmul(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    bias = following.popleft().constant(1, "B") if following and following[0].operator == "Add" else None
    return _affine(node.constant(1, "B").T, bias)


def _affine(weight: Array, bias: Array | None) -> nn.Layer:
    if weight.ndim != 2:
        raise ValueError(f"weight: expected two axes, got shape {weight.shape}")
    features, found = weight.shape[0], {"weight": weight}
    if bias is not None:
        if bias.shape not in ((features,), (1, features), (1,), ()):
            raise ValueError(f"bias: expected shape {(features,)}, got {bias.shape}")
        found["bias"] = np.broadcast_to(bias.reshape(-1), (features,))
    return _made(nn.Affine, weight.shape[1], features, bias=bias is not None, found=found)


def _batch_norm(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("training_mode", 0, 0)
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: node.constant(i, name) for i, name in enumerate(names, 1)}
    momentum, eps = _number(node.take("momentum", 0.9)), _number(node.take("epsilon", 1e-5))
    return _made(nn.BatchNorm2d, found["weight"].size, momentum=round(1 - momentum, 7), eps=eps, found=found)


def _max_pool(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("storage_order", 0, 0)
    return nn.MaxPool2d(**_window(node))


def _average_pool(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    counted = bool(node.take("count_include_pad", 0))
    window = _window(node)
    if counted and window["ceil_mode"]:
        raise ValueError("ceil_mode: expected 0 with count_include_pad, where runtimes disagree, got 1")
    return nn.AvgPool2d(**window, count_include_pad=counted)


def _global_average_pool(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    return nn.GlobalAvgPool2d()


def _clip(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    low, high = (None if bound is None else float(bound.item()) for bound in (node.optional(1), node.optional(2)))
    if (low, high) == (0, 6):
        return nn.ReLU6()
    return nn.Clip(None if low == -np.inf else low, None if high == np.inf else high)


def _lp_pool(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    return nn.LpPool2d(node.take("p", 2), **_window(node), normalize=False)


def _mean_of_powers(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    """Abs, Pow, AveragePool, Pow: what export_onnx makes of LpPool2d."""
    if [each.operator for each in following][:3] != ["Pow", "AveragePool", "Pow"]:
        raise ValueError("expected Pow, AveragePool and Pow behind it, as in an LpPool2d, got something else")
    power, mean, root = (following.popleft() for _ in range(3))
    rho, inverse = (each.constant(1, "exponent") for each in (power, root))
    mean.expect("count_include_pad", 0, 0)
    if rho.size != 1 or inverse.size != 1 or not np.isclose(rho * inverse, 1, rtol=1e-6, atol=0):
        raise ValueError("expected the exponents rho and 1/rho, as in an LpPool2d, got others")
    layer = nn.LpPool2d(_number(float(rho.item())), **_window(mean))
    mean.done()
    return layer


def _flatten(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("axis", 1, 1)
    return nn.Flatten()


def _reshape(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("allowzero", 0, 0)
    shape = node.constant(1, "shape").tolist()
    columns = None if x is None else int(np.prod(x.shape[1:]))
    if shape != [0, -1] and shape not in ([0, columns], [-1, columns]):
        raise ValueError(f"shape: expected (0, -1), as Flatten makes it, got {_check.shown(shape)}")
    return nn.Flatten()


def _dropout(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.take("seed", 0)
    ratio, training = node.optional(1), node.optional(2)
    if training is not None and training.any():
        raise ValueError("training_mode: expected False, got True")
    return nn.Dropout(0.5 if ratio is None else _number(float(ratio.item())))


def _gelu(node: Node, following: deque[Node], x: Array | None) -> nn.Layer:
    node.expect("approximate", "none", "none")
    return nn.GELU()


def _short(values: Any) -> Any:
    """(3, 3) as 3."""
    first, *rest = values
    return first if len(rest) == 1 and rest[0] == first else tuple(values)


def _padding(node: Node) -> Any:
    kind, pads = node.take("auto_pad", "NOTSET"), node.take("pads", [0, 0, 0, 0])
    if kind not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise ValueError(f"auto_pad: expected NOTSET, VALID or SAME_UPPER, got {_check.shown(kind)}")
    if len(pads) != 4 or (any(pads) and kind != "NOTSET"):
        raise ValueError(f"pads: expected four numbers, zeros with auto_pad, got {_check.shown(pads)}")
    if kind == "SAME_UPPER":
        return "same"
    top, left, bottom, right = pads
    return _short((top, left)) if (top, left) == (bottom, right) else ((top, bottom), (left, right))


def _window(node: Node) -> dict[str, Any]:
    """The arguments of pooling layers."""
    node.expect("dilations", [1, 1], [1, 1])
    kernel, stride = node.take("kernel_shape", []), node.take("strides", [1, 1])
    if len(kernel) != 2 or len(stride) != 2:
        raise ValueError(f"kernel_shape: expected windows of rows and columns, got {_check.shown(kernel)}")
    return {
        "kernel_size": _short(kernel),
        "stride": None if kernel == stride else _short(stride),
        "padding": _padding(node),
        "ceil_mode": bool(node.take("ceil_mode", 0)),
    }


_LAYERS: dict[str, Callable[[Node, deque[Node], Array | None], nn.Layer]] = {
    "Abs": _mean_of_powers,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "LpPool": _lp_pool,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Reshape": _reshape,
}

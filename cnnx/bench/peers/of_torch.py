"""torch as a peer: forward what a user calls, backward the node of the graph that autograd would call, and no more.

A node is called directly: `torch.ops.aten` would add a microsecond or more, the engine several.
"""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...ops.squared_error import divisor
from ..worker import LEARNING_RATE, Update
from ._asked import Array, Arrays, Call, Options, flat, in_full, window

try:
    import torch
    from torch.nn import functional
except ImportError as error:
    message = f"peer torch needs PyTorch: python -m pip install 'cnnx[torch]' ({error})"
    raise ModuleNotFoundError(message, name="torch") from error

Tensors = dict[str, Any]

LACKS = {
    ("step", "backward"): "torch's step function has no gradient",
    **{
        ("lp_pool2d", direction): "torch takes no absolute value and does not divide by the window's size"
        for direction in ("forward", "backward")
    },
}

_mode = contextlib.ExitStack()


def about() -> dict[str, str]:
    """Versions."""
    return {"torch": torch.__version__, "instruction set": torch.backends.cpu.get_cpu_capability()}


def set_threads(n: int) -> None:
    """How many threads a call has."""
    torch.set_num_threads(n)
    if torch.get_num_interop_threads() != 1:  # it can be set once
        torch.set_num_interop_threads(1)


def inference(wanted: bool) -> None:
    """Whether this thread computes without keeping a graph from now on."""
    _mode.close()
    if wanted:
        _mode.enter_context(torch.inference_mode())


def prepare(op: str, direction: str, arrays: Arrays, options: Options, channels_last: bool = False) -> Call:
    """The call to be timed. Afterwards the thread is in inference mode if that can be, until `inference(False)`."""
    if (op, direction) in LACKS:
        raise NotImplementedError(LACKS[op, direction])
    inference(direction == "forward")
    tensors = {name: torch.tensor(a) for name, a in arrays.items()}
    if channels_last:
        layout = torch.channels_last
        tensors = {name: t.contiguous(memory_format=layout) if t.ndim == 4 else t for name, t in tensors.items()}
    if direction not in ("forward", "backward"):
        if (op, direction) not in PARTS:
            raise NotImplementedError(f"nobody has said how torch computes {direction} of {op} alone")
        return PARTS[op, direction](tensors, options)
    o = in_full(op, direction, options)
    if direction == "forward":
        return FORWARD[op](tensors, o)
    call = BACKWARD[op](tensors, o) if op in BACKWARD else _node(FORWARD[op], tensors, o)
    inference(True)
    return call


def result(returned: Any) -> list[Array]:
    """The arrays that a call returned."""
    return [np.asarray(part) for part in flat(returned)]


# ------------------------------------------------------------------------------------------ forward


def _conv2d(t: Tensors, o: Options) -> Call:
    w = window(t, o)
    geometry = w.stride, w.even("torch"), w.dilation, o["groups"]
    return partial(functional.conv2d, t["x"], t["weight"], t.get("bias"), *geometry)


def _conv_transpose2d(t: Tensors, o: Options) -> Call:
    w = window(t, o)
    geometry = w.stride, w.even("torch"), o["output_padding"], o["groups"], w.dilation
    return partial(functional.conv_transpose2d, t["x"], t["weight"], t.get("bias"), *geometry)


def _pool_geometry(t: Tensors, o: Options) -> dict[str, Any]:
    w = window(t, o)
    padding = w.even("torch")
    if 2 * padding[0] > w.size[0] or 2 * padding[1] > w.size[1]:
        raise NotImplementedError("torch pads by at most half of the window")
    return dict(kernel_size=w.size, stride=w.stride, padding=padding, ceil_mode=o["ceil_mode"])


def _max_pool2d(t: Tensors, o: Options) -> Call:
    if o.get("return_winners"):
        raise NotImplementedError("torch counts winners through the whole image")
    if o.get("ties", "first") != "first":
        raise NotImplementedError("torch gives ties to the first")
    return partial(functional.max_pool2d, t["x"], **_pool_geometry(t, o))


def _global_max_pool2d(t: Tensors, o: Options) -> Call:
    if o.get("return_winners"):
        raise NotImplementedError("torch's winners have 64 bits")
    return partial(functional.adaptive_max_pool2d, t["x"], 1)


def _avg_pool2d(t: Tensors, o: Options) -> Call:
    include = o["count_include_pad"]
    return partial(functional.avg_pool2d, t["x"], **_pool_geometry(t, o), count_include_pad=include)


def _hard_sigmoid(t: Tensors, o: Options) -> Call:
    if (o["alpha"], o["beta"]) != (1 / 6, 0.5):
        raise NotImplementedError("torch's hardsigmoid has alpha 1/6 and beta 1/2")
    return partial(functional.hardsigmoid, t["x"])


def _dropout(t: Tensors, o: Options) -> Call:
    """What torch does with the mask that it draws: it multiplies by 0 or 1 / (1 - rate)."""
    return partial(torch.mul, t["x"], t["mask"].to(t["x"].dtype) / (1 - o["rate"]))


def _batch_norm2d(t: Tensors, o: Options) -> Call:
    """When training, without running statistics: cnnx's function does not write to them either."""
    running = (None, None) if o["training"] else (t["running_mean"], t["running_var"])
    factors = t["weight"], t["bias"]
    return partial(functional.batch_norm, t["x"], *running, *factors, o["training"], eps=o["eps"])


def _group_norm(t: Tensors, o: Options) -> Call:
    return partial(functional.group_norm, t["x"], o["num_groups"], t.get("weight"), t.get("bias"), o["eps"])


def _instance_norm(t: Tensors, o: Options) -> Call:
    return partial(functional.instance_norm, t["x"], weight=t.get("weight"), bias=t.get("bias"), eps=o["eps"])


def _layer_norm(t: Tensors, o: Options) -> Call:
    last = o["normalized_shape"]
    shape = [last] if isinstance(last, int) else list(last)
    return partial(functional.layer_norm, t["x"], shape, t.get("weight"), t.get("bias"), o["eps"])


def _local_response_norm(t: Tensors, o: Options) -> Call:
    if o["size"] % 2 == 0 or t["x"].ndim < 3:
        raise NotImplementedError("torch's window of an even size lies the other way, and rows have none")
    return partial(functional.local_response_norm, t["x"], o["size"], o["alpha"], o["beta"], o["k"])


def _upsample2d(t: Tensors, o: Options) -> Call:
    found = o["mode"], o["coordinates"], o["rounding"] if o["mode"] == "nearest" else ""
    if found not in INTERPOLATED:
        raise NotImplementedError("torch has other coordinates")
    return partial(functional.interpolate, t["x"], o["size"], **INTERPOLATED[found])


# By cnnx's mode, coordinates and rounding.
INTERPOLATED: dict[tuple[str, str, str], dict[str, Any]] = {
    ("nearest", "asymmetric", "floor"): {"mode": "nearest"},
    ("nearest", "half_pixel", "round_prefer_ceil"): {"mode": "nearest-exact"},
    ("bilinear", "half_pixel", ""): {"mode": "bilinear", "align_corners": False},
    ("bilinear", "align_corners", ""): {"mode": "bilinear", "align_corners": True},
}


def _half(t: Tensors, o: Options) -> float:
    return 0.5 / divisor(o["reduction"], len(t["y"]))


def _squared_error(t: Tensors, o: Options) -> Call:
    mse_loss, y, target, half = functional.mse_loss, t["y"], t["target"], _half(t, o)
    return lambda: mse_loss(y, target, reduction="sum") * half


def _cross_entropy(t: Tensors, o: Options) -> Call:
    target = t["target"] if t["target"].is_floating_point() else t["target"].long()
    return partial(functional.cross_entropy, t["logits"], target, reduction=o["reduction"])


FORWARD: dict[str, Callable[[Tensors, Options], Call]] = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool2d": lambda t, o: partial(functional.adaptive_avg_pool2d, t["x"], 1),
    "global_max_pool2d": _global_max_pool2d,
    "upsample2d": _upsample2d,
    "relu": lambda t, o: partial(torch.relu, t["x"]),
    "sigmoid": lambda t, o: partial(torch.sigmoid, t["x"]),
    "tanh": lambda t, o: partial(torch.tanh, t["x"]),
    "step": lambda t, o: partial(torch.heaviside, t["x"], t["x"].new_zeros(())),
    "identity": lambda t, o: partial(torch.clone, t["x"]),
    "leaky_relu": lambda t, o: partial(functional.leaky_relu, t["x"], o["negative_slope"]),
    "elu": lambda t, o: partial(functional.elu, t["x"], o["alpha"]),
    "softplus": lambda t, o: partial(functional.softplus, t["x"], 1, 40),  # beyond 40 it is z, in double too
    "gelu": lambda t, o: partial(functional.gelu, t["x"]),
    "clip": lambda t, o: partial(torch.clamp, t["x"], o["min"], o["max"]),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": lambda t, o: partial(functional.hardswish, t["x"]),
    "silu": lambda t, o: partial(functional.silu, t["x"]),
    "prelu": lambda t, o: partial(torch.prelu, t["x"], t["weight"]),
    "softmax": lambda t, o: partial(torch.softmax, t["x"], o["axis"]),
    "log_softmax": lambda t, o: partial(torch.log_softmax, t["x"], o["axis"]),
    "affine": lambda t, o: partial(functional.linear, t["x"], t["weight"], t.get("bias")),
    "add": lambda t, o: partial(torch.add, t["a"], t["b"]),
    "multiply": lambda t, o: partial(torch.mul, t["a"], t["b"]),
    "matmul": lambda t, o: partial(torch.matmul, t["a"], t["b"]),
    "flatten": lambda t, o: partial(t["x"].reshape, (len(t["x"]), math.prod(t["x"].shape[1:]))),
    "dropout": _dropout,
    "batch_norm2d": _batch_norm2d,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
    "squared_error": _squared_error,
    "cross_entropy": _cross_entropy,
}


# ----------------------------------------------------------------------------------------- backward


def _node(forward: Callable[[Tensors, Options], Call], t: Tensors, o: Options) -> Call:
    """The one node that a forward call leaves in the graph."""
    if "weight" in t:  # cnnx has the gradient of a bias always, and needs no bias for it
        K = t["weight"].shape[1] * o["groups"] if forward is _conv_transpose2d else len(t["weight"])
        t["bias"] = t["weight"].new_zeros(K)
    for name in ("x", "weight", "bias"):
        if name in t and (name != "x" or o.get("input_grad", True)):
            t[name].requires_grad_()
    return partial(forward(t, o)().grad_fn, t["grad_output"])


def _identity_backward(t: Tensors, o: Options) -> Call:
    return partial(torch.clone, t["grad_output"])


def _global_avg_backward(t: Tensors, o: Options) -> Call:
    """All of its nodes, two in channels last."""
    x = t["x"].requires_grad_()
    return partial(torch.autograd.grad, functional.adaptive_avg_pool2d(x, 1), x, t["grad_output"], retain_graph=True)


def _affine_backward(t: Tensors, o: Options) -> Call:
    """What autograd does in several nodes, and partly between them."""
    delta, x, weight = t["grad_output"], t["x"], t["weight"]
    if not o["input_grad"]:
        return lambda: (delta.t().mm(x), delta.sum(0))
    return lambda: (delta.mm(weight), delta.t().mm(x), delta.sum(0))


def _norm_backward(t: Tensors, o: Options, forward: Callable[[Tensors, Options], Call], parameters: Any) -> Call:
    """All of autograd's nodes, for x and what may be left out, a gain of ones and a bias of zeros."""
    t.setdefault("weight", t["x"].new_ones(parameters))
    t["bias"] = t["x"].new_zeros(parameters)
    taken = [t[name].requires_grad_() for name in ("x", "weight", "bias")]
    return partial(torch.autograd.grad, forward(t, o)(), taken, t["grad_output"], retain_graph=True)


def _squared_error_backward(t: Tensors, o: Options) -> Call:
    cost = functional.mse_loss(t["y"].requires_grad_(), t["target"], reduction="sum")
    return partial(cost.grad_fn, cost.new_tensor(_half(t, o)))


def _cross_entropy_backward(t: Tensors, o: Options) -> Call:
    """One node after the other, from the cost to the logits."""
    t["logits"].requires_grad_()
    cost = _cross_entropy(t, o)()
    one, nodes, node = torch.ones_like(cost), [], cost.grad_fn
    while node.next_functions:  # the last one stands for the logits
        nodes.append(node)
        node = node.next_functions[0][0]

    def through() -> Any:
        gradient = one
        for node in nodes:
            gradient = node(gradient)
            if type(gradient) is tuple:
                gradient = gradient[0]
        return gradient

    return through


def _hard_sigmoid_backward(t: Tensors, o: Options) -> Call:
    if t["x"].dtype == torch.float64:
        raise NotImplementedError("torch's hardsigmoid has float32's 1/6 for a slope")
    return _node(_hard_sigmoid, t, o)


def _prelu_backward(t: Tensors, o: Options) -> Call:
    """The node, whose terms of the weight's gradient autograd adds up."""
    t["x"].requires_grad_(), t["weight"].requires_grad_()
    node, grad_output = torch.prelu(t["x"], t["weight"]).grad_fn, t["grad_output"]
    axes = [axis for axis in range(t["x"].ndim) if axis != 1 or len(t["weight"]) == 1]

    def through() -> Any:
        grad_x, terms = node(grad_output)
        return grad_x, (terms.sum(axes) if axes else terms).reshape(-1)

    return through


def _meeting_backward(term: Callable[[Any, Any], Any]) -> Callable[[Tensors, Options], Call]:
    """What autograd does in several nodes: terms, and their sums where an operand was repeated."""

    def prepared(t: Tensors, o: Options) -> Call:
        delta, a, b = t["grad_output"], t["a"], t["b"]
        return lambda: (term(delta, b).sum_to_size(a.shape), term(delta, a).sum_to_size(b.shape))

    return prepared


def _matmul_backward(t: Tensors, o: Options) -> Call:
    delta, a, b = t["grad_output"], t["a"], t["b"]
    return lambda: ((delta @ b.mT).sum_to_size(a.shape), (a.mT @ delta).sum_to_size(b.shape))


def _local_response_norm_backward(t: Tensors, o: Options) -> Call:
    """All of its nodes, which autograd walks."""
    x = t["x"].requires_grad_()
    y = _local_response_norm(t, o)()
    return partial(torch.autograd.grad, y, x, t["grad_output"], retain_graph=True)


# Of the others a forward call has one node.
BACKWARD: dict[str, Callable[[Tensors, Options], Call]] = {
    "hard_sigmoid": _hard_sigmoid_backward,
    "prelu": _prelu_backward,
    "identity": _identity_backward,
    "global_avg_pool2d": _global_avg_backward,
    "group_norm": lambda t, o: _norm_backward(t, o, _group_norm, t["x"].shape[1]),
    "instance_norm": lambda t, o: _norm_backward(t, o, _instance_norm, t["x"].shape[1]),
    "layer_norm": lambda t, o: _norm_backward(t, o, _layer_norm, o["normalized_shape"]),
    "local_response_norm": _local_response_norm_backward,
    "affine": _affine_backward,
    "add": _meeting_backward(lambda delta, other: delta),
    "multiply": _meeting_backward(torch.mul),
    "matmul": _matmul_backward,
    "flatten": lambda t, o: partial(t["grad_output"].reshape, t["x"].shape),
    "dropout": lambda t, o: _dropout({**t, "x": t["grad_output"]}, o),
    "squared_error": _squared_error_backward,
    "cross_entropy": _cross_entropy_backward,
}


# ---------------------------------------------------------------------- a part of a call, or several


def _conv2d_grad_input(t: Tensors, options: Options) -> Call:
    t["x"].requires_grad_()
    node = _conv2d(t, in_full("conv2d", "backward", options))().grad_fn
    grad_output = t["grad_output"]
    inference(True)
    return lambda: node(grad_output)[0]


def _affine_grad_input(t: Tensors, options: Options) -> Call:
    inference(True)
    grad_output, weight = t["grad_output"], t["weight"]
    return lambda: grad_output.mm(weight)


def _affine_grad_weight(t: Tensors, options: Options) -> Call:
    inference(True)
    grad_output, x = t["grad_output"], t["x"]
    return lambda: grad_output.t().mm(x)


def _cross_entropy_both(t: Tensors, options: Options) -> Call:
    """As a user has both: through autograd's engine."""
    logits = t["logits"].requires_grad_()
    cost = _cross_entropy(t, in_full("cross_entropy", "forward", options))

    def both() -> Any:
        logits.grad = None
        value = cost()
        value.backward()
        return value.detach(), logits.grad

    return both


def _update(t: Tensors, options: Options) -> Call:
    """One update of CN's network, its parameters in their order."""
    nn = torch.nn
    x, target = t.pop("x"), t.pop("target")
    weights = [value for value in t.values() if value.ndim > 1]
    layers: list[Any] = []
    for weight in weights:
        outputs, inputs = weight.shape[:2]
        if weight.ndim == 4:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        else:
            layers += [nn.ReLU() if isinstance(layers[-1], nn.Linear) else nn.Flatten(), nn.Linear(inputs, outputs)]
    model = nn.Sequential(*layers).to(x.dtype)
    learnt = list(model.parameters())
    with torch.no_grad():
        for parameter, value in zip(learnt, t.values(), strict=True):
            parameter.copy_(value)
    cost, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(learnt, lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad()
        cost(model(x), target).backward()
        optimizer.step()

    return Update(step, lambda: [parameter.detach().clone() for parameter in learnt])


PARTS: dict[tuple[str, str], Callable[[Tensors, Options], Call]] = {
    ("conv2d", "grad_input"): _conv2d_grad_input,
    ("affine", "grad_input"): _affine_grad_input,
    ("affine", "grad_weight"): _affine_grad_weight,
    ("cross_entropy", "both"): _cross_entropy_both,
    ("cn_network", "update"): _update,
}

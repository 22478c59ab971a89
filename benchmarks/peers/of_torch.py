"""How torch computes a figure: NCHW, what a user calls, or for a gradient what autograd calls."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .figures import CN_PARAMETERS, LEARNING_RATE, Call, Figure, WithResult, changes

Tensors = dict[str, torch.Tensor]

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.set_num_interop_threads(1)

_mode = contextlib.ExitStack()
_aten = torch.ops.aten
WITH_AUTOGRAD = ("cross entropy", "training")


def about() -> dict[str, Any]:
    """What goes into the record."""
    return {
        "version": torch.__version__,
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "oneDNN": torch.backends.mkldnn.is_available(),
    }


def prepare(figure: Figure, arrays: dict[str, np.ndarray]) -> Call:
    """The call to be timed, in inference mode where no graph is needed."""
    _mode.close()
    if figure.call not in WITH_AUTOGRAD:
        _mode.enter_context(torch.inference_mode())
    options = {name: value for name, value in figure.options.items() if name not in ("algorithm", "multiply_adds")}
    return CALLS[figure.call]({name: torch.from_numpy(array) for name, array in arrays.items()}, options)


def _conv2d(t: Tensors, options: dict[str, Any]) -> Call:
    x, weight, bias = t["x"], t["weight"], t["bias"]
    conv2d = functional.conv2d
    return lambda: conv2d(x, weight, bias, **options)


def _convolution_backward(*wanted: bool) -> Callable[[Tensors, dict[str, Any]], Call]:
    """Gradients of input, weight and bias, as far as they are wanted."""

    def prepared(t: Tensors, options: dict[str, Any]) -> Call:
        stride, padding, groups = [options["stride"]] * 2, [options["padding"]] * 2, options["groups"]
        arguments = (
            *(t["grad_output"], t["x"], t["weight"], [t["weight"].shape[0]], stride, padding, [1, 1]),
            *(False, [0, 0], groups, list(wanted)),
        )
        backward = _aten.convolution_backward
        return lambda: [gradient for gradient in backward(*arguments) if gradient is not None]

    return prepared


def _geometry(options: dict[str, Any]) -> tuple[list[int], list[int], list[int]]:
    size, stride, padding = ([options[name]] * 2 for name in ("kernel_size", "stride", "padding"))
    return size, stride, padding


def _max_pool(t: Tensors, options: dict[str, Any]) -> Call:
    x = t["x"]
    return lambda: functional.max_pool2d(x, **options)


def _max_pool_backward(t: Tensors, options: dict[str, Any]) -> Call:
    grad_output, x = t["grad_output"], t["x"]
    geometry = _geometry(options)
    _, indices = _aten.max_pool2d_with_indices(x, *geometry)
    backward = _aten.max_pool2d_with_indices_backward
    return lambda: backward(grad_output, x, *geometry, [1, 1], False, indices)


def _average_pool(t: Tensors, options: dict[str, Any]) -> Call:
    x = t["x"]
    return lambda: functional.avg_pool2d(x, **options, count_include_pad=False)


def _average_pool_backward(t: Tensors, options: dict[str, Any]) -> Call:
    grad_output, x = t["grad_output"], t["x"]
    geometry = _geometry(options)
    return lambda: _aten.avg_pool2d_backward(grad_output, x, *geometry, False, False, None)


def _activation(t: Tensors, options: dict[str, Any]) -> Call:
    x, phi = t["x"], getattr(torch, options["name"])
    return lambda: phi(x)


def _activation_backward(t: Tensors, options: dict[str, Any]) -> Call:
    """From the saved output, as autograd does."""
    grad_output, y = t["grad_output"], getattr(torch, options["name"])(t["x"])
    if options["name"] == "relu":
        return lambda: _aten.threshold_backward(grad_output, y, 0)
    backward = {"sigmoid": _aten.sigmoid_backward, "tanh": _aten.tanh_backward}[options["name"]]
    return lambda: backward(grad_output, y)


def _affine(t: Tensors, options: dict[str, Any]) -> Call:
    x, weight, bias = t["x"], t["weight"], t["bias"]
    return lambda: functional.linear(x, weight, bias)


def _affine_grad_input(t: Tensors, options: dict[str, Any]) -> Call:
    grad_output, weight = t["grad_output"], t["weight"]
    return lambda: grad_output.mm(weight)


def _affine_grad_weight(t: Tensors, options: dict[str, Any]) -> Call:
    grad_output, x = t["grad_output"], t["x"]
    return lambda: grad_output.t().mm(x)


def _cross_entropy(t: Tensors, options: dict[str, Any]) -> Call:
    logits, target = t["logits"].requires_grad_(), t["target"]

    def both() -> Any:
        logits.grad = None
        value = functional.cross_entropy(logits, target)
        value.backward()
        return value.detach(), logits.grad

    return both


def _training(t: Tensors, options: dict[str, Any]) -> Call:
    """One update."""
    nn = torch.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(196, 20), nn.ReLU(), nn.Linear(20, 10)),
    )
    learnt = list(model.parameters())
    with torch.no_grad():
        for parameter, name in zip(learnt, CN_PARAMETERS, strict=True):
            parameter.copy_(0.1 * t[name])
    x, target = t["x"], t["target"]
    cost, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(learnt, lr=LEARNING_RATE)

    def update() -> None:
        optimizer.zero_grad()
        cost(model(x), target).backward()
        optimizer.step()

    return WithResult(update, lambda: changes(update, lambda: [parameter.detach().clone() for parameter in learnt]))


CALLS: dict[str, Callable[[Tensors, dict[str, Any]], Call]] = {
    "conv2d": _conv2d,
    "grad-input": _convolution_backward(True, False, False),
    "grad-weight": _convolution_backward(False, True, True),
    "max pool forward": _max_pool,
    "max pool backward": _max_pool_backward,
    "average pool forward": _average_pool,
    "average pool backward": _average_pool_backward,
    "activation forward": _activation,
    "activation backward": _activation_backward,
    "affine forward": _affine,
    "affine grad-input": _affine_grad_input,
    "affine grad-weight": _affine_grad_weight,
    "cross entropy": _cross_entropy,
    "training": _training,
}

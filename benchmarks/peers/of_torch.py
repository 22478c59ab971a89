"""How torch computes a figure: as `cnnx bench --vs torch` does, and what is a part of a public call or several."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from cnnx.bench.peers import of_torch

from .figures import CN_PARAMETERS, LEARNING_RATE, Call, Figure, WithResult, changes

Tensors = dict[str, torch.Tensor]

of_torch.set_threads(int(os.environ["OMP_NUM_THREADS"]))

WITH_GRAPH = ("grad-input", "cross entropy", "training")


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
    if public := figure.public():
        op, direction, options = public
        return of_torch.prepare(op, direction, arrays, options)
    of_torch.inference(figure.call not in WITH_GRAPH)
    return CALLS[figure.call]({name: torch.tensor(array) for name, array in arrays.items()}, figure.options)


def _grad_input(t: Tensors, options: dict[str, Any]) -> Call:
    """One of the gradients that a convolution's node has."""
    node = functional.conv2d(t["x"].requires_grad_(), t["weight"], **options).grad_fn
    grad_output = t["grad_output"]
    of_torch.inference(True)
    return lambda: node(grad_output)[0]


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
    "grad-input": _grad_input,
    "affine grad-input": _affine_grad_input,
    "affine grad-weight": _affine_grad_weight,
    "cross entropy": _cross_entropy,
    "training": _training,
}

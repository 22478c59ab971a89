"""How cnnx computes a figure."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

import cnnx
from cnnx import backend, native, nn

from .figures import CN_PARAMETERS, LEARNING_RATE, Call, Figure, WithResult, changes

Arrays = dict[str, np.ndarray]


def about() -> dict[str, Any]:
    """What goes into the record."""
    built = native.build_info()
    return {
        "version": cnnx.__version__,
        "instruction set": native.instruction_set(),
        "threads": cnnx.get_num_threads(),
        "build": {name: built[name] for name in ("compiler", "cython", "openmp", "checked")},
        "numpy": np.__version__,
    }


def prepare(figure: Figure, arrays: Arrays) -> Call:
    """The call to be timed; its result is what the frameworks have to agree on."""
    return CALLS[figure.call](arrays, dict(figure.options))


def _conv2d(a: Arrays, options: dict[str, Any]) -> Call:
    options.pop("multiply_adds", None)
    x, weight, bias = a["x"], a["weight"], a["bias"]
    conv2d = cnnx.conv2d
    return lambda: conv2d(x, weight, bias, **options)


def kernel_call(name: str, call: Call) -> Call:
    """The kernel `name` with the arguments that `call` gives it, but for a new output each time.

    A public backward call computes several gradients: this is how one of them is timed alone.
    """
    found: list[tuple[Callable[..., None], tuple[Any, ...], dict[str, Any]]] = []

    def note(asked: str, kernel: Callable[..., None]) -> Callable[..., None]:
        def noting(*arrays: Any, **numbers: Any) -> None:
            if asked == name:
                found.append((kernel, arrays, numbers))
            kernel(*arrays, **numbers)

        return noting

    with backend.intercept(note):
        call()
    if not found:
        raise NotImplementedError(f"{name}: the public call did not use this kernel")
    kernel, (*inputs, output), numbers = found[-1]
    shape, dtype, empty = output.shape, output.dtype, np.empty

    def once() -> Any:
        made = empty(shape, dtype)
        kernel(*inputs, made, **numbers)
        return made

    return once


def _grad_input(a: Arrays, options: dict[str, Any]) -> Call:
    return kernel_call(
        "conv2d_grad_input", lambda: cnnx.conv2d_backward(a["grad_output"], a["x"], a["weight"], **options)
    )


def _grad_weight(a: Arrays, options: dict[str, Any]) -> Call:
    grad_output, x, weight = a["grad_output"], a["x"], a["weight"]
    return lambda: cnnx.conv2d_backward(grad_output, x, weight, input_grad=False, **options)[1:]


def _max_pool(a: Arrays, options: dict[str, Any]) -> Call:
    x = a["x"]
    return lambda: cnnx.max_pool2d(x, **options)


def _max_pool_backward(a: Arrays, options: dict[str, Any]) -> Call:
    grad_output, x = a["grad_output"], a["x"]
    _, winners = cnnx.max_pool2d(x, **options, return_winners=True)
    return lambda: cnnx.max_pool2d_backward(grad_output, x, **options, winners=winners)


def _average_pool(a: Arrays, options: dict[str, Any]) -> Call:
    x = a["x"]
    return lambda: cnnx.avg_pool2d(x, **options)


def _average_pool_backward(a: Arrays, options: dict[str, Any]) -> Call:
    grad_output, x = a["grad_output"], a["x"]
    return lambda: cnnx.avg_pool2d_backward(grad_output, x, **options)


def _activation(a: Arrays, options: dict[str, Any]) -> Call:
    x, phi = a["x"], getattr(cnnx, options["name"])
    return lambda: phi(x)


def _activation_backward(a: Arrays, options: dict[str, Any]) -> Call:
    grad_output, x, name = a["grad_output"], a["x"], options["name"]
    phi = getattr(cnnx, f"{name}_backward")
    if "output" in signature(phi).parameters:
        output = getattr(cnnx, name)(x)
        return lambda: phi(grad_output, x, output=output)
    return lambda: phi(grad_output, x)


def _affine(a: Arrays, options: dict[str, Any]) -> Call:
    x, weight, bias = a["x"], a["weight"], a["bias"]
    return lambda: cnnx.affine(x, weight, bias)


def _affine_gradient(kernel: str) -> Callable[[Arrays, dict[str, Any]], Call]:
    return lambda a, options: kernel_call(kernel, lambda: cnnx.affine_backward(a["grad_output"], a["x"], a["weight"]))


def _cross_entropy(a: Arrays, options: dict[str, Any]) -> Call:
    logits, target = a["logits"], a["target"]

    def both() -> Any:
        value = cnnx.cross_entropy(logits, target)
        return value, cnnx.cross_entropy_backward(logits, target)

    return both


def _training(a: Arrays, options: dict[str, Any]) -> Call:
    """One update as cnnx.nn.fit does it, in buffers that are used again."""
    model, cost = nn.cn_network(seed=0).reuse_buffers(), nn.CrossEntropy().reuse_buffers()
    optimizer = nn.SGD(LEARNING_RATE)
    for name in CN_PARAMETERS:
        model.parameters[name][...] = 0.1 * a[name]
    model.train()
    x, target, learnt = a["x"], a["target"], [model.parameters[name] for name in CN_PARAMETERS]

    def update() -> None:
        cost.forward(model.forward(x), target)
        model.backward(cost.backward(), input_grad=False)
        optimizer.step(model)

    return WithResult(update, lambda: changes(update, lambda: [parameter.copy() for parameter in learnt]))


CALLS: dict[str, Callable[[Arrays, dict[str, Any]], Call]] = {
    "conv2d": _conv2d,
    "grad-input": _grad_input,
    "grad-weight": _grad_weight,
    "max pool forward": _max_pool,
    "max pool backward": _max_pool_backward,
    "average pool forward": _average_pool,
    "average pool backward": _average_pool_backward,
    "activation forward": _activation,
    "activation backward": _activation_backward,
    "affine forward": _affine,
    "affine grad-input": _affine_gradient("affine_grad_input"),
    "affine grad-weight": _affine_gradient("affine_grad_weight"),
    "cross entropy": _cross_entropy,
    "training": _training,
}

"""Layers as plain data, and back: what a file says of a network apart from its numbers."""

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np

from .. import _check, nn
from .._check import Array
from ..nn._layer import arguments
from ..nn.init import blank

# The layers that can be saved, by the name under which they are.
LAYERS: dict[str, type[nn.Layer]] = {
    name: kind
    for name, kind in vars(nn).items()
    if isinstance(kind, type) and issubclass(kind, nn.Layer) and kind not in (nn.Layer, nn.Activation)
}

T = TypeVar("T")

DEEPEST = 32  # networks within networks
_NOT_SAVED = {"seed", "backend"}  # whoever loads a network says where it runs


def describe(model: nn.Layer) -> dict[str, Any]:
    """A layer as {"type": its class, argument: value, ...} of what JSON has.

    A Sequential comes with its "layers", a Graph with its "lines".
    """
    return _describe(model, "model", 0)


def _describe(layer: nn.Layer, where: str, depth: int) -> dict[str, Any]:
    kind = type(layer)
    if LAYERS.get(kind.__name__) is not kind:
        raise TypeError(f"{where}: expected layers of cnnx.nn, which files can name, got {kind.__qualname__}")
    _check_depth(depth)
    if isinstance(layer, nn.Sequential):
        layers = [_describe(child, f"layer {_path(where, str(i))}", depth + 1) for i, child in enumerate(layer.layers)]
        return {"type": kind.__name__, "layers": layers}
    if isinstance(layer, nn.Graph):
        lines = [
            [name, list(inputs), _describe(child, f"layer {_path(where, name)}", depth + 1)]
            for name, child, *inputs in layer.lines
        ]
        return {"type": kind.__name__, "inputs": list(layer.inputs), "lines": lines}
    kept = {name: _plain(value) for name, value in arguments(layer).items() if name not in _NOT_SAVED}
    return {"type": kind.__name__, **kept}


def build(description: object) -> nn.Layer:
    """The layer that `describe` described, with arrays of the right shapes that have no memory yet (`nn.init.blank`).

    Raises
    ------
    ValueError
        The description is not one of a layer; says where.
    """
    with blank():
        return _build(description, "model", 0)


def _build(description: object, where: str, depth: int) -> nn.Layer:
    if not isinstance(description, dict) or not isinstance(description.get("type"), str):
        raise ValueError(f'{where}: expected a layer, {{"type": ...}}, got {_check.shown(description)}')
    name = description["type"]
    if name not in LAYERS:
        raise ValueError(f"{where}: expected a layer of cnnx.nn, got {_check.shown(name)}")
    where, kind = f"{where} ({name})", LAYERS[name]
    given = {key: value for key, value in description.items() if key != "type"}
    taken, needed = _arguments(name)
    if not needed <= given.keys() <= taken:
        wrong = _check.shown(sorted(given.keys() - taken) or sorted(needed - given.keys()))
        raise ValueError(f"{where}: expected {sorted(taken)} and at least {sorted(needed)}; wrong is {wrong}")
    _check_depth(depth)
    if kind is nn.Sequential:
        if not isinstance(given["layers"], list):
            raise ValueError(f"{where}: expected a list of layers, got {_check.shown(given['layers'])}")
        where = where.removesuffix(" (Sequential)")
        layers = [_build(child, f"layer {_path(where, str(i))}", depth + 1) for i, child in enumerate(given["layers"])]
        return _call(where, kind, *layers)
    if kind is nn.Graph:
        return _graph(given, where, depth)
    if "dtype" in given:  # NumPy knows many more, and fails in many ways
        _call(where, _check.choice, "dtype", given["dtype"], ("float32", "float64"))
    return _call(where, kind, **{key: _tuples(value) for key, value in given.items()})


def _graph(given: dict[str, Any], where: str, depth: int) -> nn.Layer:
    """A Graph of its description, each line of which is [name, [input, ...], layer]."""
    if not isinstance(given["lines"], list):
        raise ValueError(f"{where}: expected a list of lines, got {_check.shown(given['lines'])}")
    where, lines = where.removesuffix(" (Graph)"), []
    for i, line in enumerate(given["lines"]):
        if not (isinstance(line, list) and len(line) == 3 and isinstance(line[1], list)):
            raise ValueError(f"{where}, line {i}: expected [name, [input, ...], layer], got {_check.shown(line)}")
        name, inputs, child = line
        lines.append((name, _build(child, f"layer {_path(where, name)}", depth + 1), *inputs))
    inputs = given.get("inputs", "x")
    return _call(where, nn.Graph, *lines, inputs=tuple(inputs) if isinstance(inputs, list) else inputs)


def _call(where: str, function: Callable[..., T], *positional: Any, **named: Any) -> T:
    try:
        return function(*positional, **named)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _path(where: str, name: object) -> str:
    name = name if isinstance(name, str) and len(name) <= 120 else _check.shown(name)
    return name if where == "model" else f"{where.removeprefix('layer ')}.{name}"


def _check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"model: expected networks nested at most {DEEPEST} deep, got deeper ones")


@cache
def _arguments(name: str) -> tuple[set[str], set[str]]:
    """The names of all arguments that are saved, and of those without a default."""
    parameters = inspect.signature(LAYERS[name]).parameters
    needed = {key for key, parameter in parameters.items() if parameter.default is parameter.empty}
    return parameters.keys() - _NOT_SAVED, needed


def _plain(value: Any) -> Any:
    """An argument in types that JSON has."""
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def arrays(model: nn.Layer) -> dict[str, Array]:
    """All that a network has learnt: parameters and buffers, by name."""
    return {**model.parameters, **model.buffers}


def fill(model: nn.Layer, found: Mapping[str, Array], prefix: str = "") -> None:
    """Let a network keep these arrays, named as `arrays` names them, instead of its own."""
    for own in (model._parameters, model._buffers):
        own.update((name, found[prefix + name]) for name in own)
    if isinstance(model, nn.Graph):
        for name, child in model._named():
            fill(child, found, f"{prefix}{name}.")

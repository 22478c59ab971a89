"""What is asked of the layers of a Graph together."""

from collections import Counter
from collections.abc import Iterable

from .. import _check
from ._flat import Flat
from ._layer import Layer
from ._wiring import cut


def check_once(names: tuple[str, ...], layers: tuple[Layer, ...]) -> None:
    """No layer could go back from two forward calls."""
    seen: dict[int, str] = {}
    for name, layer in zip(names, layers, strict=True):
        for one in layer._walk():
            if id(one) in seen:
                raise ValueError(
                    f"{cut(name)}: expected a layer of its own for each line, at whatever depth, got "
                    f"{type(one).__name__} of {cut(seen[id(one)])} again"
                )
            seen[id(one)] = name


def check_keys(named: Iterable[tuple[str, Layer]], flat: Flat) -> None:
    """Names with dots: "a.b" with "weight" is what "a" with "b.weight" is."""
    places = [call.place for call in flat.calls]
    lines = list(named)
    for what in ("parameters", "buffers", "generators"):
        places += [f"{name}.{key}" for name, layer in lines for key in getattr(layer, what)]
    if len(set(places)) < len(places):
        twice = next(name for name, count in Counter(places).items() if count > 1)
        raise ValueError(
            f"lines: expected names that tell layers within layers apart, got two that are {_check.shown(twice)}"
        )


def check_evaluation(call: str, network: Layer) -> None:
    """What is made for inference is made of layers that infer."""
    learning = next((layer for layer in network._walk() if layer.training), None)
    if learning is not None:
        raise ValueError(
            f"{call}: expected a network in evaluation, got {type(learning).__name__} in training; call eval() first"
        )

"""Small cases: a plain one, and others that have one thing more each, so that what fails says what was forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ...ops import Case, Draw
from .unit import OPTIONS, Unit


@dataclass(frozen=True)
class Probe:
    """A case and what it has beyond the plain one: "" of the plain one itself, "all" of several things at once."""

    feature: str
    case: Case

    @property
    def numbers(self) -> dict[str, Any]:
        """Its options, and the default stride of a pooling."""
        return dict(self.case.options)


def _conv(feature: str, x: tuple[int, ...], weight: tuple[int, ...], **options: int) -> Probe:
    arrays = {"x": x, "weight": weight, "bias": weight[:1]}
    return Probe(feature, Case(feature or "plain", arrays, options, exact=True))


CONV = (
    _conv("", (1, 1, 3, 3), (1, 1, 2, 2)),
    _conv("oblong", (1, 1, 3, 5), (1, 1, 2, 2)),
    _conv("kernel", (1, 1, 4, 4), (1, 1, 2, 3)),
    _conv("stride", (1, 1, 5, 5), (1, 1, 3, 3), stride=2),
    _conv("gaps", (1, 1, 5, 5), (1, 1, 2, 2), stride=3),
    _conv("remainder", (1, 1, 6, 6), (1, 1, 3, 3), stride=2),
    _conv("padding", (1, 1, 3, 3), (1, 1, 3, 3), padding=1),
    _conv("filters", (1, 1, 3, 3), (2, 1, 2, 2)),
    _conv("channels", (1, 2, 3, 3), (1, 2, 2, 2)),
    _conv("batch", (2, 1, 3, 3), (1, 1, 2, 2)),
    _conv("stride and padding", (1, 1, 5, 5), (1, 1, 3, 3), stride=2, padding=1),
    _conv("all", (2, 3, 5, 6), (4, 3, 3, 3), stride=2, padding=1),
)


def _pool(feature: str, x: tuple[int, ...], *, exact: bool, **options: int) -> Probe:
    return Probe(feature, Case(feature or "plain", {"x": x}, options, exact=exact))


def _pools(*, exact: bool) -> tuple[Probe, ...]:
    return (
        _pool("", (1, 1, 4, 4), exact=exact, kernel_size=2, stride=2),
        _pool("oblong", (1, 1, 4, 6), exact=exact, kernel_size=2, stride=2),
        _pool("channels", (1, 3, 4, 4), exact=exact, kernel_size=2, stride=2),
        _pool("batch", (2, 1, 4, 4), exact=exact, kernel_size=2, stride=2),
        _pool("remainder", (1, 1, 5, 5), exact=exact, kernel_size=2, stride=2),
        _pool("gaps", (1, 1, 5, 5), exact=exact, kernel_size=2, stride=3),
        _pool("overlap", (1, 1, 4, 4), exact=exact, kernel_size=2, stride=1),
        _pool("padding", (1, 1, 4, 4), exact=exact, kernel_size=2, stride=2, padding=1),
        _pool("all", (2, 3, 5, 7), exact=exact, kernel_size=3, stride=2, padding=1),
    )


def _affine(feature: str, N: int, J: int, outputs: int) -> Probe:
    arrays = {"x": (N, J), "weight": (outputs, J), "bias": (outputs,)}
    return Probe(feature, Case(feature or "plain", arrays, exact=True))


AFFINE = (_affine("", 1, 2, 2), _affine("outputs", 1, 2, 3), _affine("batch", 2, 2, 2), _affine("all", 3, 4, 2))


def _element(op: str) -> tuple[Probe, ...]:
    exact = op == "relu"
    shapes = {"": (1, 4), "batch": (3, 4)} | ({} if op == "softmax" else {"image": (2, 3, 3, 4)})
    return tuple(Probe(f, Case(f or "plain", {"x": shape}, exact=exact)) for f, shape in shapes.items())


def _cost(op: str) -> tuple[Probe, ...]:
    def one(feature: str, N: int, M: int) -> Probe:
        arrays: dict[str, Any] = {"y": (N, M), "target": (N, M)}
        if op == "cross_entropy":
            arrays = {"logits": (N, M), "target": Draw((N,), "index", high=M)}
        return Probe(feature, Case(feature or "plain", arrays, {"reduction": "mean"}, exact=False))

    return one("", 1, 3), one("batch", 2, 3), one("all", 4, 5)


PROBES = {
    "conv2d": CONV,
    "max_pool2d": _pools(exact=True),
    "avg_pool2d": _pools(exact=False),
    "affine": AFFINE,
    **{op: _element(op) for op in ("relu", "sigmoid", "tanh", "softmax")},
    **{op: _cost(op) for op in ("cross_entropy", "squared_error")},
}
WINDOW = 2  # of a pooling that does not say how large it is


def probes(unit: Unit) -> Iterator[Probe]:
    """The cases that a unit can be asked for: those whose options it takes; the last one with those that it does."""
    for probe in PROBES[unit.op]:
        options, arrays = dict(probe.case.options), dict(probe.case.arrays)
        if unit.op in OPTIONS:
            lacking = {name for name in options if name not in unit.options}
            if "kernel_size" in lacking:
                options["kernel_size"] = WINDOW
            if "stride" in lacking and options.get("stride") == options.get("kernel_size"):
                lacking -= {"stride"}
            if lacking - {"kernel_size"} and probe.feature != "all":
                continue
            options = {n: v for n, v in options.items() if n in unit.options or n == "kernel_size"}
            if unit.op != "conv2d":
                options.setdefault("stride", options["kernel_size"])
        if unit.planar:
            if probe.feature in ("filters", "channels", "batch"):
                continue
            shapes = {n: spec for n, spec in arrays.items() if isinstance(spec, tuple)}
            arrays = {n: (1, 1, *s[2:]) if len(s) == 4 else (1,) for n, s in shapes.items()}
        yield Probe(probe.feature, replace(probe.case, arrays=arrays, options=options))

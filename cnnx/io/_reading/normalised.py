"""Normalisation that exporters write in parts, in whatever order they compute it: recognised by what it comes to."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from ... import nn
from ..._check import Array
from .fold import number
from .made import operand
from .node import Known, Node, UnknownShapeError, Value
from .norms import rms

# Sums of products: of x, its mean m, the mean q of its squares, its variance v, and r = 1 / sqrt(v + eps); a product's
# factors in the order of their names, with the constant before it.
Terms = dict[tuple[str, ...], Array]

# A file may write sums of sums, and products of products, as long as it likes.
_MOST_NODES, _MOST_TERMS, _MOST_FACTORS, _MOST_NUMBERS = 64, 8, 4, 2**24
_ONE = np.array(1.0)


def normalised(node: Node) -> nn.Layer | None:
    """The layers of g (x - m) r + b, or of g x r + b with r of the mean of squares, where a node gives that of some
    value x; None if it does not."""
    for reader in _readers(node):
        found = reader.of(node)
        if found is None or reader.eps is None or not found.keys() <= {("r", "x"), *reader.centre, ()}:
            continue
        factor, summand = found.get(("r", "x")), found.get((), np.array(0.0))
        if factor is None or any(not np.all(factor == -found.get(key, 0.0)) for key in reader.centre):
            continue
        return _layers(node, reader, factor, summand)
    return None


def _readers(node: Node) -> Iterator["_Reader"]:
    """What a node may be a normalisation of: where the mean is not known as such, of what is squared in one."""
    means = _means(node)
    for mean in means:
        yield _Reader(node, mean, mean.sources[0])
    for mean in means:
        squared = _squared(node, mean.sources[0])
        if squared is not None:
            yield _Reader(node, mean, squared, centred=False)


def _squared(node: Node, value: Value) -> Value | None:
    """The value of which this is the square."""
    maker = node.maker(value)
    if maker is None or maker.operator not in ("Mul", "Pow") or len(maker.inputs) != 2:
        return None
    first, second = maker.inputs
    if not isinstance(first, Value):
        return None
    if maker.operator == "Mul":
        return first if first == second else None
    two = isinstance(second, Known) and second.first.size == 1 and second.first.item() == 2
    return first if two else None


def _layers(node: Node, reader: "_Reader", factor: Array, summand: Array) -> nn.Layer:
    x, axes = reader.x, reader.axes
    node.sources, node.place, node.gives = [x], x.place, x.place
    if x.sizes is None:
        raise UnknownShapeError("expected a value of known shape, got another")
    shape = tuple(x.sizes[axis - 1] for axis in axes)
    if None in shape:
        raise UnknownShapeError("expected a value whose extents are known where they are normalised, got another")
    order = (0, *(axis for axis in range(1, 1 + len(x.sizes)) if axis not in axes), *axes)
    assert reader.eps is not None, "it was looked at"
    eps = number(reader.eps)
    if reader.centred:
        norm: nn.Layer = nn.LayerNorm(shape, eps=eps, affine=False, dtype=x.dtype)  # type: ignore[arg-type]
    else:
        norm = rms(node, len(order) - len(axes), shape, eps, np.ones(1, x.dtype))  # type: ignore[arg-type]
    layers = [norm]
    if order != tuple(range(len(order))):
        layers = [nn.Transpose(order), norm, nn.Transpose(tuple(map(order.index, range(len(order)))))]
    if np.any(factor != 1):
        layers.append(operand(node, nn.Scale, "weight", factor.astype(x.dtype)))
    if np.any(summand != 0):
        layers.append(operand(node, nn.Bias, "bias", summand.astype(x.dtype)))
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)


def _means(node: Node) -> list[Node]:
    """The means that a node depends on by sums and products alone, the last one first."""
    found: list[Node] = []
    ahead, seen = [node], set[str]()
    while ahead and len(seen) < _MOST_NODES:
        one = ahead.pop()
        if one.operator == "ReduceMean" and one.sources and one not in found:  # of constants it is one
            found.append(one)
        elif one.operator not in _FORMS:
            continue
        for value in one.sources:
            maker = node.maker(value)
            if maker is not None and value.name not in seen:
                seen.add(value.name)
                ahead.append(maker)
    return found


class _Reader:
    """What a node gives, in terms of the value x of whose mean this is, or of whose squares' mean."""

    def __init__(self, node: Node, mean: Node, x: Value, *, centred: bool = True) -> None:
        self._node, self.x, self.centred = node, x, centred
        self.centre = [("m", "r")] if centred else []  # what comes off for the mean
        self.outer, self.axes = mean.outer_axes(1, 18), mean.axes(1, 18) or [0]
        self.eps: float | None = None
        self._known: dict[str, Terms | None] = {}
        if 0 in self.axes:
            self.outer = None

    def terms(self, one: Known | Value | None) -> Terms | None:
        if isinstance(one, Known):
            plain = one.first is one.second and one.first.dtype.kind in "fiu" and one.first.size <= _MOST_NUMBERS
            return {(): one.first.astype(np.float64)} if plain else None
        if one is None or self.outer is None:
            return None
        if one == self.x:
            return {("x",): _ONE}
        if one.name not in self._known:
            self._known[one.name] = None  # as long as it is looked at, and where there are too many
            maker = self._node.maker(one)
            if maker is not None and len(self._known) < _MOST_NODES:
                self._known[one.name] = self.of(maker)
        return self._known[one.name]

    def of(self, node: Node) -> Terms | None:
        form = _FORMS.get(node.operator)
        if form is None:
            return None
        given = [self.terms(one) for one in node.inputs[: 1 if node.operator == "ReduceMean" else None]]
        if not given or None in given:
            return None
        found = form(self, node, *given)
        if found is None or len(found) > _MOST_TERMS:
            return None
        return found

    def mean(self, node: Node, given: Terms) -> Terms | None:
        if node.take("keepdims", 1) != 1 or node.outer_axes(1, 18) != self.outer:
            return None
        for name, form in _MEANS.items():
            if _same(given, form):
                return {(name,): _ONE}
        return None

    def root(self, node: Node, given: Terms) -> Terms | None:
        """1 / sqrt(v + eps), by the name of r, where this is its square."""
        eps = given.get(())
        spread = {key: a for key, a in given.items() if key}
        forms = _SPREADS if self.centred else _SQUARES
        if eps is None or eps.size != 1 or not any(_same(spread, form) for form in forms):
            return None
        if self.eps is not None and self.eps != float(eps.item()):
            return None
        self.eps = float(eps.item())
        return {("r",): _ONE}

    def square_root(self, node: Node, given: Terms) -> Terms | None:
        return None if self.root(node, given) is None else {("1/r",): _ONE}


def _same(found: Terms, form: dict[tuple[str, ...], float]) -> bool:
    return found.keys() == form.keys() and all(np.all(a == form[key]) for key, a in found.items())


_MEANS: dict[str, dict[tuple[str, ...], float]] = {
    "m": {("x",): 1},
    "q": {("x", "x"): 1},
    "v": {("x", "x"): 1, ("m", "x"): -2, ("m", "m"): 1},
}
_SPREADS: list[dict[tuple[str, ...], float]] = [{("v",): 1}, {("q",): 1, ("m", "m"): -1}]
_SQUARES: list[dict[tuple[str, ...], float]] = [{("q",): 1}]


def _times(a: Terms, b: Terms) -> Terms | None:
    found: Terms = {}
    for one, factor in a.items():
        for other, with_it in b.items():
            key = tuple(sorted(one + other))
            if ("1/r" in key and "r" in key) or len(key) > _MOST_FACTORS:
                return None
            shape = _shape(factor, with_it, found.get(key, _ONE))
            if shape is None:
                return None
            found[key] = found[key] + factor * with_it if key in found else factor * with_it
    return found


def _shape(*arrays: Array) -> tuple[int, ...] | None:
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        return None
    return shape if math.prod(shape) <= _MOST_NUMBERS else None


def _plus(a: Terms, b: Terms, sign: float = 1.0) -> Terms | None:
    found = dict(a)
    for key, array in b.items():
        before = found.get(key)
        if before is not None and _shape(before, array) is None:
            return None
        found[key] = sign * array if before is None else before + sign * array
    return {key: array for key, array in found.items() if np.any(array)}


def _sum(reader: _Reader, node: Node, *given: Terms) -> Terms | None:
    found: Terms | None = {}
    for one in given:
        found = None if found is None else _plus(found, one)
    return found


def _over(reader: _Reader, node: Node, a: Terms, b: Terms) -> Terms | None:
    if b.keys() == {("1/r",)} and np.all(b["1/r",] == 1):
        return _times(a, {("r",): _ONE})
    if b.keys() == {()} and np.all(b[()]):
        return _times(a, {(): 1 / b[()]})
    return None


def _power(reader: _Reader, node: Node, a: Terms, b: Terms) -> Terms | None:
    exponent = b.get(()) if len(b) == 1 else None
    if exponent is None or exponent.size != 1:
        return None
    if exponent == 2:
        return _times(a, a)
    return reader.root(node, a) if exponent == -0.5 else reader.square_root(node, a) if exponent == 0.5 else None


_FORMS: dict[str, Callable[..., Terms | None]] = {
    "Add": _sum,
    "Div": _over,
    "Mul": lambda reader, node, a, b: _times(a, b),
    "Neg": lambda reader, node, a: _times(a, {(): -_ONE}),
    "Pow": _power,
    "Reciprocal": lambda reader, node, a: _over(reader, node, {(): _ONE}, a),
    "ReduceMean": _Reader.mean,
    "Sqrt": _Reader.square_root,
    "Sub": lambda reader, node, a, b: _plus(a, b, -1.0),
    "Sum": _sum,
}

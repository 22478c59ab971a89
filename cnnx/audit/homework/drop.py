"""Dropout judged. It draws its own mask, which is seen in what comes out: numbers are such that nothing is rounded."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..data import Array
from ..explain.explain import explain
from .answer import RIGHT, Example, Result
from .compared import same
from .modes import Modal
from .settle import cannot
from .unit import RaisedError, UnclearError, Unit

RATES = 0.5, 0.75  # 1/(1 - rate) is 2 and 4
SHAPE = 40, 50
ROOM = 6  # standard deviations within which the number of dropped elements lies
SHOWN = 6  # elements of an example


@dataclass
class Seen:
    """What a layer of one rate does: its mask and its factor in training, and its factor at inference."""

    rate: float
    x: Array
    y: Array
    mask: Array
    factor: float  # NaN: elements that are kept have several
    inference: float | None  # NaN: no factor; None: it cannot be told


class Drop:
    """A class for dropout."""

    def __init__(self, unit: Unit):
        self.unit = unit
        rng = np.random.default_rng(3)
        self.x = rng.integers(1, 10, SHAPE) * rng.choice([-1.0, 1.0], SHAPE)
        self.delta = rng.integers(1, 10, SHAPE) * rng.choice([-1.0, 1.0], SHAPE)

    def results(self) -> Iterator[Result]:
        try:
            layers = [Modal(self.unit, {"rate": rate}) for rate in RATES]
            seen = [self._seen(layer, rate) for layer, rate in zip(layers, RATES, strict=True)]
        except (RaisedError, UnclearError) as error:
            yield cannot(error)
            return
        kept = self._keeps(seen)
        forward = self._forward(seen, kept)
        yield forward
        yield self._mask(seen, kept, layers)
        self.unit.only_training = seen[0].inference is None
        if seen[0].inference is not None:
            yield self._inference(seen, kept, forward)
        if not self.unit.has_backward:
            return
        try:
            yield from self._backward(layers, seen)
        except (RaisedError, UnclearError) as error:
            yield Result("dZ", "raised", words=str(error), what="x")

    def _seen(self, layer: Modal, rate: float) -> Seen:
        y = np.asarray(layer.forward(self.x.copy(), training=True), dtype=float)
        if y.shape != self.x.shape:
            raise RaisedError(f"{self.unit.name}: shape {self.x.shape}, got {y.shape}")
        mask = y != 0
        inference = None
        if layer.told:
            inference = _factor(np.asarray(layer.forward(self.x.copy(), training=False), dtype=float), self.x)
            y = np.asarray(layer.forward(self.x.copy(), training=True), dtype=float)  # backward is that of training
            mask = y != 0
        return Seen(rate, self.x, y, mask, _factor(y[mask], self.x[mask]), inference)

    # ------------------------------------------------------------------------------------ what it means

    def _keeps(self, seen: list[Seen]) -> float | None:
        """With which probability the layer of the second rate keeps an element: 1 - rate, or rate; None: neither."""
        one = seen[1]
        drawn = _drawn(one.mask).size
        for probability in (1 - one.rate, one.rate):
            room = ROOM * np.sqrt(probability * (1 - probability) / drawn)
            if probability == self._share(one) and abs(one.mask.mean() - probability) <= room:
                return probability
        return None

    def _forward(self, seen: list[Seen], kept: float | None) -> Result:
        """Elements that are kept: scaled by 1/(1 - rate), or as they are where inference scales."""
        answer = partial(Result, "Y", cases=len(seen), what="y")
        one = seen[1]
        if kept is None or np.isnan(one.factor):
            wrong = next((s for s in seen if np.isnan(s.factor)), None)
            return answer(RIGHT) if wrong is None else answer("wrong", example=self._example(wrong))
        scaled, plain = same(one.factor, 1 / kept), one.factor == 1
        at = one.inference
        if scaled and (at is None or at == 1):
            return answer("convention", mistake="drop_keep") if kept == one.rate else answer(RIGHT)
        if plain and at is not None and same(at, kept):
            return answer("convention", mistake="drop_at_inference")
        mistake = "drop_twice" if scaled and at is not None and same(at, kept) else ""
        mistake = mistake or ("drop_unscaled" if plain else "")
        mistake = mistake or ("drop_rate" if same(one.factor, 1 / (1 - kept)) else "")
        if scaled and not mistake:
            return answer(RIGHT)  # what inference does is told there
        return answer("wrong", mistake=mistake, example=self._example(one))

    def _mask(self, seen: list[Seen], kept: float | None, layers: list[Modal]) -> Result:
        """Each element by itself, with the probability that was asked for, anew in each call."""
        answer = partial(Result, "mask", cases=len(seen), what="y")
        if all(s.mask.all() for s in seen):
            return answer("wrong", mistake="drop_nothing")
        if kept is None:
            shares = ", ".join(f"{1 - s.mask.mean():.2f} ({s.rate:g})" for s in seen)
            return answer("wrong", mistake="drop_share", words=shares)
        again = np.asarray(layers[0].forward(self.x.copy(), training=True)) != 0
        if np.array_equal(again, seen[0].mask):
            return answer("wrong", mistake="drop_same")
        layers[0].forward(self.x.copy(), training=True)
        if _drawn(seen[1].mask).size < self.x.size:
            return answer("convention", mistake="drop_rows")
        return answer(RIGHT)

    def _inference(self, seen: list[Seen], kept: float | None, forward: Result) -> Result:
        answer = partial(Result, "inference", cases=len(seen), what="y")
        at = [s.inference for s in seen]
        if any(a is None or np.isnan(a) for a in at):
            return answer("wrong", mistake="drop_at_test")
        if forward.mistake in ("drop_twice", "drop_unscaled"):
            return answer("wrong", mistake=forward.mistake)
        fits = all(a == 1 for a in at) or forward.mistake == "drop_at_inference"
        return answer(RIGHT) if fits else answer("wrong", mistake="factor", ratio=at[-1])

    # ------------------------------------------------------------------------------------------ backward

    def _backward(self, layers: list[Modal], seen: list[Seen]) -> Iterator[Result]:
        """The mask and the factor of the forward call once more: exactly the derivative of what it computed."""
        bad: list[tuple[Seen, Array]] = []
        mistakes: set[str] = set()
        for layer, rate in zip(layers, RATES, strict=True):
            y = np.asarray(layer.forward(self.x.copy(), training=True), dtype=float)
            mask = y != 0
            one = Seen(rate, self.x, y, mask, _factor(y[mask], self.x[mask]), None)
            got = _gradient(layer.backward(self.delta.copy()))
            right = self.delta * (y / self.x)
            if same(got, right):
                continue
            bad.append((one, got))
            mistakes.add(self._why(one, got))
        if not bad:
            yield Result("dZ", RIGHT, cases=len(layers), what="x")
            return
        (mistake,) = mistakes if len(mistakes) == 1 else ("",)
        one, got = bad[-1]
        if got.shape != self.x.shape:
            yield Result("dZ", "shape", what="x", shape=(got.shape, self.x.shape), cases=len(layers))
            return
        yield Result(
            "dZ", "wrong", mistake=mistake, what="x", cases=len(layers), example=self._example(one, self.delta, got)
        )

    def _why(self, one: Seen, got: Array) -> str:
        mask, factor = one.mask, 1.0 if np.isnan(one.factor) else one.factor
        for mistake, made in (
            ("drop_delta", self.delta),
            ("drop_delta", self.delta * factor),
            ("drop_slope", self.delta * mask),
            ("drop_turned", self.delta * ~mask * factor),
            ("drop_turned", self.delta * ~mask),
            ("delta_missing", mask * 1.0),
            ("delta_missing", mask * factor),
            ("drop_slope_twice", self.delta * mask * factor**2),
        ):
            if same(got, made):
                return mistake
        return "drop_other" if got.shape == mask.shape and not np.array_equal(got != 0, mask) else ""

    # ------------------------------------------------------------------------------------------- example

    def _example(self, one: Seen, delta: Array | None = None, got: Array | None = None) -> Example | None:
        """Some elements about the first that is wrong, with D1's terms."""
        rate = 1 - self._share(one)
        source = one.x if delta is None else delta
        came = (one.y if got is None else got).ravel()
        factor = 1 / (1 - rate) if delta is None or np.isnan(one.factor) else one.factor
        right = (source * one.mask * factor).ravel()
        apart = np.flatnonzero(came != right)
        if not len(apart):
            return None
        first = int(apart[0])
        part = slice(max(0, first - SHOWN // 2), max(0, first - SHOWN // 2) + SHOWN)
        values, mask = source.ravel()[part], one.mask.ravel()[part].astype(np.uint8)
        kernel, output, name = ("dropout", "Y", "Z") if delta is None else ("dropout_grad_input", "dZ", "Delta")
        shown = explain(kernel, output, (values, mask), (first - part.start,), {"rate": 1 - 1 / factor})
        arrays = {name: values, "mask": mask}
        return Example(arrays, {"rate": 1 - 1 / factor}, float(right[first]), float(came[first]), shown)

    def _share(self, one: Seen) -> float:
        """The probability of being kept, 1 - rate or rate, whichever the mask is nearer to."""
        return min((1 - one.rate, one.rate), key=lambda p: abs(one.mask.mean() - p))


def _drawn(mask: Array) -> Array:
    """What was drawn of a mask that all examples share, or all elements of one."""
    for part in (mask[:1], mask[:, :1]):
        if (mask == part).all():
            return part
    return mask


def _factor(y: Array, x: Array) -> float:
    """The one number by which all of x became y, else NaN."""
    if y.shape != x.shape or not y.size:
        return float("nan")
    factor = float(y.flat[0] / x.flat[0])
    return factor if factor and same(y, factor * x) else float("nan")


def _gradient(returned: Any) -> Array:
    return np.asarray(returned[0] if isinstance(returned, (tuple, list)) else returned, dtype=float)

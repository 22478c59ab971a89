"""What is probed: a convolution, an affine layer or a mean, fed with products of one's choice.

Many sums are asked in one call: each output channel (of a mean each channel) has its own numbers. Whether it matters in
which channel a sum stands is looked at first; if it does, each sum has all channels, and the first one counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import Case, affine, avg_pool2d, conv2d
from ..contract import Kernel
from ..contract.cases import adapted
from ..contract.names import op_of
from ..data import Array
from ..kinds import HALVES, carrier, held
from ..shrink import describe

OPS = ("conv2d", "affine", "avg_pool2d")
TERMS = {"conv2d": 72, "affine": 96, "avg_pool2d": 49}
ROWS = 24  # sums in one call
PLANE, BATCH = (
    (3, 19),
    5,
)  # outputs of a convolution or a mean in rows and columns, beyond a vector's width; of affine rows
# M, and the "ones" beside it: so far apart that float32's accumulator loses many of them, too.
LARGE = {"float16": 2.0**15, "bfloat16": 2.0**100, "float32": 2.0**100, "float64": 2.0**600}
UNIT = {"float16": 2.0**-24, "bfloat16": 1.0, "float32": 1.0, "float64": 1.0}


@dataclass
class Sums:
    """Sums by an op of a back end, of as many products as the axes have, and the bias.

    axes : what is summed over, outermost first, and how far.
    """

    op: str
    backend: str
    dtype: str
    axes: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    calls: int = 0
    with_bias: bool = True  # whether the kernel takes one
    apart: bool = False  # each sum in a call of its own, since it matters in which channel it stands

    @property
    def count(self) -> int:
        """Products."""
        return math.prod(self.axes.values())

    @property
    def mean(self) -> bool:
        """Whether it is a mean, of numbers and not of products."""
        return self.op == "avg_pool2d"

    @property
    def bias(self) -> bool:
        """Whether a last summand is added to the products."""
        return self.with_bias and not self.mean

    @property
    def unit(self) -> float:
        """What stands for 1 beside M."""
        return UNIT[self.dtype]

    @property
    def carrier(self) -> str:
        """The dtype of arrays."""
        return carrier(self.dtype)

    def random(self, rng: np.random.Generator, *shape: int) -> Array:
        """Numbers, of two bytes none so small that a product of two would be below the normal ones."""
        drawn = rng.standard_normal(shape)
        if self.dtype in HALVES:
            drawn = np.copysign(2.0 ** rng.uniform(-1, 1, shape), drawn)
        return held(drawn, self.dtype)

    @property
    def summands(self) -> int:
        """Products and the bias."""
        return self.count + self.bias

    @property
    def names(self) -> list[str]:
        """Of the summands: their indices, and b."""
        indices = np.ndindex(*self.axes.values())
        names = ["".join(f"{a}{i}" for a, i in zip(self.axes, index, strict=True)) for index in indices]
        return names + ["b"] * self.bias

    def everywhere(self, rows: Array) -> Array:
        """Sums of these summands, each times 1, at all places: (rows, places)."""
        return self._in_calls(rows, None)

    def at_one_place(self, rows: Array, others: Array) -> Array:
        """Sums of products of two factors, at one place: (rows,)."""
        return self._in_calls(rows, others)[:, 0]

    def look_at_channels(self, rng: np.random.Generator) -> None:
        """See whether a sum's channel matters."""
        rows = self.random(rng, 4, self.summands)
        for row in rows:
            found = self._call(np.broadcast_to(row, (ROWS, self.summands)), None)
            if (found != found[:1]).any():
                self.apart = True

    def _in_calls(self, rows: Array, others: Array | None) -> Array:
        found = []
        if self.apart:
            return np.array([self._call(np.broadcast_to(row, (ROWS, row.size)), others)[0] for row in rows])
        for first in range(0, len(rows), ROWS):
            some = rows[first : first + ROWS]
            filled = np.ones((ROWS, self.summands), self.carrier)
            filled[: len(some)] = some
            found.append(self._call(filled, others)[: len(some)])
        return np.concatenate(found)

    def _call(self, rows: Array, others: Array | None) -> Array:
        """One call; the same number of rows each time, so that a library has no reason to choose another way."""
        self.calls += 1
        with np.errstate(all="ignore"), _backend.use_backend(self.backend):
            return {"conv2d": self._conv2d, "affine": self._affine, "avg_pool2d": self._mean}[self.op](rows, others)

    def _conv2d(self, rows: Array, others: Array | None) -> Array:
        C, R, S = self.axes.values()
        P, Q = PLANE
        x = np.zeros((1, C, P + R - 1, Q + S - 1), self.carrier)
        if others is None:
            x.fill(1)
        else:
            x[0, :, :R, :S] = others.reshape(C, R, S)
        weight, bias = self._parts(rows)
        y = conv2d(x, weight.reshape(-1, C, R, S), bias, **self.options)
        return y.reshape(len(rows), P * Q)

    def _parts(self, rows: Array) -> tuple[Array, Array | None]:
        """Weights and the bias."""
        if not self.bias:
            return np.ascontiguousarray(rows), None
        return np.ascontiguousarray(rows[:, :-1]), np.ascontiguousarray(rows[:, -1])

    def _affine(self, rows: Array, others: Array | None) -> Array:
        x = np.ones((BATCH, self.count), self.carrier)
        if others is not None:
            x[:] = others
        y = affine(x, *self._parts(rows))
        return np.ascontiguousarray(y.T)

    def _mean(self, rows: Array, others: Array | None) -> Array:
        R, S = self.axes.values()
        P, Q = PLANE
        x = np.empty((1, len(rows), P, R, Q, S), self.carrier)
        x[0] = rows.reshape(len(rows), 1, R, 1, S)
        y = avg_pool2d(x.reshape(1, len(rows), P * R, Q * S), (R, S))
        return y.reshape(len(rows), P * Q)


def sums(
    op: str, backend: str, dtype: str, terms: int | None, options: Mapping[str, Any], *, with_bias: bool = True
) -> Sums:
    """Of about so many products: a convolution has 3 x 3 for each channel, a mean a window as square as can be."""
    terms = TERMS[op] if terms is None else terms
    if op == "conv2d":
        axes: Mapping[str, int] = {"c": max(terms // 9, 1), "r": 3, "s": 3}
    elif op == "affine":
        axes = {"j": max(terms, 2)}
    else:
        rows = max(math.isqrt(terms), 2)
        axes = {"r": rows, "s": max(terms // rows, 1)}
    return Sums(op, backend, dtype, axes, options, with_bias=with_bias)


def masked(summands: int, pairs: Sequence[tuple[int, int]], dtype: str) -> Array:
    """Ones, or what stands for them, among which each row has M and -M at a pair's places."""
    rows = np.full((len(pairs), summands), UNIT[dtype], carrier(dtype))
    for row, (i, j) in zip(rows, pairs, strict=True):
        row[i], row[j] = LARGE[dtype], -LARGE[dtype]
    return rows


def fits(kernel: Kernel, asked: Sums) -> str | None:
    """Why a contract does not have what is probed; None where it does."""
    extents = [*asked.axes.values()]
    if asked.op == "affine":
        arrays: dict[str, Any] = {"x": (BATCH, *extents), "weight": (ROWS, *extents)}
    elif asked.mean:
        arrays = {"x": (1, ROWS, PLANE[0] * extents[0], PLANE[1] * extents[1])}
    else:
        C, R, S = extents
        arrays = {"x": (1, C, PLANE[0] + R - 1, PLANE[1] + S - 1), "weight": (ROWS, C, R, S)}
    if asked.bias:
        arrays["bias"] = (ROWS,)
    case = Case("order", arrays, {"kernel_size": tuple(extents)} if asked.mean else {})
    found = adapted([kernel], op_of(asked.op), case)
    if found is not None and found.arrays == arrays and found.options == case.options:
        return None
    return "its contract does not take what is probed" + ("" if found is None else f", but {describe(found)}")

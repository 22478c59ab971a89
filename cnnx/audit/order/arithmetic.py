"""In what numbers a sum is computed: bits of inputs and accumulator, fused multiply-adds; transforms of inputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ... import backend as _backend
from ...ops import conv2d
from ..data import Array
from ..kinds import carrier
from .probe import LARGE, UNIT, Sums
from .tree import Tree, leaves

BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
NAMES = {8: "bfloat16", 11: "float16 or TF32", 24: "float32", 53: "float64", 64: "80-bit floats"}
MOST = {"float16": 54, "bfloat16": 70, "float32": 70, "float64": 110}  # bits up to which an accumulator is asked for
FEW_LEAVES = 24  # products that are looked at for being fused
SEPARATE, FUSED, EXACT = "rounded", "fused", "exact"
WORDS = {SEPARATE: "no fused multiply-add", FUSED: "fused multiply-add", EXACT: "products exact"}
IMAGE = 15  # rows and columns of outputs in which a transform shows its tile
LARGEST_TILE = 6
LOW = 15  # bits that 2^14 has above 1


@dataclass(frozen=True)
class Numbers:
    """What a sum is computed in.

    inputs : bits that are kept of the two factors; of a mean of its numbers alone.
    accumulator : bits that the accumulator holds, at least, if that is `MOST`.
    products : "rounded" before they are added, "fused" into the addition, or "exact", since the accumulator has twice
        their bits; "" where nothing is multiplied, or nobody can tell.
    """

    inputs: tuple[int, ...]
    accumulator: int
    products: str

    def words(self, dtype: str) -> list[str]:
        """In a few words; what is as the dtype has it is left out."""
        found = []
        if any(bits < BITS[dtype] for bits in self.inputs):
            kinds = dict.fromkeys(_kind(bits) for bits in self.inputs)
            found.append(f"inputs rounded to {' and '.join(kinds)}")
        found.append(f"accumulator {_kind(self.accumulator)}")
        if self.products:
            found.append(WORDS[self.products])
        return found


def _kind(bits: int) -> str:
    return NAMES.get(bits, f"of {bits} bits")


def numbers(sums: Sums, tree: Tree) -> Numbers:
    """What a sum of this tree is computed in."""
    inputs = _inputs(sums)
    accumulator = _accumulator(sums, tree)
    products = "" if sums.mean else _products(sums, tree, accumulator, min(inputs))
    return Numbers(inputs, accumulator, products)


def _inputs(sums: Sums) -> tuple[int, ...]:
    """How many bits of a number survive where it is the only one: of each factor."""
    most = BITS[sums.dtype]
    rows = np.zeros((most, sums.summands), sums.carrier)
    steps = [1 + 2.0**-k for k in range(most)]
    rows[:, 0] = steps
    if sums.mean:  # by n, which may be no power of two
        kept = sums.everywhere(rows)[:, 0].astype(float) * sums.count
        return (1 + max(k for k in range(most) if abs(kept[k] - steps[k]) < 2.0**-k / 2),)
    kept = sums.at_one_place(rows, np.ones(sums.count, sums.carrier))
    of_weights = 1 + max(k for k in range(most) if kept[k] == steps[k])
    ones = np.zeros((1, sums.summands), sums.carrier)
    ones[:, 0] = 1
    of_images = 0
    for k in range(most):
        other = np.zeros(sums.count, sums.carrier)
        other[0] = steps[k]
        if sums.at_one_place(ones, other)[0] == steps[k]:
            of_images = 1 + k
    return of_images, of_weights


def _accumulator(sums: Sums, tree: Tree) -> int:
    """How many bits the sum of a first pair keeps: of 1 + 2^-k - 1."""
    i, j = sorted(_first_pair(tree))  # the bias, which has no factor, is the smaller number
    other = next((leaf for leaf in leaves(tree) if leaf not in (i, j, sums.count)), None)
    if other is None:
        return BITS[sums.dtype]
    if sums.dtype == "float16":
        return _accumulator_of_halves(sums, i, j, other)
    rows = np.zeros((MOST[sums.dtype], sums.summands), sums.carrier)
    for k, row in enumerate(rows):
        row[i], row[j], row[other] = 1, 2.0**-k, -1
    kept = sums.everywhere(rows)[:, 0].astype(float)
    scale = sums.count if sums.mean else 1
    good = [abs(kept[k] * scale - 2.0**-k) < 2.0**-k / 4 for k in range(len(rows))]
    return good.index(False) if False in good else len(rows)


def _accumulator_of_halves(sums: Sums, i: int, j: int, other: int) -> int:
    """The same of float16, whose numbers do not reach so far: of 2^14 (1 + 2^-k - 1), and from there on of 2^30."""
    for k in range(MOST[sums.dtype]):
        row, factors = np.zeros((1, sums.summands), sums.carrier), np.zeros(sums.count, sums.carrier)
        top = 7 if k < LOW else 15
        row[0, i] = factors[i] = 2.0**top
        row[0, other], factors[other] = -(2.0**top), 2.0**top
        if j == sums.count:
            row[0, j] = 2.0 ** (2 * top - k)
        else:
            row[0, j], factors[j] = 2.0 ** (top - k // 2), 2.0 ** (top - (k + 1) // 2)
        kept = float(sums.at_one_place(row, factors)[0])
        if not abs(kept - 2.0 ** (2 * top - k)) < 2.0 ** (2 * top - k - 2):
            return k
    return MOST[sums.dtype]


def _first_pair(tree: Tree) -> tuple[int, int]:
    """Two summands that are added to each other."""
    while isinstance(tree, tuple):
        a, b = tree
        if isinstance(a, int) and isinstance(b, int):
            return a, b
        tree = b if isinstance(a, int) else a
    raise ValueError("expected a sum of at least two")


def _siblings(tree: Tree) -> dict[int, Tree]:
    """By summand, the part that it is added to."""
    found: dict[int, Tree] = {}
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            found.update({one: other for one, other in (node, node[::-1]) if isinstance(one, int)})
            todo += node
    return found


def _products(sums: Sums, tree: Tree, accumulator: int, inputs: int) -> str:
    """Whether a product of two numbers is rounded before it is added.

    With a = 1 + 2^-k, a^2 = 1 + 2^(1-k) + 2^(-2k) is rounded to 1 + 2^(1-k), if there are at most 2k bits. Added to
    minus that, a fused multiply-add leaves 2^(-2k), and so does a wider accumulator, if products have its bits.
    """
    if inputs < BITS[sums.dtype]:
        return ""
    k = (BITS[sums.dtype] + 1) // 2
    a, rest, tiny = 1 + 2.0**-k, 1 + 2.0 ** (1 - k), 2.0 ** (-2 * k)
    siblings = {leaf: other for leaf, other in _siblings(tree).items() if leaf < sums.count}
    exact = []
    for leaf in list(siblings)[:FEW_LEAVES]:
        partner = leaves(siblings[leaf])[0]
        row = np.zeros((1, sums.summands), sums.carrier)
        other = np.zeros(sums.count, sums.carrier)
        row[0, leaf] = other[leaf] = a
        row[0, partner] = -rest
        if partner < sums.count:
            other[partner] = 1
        left = float(sums.at_one_place(row, other)[0])
        if left not in (0.0, tiny):
            return ""
        exact.append(left == tiny)
    if not any(exact):
        return SEPARATE
    return EXACT if accumulator > 2 * k else FUSED


# ---------------------------------------------------------------------------------------------- transforms


def transform(backend: str, dtype: str, channels: int, options: Any) -> tuple[int, int] | None:
    """The tile of outputs that one input can spoil though it does not belong to them, rows and columns; None: no such.

    With a single weight that is not 0 each output of a convolution is a copy of one input. Beside a huge one it is lost
    if inputs are added to each other before they are multiplied, as Winograd's algorithm does with those of a tile, and
    a Fourier transform with all.
    """
    tile = [0, 0]
    for axis in (0, 1):
        spoilt: dict[int, set[int]] = {}
        for tap in range(3):
            weight = np.zeros((8, channels, 3, 3), carrier(dtype))
            weight[(slice(None), 0, *((tap, 1) if axis == 0 else (1, tap)))] = 1
            x = np.full((1, channels, IMAGE + 2, IMAGE + 2), UNIT[dtype], carrier(dtype))
            for at in range(IMAGE + 2):
                huge = x.copy()
                huge[(0, 0, *((at, slice(None)) if axis == 0 else (slice(None), at)))] = LARGE[dtype]
                with np.errstate(all="ignore"), _backend.use_backend(backend):
                    y: Array = np.moveaxis(conv2d(huge, weight, **options), 2 + axis, -1)[0, 0, 0]
                lost = ~(np.abs(y / UNIT[dtype] - 1) < 0.5)  # transforms in fractions do not even give 1
                spoilt.setdefault(at, set()).update(int(q) for q in np.flatnonzero(lost) if q != at - tap)
        tile[axis] = max(max(some) - min(some) + 1 if some else 0 for some in spoilt.values())
    return (tile[0], tile[1]) if any(tile) else None

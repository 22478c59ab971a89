"""A sum by a tree in some arithmetic, rounded as that rounds, to see whether it explains sums of random numbers."""

from fractions import Fraction

import numpy as np

from ..data import Array
from .arithmetic import BITS, EXACT, FUSED, SEPARATE, Numbers
from .probe import Sums
from .tree import Tree, folded

DRAWS = 16


def rounded(value: Fraction, bits: int) -> Fraction:
    """The nearest number of so many bits, ties to even; no number is too large or too small."""
    if value == 0:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** (exponent - bits + 1)
    return Fraction(round(value / unit)) * unit  # Python rounds ties to even


def explained(sums: Sums, tree: Tree, numbers: Numbers, rng: np.random.Generator) -> int:
    """How many of `DRAWS` sums of random numbers come to the bits that the tree gives in this arithmetic."""
    rows = sums.random(rng, DRAWS, sums.summands)
    if sums.mean:
        got = sums.everywhere(rows)[:, 0]
        right = [_mean(tree, row, numbers, sums, float(y)) for row, y in zip(rows, got, strict=True)]
        return sum(right)
    other = sums.random(rng, sums.count)
    got = sums.at_one_place(rows, other)
    return sum(float(y) in _sums(tree, row, other, numbers, sums) for row, y in zip(rows, got, strict=True))


def _mean(tree: Tree, row: Array, numbers: Numbers, sums: Sums, got: float) -> bool:
    """By a division at the end, by a factor 1/n at the end, or by one in front of each summand."""
    bits, own = numbers.accumulator, BITS[sums.dtype]
    values = [Fraction(float(v)) for v in row]
    n = Fraction(sums.count)
    total = _summed(tree, values, {}, bits, first=0)
    by = {rounded(total / n, bits), rounded(total, own) / n, rounded(total * rounded(1 / n, bits), bits)}
    by |= {rounded(rounded(total, own) * rounded(1 / n, own), own)}
    factors = {leaf: (value, rounded(1 / n, bits)) for leaf, value in enumerate(values)}
    by.add(_summed(tree, [rounded(a * b, bits) for a, b in factors.values()], {}, bits, first=0))
    return got in {float(rounded(value, own)) for value in by}


def _sums(tree: Tree, row: Array, other: Array, numbers: Numbers, sums: Sums) -> set[float]:
    """The sums that the tree can give: of two products that are added to each other either may be the fused one."""
    a = [_cut(float(v), numbers.inputs[1]) for v in row[: sums.count]]
    b = [_cut(float(v), numbers.inputs[0]) for v in other]
    bits, own = numbers.accumulator, BITS[sums.dtype]
    exact = [p * q for p, q in zip(a, b, strict=True)]
    fused = dict(enumerate(exact)) if numbers.products in (FUSED, EXACT, "") else {}
    each = own if numbers.products == SEPARATE else bits
    values = [rounded(value, each) for value in exact] + [Fraction(float(v)) for v in row[sums.count :]]
    return {float(rounded(_summed(tree, values, fused, bits, first), own)) for first in (0, 1)}


def _cut(value: float, bits: int) -> Fraction:
    return rounded(Fraction(value), bits)


def _summed(tree: Tree, values: list[Fraction], fused: dict[int, Fraction], bits: int, first: int) -> Fraction:
    """first : which of two products that are added to each other was there before, the lower (0) or the higher one."""

    def joined(a: tuple[int, Fraction], b: tuple[int, Fraction]) -> tuple[int, Fraction]:
        products = sorted(leaf for leaf in (a[0], b[0]) if leaf in fused)
        if not products:
            return -1, rounded(a[1] + b[1], bits)
        late = products[-1 if first == 0 else 0]  # the product that is not rounded, if it is fused
        other = b[1] if a[0] == late else a[1]
        return -1, rounded(fused[late] + other, bits)

    return folded(tree, lambda leaf: (leaf, values[leaf]), joined)[1]

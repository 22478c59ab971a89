"""What an audit did not test: for each op the settings that no comparison had, and those that never met.

A setting is a value along an axis: "stride" may be "1", "2", ... The axes of an op and their values follow from the
signatures of its two functions; what was tested follows from the comparisons that were made (`Result.tested`). Nothing
is listed by hand but what no call can be (`axes.possible`) and what no audit tries (`NEVER`).
"""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from ...ops import OPS, Case, Op
from ..data import FARTHEST
from ..known import described
from .axes import DEPENDENT, axes_of, longest, possible, settings_of
from .result import Compared, Result

NEVER = (
    "dtypes but float32 and float64",
    "subnormal numbers and -0.0 in the inputs; the sign of a zero, but in what must be the same bits",
    "numbers beyond " + " and ".join(f"{bound:g} ({dtype})" for dtype, bound in FARTHEST.items()),
    "sums of which a part overflows though the whole does not, but for float32's in avg_pool2d: they are unspecified",
    "more than one NaN or infinity in an array; non-finite weights beside padding, whose effect is unspecified",
    "single extents beyond those that the ledger gives as longest, but by spot checks",
    "arrays of more than 2**31 elements",
    "an image's bits alone and in a batch where the equation sums over the batch: gradients of parameters, means",
    "an image's bits alone and in a batch whose statistics count: batch normalisation while training",
    "first calls of a process but of an op's first case and its first one for benchmarks",
    "more than 3 threads; calls at the same time from several threads of the caller",
    "wrong arguments, which the public functions refuse before a back end sees them",
)

Setting = tuple[str, str]
Pair = tuple[Setting, Setting]


@dataclass
class Coverage:
    """What was tested of one op.

    axes : by axis and value, how many cases had it.
    apart : pairs of tested values that no comparison had both of, though a call can.
    pairs, combinations : how many pairs of values, and full combinations of all axes, were tested; of how many.
    longest : the largest extent of an array.
    """

    op: str
    axes: dict[str, dict[str, int]] = field(default_factory=dict)
    apart: list[Pair] = field(default_factory=list)
    pairs: tuple[int, int] = (0, 0)
    combinations: tuple[int, int] = (0, 0)
    longest: int = 0

    @property
    def gaps(self) -> dict[str, list[str]]:
        """By axis, the values that nothing had."""
        missing = {axis: [v for v, n in values.items() if not n] for axis, values in self.axes.items()}
        return {axis: values for axis, values in missing.items() if values}

    @property
    def words(self) -> str:
        """The numbers in words."""
        (pairs, of_pairs), (all_, of_all) = self.pairs, self.combinations
        return (
            f"{pairs:,} of {of_pairs:,} pairs of settings, {all_:,} of {of_all:,} combinations of all; longest extent "
            f"{self.longest:,}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        counted = {"pairs": self.pairs, "combinations": self.combinations}
        return {
            "axes": self.axes,
            "not_tested": self.gaps,
            "not_together": [[list(a), list(b)] for a, b in self.apart],
            **{name: {"tested": tested, "possible": of} for name, (tested, of) in counted.items()},
            "longest": self.longest,
        }


@dataclass
class Ledger:
    """The coverage of each op of a report, and the ops that were not in it."""

    ops: dict[str, Coverage]
    not_chosen: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ops": {name: coverage.as_dict() for name, coverage in self.ops.items()},
            "ops_not_chosen": self.not_chosen,
            "never": list(NEVER),
        }

    def summary(self) -> list[str]:
        """In a few lines: the values that nothing had, and how many pairs."""
        lines = []
        for names, gaps in self._alike():
            lines += _wrapped(f"not tested: {', '.join(names)}: {gaps}")
        tested, possible = (sum(coverage.pairs[i] for coverage in self.ops.values()) for i in (0, 1))
        if possible:
            lines.append(f"settings tested in pairs: {tested:,} of {possible:,} (--ledger has the others)")
        return lines

    def text(self) -> list[str]:
        """The whole ledger in lines."""
        lines = ["ledger: how many cases had each setting"]
        for c in self.ops.values():
            lines.append(f"{c.op}: {c.words}")
            for axis, values in c.axes.items():
                lines += _wrapped(f"  {axis}: " + ", ".join(f"{v} {n or 'NOT TESTED'}" for v, n in values.items()))
        lines += ["never together, though each was tested:"] if any(c.apart for c in self.ops.values()) else []
        for sentence, names in self.apart().items():
            lines += _wrapped(f"  {sentence}: {', '.join(names)}")
        if self.not_chosen:
            lines += _wrapped(f"ops not chosen: {', '.join(self.not_chosen)}")
        return [*lines, "never tried:", *(f"  {what}" for what in NEVER)]

    def apart(self) -> dict[str, list[str]]:
        """What never came together, in words, each with the ops of which that is so."""
        found: dict[str, list[str]] = {}
        for coverage in self.ops.values():
            for sentence in together(coverage.apart):
                found.setdefault(sentence, []).append(coverage.op)
        return found

    def _alike(self) -> list[tuple[list[str], str]]:
        """The ops with gaps, those with the same ones together."""
        alike: dict[str, list[str]] = {}
        for coverage in self.ops.values():
            if coverage.gaps:
                gaps = "; ".join(f"{axis} {', '.join(values)}" for axis, values in coverage.gaps.items())
                alike.setdefault(gaps, []).append(coverage.op)
        return [(names, gaps) for gaps, names in alike.items()]


def ledger(results: Iterable[Result]) -> Ledger:
    """What the comparisons of results covered. Those of `dual` judge the reference's equations and do not count."""
    by_op: dict[str, tuple[set[Compared], dict[str, Case]]] = {}
    kinds: dict[str, tuple[str, ...]] = {}  # the dtypes of those that have others than cnnx
    for result in results:
        tested, cases = by_op.setdefault(result.op, (set(), {}))
        kinds[result.op] = kinds.get(result.op) or result.kinds
        if result.check != "dual":
            tested |= result.tested
            cases |= result.cases
    return Ledger(
        {name: cover(described(name), *found, kinds[name]) for name, found in by_op.items()},
        [op.name for op in OPS if op.name not in by_op] if not any(kinds.values()) else [],
    )


def cover(op: Op, tested: set[Compared], cases: Mapping[str, Case], kinds: tuple[str, ...] = ()) -> Coverage:
    """The coverage of one op by comparisons of these cases; of dtypes of its own, where it has some."""
    axes = axes_of(op)
    axes["dtype"] = kinds or axes["dtype"]
    own = {name: settings_of(op, case) for name, case in cases.items()}
    seen: dict[Setting, set[str]] = {}
    had: set[tuple[str, ...]] = set()
    for t in tested:
        values = {**t._asdict(), **own[t.case]}
        had.add(tuple(values[axis] for axis in axes))
        for axis in axes:
            seen.setdefault((axis, values[axis]), set()).add(t.case)
    met = {pair for values in had for pair in combinations(zip(axes, values, strict=True), 2)}
    could = [pair for pair in _pairs(axes) if possible(op, dict(pair))]
    return Coverage(
        op.name,
        axes={axis: {v: len(seen.get((axis, v), ())) for v in values} for axis, values in axes.items()},
        apart=[pair for pair in could if pair not in met and all(setting in seen for setting in pair)],
        pairs=(len(met), len(could)),
        combinations=(len(had), _count(op, axes)),
        longest=max(map(longest, cases.values()), default=0),
    )


def together(apart: list[Pair]) -> list[str]:
    """Pairs in words: values of one axis that never met the same values of another share a sentence."""
    partners: dict[tuple[str, str, str], list[str]] = {}
    for (axis, value), (other, theirs) in apart:
        partners.setdefault((axis, value, other), []).append(theirs)
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (axis, value, other), values in partners.items():
        alike.setdefault((axis, other, ", ".join(values)), []).append(value)
    return [f"{axis} {', '.join(mine)} with {other} {theirs}" for (axis, other, theirs), mine in alike.items()]


def _pairs(axes: Mapping[str, Iterable[str]]) -> Iterator[Pair]:
    for (a, values), (b, others) in combinations(axes.items(), 2):
        for v, w in product(values, others):
            yield (a, v), (b, w)


def _count(op: Op, axes: Mapping[str, tuple[str, ...]]) -> int:
    """How many settings of all axes a call can have."""
    bound = [axis for axis in axes if axis in DEPENDENT]
    free = math.prod(len(values) for axis, values in axes.items() if axis not in bound)
    all_ = product(*(axes[axis] for axis in bound))
    return free * sum(possible(op, dict(zip(bound, values, strict=True))) for values in all_)


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, 120, subsequent_indent=indent)

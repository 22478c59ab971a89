"""What a check found."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ...backend.registry import NOT_SUPPORTED
from ...ops import Case
from ..data import Array
from .axes import AS_ALLOCATED, AS_GIVEN, DEFAULT, ONE_CALL

Verdict = Literal["passed", "skipped", "differs", "discrepancy", "mistrusted", "nothing ran"]


@dataclass(frozen=True)
class Discrepancy:
    """One disagreement: where it was seen, and what was expected and got there.

    Attributes
    ----------
    op, check, case, dtype : str
        Where.
    what : str
        In words.
    kernel, output, index : str, str, tuple of int or None
        The element, where there is one: the kernel, the output by its name in the reference's signature ("Y", "dF").
    expected, got : float or None
        The two numbers at that element.
    error, share : float or None
        The bound on |got - expected|, and |got - expected| in units of it.
    ulp : float or None
        Where the same bits were expected: how many numbers of the dtype results are apart at most; infinite where that
        does not say it (a NaN, an index).
    repro : str
        The command line that judges this case again; where the back end is registered in the process, Python.
    shrunk : str
        The shapes and options of the smallest case found that still fails, where the finding is of that; or "".
    terms : tuple of str
        The equation at that element with its numbers, one line each; empty until it is asked for.
    arrays : mapping or None
        The inputs of the kernel's call, by their names in the reference's signature. Not in JSON.
    results : mapping or None
        "got" and "expected": that output of both calls. Not in JSON.
    numbers : mapping
        The numbers that the kernel was called with.
    """

    op: str
    check: str
    case: str
    dtype: str
    what: str
    kernel: str = ""
    output: str = ""
    index: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    error: float | None = None
    share: float | None = None
    ulp: float | None = None
    repro: str = ""
    shrunk: str = ""
    terms: tuple[str, ...] = ()
    arrays: Mapping[str, Array] | None = field(default=None, repr=False, compare=False)
    results: Mapping[str, Array] | None = field(default=None, repr=False, compare=False)
    numbers: Mapping[str, float] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        shrunk = f", shrunk to {self.shrunk}" if self.shrunk else ""
        return f"{self.op}: {self.check}, case {self.case!r}, {self.dtype}{shrunk}: {self.what}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is not finite becomes its name, what is not there is left out."""
        at = {} if self.index is None else {"kernel": self.kernel, "output": self.output, "index": list(self.index)}
        numbers = {n: number(getattr(self, n)) for n in ("expected", "got", "error", "share", "ulp")}
        return {
            "case": self.case,
            "dtype": self.dtype,
            "what": self.what,
            **at,
            **{name: value for name, value in numbers.items() if value is not None},
            "shrunk": self.shrunk,
            "repro": self.repro,
            "terms": list(self.terms),
        }


@dataclass(frozen=True)
class Worst:
    """The element that used the largest share of its error budget."""

    share: float
    case: str
    kernel: str
    output: str
    index: tuple[int, ...]
    expected: float
    got: float
    error: float
    truth: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        numbers = {n: number(getattr(self, n)) for n in ("share", "expected", "got", "error")}
        where = {"case": self.case, "kernel": self.kernel, "output": self.output, "index": list(self.index)}
        return {**where, **numbers, "truth": self.truth}


class Compared(NamedTuple):
    """What was compared: a case in a dtype, in one direction, with inputs in a memory layout, on so many threads; which
    call it was, what part of a batch, where its arrays lay, and with which instruction set."""

    case: str
    dtype: str
    direction: str
    layout: str
    threads: str
    call: str = ONE_CALL
    batch: str = AS_GIVEN
    alignment: str = AS_ALLOCATED
    isa: str = DEFAULT


@dataclass
class Searched:
    """What a search drew of an op.

    cases : how many.
    axes : by setting, its values, and how many cases had each.
    pairs : how many pairs of values of two settings met, those of the op's fixed cases too; of how many.
    apart : for two settings, the pairs of their values that never met.
    """

    cases: int = 0
    axes: dict[str, dict[str, int]] = field(default_factory=dict)
    pairs: tuple[int, int] = (0, 0)
    apart: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def unseen(self) -> dict[str, list[str]]:
        """By setting, the values that no case had."""
        missing = {axis: [v for v, n in values.items() if not n] for axis, values in self.axes.items()}
        return {axis: values for axis, values in missing.items() if values}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cases": self.cases,
            "axes": self.axes,
            "never": self.unseen,
            "pairs": {"met": self.pairs[0], "possible": self.pairs[1]},
            "apart": [[list(axes), [list(pair) for pair in pairs]] for axes, pairs in self.apart.items()],
        }


@dataclass
class Result:
    """One check of one op: how many cases ran, and what they found.

    share : the largest share of the error budget that any element used; None where there is no
        budget (results must be equal).
    worst : by dtype, the element that used most of its budget.
    truth : by dtype, how many elements were held against which truth.
    dtypes : those in which a case ran.
    tested, cases : what was compared along the ledger's axes, and the cases in it by name.
    notes : what else has to be said.
    skipped : why nothing ran, where the check does not apply to the op.
    lacking : what the back end does not have, so that it could not be judged, and why, if it says so.
    mistrusted : why what passed says nothing.
    zeros : of what was compared (a kernel's output, gradients), how many numbers were to be 0, and how many there were.
    elements : how many single elements were held against their equations (`search`).
    shares : by kernel and output, and by dtype, the largest share of the budget that one of these elements used.
    searched : what a search drew.
    required : whether other bits, where the same ones were expected, are a failure.
    asked, passed : cases, one for each dtype, that were judged or that a kernel declares not to support; those of them
        that were judged and have no finding that fails.
    """

    op: str
    check: str
    ran: int = 0
    share: float | None = None
    worst: dict[str, Worst] = field(default_factory=dict)
    truth: dict[str, Counter[str]] = field(default_factory=dict)
    dtypes: set[str] = field(default_factory=set)
    tested: set[Compared] = field(default_factory=set)
    cases: dict[str, Case] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)
    skipped: str = ""
    lacking: dict[str, str] = field(default_factory=dict)
    mistrusted: list[Discrepancy] = field(default_factory=list)
    zeros: dict[str, tuple[int, int]] = field(default_factory=dict)
    elements: int = 0
    shares: dict[tuple[str, str], float] = field(default_factory=dict)
    searched: Searched | None = None
    discrepancies: list[Discrepancy] = field(default_factory=list)
    required: bool = True
    kinds: tuple[str, ...] = ()
    asked: int = 0
    passed: int = 0

    @property
    def failing(self) -> list[Discrepancy]:
        """The discrepancies that are failures."""
        return [d for d in self.discrepancies if d.ulp is None or self.required]

    @property
    def differing(self) -> list[Discrepancy]:
        """The others: bits that differ where nobody requires that they do not."""
        return [d for d in self.discrepancies if not (d.ulp is None or self.required)]

    @property
    def ulp(self) -> float | None:
        """How far results are apart at most that should be the same bits; None where all are."""
        return max((d.ulp for d in self.discrepancies if d.ulp is not None), default=None)

    def verdict(self, dtype: str = "") -> Verdict:
        """The outcome, of one dtype if it is given. Text, JSON, JUnit XML and the page all follow from it."""
        if _of(self.failing, dtype):
            return "discrepancy"
        if _of(self.mistrusted, dtype):
            return "mistrusted"
        if _of(self.differing, dtype):
            return "differs"
        if dtype in self.dtypes or (not dtype and self.ran):
            return "passed"
        return "skipped" if self.skipped or self.lacking else "nothing ran"

    @property
    def ok(self) -> bool:
        """Nothing fails, nothing is mistrusted; and something ran, unless the check does not apply. No case run is a
        failure."""
        return self.verdict() in ("passed", "skipped", "differs")

    @property
    def note(self) -> str:
        """The notes in one line."""
        return " and ".join(sorted(self.notes))

    def used(self, share: float) -> None:
        """Note a share of the error budget."""
        self.share = share if self.share is None else max(self.share, share)

    def note_worst(self, dtype: str, worst: Worst) -> None:
        """Keep the worse of two elements."""
        if dtype not in self.worst or worst.share > self.worst[dtype].share:
            self.worst[dtype] = worst

    def compared(self, what: str, zeros: int, total: int) -> None:
        """Count what was compared, and how much of it was to be 0."""
        before = self.zeros.get(what, (0, 0))
        self.zeros[what] = before[0] + zeros, before[1] + total

    def lacks(self, what: str, why: str = "") -> None:
        """Note what the back end does not have."""
        self.lacking.setdefault(what, why)

    def merge(self, other: "Result") -> None:
        """Take in what one more case of the same op and check gave, in one dtype."""
        self.ran += other.ran
        if other.share is not None:
            self.used(other.share)
        for dtype, worst in other.worst.items():
            self.note_worst(dtype, worst)
        for dtype, count in other.truth.items():
            self.truth.setdefault(dtype, Counter()).update(count)
        self.dtypes |= other.dtypes
        self.elements += other.elements
        for output, share in other.shares.items():
            self.shares[output] = max(share, self.shares.get(output, 0.0))
        self.tested |= other.tested
        self.cases |= other.cases
        for what, (zeros, total) in other.zeros.items():
            self.compared(what, zeros, total)
        self.notes |= other.notes
        self.lacking = {**other.lacking, **self.lacking}
        self.skipped = self.skipped or other.skipped
        declined = NOT_SUPPORTED in other.lacking.values()
        self.asked += bool(other.ran or declined or other.failing or other.mistrusted)
        self.passed += bool(other.ran and not other.failing and not other.mistrusted)
        self.mistrusted += other.mistrusted
        self.discrepancies += other.discrepancies

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "op": self.op,
            "check": self.check,
            "ok": self.ok,
            "ran": self.ran,
            "share": number(self.share),
            "worst": {dtype: worst.as_dict() for dtype, worst in self.worst.items()},
            "truth": {dtype: dict(sorted(count.items())) for dtype, count in self.truth.items()},
            "note": self.note,
            "skipped": self.skipped,
            "lacking": self.lacking,
            "mistrusted": [d.as_dict() for d in self.mistrusted],
            "discrepancies": [d.as_dict() for d in self.failing],
            "required": self.required,
            "elements": self.elements,
            "searched": None if self.searched is None else self.searched.as_dict(),
            "differences": [d.as_dict() for d in self.differing],
        }


def _of(found: list[Discrepancy], dtype: str) -> list[Discrepancy]:
    return [d for d in found if dtype in ("", d.dtype)]


def number(value: float | None) -> float | str | None:
    """JSON has no NaN and no infinities."""
    return value if value is None or math.isfinite(value) else str(value)

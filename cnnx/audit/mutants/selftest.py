"""The audit audits itself: does it catch every mutant, and is every one of its checks needed?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...ops import OPS, Op
from .. import elsewhere
from ..checks import ISOLATED
from ..isolation import candidate, isolated
from ..report.result import Discrepancy
from ..run import DTYPES
from ..sides import Sides
from ..trial import Check
from ..work import judge
from . import CASES, MUTANTS, Mutant, floors, installed
from ._mutant import CORRECT, LIMIT

Progress = Callable[[str], None]
# By which isolated mutants are tried: most end their process at every call, and the others have no further question.
OF_CHEATS = ("bound", "isolation")


@dataclass
class SelfTest:
    """The matrix mutant x check.

    caught : for each mutant, in which check it was found and what was found first.
    budgets : which budgets became wider than they were, by floors under what is used of them (`floors.py`), and which
        could become so unseen; `floors` is how many there are.
    clean : what the checks found in the back end that mutants are made of, before any bug was put in.
    skipped : checks that cannot run here, and why.
    """

    seed: int
    checks: tuple[str, ...]
    caught: dict[Mutant, dict[str, Discrepancy]] = field(default_factory=dict)
    clean: list[Discrepancy] = field(default_factory=list)
    budgets: list[str] = field(default_factory=list)
    floors: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def only(self, check: str) -> list[Mutant]:
        """The mutants that no other check catches."""
        return [mutant for mutant, found in self.caught.items() if list(found) == [check]]

    @property
    def missing(self) -> list[str]:
        """What keeps the self-test from being ok, in words."""
        words = [f"without any bug: {found}" for found in self.clean] + self.budgets
        words += [f"{mutant.name}: caught by no check" for mutant, found in self.caught.items() if not found]
        for check in self.checks:
            if check in self.skipped:
                words.append(f"{check}: cannot run: {self.skipped[check]}")
            elif not self.only(check):
                words.append(f"{check}: the only catcher of no mutant")
        return words

    @property
    def ok(self) -> bool:
        """Every mutant is caught, every check is some mutant's only catcher, and without a bug nothing is found."""
        return bool(self.caught) and not self.interrupted and not self.missing

    def as_dict(self) -> dict[str, Any]:
        """For JSON. Schema version 1."""
        return {
            "schema": 1,
            "seed": self.seed,
            "ok": self.ok,
            "interrupted": self.interrupted,
            "checks": list(self.checks),
            "missing": self.missing,
            "floors": self.floors,
            "only": {check: [mutant.name for mutant in self.only(check)] for check in self.checks},
            "mutants": [
                {
                    "name": mutant.name,
                    "op": mutant.op,
                    "bug": mutant.bug,
                    "seen": mutant.seen,
                    "shared": mutant.shared,
                    "caught": {check: str(found) for check, found in found_by.items()},
                }
                for mutant, found_by in self.caught.items()
            ],
        }


def self_test(
    mutants: Iterable[Mutant] = MUTANTS,
    *,
    checks: Mapping[str, Check] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> SelfTest:
    """Try mutants on tiny cases, and the back end without any bug first.

    Parameters
    ----------
    mutants : of `cnnx.audit.mutants.MUTANTS`, or of your own
    checks : by name; None takes all of the audit's
    seed : int
        Every random number comes from it.
    progress : callable or None
        Called with the name of each mutant before it is tried.

    Returns
    -------
    SelfTest

    Examples
    --------
    >>> from cnnx.audit.mutants import MUTANTS
    >>> test = self_test([m for m in MUTANTS if m.name == "relu_swallows_nan"])
    >>> ["special" in found for found in test.caught.values()]
    [True]
    """
    mutants, checks = tuple(mutants), ISOLATED if checks is None else checks
    needed = {mutant.op for mutant in mutants}
    ops = {op.name: replace(op, cases=CASES[op.name], bench=()) for op in OPS if op.name in needed}
    test = SelfTest(seed, tuple(checks))
    for check in checks.values():
        # Of what back ends cannot be asked, threads alone hold for mutants: they have those of the correct kernels.
        reasons = [
            check.why_not(op) or (check.why_not_of(CORRECT) if check.name == "threads" else "") for op in ops.values()
        ]
        if all(reasons):
            test.skipped[check.name] = " or ".join(dict.fromkeys(reasons))
    try:
        with installed(None) as name:
            for op in ops.values():
                if progress is not None:
                    progress(f"{op.name}, without any bug")
                test.clean += (found for check in checks.values() if (found := _first(op, check, name, seed)))
        if "isolation" in checks:
            _try_isolated(test, ops.values(), checks["isolation"], seed, progress)
        if "search" in checks:
            _try_budgets(test, ops, progress)
        for mutant in mutants:
            if progress is not None:
                progress(mutant.name)
            found_by: dict[str, Discrepancy] = {}
            with installed(mutant) as name:
                for check in checks.values():
                    if mutant.file and check.name not in OF_CHEATS:
                        continue
                    found = _first(ops[mutant.op], check, name, seed)
                    if found is not None:
                        found_by[check.name] = found
            test.caught[mutant] = found_by
    except KeyboardInterrupt:
        test.interrupted = True
    finally:
        elsewhere.end()
    return test


def _try_isolated(test: SelfTest, ops: Iterable[Op], check: Check, seed: int, progress: Progress | None) -> None:
    """The back end without any bug in a process of its own."""
    with isolated(candidate(CORRECT, LIMIT)) as name:
        for op in ops:
            if progress is not None:
                progress(f"{op.name}, isolated, without any bug")
            test.clean += [found] if (found := _first(op, check, name, seed)) else []


def _try_budgets(test: SelfTest, ops: Iterable[str], progress: Progress | None) -> None:
    """Whether budgets are as tight as they were; and whether it would show if they were not."""
    known, by_name = floors.known(), {op.name: op for op in OPS}
    for name in ops:
        if by_name[name].kernels:
            if progress is not None:
                progress(f"{name}, budgets")
            found = floors.used(by_name[name])
            test.floors += sum(map(len, found.values()))
            test.budgets += floors.below(found, known)
    if {op for op, _ in floors.BUDGETS.values()} <= {*ops}:
        unseen = floors.unseen()
        test.budgets += [f"budget of {name}: a hundred times wider, and no floor is missed" for name in unseen]


def _first(op: Op, check: Check, backend: str, seed: int) -> Discrepancy | None:
    """The first thing that a check finds in a back end, if any."""
    if check.why_not(op) or check.why_not_of(backend):
        return None
    for case in check.cases(op):
        for dtype in check.dtypes or DTYPES:
            result = judge(op, check, case, dtype, Sides(backend), seed)
            for found in (*result.discrepancies, *result.mistrusted):
                return found
    return None

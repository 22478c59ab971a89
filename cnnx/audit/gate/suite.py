"""What the pytest plugin (`_cnnx_pytest.py`) does once a test uses it: which tests there are, and one of them."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from ..._text import expected_one_of
from ...ops import OPS
from ..asked import CHECK_SEARCH
from ..checks import CHECKS
from ..report.report import Report
from .assertion import judged
from .backends import Given, Ops, given
from .words import used_share

OF_THE_REFERENCE = "dual"  # what it judges are the reference's equations, whatever the back end
OF_SEARCH = ("search", "search_cases")
OF_AGAIN = ("against", "compat", "require", "timeout", "budget")  # what matters to one case


class Plan(NamedTuple):
    """One test: a check of an op."""

    op: str
    check: str
    what: Given
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its part of a test's id."""
        return f"{self.op}-{self.check}"


def planned(op: Ops = None, *, backend: Any = None, checks: Iterable[str] | None = None, **options: Any) -> list[Plan]:
    """The tests that a marker stands for: of each op the checks that apply to it.

    op, backend : as `given` takes them. (A mark of pytest's that is called with nothing but a function decorates it:
        so the back end goes by name.)
    checks : names, or None for all but `dual`, which judges the reference.

    Raises
    ------
    TypeError, ValueError
        As `given` and `register_backend`; an op or a check that does not exist; none of the checks applies.
    """
    if backend is None:
        raise ValueError("backend: expected a back end's name or kernels, got none")
    wanted = [name for name in CHECKS if name != OF_THE_REFERENCE]
    if checks is not None:
        wanted = [checks] if isinstance(checks, str) else list(checks)
    what, known = given(backend, op), {op.name: op for op in OPS}
    names = what.ops or tuple(known)
    for chosen, there, word in ((wanted, CHECKS, "checks"), (names, known, "op")):
        for name in chosen:
            if name not in there:
                raise ValueError(f"{word}: {expected_one_of(there, name)}")
    if what.ops is None:
        with what.at_hand():
            names = tuple(name for name in names if what.has_any(name))
    plans = [
        Plan(name, check, what._replace(ops=(name,)), _of_check(check, options))
        for name in names
        for check in wanted
        if not CHECKS[check].why_not(known[name])
    ]
    if not plans:
        raise ValueError(f"checks: expected some that apply to {', '.join(names)}, got {', '.join(wanted)}")
    return plans


def _of_check(check: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A search is of one check; the others would refuse it."""
    return {name: value for name, value in options.items() if check == CHECK_SEARCH or name not in OF_SEARCH}


class Audited:
    """What a test calls: it judges, and fails or skips the test where there is a reason.

    Parameters
    ----------
    plan : Plan
    nodeid : str
        By which pytest runs this test alone.
    repro : str or None
        The only case to judge, as --cnnx-repro has it; of another op or check the test is skipped.
    fail, skip : callables
        They raise what pytest wants, with these words.
    note : callable
        Keeps a property of the test, for JUnit XML.
    """

    def __init__(
        self,
        plan: Plan,
        nodeid: str,
        repro: str | None = None,
        *,
        fail: Callable[[str], NoReturn],
        skip: Callable[[str], NoReturn],
        note: Callable[[str, object], None] = lambda name, value: None,
    ):
        self.plan, self.called = plan, False
        self._nodeid, self._repro = nodeid, repro
        self._fail, self._skip, self._note = fail, skip, note

    def __repr__(self) -> str:
        return f"<audited {self.plan.name}>"

    def __call__(self) -> Report:
        """Judge the op by the check; the report, where both are right for each other."""
        __tracebackhide__ = True
        self.called = True
        plan, options = self.plan, dict(self.plan.options)
        if self._repro is not None:
            self._skip_others(self._repro)
            options = {name: value for name, value in options.items() if name in OF_AGAIN} | {"repro": self._repro}
        else:
            options["checks"] = [plan.check]
        report, words = judged(plan.what, self._again, **options)
        (result,) = report.results
        for name, value in (("cases", result.ran), ("elements", result.elements), ("seed", report.seed)):
            self._note(f"cnnx {name}", value)
        if share := used_share(result):
            self._note("cnnx share of the error bound", round(share, 4))
        if result.verdict() == "skipped":
            with plan.what.at_hand():
                if result.skipped or plan.what.has_any(plan.op):
                    self._skip(result.skipped or f"not there: {', '.join(sorted(result.lacking))}")
        if words:
            self._fail(words)
        return report

    def _again(self, words: str, command: str) -> str:
        return f"pytest {shlex.quote(self._nodeid)} --cnnx-repro {shlex.quote(words)}"

    def _skip_others(self, repro: str) -> None:
        try:
            fields = json.loads(repro)
            named = f"{fields['op']}-{fields['check']}"
        except (ValueError, TypeError, KeyError):
            return  # `again` says what is wrong with it
        if named != self.plan.name:
            self._skip(f"--cnnx-repro is about {named}")

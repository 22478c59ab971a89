"""Judge a back end: hold every op against the reference and against mathematics.

Exit code 0: all agree; 1: a discrepancy; 2: usage; 3: nothing ran; 130: Ctrl-C.
"""

import argparse
import json
import math
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable

from cnnx._text import aligned
from cnnx.audit import CHECKS, DTYPES, Report, Result, audit
from cnnx.audit.compat import COMPAT
from cnnx.audit.report import searched
from cnnx.audit.report.coverage import ledger
from cnnx.audit.run import again
from cnnx.audit.sides import PROPERTIES
from cnnx.audit.truth.exact import DOUBLES, FRACTIONS, INTEGERS, MPMATH
from cnnx.ops import OPS

from . import _bits, _model, _reports, _spot
from ._speaker import progress

SHRINK = 10.0  # seconds for each check's first discrepancy
TIMEOUT = 60.0
NOTHING_RAN = 3
SHOWN = 20  # discrepancies that are printed; --json has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx audit`."""
    add = parser.add_argument
    add("--op", action="append", metavar="NAME", help="an op; may be given again; default: all")
    add(
        "--check", action="append", metavar="NAME", help=f"one of {', '.join(CHECKS)}; may be given again; default: all"
    )
    add("--case", action="append", metavar="NAME", help="a case of the ops; may be given again; default: all")
    add("--dtype", action="append", choices=DTYPES, help="may be given again; default: both")
    add("--backend", metavar="NAME", help="the one to judge (default optimized)")
    add("--against", metavar="NAME", help="the one to compare with (default reference)")
    add("--compat", choices=[*filter(None, COMPAT)], help="conventions to judge by; default: those the back end names")
    add("--seed", type=int, default=0, metavar="N", help="every random number comes from it (default 0)")
    add("--repro", metavar="TEXT", help="judge one case again, as a discrepancy says it")
    add(
        "--search",
        type=float,
        metavar="S",
        help="seconds in which to draw cases of all sizes and settings and judge some elements of each, beside the "
        "fixed cases, shared by the ops (default: a few small cases of each op)",
    )
    add("--search-cases", type=int, metavar="N", help="cases of each op after which the search ends")
    add("--no-shrink", action="store_true", help="leave discrepancies at the size at which they were found")
    add("--budgets", action="store_true", help="show where each op used most of its error budget")
    add(
        "--timeout",
        type=float,
        metavar="S",
        help="seconds that a case may take before the back end counts as hanging, in a process of its own; 0: no "
        f"limit and no process (default: {TIMEOUT:g} for back ends that are not cnnx's own)",
    )
    add("--self-test", action="store_true", help="judge the audit: does it catch bugs that are put in on purpose?")
    _bits.add_arguments(parser)
    add("--no-speed", action="store_true", help="leave the speed-up out")
    add("--ledger", action="store_true", help="show all that was not tested")
    add("--json", action="store_true", help="print JSON, as cnnx/audit/report/schema.json describes it")
    _reports.add_arguments(parser)
    _spot.add_arguments(parser)
    _model.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Audit, print, and return the exit code."""
    if arguments.seed < 0:
        raise ValueError(f"--seed: expected an integer of at least 0, got {arguments.seed}")
    if arguments.model is not None:
        return _model.run(arguments, _timeout(arguments))
    _model.refuse_options(arguments)
    arguments.backend, arguments.against = arguments.backend or "optimized", arguments.against or "reference"
    if arguments.self_test:
        return _self_test(arguments)
    if _spot.asked(arguments):
        return _spot.run(arguments, _timeout(arguments))
    _spot.refuse_options(arguments)
    _reports.check(arguments)
    require = _bits.required(arguments)
    if arguments.repro is not None:
        return _again(arguments)
    report = audit(
        arguments.op,
        dtypes=arguments.dtype or DTYPES,
        backend=arguments.backend,
        against=arguments.against,
        checks=PROPERTIES if arguments.reproducible else arguments.check,
        require=require,
        cases=arguments.case,
        compat=arguments.compat,
        search=arguments.search,
        search_cases=arguments.search_cases,
        timeout=_timeout(arguments),
        seed=arguments.seed,
        measure=not (arguments.no_speed or arguments.reproducible),
        shrink=0.0 if arguments.no_shrink or arguments.reproducible else SHRINK,
        progress=lambda op, check: progress(f"{op}: {check}"),
    )
    progress("")
    _print(report, arguments, arguments.check or list(CHECKS))
    unasked = _bits.unasked(report, require)
    print(*unasked, sep="\n", end="\n" if unasked else "", file=sys.stderr)
    return report.verdict.code or (NOTHING_RAN if unasked else 0)


FLUSHING = "some library has switched flush-to-zero on in this thread; it was off while the audit ran (cnnx doctor)"


def _timeout(arguments: argparse.Namespace) -> float | None:
    if arguments.timeout is None:
        return None if arguments.backend in ("optimized", "reference") else TIMEOUT
    if not 0 <= arguments.timeout < math.inf:
        raise ValueError(f"--timeout: expected a number of seconds of at least 0, got {arguments.timeout:g}")
    return arguments.timeout or None


def _self_test(arguments: argparse.Namespace) -> int:
    from . import _self_test as command  # mutants are of no use to an audit

    names = (
        "op",
        "check",
        "case",
        "dtype",
        "compat",
        "timeout",
        "repro",
        "save",
        "budgets",
        "ledger",
        "report",
        "junit",
        "reproducible",
        "require",
        "search",
        "search_cases",
    )
    _refuse("--self-test", arguments, (*names, "shape", "shapes", "network"), "which takes what it needs")
    _spot.refuse_options(arguments)
    if (arguments.backend, arguments.against) != ("optimized", "reference"):
        raise ValueError("--self-test: expected no other back ends with it, since it puts bugs into the optimized one")
    return command.run(arguments)


def _refuse(option: str, arguments: argparse.Namespace, names: Iterable[str], why: str) -> None:
    for name in names:
        if getattr(arguments, name) not in (None, False):
            raise ValueError(f"--{name.replace('_', '-')}: expected none with {option}, {why}")


def _again(arguments: argparse.Namespace) -> int:
    _refuse(
        "--repro",
        arguments,
        ("op", "check", "case", "dtype", "reproducible", "search", "search_cases"),
        "which says it",
    )
    if arguments.seed:
        raise ValueError("--seed: expected none with --repro, which says it")
    report = again(
        arguments.repro,
        backend=arguments.backend,
        against=arguments.against,
        compat=arguments.compat,
        require=_bits.required(arguments),
        timeout=_timeout(arguments),
    )
    _print(report, arguments, [result.check for result in report.results])
    return report.verdict.code


def _print(report: Report, arguments: argparse.Namespace, checks: list[str]) -> None:
    try:
        if arguments.json:
            print(json.dumps(report.as_dict(), indent=2))
        elif arguments.reproducible:
            print("\n".join(_bits.lines(report)))
        else:
            print(_text(report, checks, budgets=arguments.budgets, whole_ledger=arguments.ledger))
    finally:  # even where nobody reads the output to its end
        _reports.write(report, arguments)


def _text(report: Report, checks: list[str], *, budgets: bool = False, whole_ledger: bool = False) -> str:
    rows = [["op", *checks, "budget", "speed-up"]]
    for op in (op.name for op in OPS):
        results = {r.check: r for r in report.results if r.op == op}
        if results:
            shares = [r.share for r in results.values() if r.check == "bound" and r.share is not None]
            speed_up = report.speed_up.get(op)
            rows.append(
                [
                    op,
                    *(_cell(results.get(check)) for check in checks),
                    f"{max(shares):.2f}" if shares else "-",
                    "-" if speed_up is None else f"{speed_up:,.0f}x",
                ]
            )
    conventions = f", conventions of {report.compat}" if report.compat else ""
    head = f"back end {report.backend} against {report.against}{conventions}, seed {report.seed}"
    lines = [head, "", *aligned(rows), ""]
    lines += _legend(report)
    lines += _budgets(report) if budgets else []
    if whole_ledger:
        lines += [*ledger(report.results).text(), *searched.text(report.results), ""]
    else:
        lines += ledger(report.results).summary()
    lines += searched.summary(report.results, report.seed)
    if report.flushing:
        lines.append(f"notice: {FLUSHING}")
    lines += _discrepancies(report)
    lines += [f"mistrusted: {d}" for r in report.results for d in r.mistrusted]
    lines += [f"{r.op}: {r.check}: no case ran" for r in report.results if r.verdict() == "nothing ran"]
    lines.append(f"{report.ran:,} cases, {_count(len(rows) - 1, 'op')}: {report.verdict.words}")
    return "\n".join(lines)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _cell(result: Result | None) -> str:
    """Cases that ran; FAIL where they disagree; - where the check does not apply."""
    if result is None:
        return ""
    verdict = result.verdict()
    if verdict == "mistrusted":
        return verdict
    if not result.ok:
        return "FAIL"
    return {"passed": str(result.ran), "differs": "differs"}.get(verdict, "-")


def _legend(report: Report) -> list[str]:
    lines = ["numbers: cases run; -: does not apply; budget: largest share of the error bound used (bound)"]
    if any(result.verdict() == "differs" for result in report.results):
        lines.append("differs: other bits where nobody requires the same ones (--require); --reproducible says how far")
    if report.speed_up:
        lines.append(f"speed-up: time of {report.against} / time of {report.backend}, forward, float32, 1 thread")
    return [*lines, *_truths(report), *_not_covered(report), ""]


def _not_covered(report: Report) -> Iterable[str]:
    """What the back end lacks, by the reason; and the cases that its conventions do not have."""
    lacking = {what: why for r in report.results for what, why in r.lacking.items()}
    for reason in sorted(set(lacking.values())):
        names = ", ".join(sorted(what for what, why in lacking.items() if why == reason))
        because = f" ({reason})" if reason else ""
        yield from textwrap.wrap(f"not covered{because}: {names}", 120, subsequent_indent="  ")
    for op, cases in report.left_out.items():
        names = ", ".join(cases)
        yield from textwrap.wrap(f"not in {report.compat}: {op}: {names}", 120, subsequent_indent="  ")


def _truths(report: Report) -> list[str]:
    """What the results were held against, for each kind of number: the ops, with "m of n" where not all elements."""
    counts: dict[str, Counter[str]] = {}
    for result in report.results:
        if result.check == "bound":
            counts[result.op] = Counter()
            for count in result.truth.values():
                counts[result.op].update(count)
    lines = []
    for kind in (INTEGERS, FRACTIONS, MPMATH, DOUBLES):
        ops = [_part(op, count[kind], count.total()) for op, count in counts.items() if count[kind]]
        if ops:
            lines += textwrap.wrap(f"truth in {kind}: {', '.join(ops)}", 118, subsequent_indent="    ")
    return lines + sorted({f"note: {note}" for r in report.results for note in r.notes if note.startswith("mpmath")})


def _part(op: str, n: int, total: int) -> str:
    return op if n == total else f"{op} ({n:,} of {total:,})"


def _budgets(report: Report) -> list[str]:
    """For each op and dtype the element that used most of its error budget."""
    rows = [["op", "dtype", "budget", "at", "case", "expected", "got", "truth"]]
    for result in report.results:
        if result.check == "bound":
            rows += [
                [
                    result.op,
                    dtype,
                    f"{w.share:.3f}",
                    f"{w.kernel} {w.output}{list(w.index)}",
                    w.case,
                    repr(w.expected),
                    repr(w.got),
                    w.truth,
                ]
                for dtype, w in result.worst.items()
            ]
    return [*aligned(rows), ""] if len(rows) > 1 else []


def _discrepancies(report: Report) -> list[str]:
    found = list(report.discrepancies())
    if not found:
        return []
    lines, seen = [], set()
    for d in found[:SHOWN]:
        lines.append(str(d))
        lines += [f"    {line}" for line in d.terms]
        if d.repro and (d.op, d.check) not in seen:
            lines.append(f"    again: {d.repro}")
        seen.add((d.op, d.check))
    if len(found) > SHOWN:
        lines.append(f"... and {len(found) - SHOWN} more (--json has all)")
    return [*lines, ""]

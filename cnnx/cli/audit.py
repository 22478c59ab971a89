"""Judge a back end: hold every op against the reference and against mathematics.

Exit code 0: all agree; 1: a discrepancy; 2: usage; 3: nothing ran; 130: Ctrl-C.
"""

import argparse
import json
import math
import sys
from contextlib import ExitStack

from cnnx._processors import usable
from cnnx.audit import CHECKS, DTYPES, Kernel, Report, audit
from cnnx.audit.checks import ISOLATED
from cnnx.audit.compat import COMPAT
from cnnx.audit.contract import load
from cnnx.audit.isolation import isolated_file
from cnnx.audit.report.text import text
from cnnx.audit.run import again
from cnnx.audit.sides import PROPERTIES
from cnnx.audit.workers import TIMEOUT as ISOLATED_FOR
from cnnx.audit.workers import known_by_name
from cnnx.backend import registered_names

from . import _bits, _model, _order, _reports, _spot
from ._refused import refuse
from ._speaker import progress

SHRINK = 10.0  # seconds for each check's first discrepancy
TIMEOUT = 60.0
NOTHING_RAN = 3


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
    add(
        "--kernel",
        metavar="FILE.py[:NAME]",
        help="judge the kernels of a Python file instead of a back end: what cnnx.audit.kernel made of somebody's "
        "functions, each variable by itself, or those of a list together",
    )
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
    add(
        "--jobs",
        type=int,
        metavar="N",
        help="processes that share the work (default: one for each processor, of a single op one)",
    )
    add(
        "--self-test",
        nargs="?",
        const="mutants",
        choices=("mutants", "field"),
        help="judge the audit: does it catch bugs that are put in on purpose? field: those that libraries had and "
        "fixed, each rebuilt from its report",
    )
    _bits.add_arguments(parser)
    add("--no-speed", action="store_true", help="leave the speed-up out")
    add("--ledger", action="store_true", help="show all that was not tested")
    add("--json", action="store_true", help="print JSON, as cnnx/audit/report/schema.json describes it")
    _reports.add_arguments(parser)
    _spot.add_arguments(parser)
    _model.add_arguments(parser)
    _order.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Audit, print, and return the exit code."""
    if arguments.seed < 0:
        raise ValueError(f"--seed: expected an integer of at least 0, got {arguments.seed}")
    if arguments.model is not None:
        return _model.run(arguments, _timeout(arguments))
    _model.refuse_options(arguments)
    if arguments.order:
        _spot.refuse_options(arguments)
        return _order.run(arguments)
    if arguments.terms is not None:
        raise ValueError("--terms: expected --order with it, which has sums")
    if arguments.kernel is not None:
        names = ("backend", "dtype", "self_test", "shape", "shapes", "network")
        refuse("--kernel", arguments, names, "whose contract says what is judged")
    arguments.backend, arguments.against = arguments.backend or "optimized", arguments.against or "reference"
    if arguments.self_test:
        return _self_test(arguments)
    if _spot.asked(arguments):
        return _spot.run(arguments, _timeout(arguments))
    _spot.refuse_options(arguments)
    _reports.check(arguments)
    if arguments.kernel is None:
        return _judged(arguments, arguments.backend)
    with ExitStack() as stack:
        if arguments.isolated:
            timeout = _timeout(arguments)
            found = stack.enter_context(isolated_file(arguments.kernel, ISOLATED_FOR if timeout is None else timeout))
        else:
            found = load(arguments.kernel)
        return _by_contract(arguments, found)


def _by_contract(arguments: argparse.Namespace, found: dict[str, list[Kernel]]) -> int:
    """Judge each back end of a file of kernels."""
    files = [name for name in ("json", "report", "junit", "verdict", "save", "repro") if getattr(arguments, name)]
    if files and len(found) > 1:
        each = " or ".join(f"{arguments.kernel}:{name}" for name in found)
        raise ValueError(f"--{files[0]}: expected one back end with it, --kernel {each}, got {len(found)}")
    code = 0
    for i, kernels in enumerate(found.values()):
        print(end="\n" if i else "")
        code = max(code, _judged(arguments, kernels))
    return code


def _judged(arguments: argparse.Namespace, given: str | list[Kernel]) -> int:
    """Audit a back end, print, and return the exit code."""
    with known_by_name(given, isolated=arguments.isolated, limit=_timeout(arguments)) as backend:
        return _judged_by_name(arguments, backend)


def _judged_by_name(arguments: argparse.Namespace, backend: str) -> int:
    require = _bits.required(arguments)
    if arguments.repro is not None:
        return _again(arguments, backend)
    report = audit(
        arguments.op,
        dtypes=arguments.dtype or DTYPES,
        backend=backend,
        against=arguments.against,
        checks=PROPERTIES if arguments.reproducible else arguments.check,
        require=require,
        cases=arguments.case,
        compat=arguments.compat,
        search=arguments.search,
        search_cases=arguments.search_cases,
        timeout=_timeout(arguments),
        jobs=_jobs(arguments) if arguments.jobs is None else arguments.jobs,
        isolated=arguments.isolated,
        seed=arguments.seed,
        measure=not (arguments.no_speed or arguments.reproducible),
        shrink=0.0 if arguments.no_shrink or arguments.reproducible else SHRINK,
        progress=lambda op, check: progress(f"{op}: {check}"),
    )
    progress("")
    code = _print(report, arguments, arguments.check or list(ISOLATED if arguments.isolated else CHECKS))
    unasked = _bits.unasked(report, require)
    print(*unasked, sep="\n", end="\n" if unasked else "", file=sys.stderr)
    return code or (NOTHING_RAN if unasked else 0)


def _timeout(arguments: argparse.Namespace) -> float | None:
    if arguments.timeout is None:
        own = arguments.kernel is None and arguments.backend in ("optimized", "reference")
        return None if own else TIMEOUT
    if not 0 <= arguments.timeout < math.inf:
        raise ValueError(f"--timeout: expected a number of seconds of at least 0, got {arguments.timeout:g}")
    return arguments.timeout or None


def _jobs(arguments: argparse.Namespace) -> int:
    here = {arguments.backend, arguments.against} & {*registered_names()}
    single = len(arguments.op or ()) == 1 or arguments.kernel is not None
    return 1 if single or arguments.isolated or here else usable()


def _self_test(arguments: argparse.Namespace) -> int:
    from . import _field, _self_test  # mutants are of no use to an audit

    names = (
        "op",
        "check",
        "case",
        "dtype",
        "compat",
        "timeout",
        "jobs",
        "repro",
        "save",
        "budgets",
        "ledger",
        "report",
        "junit",
        "verdict",
        "baseline",
        "reproducible",
        "require",
        "search",
        "search_cases",
        "isolated",
    )
    refuse("--self-test", arguments, (*names, "shape", "shapes", "network"), "which takes what it needs")
    _spot.refuse_options(arguments)
    if (arguments.backend, arguments.against) != ("optimized", "reference"):
        raise ValueError("--self-test: expected no other back ends with it, since it puts bugs into the optimized one")
    return _field.run(arguments) if arguments.self_test == "field" else _self_test.run(arguments)


def _again(arguments: argparse.Namespace, backend: str) -> int:
    refuse(
        "--repro",
        arguments,
        ("op", "check", "case", "dtype", "reproducible", "search", "search_cases", "jobs"),
        "which says it",
    )
    if arguments.seed:
        raise ValueError("--seed: expected none with --repro, which says it")
    report = again(
        arguments.repro,
        backend=backend,
        against=arguments.against,
        compat=arguments.compat,
        require=_bits.required(arguments),
        timeout=_timeout(arguments),
        isolated=arguments.isolated,
    )
    return _print(report, arguments, [result.check for result in report.results])


def _print(report: Report, arguments: argparse.Namespace, checks: list[str]) -> int:
    """Print and write what was asked for; the exit code, that of the verdict if its timing finds what is wrong."""
    verdict = None
    try:
        verdict = _reports.verdict_of(report, arguments, _timeout(arguments))
        if arguments.verdict == _reports.STDOUT:
            print(json.dumps(verdict, indent=2))
        elif arguments.json:
            print(json.dumps(report.as_dict(), indent=2))
        elif arguments.reproducible:
            print("\n".join(_bits.lines(report)))
        else:
            print(text(report, checks, budgets=arguments.budgets, whole_ledger=arguments.ledger))
    finally:  # even where nobody reads the output to its end
        _reports.write(report, arguments, verdict)
    return report.verdict.code if verdict is None else int(verdict["exit_code"])

"""The whole audit: ops x checks x cases x dtypes."""

from collections.abc import Callable, Iterable
from typing import Any

from .. import native as _native
from ..ops import Case, Op
from . import elsewhere, known, repro
from .asked import check_names, effort_of, has_any, left_out, required_of, select, select_cases
from .checks import CHECKS, ISOLATED
from .contract import Kernel
from .isolation.timing import speed_up as isolated_speed_up
from .pool import Job
from .report.report import Report
from .report.result import Result
from .search.search import Effort
from .shrink import refusal
from .sides import Sides, promised
from .work import explained, mistrust_zeros
from .workers import LOAD, SPEED, in_force, workers_for

DTYPES = ("float32", "float64")


def audit(
    ops: Iterable[str] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    backend: str | Kernel | Iterable[Kernel] = "optimized",
    against: str = "reference",
    checks: Iterable[str] | None = None,
    require: Iterable[str] | None = None,
    cases: Iterable[str | Case] | None = None,
    compat: str | None = None,
    seed: int = 0,
    measure: bool = True,
    shrink: float = 0.0,
    search: float | None = None,
    search_cases: int | None = None,
    timeout: float | None = None,
    jobs: int = 1,
    isolated: bool = False,
    progress: Callable[[str, str], None] | None = None,
) -> Report:
    """Judge a back end: hold it against another and against mathematics.

    Parameters
    ----------
    ops : names of ops, or None for all of `cnnx.ops.OPS`; of kernels with contracts for all that they compute
    dtypes : of "float32", "float64"; contracts say theirs themselves
    backend : str, or what `kernel` made
        The back end under audit; or somebody's kernel with its contract, or several of one back end, which can be of
        several ops and their gradients.
    against : str
        The back end it is compared with.
    checks : names of checks, or None for all
        exact: equal on integers. bound: within a derived error bound on real numbers. special: NaN and infinities
        come out at the same places. gradient: central differences. dual: the reference's backward equations against
        dual numbers. adjoint: <A x, d> = <x, A* d>. worked: figures worked by hand.
        The same bits come of repeat: the same call again, the first one of a process too; threads: any number of them;
        batch: an image alone or at any place of a batch; layout: any memory layout of the input; alignment: any place
        in memory; isa: any instruction set that the back end can be held to, in processes of their own.
        search: cases that nobody wrote down, drawn at random, within their bound at some elements.
    require : names of checks of that second kind, or None for those that the back end promises
        Of these other bits are a failure; of the others a finding ("differs"), which leaves the report ok.
    cases : names of cases or `Case` objects, or None for all cases of the ops
        A name stands for the cases of that name of all chosen ops; a `Case` is for one op alone.
    compat : "paper", "torch", "onnx", "" or None
        The conventions to judge by, where libraries differ: `cnnx.audit.compat` has the table. "" are cnnx's own; None
        takes what the back end's kernels say of themselves, else cnnx's.
    seed : int
        Every random number comes from it: a case's numbers from the seed and the names of op, check, case and dtype.
    measure : bool
        Also measure how many times as fast as `against` the back end is.
    shrink : float
        Seconds to spend on each check's first discrepancy, to find the smallest case that still fails and write down
        the terms of the equation there. With 0 findings stay as they are.
    search, search_cases : float or None, int or None
        Seconds to search, by all `jobs` and shared by the ops, and cases of each op; whichever comes first. With
        neither, a few small cases of each op are drawn. The same seed draws the same cases in the same order, however
        long it lasts.
    timeout : float or None
        Seconds that a case may take. The work is done in a process of its own then, and a back end that hangs or
        crashes it is a discrepancy; a back end that was registered in this process is not known there.
    jobs : int
        How many processes share the work, each with a back end of its own; how fast it is is measured by one, while the
        others rest. With 1, and without `timeout`, all is done in this process.
    isolated : bool
        Run the back end under audit in a process of its own that never holds the truth: neither the reference, nor what
        others computed, nor the clock. Memory is shared, with guard pages about every array and inputs that can only be
        read; a kernel that hangs (`timeout`, 60 s if None) or dies is a finding about a case, and the next one gets a
        new process. A further check, isolation, looks for what is kept from one call to the next or left to a thread.
        Speed is measured on inputs of its own, whose results are judged, and not at all where something is wrong.
        It keeps mistakes and short cuts out; it is no sandbox for hostile code.
    progress : callable or None
        Called with the op's and the check's name before each check.

    Returns
    -------
    Report
        Its `ok` is False, too, where nothing ran of an op that was named.

    Raises
    ------
    ValueError
        An op, dtype, check, case, preset or back end of that name does not exist, or a list of names is empty;
        `against` is `backend`; a `Case` and more than one op; `timeout` or several `jobs` and a registered back end; a
        search without the check `search`, of chosen cases, or of less than nothing; `isolated` and a back end that
        another process cannot load, or several `jobs`, or kernels by contract that are no variables of a module.

    Examples
    --------
    >>> from cnnx.audit import audit
    >>> report = audit(["relu"], measure=False)
    >>> report.ok, report.ran > 100
    (True, True)
    """
    if not isinstance(backend, str):
        with in_force(backend, isolated=isolated, limit=timeout) as name:
            return audit(
                ops, dtypes=dtypes, backend=name, against=against, checks=checks, require=require, cases=cases,
                compat=compat, seed=seed, measure=measure, shrink=shrink, search=search, search_cases=search_cases,
                timeout=timeout, jobs=jobs, isolated=isolated, progress=progress,
            )  # fmt: skip
    chosen = select("op", ops, known.ops_of(backend))
    chosen_checks = select("check", checks, ISOLATED if isolated else CHECKS)
    required = required_of(require)
    kinds = tuple(select("dtype", dtypes, {name: name for name in DTYPES}).values())
    check_names(backend, against)
    wanted = select_cases(cases, chosen)
    if ops is None and wanted is not None:  # the ops that have them
        chosen = {name: op for name, op in chosen.items() if has_any(op, wanted)}
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, got {jobs}")
    much = effort_of(search, search_cases, jobs, chosen, chosen_checks, wanted)

    def begin(job: Job) -> None:
        if progress is not None:
            progress(*job[:2])

    own = known.own(backend)
    report = Report(
        backend, against, seed, flushing=_native.flushes(), asked=() if ops is None else tuple(chosen),
        contracts=[] if own is None else own.words(), isolated=isolated,
    )  # fmt: skip
    try:
        with _native.denormals(), workers_for(backend, against, timeout, jobs, isolated=isolated) as (judged, workers):
            sides = _sides(judged, against, compat, workers.do, required, backend if isolated else "")
            report.compat = sides.compat.name
            for op in chosen.values():
                lost = left_out(op, chosen_checks.values(), sides.compat)
                if lost:
                    report.left_out[op.name] = lost
            tasks = [
                (op.name, check.name, wanted, kinds if own is None else own.kinds(op.name), sides, seed, shrink, much)
                for op in chosen.values()
                for check in chosen_checks.values()
            ]
            for result in workers.each(tasks, begin):
                mistrust_zeros(result)
                report.results.append(result)
            # While nothing else runs; of a contract conversions would be measured.
            for op in chosen.values() if measure and own is None else ():
                if op.kernels:
                    begin((op.name, SPEED))
                    if isolated:
                        _measure_isolated(report, op, sides)
                        continue
                    times = workers.do(op.name, SPEED, sides, seed)
                    if isinstance(times, float):
                        report.speed_up[op.name] = times
    except KeyboardInterrupt:
        report.interrupted = True
    finally:
        elsewhere.end()
    return report


def again(
    words: str,
    *,
    backend: str | Kernel | Iterable[Kernel] = "optimized",
    against: str = "reference",
    compat: str | None = None,
    require: Iterable[str] | None = None,
    timeout: float | None = None,
    isolated: bool = False,
) -> Report:
    """Judge what a discrepancy's `repro` says, and nothing else.

    Parameters
    ----------
    words : str
        What stands behind --repro in a command, or in this call where a discrepancy gives it as Python: of a back end
        that was registered in the process, which no command line knows.
    backend, against, compat, require, timeout, isolated
        As `audit` takes them.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        The text is not what the audit prints, or names what does not exist.

    Examples
    --------
    >>> from cnnx.audit import again
    >>> again('{"op":"relu","check":"exact","case":"vector","dtype":"float32","seed":0}')
    <Report of optimized against reference: 2 cases of 1 op, all agree>
    """
    if not isinstance(backend, str):
        with in_force(backend, isolated=isolated, limit=timeout) as name:
            return again(
                words, backend=name, against=against, compat=compat, require=require, timeout=timeout, isolated=isolated
            )
    op, check, case, dtype, seed = repro.parse(words, backend)
    (chosen,) = select("check", [check], ISOLATED if isolated else CHECKS).values()
    own = known.own(backend)
    dtypes = chosen.dtypes or (DTYPES if own is None else own.kinds(op.name))
    if dtype not in dtypes:
        raise ValueError(f"--repro: expected 'dtype' to be one of {', '.join(dtypes)}, got {dtype!r}")
    refused = refusal(op, case, dtype)
    if refused is not None:
        raise ValueError(f"--repro: {op.name} does not take this case: {refused}")
    check_names(backend, against)
    required, flushing = required_of(require), _native.flushes()
    try:
        with _native.denormals(), workers_for(backend, against, timeout, isolated=isolated) as (judged, workers):
            sides = _sides(judged, against, compat, workers.do, required, backend if isolated else "")
            report = Report(
                backend, against, seed, sides.compat.name, flushing=flushing, isolated=isolated,
                contracts=[] if own is None else own.words(),
            )  # fmt: skip
            result = workers.do(op.name, check, [case], (dtype,), sides, seed, 0.0, Effort())
    finally:
        elsewhere.end()
    result.discrepancies[:1] = map(explained, result.discrepancies[:1])
    report.results.append(result)
    return report


def _measure_isolated(report: Report, op: Op, sides: Sides) -> None:
    """How fast an isolated back end is; not if anything of the op is wrong, or what it gives while it is measured."""
    bad = [result.check for result in report.results if result.op == op.name and result.failing]
    if bad:
        report.not_measured[op.name] = f"wrong by {', '.join(bad)}"
        return
    measure = isolated_speed_up(op, sides)
    if measure.result.failing:
        report.results.append(measure.result)
    if measure.times is None:
        report.not_measured[op.name] = measure.why
    else:
        report.speed_up[op.name] = measure.times


def _sides(
    backend: str,
    against: str,
    compat: str | None,
    do: Callable[..., Any],
    required: tuple[str, ...] | None,
    isolated: str,
) -> Sides:
    found = do("", LOAD, backend, compat)
    if isinstance(found, Result):
        raise ValueError(f"back end {backend!r} cannot be loaded: {found.discrepancies[0].what}")
    return Sides(backend, against, found, promised(isolated or backend) if required is None else required, isolated)

"""The whole audit: ops x checks x cases x dtypes."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from .. import backend as _backend
from .. import native as _native
from .._text import expected_one_of
from ..ops import Case, Op
from . import elsewhere, known, repro
from .checks import CHECKS, ISOLATED
from .compat import Compat, conventions
from .contract import Kernel, enter, in_force
from .isolation import LoadError, candidate
from .isolation import isolated as isolated_backend
from .isolation.timing import speed_up as isolated_speed_up
from .pool import Here, Job, Pool
from .report.report import Report
from .report.result import Result
from .search.search import Effort, effort
from .shrink import refusal
from .sides import PROPERTIES, Sides, promised
from .speed import speed_up
from .trial import Check
from .work import Say, explained, judge_op, mistrust_zeros

T = TypeVar("T")

DTYPES = ("float32", "float64")
CHECK_SEARCH = "search"
TIMEOUT = 60.0  # seconds that a case of an isolated back end may take, where nobody says so
LOAD, SPEED = "load", "speed"  # beside the checks: by which conventions the back end is judged, and how fast it is


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
        another process cannot load, or several `jobs`.

    Examples
    --------
    >>> from cnnx.audit import audit
    >>> report = audit(["relu"], measure=False)
    >>> report.ok, report.ran > 100
    (True, True)
    """
    if not isinstance(backend, str):
        with in_force(backend) as name:
            return audit(
                ops, dtypes=dtypes, backend=name, against=against, checks=checks, require=require, cases=cases,
                compat=compat, seed=seed, measure=measure, shrink=shrink, search=search, search_cases=search_cases,
                timeout=timeout, jobs=jobs, isolated=isolated, progress=progress,
            )  # fmt: skip
    chosen = _select("op", ops, known.ops_of(backend))
    chosen_checks = _select("check", checks, ISOLATED if isolated else CHECKS)
    required = _required(require)
    kinds = tuple(_select("dtype", dtypes, {name: name for name in DTYPES}).values())
    _check_names(backend, against)
    wanted = _select_cases(cases, chosen)
    if ops is None and wanted is not None:  # the ops that have them
        chosen = {name: op for name, op in chosen.items() if _has_any(op, wanted)}
    if jobs < 1:
        raise ValueError(f"jobs: expected at least 1, got {jobs}")
    much = _effort(search, search_cases, jobs, chosen, chosen_checks, wanted)

    def begin(job: Job) -> None:
        if progress is not None:
            progress(*job[:2])

    own = known.own(backend)
    report = Report(
        backend, against, seed, flushing=_native.flushes(), asked=() if ops is None else tuple(chosen),
        contracts=[] if own is None else own.words(), isolated=isolated,
    )  # fmt: skip
    try:
        with _native.denormals(), _workers(backend, against, timeout, jobs, isolated=isolated) as (judged, workers):
            sides = _sides(judged, against, compat, workers.do, required, backend if isolated else "")
            report.compat = sides.compat.name
            for op in chosen.values():
                lost = _left_out(op, chosen_checks.values(), sides.compat)
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
        with in_force(backend) as name:
            return again(
                words, backend=name, against=against, compat=compat, require=require, timeout=timeout, isolated=isolated
            )
    op, check, case, dtype, seed = repro.parse(words, backend)
    (chosen,) = _select("check", [check], ISOLATED if isolated else CHECKS).values()
    own = known.own(backend)
    dtypes = chosen.dtypes or (DTYPES if own is None else own.kinds(op.name))
    if dtype not in dtypes:
        raise ValueError(f"--repro: expected 'dtype' to be one of {', '.join(dtypes)}, got {dtype!r}")
    refused = refusal(op, case, dtype)
    if refused is not None:
        raise ValueError(f"--repro: {op.name} does not take this case: {refused}")
    _check_names(backend, against)
    required, flushing = _required(require), _native.flushes()
    try:
        with _native.denormals(), _workers(backend, against, timeout, isolated=isolated) as (judged, workers):
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


@contextmanager
def _workers(
    backend: str, against: str, timeout: float | None, jobs: int = 1, *, isolated: bool
) -> Iterator[tuple[str, Here | Pool]]:
    """The back end under audit, by a name that its kernels have while they are isolated; and who does what `_work`
    says: this process or, with a time limit or several at once, processes of their own."""
    if isolated:
        if jobs > 1:
            raise ValueError(f"jobs: expected 1 of an isolated back end, which is one process itself, got {jobs}")
        try:
            with isolated_backend(candidate(backend, TIMEOUT if timeout is None else timeout)) as name:
                yield name, Here(_work)
        except LoadError as error:
            raise ValueError(f"isolated: {error}") from None
        return
    if timeout is None and jobs == 1:
        yield backend, Here(_work)
        return
    what = "jobs" if timeout is None else "timeout"
    own = known.own(backend)
    origin = "" if own is None else own.origin
    for name in (backend, against):
        if name in _backend.registered_names() and not (name == backend and origin):
            raise ValueError(
                f"{what}: expected a back end that another process can load (by entry point, or the kernels of a "
                f"file), got {name!r}, which is registered in this one"
            )
    with Pool(partial(_work_of_file, origin) if origin else _work, timeout, jobs) as pool:
        yield backend, pool


def _work_of_file(origin: str, op_name: str, task: str, *job: Any, say: Say) -> Any:
    """`_work` in a process that knows the kernels of a file."""
    enter(origin)
    return _work(op_name, task, *job, say=say)


def _work(op_name: str, task: str, *job: Any, say: Say = lambda case, dtype, repro: None) -> Any:
    """All that a back end can hang in: it is loaded, one check of one op, how many times as fast it is."""
    if task == LOAD:
        return conventions(*job)
    (sides,) = (part for part in job if isinstance(part, Sides))
    op = known.op_of(sides.backend, op_name)
    if task == SPEED:
        say(op.bench[0].name, "float32", "")
        return speed_up(op, *job)
    return judge_op(op, ISOLATED[task], *job, say=say)


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


def _effort(
    seconds: float | None,
    cases: int | None,
    jobs: int,
    ops: dict[str, Op],
    checks: dict[str, Check],
    wanted: list[str | Case] | None,
) -> Effort:
    for name, value in (("search", seconds), ("search_cases", cases)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name}: expected more than 0, got {value}")
        if value is not None and CHECK_SEARCH not in checks:
            raise ValueError(f"{name}: expected {CHECK_SEARCH!r} among the checks, got {', '.join(checks)}")
        if value is not None and wanted is not None:
            raise ValueError(f"{name}: expected no cases with it, since it draws its own")
    shares = sum(bool(op.kernels) for op in ops.values())
    return effort(None if seconds is None else seconds * min(jobs, shares), cases, shares)


def _check_names(backend: str, against: str) -> None:
    for name in (backend, against):
        with _backend.use_backend(name):
            pass  # an unknown name is an error now, not a discrepancy later
    if backend == against:
        raise ValueError(f"against: expected another back end than {backend!r}, got the same")


def _required(names: Iterable[str] | None) -> tuple[str, ...] | None:
    """The properties that are asked for by name, which may be none; None for those that the back end promises."""
    if names is None:
        return None
    chosen = (names,) if isinstance(names, str) else tuple(names)
    for name in chosen:
        if name not in PROPERTIES:
            raise ValueError(f"require: expected some of {', '.join(PROPERTIES)}, got {name!r}")
    return chosen


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


def _left_out(op: Op, checks: Iterable[Check], compat: Compat) -> list[str]:
    """The cases that no check takes by these conventions."""
    taken: dict[str, bool] = {}
    for check in (check for check in checks if not check.draws):
        for case in check.cases(op):
            adapted = compat.adapted(op, case)
            taken[case.name] = taken.get(case.name, False) or (adapted is not None and check.takes(op, adapted))
    return [name for name, any_takes in taken.items() if not any_takes]


def _select_cases(cases: Iterable[str | Case] | None, ops: dict[str, Op]) -> list[str | Case] | None:
    if cases is None:
        return None
    wanted: list[str | Case] = [cases] if isinstance(cases, (str, Case)) else list(cases)
    if not wanted:
        raise ValueError("cases: expected some, got none")
    names = {case.name: case for op in ops.values() for case in (*op.cases, *op.bench)}
    _select("case", [case for case in wanted if isinstance(case, str)] or None, names)
    if any(isinstance(case, Case) for case in wanted) and len(ops) != 1:
        raise ValueError(f"cases: expected one op for a Case, got {', '.join(ops)}")
    return wanted


def _has_any(op: Op, wanted: list[str | Case]) -> bool:
    return any(case.name in wanted for check in CHECKS.values() if not check.draws for case in check.cases(op))


def _select(what: str, names: Iterable[str] | None, known: dict[str, T]) -> dict[str, T]:
    if names is None:
        return known
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not chosen:
        raise ValueError(f"{what}: expected some of {', '.join(known)}, got none")
    for name in chosen:
        if name not in known:
            raise ValueError(f"{what}: {expected_one_of(known, name)}")
    return {name: known[name] for name in chosen}

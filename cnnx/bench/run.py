"""One run: audits what is to be timed, measures it beside its yardsticks, and makes the record."""

import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from .. import native as _native
from ..audit import audit
from .against import BASE, InTurns
from .builds import Build
from .cases import Cases
from .figures import BY_NAME, Call, call_of
from .fingerprint import commit_of, fingerprint, versions
from .measure import OURS, Rounds, Side
from .process import OURS as OUR_FOLDER
from .process import Worker, WorkerError, environment
from .record import LIMIT, Figure, Record
from .targets import judge
from .turns import Say

ROUNDS = 10
AUDITED = ("exact", "bound", "layout", "gradient", "adjoint", "worked")  # the audit's checks that take seconds


def trusted(
    figures: Sequence[Figure], say: Callable[[str], None], folder: Path = OUR_FOLDER
) -> tuple[list[Figure], list[str]]:
    """The figures of those ops that pass the audit, and the names of the others: what computes wrong is not timed.

    Parameters
    ----------
    figures : sequence of Figure
    say : callable
        Told what is audited.
    folder : Path
        Where the cnnx that is to be timed is imported from.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C, which an audit keeps to itself: what was not judged to its end is not wrong.
    WorkerError
        The cnnx of another folder could not be audited.
    """
    wrong = []
    for op in dict.fromkeys(figure.op for figure in figures if figure.op in BY_NAME):
        say(f"auditing {op}")
        dtypes = tuple(dict.fromkeys(figure.dtype for figure in figures if figure.op == op))
        if not (_passes(op, dtypes) if folder == OUR_FOLDER else _passes_in(folder, op, dtypes)):
            wrong.append(op)
    return [figure for figure in figures if figure.op not in wrong], wrong


def _passes(op: str, dtypes: Sequence[str]) -> bool:
    report = audit([op], dtypes=dtypes, checks=AUDITED, measure=False, shrink=0.0)
    if report.interrupted:
        raise KeyboardInterrupt
    return report.ok


def _passes_in(folder: Path, op: str, dtypes: Sequence[str]) -> bool:
    """The same of a build, by its own audit."""
    options = [*(f"--check={name}" for name in AUDITED), *(f"--dtype={name}" for name in dtypes)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cnnx", "audit", f"--op={op}", "--no-speed", "--no-shrink", *options],
        env=environment(1, _native.instruction_set(), folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode not in (0, 1):
        raise WorkerError(f"auditing {op} in {folder} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.returncode == 0


def check_peers(peers: Sequence[str]) -> None:
    """Raise what `run` would raise of a peer at its start: to be asked before long work.

    Raises
    ------
    AbsentError
        A peer is not installed.
    """
    for name in peers:
        Worker(name, environment(1, _native.instruction_set())).close()


def side(worker: str = OURS, folder: Path = OUR_FOLDER, *, must_agree: bool = True, keep_memory: bool = True) -> Side:
    """A side of a comparison: a peer, or cnnx out of a folder, with the instruction set of this process."""
    instruction_set = _native.instruction_set()
    return Side(
        worker, lambda threads: environment(threads, instruction_set, folder, keep_memory=keep_memory), must_agree
    )


def in_turns(call: Callable[[Figure], Call] = call_of) -> InTurns:
    """What `against` wants of builds of cnnx; `call` is as `Rounds` has it."""

    def made(base: Build, tree: Build, figures: Sequence[Figure], folder: Path, say: Say) -> Rounds:
        sides = {BASE: side(folder=base.folder, must_agree=False)}
        ours = side(folder=tree.folder)
        return Rounds(figures, ours, sides, folder, limits=False, with_reference=False, call=call, say=say)

    return made


def _parts(
    figures: Sequence[Figure], peers: Sequence[str], cases: Cases | None
) -> list[tuple[Sequence[Figure], Sequence[str], bool]]:
    """Figures, the peers beside which they are measured, and whether the limit is."""
    if cases is None:
        return [(figures, peers, True)]
    beside_limit = [figure for figure in figures if cases.beside(figure) == LIMIT]
    others = [figure for figure in figures if figure not in beside_limit]
    return [(others, peers, False), (beside_limit, (), True)]


def run(
    figures: Sequence[Figure],
    peers: Sequence[str] = (),
    rounds: int = ROUNDS,
    say: Callable[[int, int, Figure], None] = lambda done, total, figure: None,
    command: str = "",
    cases: Cases | None = None,
    keep_memory: bool = True,
) -> tuple[Record, dict[Figure, str]]:
    """Measure figures beside the machine's limit, the reference and peers.

    Ctrl-C ends it: the record then has what was measured, and says that it was interrupted.

    Parameters
    ----------
    figures : sequence of Figure
    peers : sequence of str
    rounds : int
    say : callable
        Told of each figure before it is measured.
    command : str
        The command line, for the record.
    cases : Cases, optional
        The file that the figures are of. Each is then measured beside the peers, or beside the limit if its group
        says so, and the record says which targets are reached.
    keep_memory : bool
        False: freed memory may go back to the system after every call, as by glibc's defaults.

    Returns
    -------
    record : Record
    failed : dict
        Why a figure could not be measured.

    Raises
    ------
    AbsentError
        A peer is not installed.
    ValueError
        A case of the file has arrays or options that its op does not take.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = Record(fingerprint(), commit=commit_of(OUR_FOLDER), date=now, command=command)
    with ExitStack() as stack:
        parts = [
            Rounds(
                some,
                side(keep_memory=keep_memory),
                {name: side(name, keep_memory=keep_memory) for name in others},
                Path(stack.enter_context(tempfile.TemporaryDirectory())),
                limits=limits,
                with_reference=cases is None,
                call=call_of if cases is None else cases.call_of,
                say=say,
            )
            for some, others, limits in _parts(figures, peers, cases)
        ]
        try:
            if cases is not None:
                for part in parts:
                    part.prepare()
            for part in parts:
                part.run(rounds)
        except KeyboardInterrupt:
            record.interrupted = True
        found = {measured.figure: measured for part in parts for measured in part.found}
        record.figures = [found[figure] for figure in figures if figure in found]
        record.limits = {threads: limit for part in parts for threads, limit in part.limits.items()}
        record.versions = versions()
        if cases is not None:
            record.targets = judge(record, cases, peers) | {
                "sides": {n: a for part in parts for n, a in part.abouts.items()}
            }
    return record, {figure: why for part in parts for figure, why in part.failed.items()}

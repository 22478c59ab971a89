"""One run: audits what is to be timed, measures it beside its yardsticks, and makes the record."""

import datetime
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .. import native as _native
from ..audit import audit
from .fingerprint import commit_of, fingerprint, versions
from .measure import OURS, Rounds, Side
from .process import OURS as OUR_FOLDER
from .process import Worker, WorkerError, environment
from .record import Figure, Record

ROUNDS = 10
PEERS = ("torch", "onnxruntime", "numpy")
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
    for op in dict.fromkeys(figure.op for figure in figures):
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


def side(worker: str = OURS, folder: Path = OUR_FOLDER, *, must_agree: bool = True) -> Side:
    """A side of a comparison: a peer, or cnnx out of a folder, with the instruction set of this process."""
    instruction_set = _native.instruction_set()
    return Side(worker, lambda threads: environment(threads, instruction_set, folder), must_agree)


def run(
    figures: Sequence[Figure],
    peers: Sequence[str] = (),
    rounds: int = ROUNDS,
    say: Callable[[int, int, Figure], None] = lambda done, total, figure: None,
    command: str = "",
) -> tuple[Record, dict[Figure, str]]:
    """Measure figures beside the machine's limit, the reference and peers.

    Ctrl-C ends it: the record then has what was measured, and says that it was interrupted.

    Returns
    -------
    record : Record
    failed : dict
        Why a figure could not be measured.

    Raises
    ------
    AbsentError
        A peer is not installed.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = Record(fingerprint(), commit=commit_of(OUR_FOLDER), date=now, command=command)
    with tempfile.TemporaryDirectory() as folder:
        measuring = Rounds(figures, side(), {name: side(name) for name in peers}, Path(folder), say=say)
        try:
            measuring.run(rounds)
        except KeyboardInterrupt:
            record.interrupted = True
        record.figures, record.limits = measuring.found, measuring.limits
        record.versions = versions()
    return record, measuring.failed

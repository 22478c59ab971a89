"""Time every op beside the machine's limit, the reference and other libraries; find regressions.

Exit code 0: fine; 1: a regression, or an op that computes wrong; 2: usage; 3: nothing to compare; 130: Ctrl-C.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnnx._files import check_replaceable, replacing
from cnnx._text import time_left
from cnnx.bench.against import AGAIN, LEVEL, against
from cnnx.bench.against import ROUNDS as SCREENING
from cnnx.bench.budgets import find
from cnnx.bench.builds import Repository
from cnnx.bench.figures import DIRECTIONS, chosen, usable_threads
from cnnx.bench.fingerprint import fingerprint
from cnnx.bench.process import OURS
from cnnx.bench.record import LIMIT, REFERENCE, Figure, Record, load_json, write_json
from cnnx.bench.run import PEERS, ROUNDS, check_peers, trusted
from cnnx.bench.run import run as measure

from . import _bench_text, _compared
from ._history import lines as history_lines
from ._speaker import progress

DTYPES = ("float32", "float64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx bench`."""
    what = parser.add_argument_group("what is timed").add_argument
    what("--op", action="append", metavar="NAME", help="an op; may be given again; default: all")
    what("--case", action="append", metavar="NAME", help="a bench case of the ops; may be given again; default: all")
    what("--direction", choices=DIRECTIONS, help="default: both")
    what("--dtype", choices=DTYPES, help="default float32")
    what("--threads", type=_threads, nargs="+", metavar="N", help="default: 1 and all; with --against: 1")
    what(
        "--rounds",
        type=_rounds,
        metavar="N",
        help=f"default {ROUNDS}; with --against {SCREENING}, {AGAIN} for suspects",
    )
    what("--vs", action="append", choices=PEERS, default=[], help="a library to compare with; may be given again")
    how = parser.add_argument_group("what it is compared with").add_argument
    how("--compare", nargs="+", metavar="FILE", help="two files of --json or of pytest-benchmark, or one and a run now")
    how("--across-machines", action="store_true", help="compare files of different machines all the same")
    how("--by", metavar="YARDSTICK", help=f"the ratio that decides: {LIMIT}, {REFERENCE}, {', '.join(PEERS)}")
    how(
        "--baseline",
        metavar="NAME",
        help="the benchmark whose time is the unit, in files of pytest-benchmark; with "
        "--history: the record that is drawn beside",
    )
    how(
        "--against",
        nargs="?",
        const="",
        metavar="REV",
        help="build a commit beside the working tree and measure both in turns (default: the last tag, or main)",
    )
    how("--budgets", type=Path, metavar="FILE", help="how much slower counts (default benchmarks/budgets.toml)")
    where = parser.add_argument_group("what is written").add_argument
    where("--json", nargs="?", const="-", metavar="FILE", help="the run, or what was found, to a file or printed")
    where("--record", type=Path, metavar="FILE", help="append the run to a history, a file of JSON lines")
    where("--history", type=Path, metavar="FILE", help="show a history instead of measuring")
    where("--report", type=Path, metavar="FILE.html", help="with --history: draw it, as one page")
    where("--verbose", action="store_true", help="show what did not change too")


def run(arguments: argparse.Namespace) -> int:
    """Measure or compare, print, and return the exit code."""
    _check(arguments)
    if arguments.history is not None:
        return _history(arguments)
    if arguments.against is not None:
        return _against(arguments)
    if arguments.compare is not None:
        return _compare(arguments)
    figures = _figures(arguments, _all_threads())
    record, code = _measured(figures, arguments.vs, arguments)
    if arguments.json != "-":
        print("\n".join(_bench_text.table(record)))
    return code


# What each option goes with; without any of these the command times and prints a table.
MODES = ("compare", "against", "history")
TIMES = ("a run", "--against")
GOES_WITH = {
    **dict.fromkeys(("op", "case", "direction", "dtype", "threads"), TIMES),
    "rounds": (*TIMES, "--compare"),
    "vs": ("a run",),
    "json": (*TIMES, "--compare"),
    "record": ("a run", "--compare"),
    **dict.fromkeys(("across_machines", "by"), ("--compare",)),
    "baseline": ("--compare", "--history"),
    "verbose": ("--compare", "--against"),
    "budgets": ("--compare", "--against", "--history"),
    "report": ("--history",),
}


def _check(arguments: argparse.Namespace) -> None:
    """Raise, before minutes of work, where options do not go together or a file cannot be written."""
    modes = [name for name in MODES if getattr(arguments, name) is not None]
    if len(modes) > 1:
        raise ValueError(f"--{modes[1]}: expected none with --{modes[0]}, which asks something else")
    mode = f"--{modes[0]}" if modes else "a run"
    for name, allowed in GOES_WITH.items():
        if mode not in allowed and getattr(arguments, name, None) not in (None, False, []):
            wanted = " or ".join(each for each in allowed if each.startswith("-"))
            where = f"with {mode}" if modes else f"without {wanted}"
            raise ValueError(f"--{name.replace('_', '-')}: expected none {where}")
    if arguments.compare is not None and len(arguments.compare) > 2:
        raise ValueError(f"--compare: expected one or two files, got {len(arguments.compare)}")
    if arguments.compare is not None and len(arguments.compare) == 2 and (arguments.record or arguments.rounds):
        raise ValueError("--rounds, --record: expected none with two files, as nothing is measured then")
    if arguments.record is not None:
        from cnnx.bench.history import check

        check(arguments.record)
    paths = [path for path in (arguments.json, arguments.record, arguments.report) if path not in (None, "-")]
    for path in paths:
        check_replaceable(path)
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("--record: expected another file than --json's")
    read = [path for path in (arguments.history, arguments.baseline) if path is not None]
    if arguments.report is not None and os.path.realpath(arguments.report) in map(os.path.realpath, read):
        raise ValueError("--report: expected another file than those of --history and --baseline")


def _threads(text: str) -> int:
    return _integer(text, 1024)


def _rounds(text: str) -> int:
    return _integer(text, 10_000)


def _integer(text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 to {most}, got {text!r}")
    return int(text)


def _all_threads() -> list[int]:
    return list(dict.fromkeys((1, usable_threads())))


def _figures(arguments: argparse.Namespace, threads: Sequence[int]) -> list[Figure]:
    directions = DIRECTIONS if arguments.direction is None else [arguments.direction]
    return chosen(
        arguments.op,
        arguments.case,
        directions,
        dict.fromkeys(arguments.threads or threads),
        [arguments.dtype or DTYPES[0]],
    )


def _measured(figures: Sequence[Figure], peers: Sequence[str], arguments: argparse.Namespace) -> tuple[Record, int]:
    """A run, written where it was asked for, and its exit code."""
    peers = list(dict.fromkeys(peers))
    check_peers(peers)
    figures, code = _trusted(figures)
    try:
        record, failed = measure(figures, peers, arguments.rounds or ROUNDS, _Clock(), arguments.command)
    finally:
        progress("")
    for figure, why in failed.items():
        _bench_text.warn(f"{figure}: not measured: {why}")
        code = 1
    if record.interrupted:
        _bench_text.warn("interrupted: this is what was measured")
        code = 130
    elif not record.figures and not code:
        code = 3
    if arguments.json is not None:
        _write_json(record.as_dict(), arguments.json)
    if arguments.record is not None and record.figures:
        from cnnx.bench.history import append

        append(arguments.record, record)
    return record, code


def _write_json(found: dict[str, Any], path: str) -> None:
    """To a file, or for "-" to stdout."""
    if path == "-":
        print(json.dumps(found, indent=1))
    else:
        write_json(found, path)


def _trusted(figures: Sequence[Figure], folder: Path = OURS) -> tuple[list[Figure], int]:
    """The figures whose ops compute what they should; 1 if that was not all."""
    try:
        kept, wrong = trusted(figures, progress, folder)
    finally:
        progress("")
    for op in wrong:
        _bench_text.warn(f"{op}: not timed, since its audit fails: cnnx audit --op {op} says where")
    return kept, 1 if wrong else 0


class _Clock:
    """Says what is measured now, and how long the rest may take."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int, total: int, figure: Figure) -> None:
        if done == 0:
            self._start = time.monotonic()
        left = ""
        if done:
            left = f", {time_left((time.monotonic() - self._start) * (total - done) / done)} left"
        progress(f"{100 * done // total} %{left}: {figure}")


def _compare(arguments: argparse.Namespace) -> int:
    from cnnx.bench.compare import compare
    from cnnx.bench.foreign import read_any

    base = read_any(arguments.compare[0], baseline=arguments.baseline)
    code = 0
    if len(arguments.compare) == 2:
        new = read_any(arguments.compare[1], baseline=arguments.baseline)
    elif arguments.across_machines or base.fingerprint == fingerprint():
        new, code = _again(base, arguments)
    else:  # which is said without minutes of work
        new = Record(fingerprint())
    budgets = find(arguments.budgets, (base, new))
    comparison = compare(base, new, budgets, by=arguments.by, across_machines=arguments.across_machines)
    two_files = len(arguments.compare) == 2
    if arguments.json != "-" or not two_files:  # stdout has one JSON document, here the new run's, or words
        say = _bench_text.warn if arguments.json == "-" else print
        say("\n".join(_compared.lines(comparison, verbose=arguments.verbose)))
    if two_files and arguments.json is not None:
        _write_json(comparison.as_dict(), arguments.json)
    return code or comparison.exit_code


def _again(base: Record, arguments: argparse.Namespace) -> tuple[Record, int]:
    """What a record has, measured now."""
    known = set(chosen(None, None, None, {f.figure.threads for f in base.figures}, DTYPES))
    figures = [measured.figure for measured in base.figures if measured.figure in known]
    peers = {name for measured in base.figures for name in measured.ratios} & set(PEERS)
    return _measured(figures, sorted(peers), arguments)


def _against(arguments: argparse.Namespace) -> int:
    repository = Repository()
    budgets = find(arguments.budgets, folder=repository.root)  # also where a folder within it is the current one
    revision = arguments.against or repository.last()
    repository.commit(revision)
    figures = _figures(arguments, [1])
    instruction_set = _bench_text.instruction_set()
    base = repository.build(revision, instruction_set, _bench_text.warn)
    tree = repository.build(None, instruction_set, _bench_text.warn)
    figures, code = _trusted(figures, tree.folder)
    try:
        outcome = against(base, tree, figures, budgets, arguments.rounds or SCREENING, AGAIN, _Clock())
    finally:
        progress("")
    if arguments.json != "-":
        print("\n".join(_bench_text.outcome(outcome, budgets, LEVEL, verbose=arguments.verbose)))
    if arguments.json is not None:
        _write_json(_bench_text.outcome_as_dict(outcome, budgets, LEVEL), arguments.json)
    if outcome.interrupted:
        return 130
    if outcome.regressions or outcome.failed:
        return 1
    return code or (0 if outcome.ratios else 3)


def _history(arguments: argparse.Namespace) -> int:
    from cnnx.bench.curves import curves
    from cnnx.bench.history import read

    baseline, path = None, arguments.baseline
    if path is not None:
        baseline = Record.from_dict(load_json(path), path)
    machines = curves(read(arguments.history), find(arguments.budgets), baseline)
    if arguments.report is None:
        print("\n".join(history_lines(machines)))
        return 0
    from cnnx.bench.page import page

    text = page(machines, command=arguments.command)
    with replacing(arguments.report) as file:
        file.write(text.encode())
    return 0

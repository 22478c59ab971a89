"""The options of `cnnx bench`, and which of them go together."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cnnx import native
from cnnx._files import check_replaceable
from cnnx.bench.against import AGAIN
from cnnx.bench.against import ROUNDS as SCREENING
from cnnx.bench.counting import CALLGRIND, CountingError, means
from cnnx.bench.figures import DIRECTIONS
from cnnx.bench.record import LIMIT, PEERS, REFERENCE
from cnnx.bench.run import ROUNDS

DTYPES = ("float32", "float64")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `cnnx bench`."""
    what = parser.add_argument_group("what is timed").add_argument
    what(
        "--cases",
        type=Path,
        metavar="FILE",
        help="the figures of a file, with their targets, instead of the ops' cases",
    )
    what("--group", action="append", metavar="NAME", help="a group of --cases; may be given again; default: all")
    what("--op", action="append", metavar="NAME", help="an op; may be given again; default: all")
    what(
        "--case",
        action="append",
        metavar="NAME",
        help="a bench case of the ops, or a figure (* for any letters) of another project; may be given again",
    )
    what("--direction", choices=DIRECTIONS, help="default: both")
    what("--dtype", choices=DTYPES, help="default float32; with --cases: both")
    what("--threads", type=_threads, nargs="+", metavar="N", help="default: 1 and all; with --against: 1")
    what(
        "--rounds",
        type=_rounds,
        metavar="N",
        help=f"default {ROUNDS}; with --against {SCREENING}, {AGAIN} for suspects",
    )
    what("--vs", action="append", choices=PEERS, default=[], help="a library to compare with; may be given again")
    what("--isa", choices=("v2", "v3", "v4"), help="kernels for this instruction set, and torch limited to it")
    what("--default-malloc", action="store_true", help="let freed memory go back to the system after every call")
    what("--memory", action="store_true", help="measure the memory that convolutions of --cases need, and nothing else")
    how = parser.add_argument_group("what it is compared with").add_argument
    how(
        "--compare",
        nargs="+",
        metavar="FILE",
        help="two files of --json, pytest-benchmark, asv, Google Benchmark, hyperfine or pyperf, or one and a run now",
    )
    how("--across-machines", action="store_true", help="compare files of different machines all the same")
    how("--by", metavar="YARDSTICK", help=f"the ratio that decides: {LIMIT}, {REFERENCE}, {', '.join(PEERS)}")
    how(
        "--baseline",
        metavar="NAME",
        help="the benchmark whose time is the unit, in files of other tools; with --history: the record that is drawn "
        "beside",
    )
    how(
        "--against",
        nargs="?",
        const="",
        metavar="REV",
        help="build a commit beside the working tree and measure both in turns (default: the last tag, or main)",
    )
    how("--pytest", metavar="PATH", help="with --against: a project's own tests that use the fixture benchmark")
    how(
        "--count",
        choices=("instructions", "misses"),
        help="with --against: count these instead of timing, by the processor or by callgrind (valgrind)",
    )
    how(
        "--bisect",
        action="store_true",
        help="name the commit: with --against of what is slower, with --history of the newest machine's drifts",
    )
    how("--budgets", type=Path, metavar="FILE", help="how much slower counts (default benchmarks/budgets.toml)")
    where = parser.add_argument_group("what is written").add_argument
    where("--json", nargs="?", const="-", metavar="FILE", help="the run, or what was found, to a file or printed")
    where("--benchmark-json", type=Path, metavar="FILE", help="the run as pytest-benchmark writes it, to a file")
    where("--markdown", type=Path, metavar="FILE", help="a comparison's summary for a pull request, to a file")
    where("--junit", type=Path, metavar="FILE", help="a comparison as JUnit XML, to a file")
    where("--github", action="store_true", help="annotations, and the summary to $GITHUB_STEP_SUMMARY if that is set")
    where("--record", type=Path, metavar="FILE", help="append the run to a history, a file of JSON lines")
    where(
        "--history",
        type=Path,
        metavar="FILE",
        help="show a history, or a folder of other tools' files, instead of measuring",
    )
    where("--report", type=Path, metavar="FILE.html", help="with --history: draw it, as one page")
    where("--verbose", action="store_true", help="show what did not change too")


# What each option goes with; without any of these the command times and prints a table.
MODES = ("compare", "against", "history", "memory")
TIMES = ("a run", "--against")
WRITTEN = ("json", "benchmark_json", "record", "report", "markdown", "junit")  # files
CHOICE = ("cases", "group", "op", "case", "direction", "dtype", "threads", "isa")
GOES_WITH = {
    **dict.fromkeys(CHOICE, (*TIMES, "--memory")),
    "cases": (*TIMES, "--memory", "--history"),
    "rounds": (*TIMES, "--compare", "--history"),
    **dict.fromkeys(("vs", "default_malloc"), ("a run",)),
    "json": (*TIMES, "--compare"),
    **dict.fromkeys(("markdown", "github", "junit"), ("--compare", "--against")),
    "record": ("a run", "--compare", "--against"),
    "benchmark_json": ("a run", "--compare"),
    **dict.fromkeys(("across_machines", "by"), ("--compare",)),
    "count": ("--against",),
    **dict.fromkeys(("bisect", "pytest"), ("--against", "--history")),
    "baseline": ("--compare", "--history"),
    "verbose": ("--compare", "--against"),
    "budgets": ("--compare", "--against", "--history"),
    "report": ("--history",),
}


def check(arguments: argparse.Namespace) -> None:
    """Raise, before minutes of work, where options do not go together or a file cannot be written."""
    modes = [name for name in MODES if getattr(arguments, name) not in (None, False)]
    if len(modes) > 1:
        raise ValueError(f"--{modes[1]}: expected none with --{modes[0]}, which asks something else")
    mode = f"--{modes[0]}" if modes else "a run"
    for name, allowed in GOES_WITH.items():
        if mode not in allowed and getattr(arguments, name, None) not in (None, False, []):
            wanted = " or ".join(each for each in allowed if each.startswith("-"))
            where = f"with {mode}" if modes else f"without {wanted}"
            raise ValueError(f"--{name.replace('_', '-')}: expected none {where}")
    if arguments.history is not None:
        for name in ("cases", "pytest", "rounds"):
            if getattr(arguments, name) is not None and not arguments.bisect:
                raise ValueError(
                    f"--{name}: with --history expected beside --bisect alone, as nothing else is measured"
                )
        if arguments.bisect and arguments.report is not None:
            raise ValueError("--bisect: expected none with --report, which draws what was recorded")
    for name in ("group", "memory"):
        if getattr(arguments, name) and arguments.cases is None:
            raise ValueError(f"--{name}: expected --cases FILE beside it")
    if arguments.compare is not None and len(arguments.compare) > 2:
        raise ValueError(f"--compare: expected one or two files, got {len(arguments.compare)}")
    if (
        arguments.compare is not None
        and len(arguments.compare) == 2
        and (arguments.record or arguments.rounds or arguments.benchmark_json)
    ):
        raise ValueError("--rounds, --record, --benchmark-json: expected none with two files: nothing is measured then")
    if arguments.record is not None:
        from cnnx.bench.history import check

        check(arguments.record)
    written = (getattr(arguments, name) for name in WRITTEN)
    paths = [path for path in written if path not in (None, "-")]
    for path in paths:
        check_replaceable(path)
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("--json, --record, --markdown, ...: expected a file of its own for each")
    read = [path for path in (arguments.history, arguments.baseline) if path is not None]
    if arguments.report is not None and os.path.realpath(arguments.report) in map(os.path.realpath, read):
        raise ValueError("--report: expected another file than those of --history and --baseline")
    if arguments.count is not None:
        arguments.counted_by = _counter(arguments)
    if arguments.isa is not None:
        _use(arguments.isa, arguments.vs)


def _counter(arguments: argparse.Namespace) -> str:
    """What counts here; callgrind knows no AVX-512, so that kernels for it give way to the next best."""
    try:
        found = means()
    except CountingError as error:
        raise ValueError(f"--count: {error}") from None
    if found == CALLGRIND:
        if arguments.isa == "v4":
            raise ValueError("--isa: expected v2 or v3 with --count, as callgrind has no AVX-512, got 'v4'")
        if arguments.isa is None and os.environ.get("CNNX_ISA", "") in ("", "v4"):
            _use([name for name in native.instruction_sets() if name != "v4"][-1], ())
    return found


def _threads(text: str) -> int:
    return _integer(text, 1024)


def _rounds(text: str) -> int:
    return _integer(text, 10_000)


def _integer(text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected an integer from 1 to {most}, got {text!r}")
    return int(text)


def _use(isa: str, peers: Sequence[str]) -> None:
    """Kernels for this instruction set, from now on."""
    os.environ["CNNX_ISA"] = isa
    if native.instruction_set() != isa:
        raise ValueError(f"--isa: expected {native.instruction_set()}, whose kernels are in use already, got {isa!r}")
    free = [name for name in peers if name != "torch"]
    if free and isa != native.instruction_sets()[-1]:
        raise ValueError(f"--isa: expected no --vs {free[0]}, which cannot be limited to an instruction set")

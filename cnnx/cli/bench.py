"""Time every op beside the machine's limit, the reference and other libraries; find regressions.

Exit code 0: fine, whether targets are reached or not; 1: a regression, an op or a peer that computes something else, a
figure that could not be measured; 2: usage; 3: nothing to compare; 130: Ctrl-C.
"""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnx._files import replacing
from cnnx._text import time_left
from cnnx.bench.against import AGAIN, LEVEL, Outcome, against
from cnnx.bench.against import ROUNDS as SCREENING
from cnnx.bench.budgets import find
from cnnx.bench.builds import Build, Repository, is_ours
from cnnx.bench.cases import Cases
from cnnx.bench.cases_file import read
from cnnx.bench.counted import ROUNDS as FEW
from cnnx.bench.counted import counted
from cnnx.bench.counting import INSTRUCTIONS, MISSES
from cnnx.bench.figures import call_of, chosen, usable_threads
from cnnx.bench.fingerprint import commit_of, fingerprint, versions
from cnnx.bench.foreign.to_pytest import as_pytest
from cnnx.bench.git import Checkout
from cnnx.bench.junit import junit
from cnnx.bench.process import OURS
from cnnx.bench.record import PEERS, Figure, Record, load_json, write_json
from cnnx.bench.run import ROUNDS, check_peers, in_turns, trusted
from cnnx.bench.run import run as measure
from cnnx.bench.statistic import rounds_to_be_slower
from cnnx.bench.summary import Summary, annotations, markdown
from cnnx.bench.targets import WRONG

from . import _bench_text, _bisected, _compared, _project, _targets
from ._bench_options import DTYPES, check
from ._bench_options import add_arguments as add_arguments  # of the command
from ._history import lines as history_lines
from ._project import Plan
from ._speaker import progress


def run(arguments: argparse.Namespace) -> int:
    """Measure or compare, print, and return the exit code."""
    check(arguments)
    if arguments.history is not None:
        return _history(arguments)
    if arguments.against is not None:
        return _against(arguments)
    if arguments.compare is not None:
        return _compare(arguments)
    figures, cases = _figures(arguments, _all_threads())
    if arguments.memory and cases is not None:
        print("\n".join(_targets.memory(figures, cases)))
        return 0
    if cases is not None:
        _targets.check(figures, cases, arguments.vs)
    record, code = _measured(figures, arguments.vs, arguments, cases)
    if arguments.json != "-":
        print("\n".join(_bench_text.table(record) if cases is None else _targets.lines(record)))
    return code


def _all_threads() -> list[int]:
    return list(dict.fromkeys((1, usable_threads())))


def _figures(arguments: argparse.Namespace, threads: Sequence[int]) -> tuple[list[Figure], Cases | None]:
    """What is chosen, of the ops' bench cases or of a file."""
    directions = None if arguments.direction is None else [arguments.direction]
    dtypes = None if arguments.dtype is None else [arguments.dtype]
    counts = dict.fromkeys(arguments.threads or threads)
    if arguments.cases is None:
        return chosen(arguments.op, arguments.case, directions, counts, dtypes or DTYPES[:1]), None
    cases = read(arguments.cases)
    return cases.chosen(arguments.group, arguments.op, arguments.case, directions, counts, dtypes), cases


def _measured(
    figures: Sequence[Figure], peers: Sequence[str], arguments: argparse.Namespace, cases: Cases | None = None
) -> tuple[Record, int]:
    """A run, written where it was asked for, and its exit code."""
    peers = list(dict.fromkeys(peers))
    check_peers(peers)
    figures, code = _trusted(figures)
    try:
        rounds, keep_memory = arguments.rounds or ROUNDS, not arguments.default_malloc
        record, failed = measure(figures, peers, rounds, _Clock(), arguments.command, cases, keep_memory)
    finally:
        progress("")
    for figure, why in failed.items():
        _bench_text.warn(f"{figure}: not measured: {why}")
        code = 1
    if record.targets is not None and any(each["verdict"] == WRONG for each in record.targets["figures"]):
        code = 1
    if record.interrupted:
        _bench_text.warn("interrupted: this is what was measured")
        code = 130
    elif not record.figures and not code:
        code = 3
    if arguments.json is not None:
        _write_json(record.as_dict(), arguments.json)
    if arguments.benchmark_json is not None:
        write_json(as_pytest(record), arguments.benchmark_json)
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
    code = code or comparison.exit_code
    _summarized(Summary.of_comparison(comparison, code), arguments)
    return code


def _again(base: Record, arguments: argparse.Namespace) -> tuple[Record, int]:
    """What a record has, measured now."""
    known = set(chosen(None, None, None, {f.figure.threads for f in base.figures}, DTYPES))
    figures = [measured.figure for measured in base.figures if measured.figure in known]
    peers = {name for measured in base.figures for name in measured.ratios} & set(PEERS)
    return _measured(figures, sorted(peers), arguments)


def _against(arguments: argparse.Namespace) -> int:
    checkout = Checkout()
    project = None
    if arguments.pytest is not None or not is_ours(checkout.root):
        project = _project.subject(arguments, checkout)
    revision = arguments.against or checkout.last()
    checkout.commit(revision)
    if project is not None:
        plan, build = _project.plan(arguments, project, revision), project.build
    else:
        plan, build = _plan_of_ops(arguments, checkout.root, revision)
    rounds, again = arguments.rounds or SCREENING, AGAIN
    if arguments.count is not None:
        event = MISSES if arguments.count == "misses" else INSTRUCTIONS
        plan.in_turns = counted(plan.in_turns, event, arguments.counted_by)
        rounds, again = arguments.rounds or FEW, max(AGAIN // 2, rounds_to_be_slower(len(plan.figures)))
        plan.notes.append(f"counted, not timed: {event} by {arguments.counted_by}; - is more of them")
    try:
        outcome = against(plan.base, plan.tree, plan.figures, plan.budgets, plan.in_turns, rounds, again, _Clock())
    finally:
        progress("")
    outcome.missing |= plan.missing
    outcome.failed |= plan.failed
    outcome.notes += plan.notes
    if arguments.json != "-":
        print("\n".join(_bench_text.outcome(outcome, plan.budgets, LEVEL, verbose=arguments.verbose)))
    each = AGAIN if arguments.count is None else rounds
    commits = checkout.behind(revision) if arguments.bisect else []
    named = _bisected.of_outcome(outcome, commits, build, plan.in_turns, each)
    if named and arguments.json != "-":
        print("\n".join(_bench_text.named(named, checkout.title)))
    if arguments.json is not None:
        found = _bench_text.outcome_as_dict(outcome, plan.budgets, LEVEL)
        _write_json(found | {"bisect": _bench_text.named_as_dict(named)} if arguments.bisect else found, arguments.json)
    if arguments.record is not None and outcome.ratios:
        from cnnx.bench.history import append

        append(arguments.record, _record(outcome, plan, checkout.root, arguments.command))
    if outcome.interrupted:
        code = 130
    elif outcome.regressions or outcome.failed:
        code = 1
    else:
        code = plan.code or (0 if outcome.ratios else 3)
    _summarized(Summary.of_outcome(outcome, plan.budgets, named, code), arguments)
    return code


def _plan_of_ops(arguments: argparse.Namespace, root: Path, revision: str) -> tuple[Plan, Callable[..., Build]]:
    """cnnx's own ops, or a file's cases."""
    repository = Repository(root)
    budgets = find(arguments.budgets, folder=root)  # also where a folder within it is the current one
    figures, cases = _figures(arguments, [1])
    call = call_of if cases is None else cases.call_of
    instruction_set = _bench_text.instruction_set()

    def build(one: str | None) -> Build:
        return repository.build(one, instruction_set, _bench_text.warn)

    base, tree = build(revision), build(None)
    figures, code = _trusted(figures, tree.folder)
    same = {**fingerprint(), "base": repository.commit(revision)[:12]}
    return Plan(base, tree, figures, budgets, in_turns(call), same, versions=versions(), code=code), build


def _record(outcome: Outcome, plan: Plan, root: Path, command: str) -> Record:
    """A run for a history: the first rounds' ratios to the base."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    figures = [one for one in outcome.measured if one.figure in outcome.ratios]
    return Record(plan.fingerprint, figures, commit_of(root), now, plan.versions, {}, command, outcome.interrupted)


def _summarized(summary: Summary, arguments: argparse.Namespace) -> None:
    """Write it where it was asked for. The step's summary is added to, as others may write there too."""
    text = markdown(summary)
    if arguments.markdown is not None:
        with replacing(arguments.markdown) as file:
            file.write(text.encode())
    if arguments.junit is not None:
        with replacing(arguments.junit) as file:
            file.write(junit(summary))
    if arguments.github:
        for line in annotations(summary):
            print(line, file=sys.stderr)  # stdout may be one JSON document; the runner reads both
        if step := os.environ.get("GITHUB_STEP_SUMMARY"):
            with open(step, "a", encoding="utf-8") as log:
                log.write(text + "\n")


def _history(arguments: argparse.Namespace) -> int:
    from cnnx.bench.curves import curves
    from cnnx.bench.history import read

    baseline, path = None, arguments.baseline
    if path is not None:
        baseline = Record.from_dict(load_json(path), path)
    machines = curves(read(arguments.history), find(arguments.budgets), baseline)
    if arguments.report is None:
        print("\n".join(history_lines(machines)), flush=True)  # before minutes of work
        for line in _bisected.of_history(machines[0], arguments) if arguments.bisect else ():
            print(line, flush=True)
        return 0
    from cnnx.bench.page import page

    text = page(machines, command=arguments.command)
    with replacing(arguments.report) as file:
        file.write(text.encode())
    return 0

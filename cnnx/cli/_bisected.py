"""`cnnx bench --bisect`: the commit of a regression, and those of a history's drifts."""

import argparse
from collections.abc import Callable, Iterator, Sequence

from cnnx.bench.against import AGAIN, InTurns, Outcome
from cnnx.bench.bisect import Named, bisect
from cnnx.bench.builds import Build, BuildError, Repository, is_ours
from cnnx.bench.cases_file import read
from cnnx.bench.curves import Machine
from cnnx.bench.drifted import search, stretches
from cnnx.bench.figures import BY_NAME as OPS
from cnnx.bench.figures import Call, call_of, cases_of
from cnnx.bench.git import Checkout
from cnnx.bench.record import Figure
from cnnx.bench.run import in_turns

from . import _bench_text, _project
from ._speaker import progress

Make = Callable[[str | None], Build]


def of_outcome(
    outcome: Outcome, commits: Sequence[str | None], make: Make, in_turns: InTurns, rounds: int
) -> list[Named]:
    """The commits of what `--against` found to be slower."""
    if outcome.interrupted or not outcome.regressions or not commits:
        return []
    try:
        return bisect(outcome, commits, _said(make), in_turns, rounds=rounds)
    finally:
        progress("")


def of_history(machine: Machine, arguments: argparse.Namespace) -> Iterator[str]:
    """The commits of a machine's drifts, in lines."""
    if not machine.drifts:
        yield "nothing to search for: no level changed over many runs"
        return
    checkout = Checkout()
    turns: InTurns
    if arguments.pytest is not None or not is_ours(checkout.root):
        project = _project.subject(arguments, checkout)
        make, turns = project.build, project.in_turns
    else:
        repository = Repository(checkout.root)
        checkout, instruction_set = repository, _bench_text.instruction_set()
        turns = in_turns(_calls(machine, arguments))

        def make(revision: str | None) -> Build:
            return repository.build(revision, instruction_set, _bench_text.warn)

    for stretch in stretches(machine):
        if stretch.ratios:
            yield f"searching from {stretch.before} to {stretch.since}, each against {stretch.before}:"
            try:
                commits = checkout.between(stretch.before, stretch.since)
                if commits:
                    search(stretch, commits, _said(make), turns, arguments.rounds or AGAIN)
                else:
                    stretch.notes.append("there is no commit between that may build otherwise")
            except BuildError as error:
                stretch.notes.append(str(error))
            finally:
                progress("")
        yield from (f"  {line}" for line in (*_bench_text.named(stretch.named, checkout.title), *stretch.notes))


def _calls(machine: Machine, arguments: argparse.Namespace) -> Callable[[Figure], Call]:
    """What computes the figures that drifted, of our ops or of a file's cases."""
    if arguments.cases is not None:
        return read(arguments.cases).call_of
    for drift in machine.drifts:
        for figure in drift.figures:
            if figure.op not in OPS or figure.case not in {case.name for case in cases_of(OPS[figure.op])}:
                raise ValueError(f"{figure} is no figure of cnnx's ops: --cases FILE says which file it is of")
    return call_of


def _said(make: Make) -> Make:
    def build(one: str | None) -> Build:
        made = make(one)
        progress(f"measuring {made.name}")
        return made

    return build

"""`cnnx bench --against` in any project: what is built, and which figures both builds have."""

import argparse
import platform
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnx import native
from cnnx.bench.against import InTurns
from cnnx.bench.budgets import Budgets, find
from cnnx.bench.builds import Build
from cnnx.bench.fingerprint import usable_processors
from cnnx.bench.git import Checkout
from cnnx.bench.project.settings import read
from cnnx.bench.project.subject import Project, Survey, chosen, differences, figure_of
from cnnx.bench.record import Figure

from . import _bench_text
from ._speaker import progress

SKIPPED = "Skipped"  # what pytest says before a reason
NOT_HERE = ("cases", "group", "op", "direction", "dtype", "threads", "isa")


@dataclass
class Plan:
    """Two builds and what is measured of them.

    missing, failed : figures that are not measured, as `Outcome` has them.
    notes : what else one should know.
    code : the exit code if nothing else is found.
    """

    base: Build
    tree: Build
    figures: list[Figure]
    budgets: Budgets
    in_turns: InTurns
    fingerprint: dict[str, str]
    missing: dict[Figure, str] = field(default_factory=dict)
    failed: dict[Figure, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    code: int = 0


def subject(arguments: argparse.Namespace, checkout: Checkout) -> Project:
    """The project around, as its file and the command line describe it."""
    for name in NOT_HERE:
        if getattr(arguments, name) not in (None, []):
            raise ValueError(f"--{name}: expected none for a project that is not cnnx; --case NAME chooses figures")
    settings = read(checkout.root)
    if arguments.pytest is not None:
        path = Path(arguments.pytest.partition("::")[0]).resolve()
        if not path.exists():
            raise ValueError(f"--pytest: expected a folder or file of tests, got none at {arguments.pytest!r}")
        if not path.is_relative_to(checkout.root.resolve()):
            raise ValueError(f"--pytest: expected a folder or file within {checkout.root}, got {arguments.pytest!r}")
        inside = str(path.relative_to(checkout.root.resolve()))
        settings = replace(settings, pytest="::".join([inside, *arguments.pytest.split("::")[1:]]), functions=())
    return Project(checkout, settings, _bench_text.warn)


def plan(arguments: argparse.Namespace, project: Project, revision: str) -> Plan:
    """Build both, and run each figure once."""
    base = project.build(revision)
    tree = project.build(None)
    with tempfile.TemporaryDirectory() as folder:
        try:
            surveys = []
            for build in (tree, base):
                progress(f"every figure once, {build.name}")
                surveys.append(project.survey(build, Path(folder)))
        finally:
            progress("")
    return _planned(arguments, project, base, tree, *surveys)


def _planned(
    arguments: argparse.Namespace, project: Project, base: Build, tree: Build, ours: Survey, theirs: Survey
) -> Plan:
    every = list(dict.fromkeys((*ours.figures, *theirs.figures)))
    names = chosen(every, arguments.case) if every else []
    settings = project.settings
    budgets = project.budgets(every) if arguments.budgets is None else find(arguments.budgets, names=every)
    found = Plan(base, tree, [], budgets, project.in_turns, _fingerprint(ours, project.checkout.commit(base.name)))
    found.versions = ours.versions
    for name in names:
        figure = figure_of(name)
        if (why := ours.figures.get(name, "")).startswith(SKIPPED):
            found.notes.append(f"not measured: {name}: {why}")
        elif why := ours.figures.get(name, f"not in the {tree.name}"):
            found.failed[figure] = why
        elif why := theirs.figures.get(name, "there is no such benchmark"):
            found.missing[figure] = why
        else:
            found.figures.append(figure)
    for survey, build, words in ((ours, tree, found.failed), (theirs, base, found.missing)):
        words |= {figure_of(name): f"{why} ({build.name})" for name, why in survey.errors.items()}
    if different := differences(theirs.versions, ours.versions):
        found.notes.append(f"not the project alone differs between the two environments: {', '.join(different)}")
    if not every and not found.failed and settings.pytest:
        found.notes.append(f"no test in {settings.pytest} uses the fixture benchmark")
    return found


def _fingerprint(survey: Survey, base: str) -> dict[str, str]:
    """What has to be equal for two runs' ratios to be comparable."""
    return {
        "processor": native.processor(),
        "processors": str(usable_processors()),
        "python": ".".join(survey.versions["python"].split(".")[:2]),
        "system": platform.system(),
        "base": base[:12],
    }

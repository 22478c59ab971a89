"""Two builds of a project: which figures both have, and their turns."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..._text import expected_one_of
from ..against import BASE
from ..budgets import Budgets
from ..builds import Build, digest
from ..git import Checkout
from ..process import Worker, WorkerError
from ..record import Figure
from ..turns import Say, Side, Turn, Turns
from .environments import ABOUT, Environments
from .settings import SIDES, Settings

PROGRAM = Path(__file__).with_name("worker.py")
OURS = SIDES[0]
PATIENCE = 0.5  # seconds of a side's turns in a round, of calls that take long


@dataclass
class Survey:
    """What a build has: by figure "" or why it cannot be measured; versions of what is installed."""

    figures: dict[str, str]
    errors: dict[str, str]
    versions: dict[str, str] = field(default_factory=dict)


class Project:
    """What `cnnx bench --against` measures of a project that is not cnnx.

    Parameters
    ----------
    checkout : Checkout
    settings : Settings
    say : callable
        Told what is built.

    Raises
    ------
    ValueError
        The settings name nothing that could be measured.
    """

    def __init__(self, checkout: Checkout, settings: Settings, say: Callable[[str], None]) -> None:
        if not settings.functions and not settings.pytest:
            raise ValueError(
                f"expected benchmarks of {checkout.root}: --pytest PATH, or functions in [tool.cnnx.bench] of its "
                "pyproject.toml; got none"
            )
        self.checkout, self.settings = checkout, settings
        self._environments = Environments(checkout, settings, say)

    def build(self, revision: str | None) -> Build:
        """As `Environments.build` has it."""
        return self._environments.build(revision)

    def survey(self, build: Build, folder: Path) -> Survey:
        """Run every figure of a build once.

        Raises
        ------
        WorkerError
            Its process died, pytest cannot be run, or a module came from somewhere else than the build.
        """
        side = self.side(build, folder)
        with Worker(side.worker, side.environment(0), side.program, side.python) as worker:
            found = worker.ask("survey")
            if found["elsewhere"]:
                raise WorkerError(
                    f"{build.name}: expected the build's own modules, got {', '.join(found['elsewhere'])}"
                )
            return Survey(found["figures"], found["errors"], worker.about)

    def side(self, build: Build, folder: Path, yardstick: str = "") -> Side:
        """A build, in its own environment; or there what its functions have as a yardstick of this name."""
        about = json.loads(Path(build.folder, ABOUT).read_text())
        functions = self.settings.functions
        if yardstick:
            functions = tuple(
                replace(one, call=one.yardsticks[yardstick]) for one in functions if yardstick in one.yardsticks
            )
        spec = {
            "root": str(self.checkout.root),
            "packages": about["packages"],
            "site": str(build.folder / about["site"]),
            "functions": [asdict(one) for one in functions],
            "pytest": "" if yardstick else self.settings.pytest,
            "options": self.settings.pytest_options,
        }
        path = folder / f"{digest(build.folder.name, yardstick)}.json"
        path.write_text(json.dumps(spec))
        program = build.folder / "bin"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {
            **kept,
            "CNNX_BENCH_PROJECT": str(path),
            "PATH": os.pathsep.join((str(program), os.environ.get("PATH", os.defpath))),
            "PYTHONPYCACHEPREFIX": str(build.folder / "pycache"),  # the working tree stays as it is
            "VIRTUAL_ENV": str(build.folder),
        }
        return Side(yardstick or build.name, lambda threads: environment, program=PROGRAM, python=program / "python")

    def in_turns(self, base: Build, tree: Build, figures: Sequence[Figure], folder: Path, say: Say) -> Turns:
        """As `against` wants it."""
        sides = {OURS: self.side(tree, folder), BASE: self.side(base, folder)}
        asked = {figure.op for figure in figures}
        for name in dict.fromkeys(
            name for one in self.settings.functions if one.name in asked for name in one.yardsticks
        ):
            sides[name] = self.side(tree, folder, name)
        return _Turns(figures, sides, say)

    def budgets(self, figures: Sequence[str]) -> Budgets:
        """Those of the settings.

        Raises
        ------
        ValueError
            One is for a figure that there is not.
        """
        for name in self.settings.budgets:
            if name not in figures:
                raise ValueError(f"tool.cnnx.bench.budgets: {expected_one_of(figures, name)}")
        return Budgets(self.settings.budget, self.settings.budgets, "pyproject.toml")


class _Turns(Turns):
    """Of calls that workers know by name."""

    def question(self, figure: Figure, name: str) -> dict[str, Any]:
        left = self._figures[self._figures.index(figure) + 1 :]
        return {"name": figure.op, "next": next((one.op for one in left if one not in self.failed), None)}

    def count(self, seconds: float) -> int:
        return max(1, min(super().count(seconds), round(PATIENCE / max(seconds, 1e-9))))

    def end(self, figure: Figure, turns: Sequence[Turn]) -> None:
        measured = self.measured(figure)
        for name, worker, _ in turns:
            if wrong := worker.ask("finish").get("wrong"):
                if name == self.ours:
                    self.failed[figure] = wrong
                    measured.seconds.clear()
                else:
                    measured.missing[name] = wrong


def figure_of(name: str) -> Figure:
    """A figure of any project."""
    return Figure(name, "", "", 0, "")


def chosen(names: Sequence[str], patterns: Sequence[str] | None) -> list[str]:
    """The names that are one of the patterns, or match it.

    Raises
    ------
    ValueError
        A pattern matches none.
    """
    if patterns is None:
        return list(names)
    for pattern in patterns:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"case: {expected_one_of(names, pattern)}")
    return [name for name in names if any(name == p or fnmatchcase(name, p) for p in patterns)]


def differences(base: Mapping[str, str], tree: Mapping[str, str]) -> list[str]:
    """What is installed in two versions, but for the project itself."""
    return [f"{name} {base[name]} -> {tree[name]}" for name in base if name in tree and base[name] != tree[name]]

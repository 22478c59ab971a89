"""One side of a comparison of two builds of a project: `python worker.py NAME`, in the build's own environment.

What it is about stands in a file of JSON, whose path is in CNNX_BENCH_PROJECT: `root` (the working tree's), `packages`
(the modules that the build brought) and `site` (where they are), `functions`, `pytest` (a path, or "") and `options`.

It is asked in lines of JSON and answers alike:

    {"do": "survey"}
        every figure once: {"figures": {NAME: "" or why it cannot be measured}, "errors": of tests that are not there}
    {"do": "prepare", "name": NAME, "next": NAME or null}
        calls until it is warm: {"seconds": of a call}, or {"missing": why}
    {"do": "turn", "what": "call"}
        {"seconds": of a call}
    {"do": "finish"}
        the rest of the test: {}, or {"wrong": why}

It needs the standard library alone, and pytest where tests are asked for.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

HERE = os.path.dirname(os.path.abspath(__file__))
if TYPE_CHECKING:
    from .. import timing
    from . import plugin
else:  # by their paths: nothing of cnnx is in the environment

    def _beside(name):
        spec = importlib.util.spec_from_file_location(f"_cnnx_{os.path.basename(name)}", f"{HERE}/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    timing, plugin = _beside("../timing"), _beside("plugin")

Answer = dict[str, Any]


class Project(timing.Timed):
    """What `serve` asks."""

    def __init__(self, about: Answer, questions: TextIO, answers: TextIO) -> None:
        super().__init__()
        self.spec = about
        self.questions, self.answers = questions, answers
        self.functions = {one["name"]: one for one in about["functions"]}
        self.tests: plugin.Tests | None = None  # once pytest runs

    def about(self) -> Answer:
        """Versions of what is installed."""
        found = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
        return {"python": sys.version.split()[0], **{name: found[name] for name in sorted(filter(None, found))}}

    def survey(self) -> Answer:
        """Every figure once."""
        figures = {}
        for name in self.functions:
            figures[name] = raised_by(partial(self._ready, name)) or raised_by(partial(self.timed, 1))
        errors: dict[str, str] = {}
        if self.tests is not None:
            found, errors = self.tests.survey()
            figures |= found
        elsewhere = self._elsewhere()
        return {"figures": figures, "errors": errors, "elsewhere": elsewhere}

    def prepare(self, name: str, next: str | None) -> Answer:
        """Make a figure ready; a test is held where it calls its benchmark, until `finish`."""
        self.forget()
        if name not in self.functions:
            if self.tests is None:
                return {"missing": "there is no such function"}
            return self.tests.prepare(name, next)
        why = raised_by(partial(self._ready, name)) or raised_by(self.warm)
        return {"missing": why} if why else {"seconds": self.seconds}

    def finish(self) -> Answer:
        """Of a function there is nothing more to be done."""
        return {}

    def hold(self, seconds: float) -> None:
        """Within a test: say that its call is ready, and take turns until it may finish."""
        timing.send({"seconds": seconds}, self.answers)
        while line := self.questions.readline():
            asked = json.loads(line)
            name = asked.pop("do")
            if name == "finish":
                return
            try:
                answer = self.answer(name, asked)
            except Exception as error:
                answer = {"failed": f"{type(error).__name__}: {error}"}
            timing.send(answer, self.answers)
        os._exit(0)  # the other side has ended

    def _ready(self, name: str) -> None:
        """Make a function's call."""
        self.forget()
        one = self.functions[name]
        if isinstance(one["call"], int):
            self.call = copy_of(one["call"])
            return
        function, parameters = found(one["call"]), one["parameters"]
        if one["setup"] is None:
            self.call = partial(function, **parameters) if parameters else function
            return
        setup = partial(found(one["setup"]), **parameters)
        if one["each"]:
            self.making = lambda: called_with(function, setup())
        else:
            self.call = called_with(function, setup())

    def _elsewhere(self) -> list[str]:
        """Modules of the build that were imported from somewhere else."""
        wrong = []
        for name in self.spec["packages"]:
            path = getattr(sys.modules.get(name), "__file__", None)
            if path is not None and not os.path.realpath(path).startswith(os.path.realpath(self.spec["site"])):
                wrong.append(f"{name} from {path}")
        return wrong


def raised_by(call: Callable[[], Any]) -> str:
    """What a project's code raises, SystemExit too, in a line; "" for nothing."""
    try:
        call()
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())
        return f"{type(error).__name__}: {words}" if words else type(error).__name__
    return ""


def found(call: str) -> Any:
    """The function that "module:function" names."""
    module, _, names = call.partition(":")
    here: Any = importlib.import_module(module)
    for name in names.split("."):
        here = getattr(here, name)
    return here


def copy_of(size: int) -> Callable[[], Any]:
    """A copy of so many bytes: what the memory allows at best."""
    source, target = bytes(range(256)) * -(-size // 256), bytearray(size)
    whole, part = memoryview(target), memoryview(source)[:size]
    return partial(whole.__setitem__, slice(None), part)


def called_with(function: Callable[..., Any], arguments: Any) -> Callable[[], Any]:
    """The call with what a setup returned."""
    if arguments is None:
        return function
    if isinstance(arguments, tuple):
        return partial(function, *arguments)
    if isinstance(arguments, dict):
        return partial(function, **arguments)
    return partial(function, arguments)


class Built:
    """Finds the modules that the build brought where it put them, whatever else is on the path: a flat working tree,
    say, whose own package lies beside its tests."""

    def __init__(self, packages: list[str], site: str) -> None:
        self.packages, self.site = set(packages), site

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> Any:
        if name not in self.packages:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, [self.site])
        return spec if spec is not None and spec.loader is not None else None  # a namespace has other parts too

    def invalidate_caches(self) -> None:
        importlib.machinery.PathFinder.invalidate_caches()


def main() -> None:
    """Serve on what were stdin and stdout; what tests print goes nowhere, and they read nothing."""
    questions = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    with open(os.environ["CNNX_BENCH_PROJECT"], encoding="utf-8") as file:
        spec = json.load(file)
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(HERE):
        del sys.path[0]
    sys.meta_path.insert(0, Built(spec["packages"], spec["site"]))
    sys.path.append(spec["root"])
    os.chdir(spec["root"])
    project = Project(spec, questions, answers)
    try:
        timing.send({"ready": project.about()}, answers)
        if spec["pytest"]:
            plugin.run(project, timing)
        else:
            timing.serve(project, questions, answers)
        answers.flush()
    except BrokenPipeError:  # Ctrl-C at the other side
        os._exit(0)


if __name__ == "__main__":
    main()

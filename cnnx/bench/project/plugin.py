"""pytest in a worker: tests that use the fixture `benchmark`, each held where it calls it while turns are taken.

The fixture has pytest-benchmark's face. What is called is timed as every figure is: rounds and iterations that a test
asks for are not used, but a setup is called before each call. A test goes on when its turns in a round are over, so
that what it asserts of the result is asserted.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol, TextIO

OPTIONS = ("-o", "addopts=", "-p", "no:cacheprovider", "-q")  # no coverage, no other processes
Answer = dict[str, Any]


class Host(Protocol):
    """The worker: `worker.Project`, which is no module here."""

    spec: Answer
    questions: TextIO
    answers: TextIO
    tests: Tests | None
    call: Callable[[], Any]
    making: Callable[[], Callable[[], Any]] | None

    def forget(self) -> None: ...
    def warm(self) -> float: ...
    def hold(self, seconds: float) -> None: ...


class UsedTwiceError(Exception):
    """A test may call its benchmark once."""


class Benchmark:
    """The fixture."""

    enabled, disabled, stats, has_error = False, True, None, False  # as with --benchmark-disable

    def __init__(self, tests: Tests, node: Any) -> None:
        self._tests, self._used = tests, False
        self.name, self.fullname = node.name, node.nodeid
        self.params = node.callspec.params if hasattr(node, "callspec") else None
        self.param = node.callspec.id if self.params is not None else None
        mark = node.get_closest_marker("benchmark")
        self.group = mark.kwargs.get("group") if mark is not None else None
        self.extra_info: dict[str, Any] = dict(mark.kwargs.get("extra_info", {})) if mark is not None else {}
        self.skipped = False

    def __call__(self, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Time the call, and return what it returned."""
        self._once()
        call = partial(function_to_benchmark, *args, **kwargs) if args or kwargs else function_to_benchmark
        return self._tests.benchmarked(call, None)

    def pedantic(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        """The same, with what is done before and after each call, without being timed."""
        self._once()
        kwargs = {} if kwargs is None else kwargs
        if setup is None and teardown is None:
            return self._tests.benchmarked(partial(target, *args, **kwargs) if args or kwargs else target, None)
        if setup is not None and iterations > 1:
            raise ValueError("Can't use more than 1 `iterations` with a `setup` function.")
        undo: list[Callable[[], Any]] = []

        def made() -> Callable[[], Any]:
            if undo:
                undo.pop()()
            given = setup() if setup is not None else None
            if given is not None and (args or kwargs):
                raise TypeError("Can't use `args` or `kwargs` if `setup` returns the arguments.")
            positional, named = (args, kwargs) if given is None else given
            if teardown is not None:
                undo.append(partial(teardown, *positional, **named))
            return partial(target, *positional, **named)

        try:
            return self._tests.benchmarked(None, made)
        finally:
            if undo:
                undo.pop()()

    def weave(self, *args: Any, **kwargs: Any) -> Any:
        """Not here."""
        raise NotImplementedError("benchmark.weave: cnnx times calls that a test makes: benchmark(f) or pedantic(f)")

    patch = weave

    def _once(self) -> None:
        if self._used:
            raise UsedTwiceError("a test may call its benchmark once")
        self._used = True


class Tests:
    """The tests of a session that use the fixture, in order."""

    def __init__(self, project: Host, session: Any, collected: dict[str, str]) -> None:
        self._project, self._errors = project, collected
        items = [item for item in session.items if "benchmark" in getattr(item, "fixturenames", ())]
        self._items = {item.nodeid: item for item in items}
        self._wrong: list[str] = []  # of the test that runs now
        self._reached = False
        self._surveying = False

    def survey(self) -> tuple[dict[str, str], dict[str, str]]:
        """Each test once; and what could not be collected."""
        self._surveying = True
        found = {}
        names = list(self._items)
        for name, following in zip(names, [*names[1:], None]):  # noqa: B905  # Python 3.9 has no strict
            self._run(name, following)
            found[name] = self._wrong[0] if self._wrong else "" if self._reached else "it did not call its benchmark"
        self._surveying = False
        return found, self._errors

    def prepare(self, name: str, following: str | None) -> Answer:
        """Run a test, which answers itself where it calls its benchmark; the answer to what was asked last."""
        if name not in self._items:
            return {"missing": self._errors.get(name.partition("::")[0], "there is no such test")}
        self._run(name, following)
        if not self._reached:
            return {"missing": self._wrong[0] if self._wrong else "it did not call its benchmark"}
        return {"wrong": self._wrong[0]} if self._wrong else {}

    def _run(self, name: str, following: str | None) -> None:
        item = self._items[name]
        self._wrong, self._reached = [], False
        self._project.forget()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=self._items.get(following or ""))

    def benchmarked(self, call: Callable[[], Any] | None, making: Callable[[], Callable[[], Any]] | None) -> Any:
        """What the fixture does with a call: in a survey call it, else hold the test."""
        project = self._project
        if not self._surveying:
            if call is not None:
                project.call = call
            project.making = making
            seconds = project.warm()
            self._reached = True
            project.hold(seconds)
            project.forget()
        self._reached = True
        return making()() if making is not None else call() if call is not None else None

    def note(self, report: Any) -> None:
        """What pytest reports of a test's setup, call and teardown."""
        if report.skipped and hasattr(report, "wasxfail"):
            self._wrong.append(f"expected to fail: {report.wasxfail}")
        elif report.skipped:
            self._wrong.append(_words(report.longrepr[2]) if isinstance(report.longrepr, tuple) else "skipped")
        elif report.failed:
            self._wrong.append(f"its {report.when} failed: {_last(report)}")


def _last(report: Any) -> str:
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    if crash is not None:
        return _words(crash.message)
    lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
    errors = [line[1:] for line in lines if line.startswith("E ")]
    return _words((errors or lines or ["unknown"])[-1])


def _words(text: str) -> str:
    return " ".join(text.split())[:300]


def run(project: Host, timing: Any) -> None:
    """pytest, whose loop over tests is the serving of questions."""
    questions, answers = project.questions, project.answers
    try:
        pytest = importlib.import_module("pytest")
    except ImportError as error:
        _refuse(f"pytest cannot be imported: {error}; name it among tool.cnnx.bench.dependencies", timing, project)
        return

    made: Any = Benchmark
    with contextlib.suppress(ImportError):  # which takes no other class for the fixture's
        made = type("Benchmark", (Benchmark, importlib.import_module("pytest_benchmark.fixture").BenchmarkFixture), {})

    class Fixture:
        @pytest.fixture  # type: ignore[untyped-decorator]
        def benchmark(self, request: Any) -> Iterator[Benchmark]:
            """The call that is a figure."""
            assert project.tests is not None
            yield made(project.tests, request.node)

    class Loop:
        def __init__(self) -> None:
            self.errors: dict[str, str] = {}

        def pytest_configure(self, config: Any) -> None:
            config.addinivalue_line("markers", "benchmark: what pytest-benchmark takes")
            config.pluginmanager.register(Fixture(), "cnnx-benchmark")  # behind pytest-benchmark's own, which yields

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                self.errors[report.nodeid] = f"it cannot be collected: {_last(report)}"

        def pytest_runtest_logreport(self, report: Any) -> None:
            if project.tests is not None:
                project.tests.note(report)

        def pytest_runtestloop(self, session: Any) -> bool:
            project.tests = Tests(project, session, self.errors)
            timing.serve(project, questions, answers)
            return True

    spec = project.spec
    code = pytest.main([*OPTIONS, "--rootdir", spec["root"], *spec["options"], spec["pytest"]], plugins=[Loop()])
    if project.tests is None:
        _refuse(f"pytest {spec['pytest']} ended with exit code {int(code)}", timing, project)


def _refuse(why: str, timing: Any, project: Host) -> None:
    """Answer every question with that."""
    for _ in project.questions:
        timing.send({"failed": why}, project.answers)

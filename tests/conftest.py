"""What holds for every test: which cnnx is tested, a clean environment, no traces left in the library's state.

tox sets CNNX_TEST_BUILD to the build that its environment is about (shipped, checked or serial); then cnnx has to be
that build, installed; or to the sanitizer that watches the kernels (address or thread, see sanitize.py). Without it any
cnnx will do that has kernels, one built in place too. CNNX_TEST_ISA names the instruction set whose kernels are tested,
here and in what the tests start; without it that is the best one. CNNX_TEST_MEMO names a folder where what the
reference computed is kept for the next environment (memo.py).
"""

import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import cnnx
from cnnx import native
from cnnx.backend import choice, registry

ROOT = Path(__file__).resolve().parent.parent
BUILD = os.environ.get("CNNX_TEST_BUILD")
ISA = os.environ.get("CNNX_TEST_ISA")
MEMO = os.environ.get("CNNX_TEST_MEMO")

# A shell that starts the tests in its background makes them and what they start ignore Ctrl-C, which some are about.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The developer's settings; cnnx and OpenMP read them when the first kernel is wanted.
# the tests' own; the last two name an HTML validator's jar and axe-core's script (site/test_site.py)
KEPT = {
    "CNNX_SITE",
    "CNNX_TEST_BUILD",
    "CNNX_TEST_ISA",
    "CNNX_TEST_MEMO",
    "CNNX_MNIST",
    "CNNX_NEW_PICTURES",
    "CNNX_VNU",
    "CNNX_AXE",
}
for name in [name for name in os.environ if name.startswith(("CNNX_", "OMP_")) and name not in KEPT]:
    del os.environ[name]
for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):  # tests say themselves in which language
    if os.environ.get(name, "").startswith("ja"):
        del os.environ[name]
os.environ["OMP_WAIT_POLICY"] = "passive"  # tests run side by side: a thread that spins takes a core from others
if ISA:
    os.environ["CNNX_ISA"] = ISA
if MEMO:
    import memo

    memo.install(Path(MEMO))

hypothesis.settings.register_profile("cnnx", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("cnnx")


def pytest_configure() -> None:
    if ISA and ISA not in native.instruction_sets():
        usable = ", ".join(native.instruction_sets())
        raise pytest.UsageError(
            f"CNNX_TEST_ISA: expected one of {usable}, as this build and processor have, got {ISA!r}"
        )
    if BUILD is None:
        return
    sanitized = BUILD in ("address", "thread")
    if Path(cnnx.__file__).resolve().is_relative_to(ROOT / "cnnx") and not sanitized:
        raise pytest.UsageError(f"expected the installed cnnx, got {cnnx.__file__}; run tox, or set PYTHONSAFEPATH=1")
    # Whether a build that did not ask for it has OpenMP depends on the compiler alone.
    expected = {"shipped": {"checked": False}, "checked": {"checked": True}, "serial": {"openmp": False}}.get(BUILD, {})
    expected = expected | {"sanitizer": BUILD if sanitized else "off"}
    built = native.build_info()
    if not expected.items() <= built.items():
        raise pytest.UsageError(f"expected the {BUILD} build, got {built}")

    if BUILD == "thread":  # no call is too small to race
        native.load("optimized._threads").set_small_work(0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A module whose tests share a fixture, which may be a build, goes to one process; all other tests go anywhere."""
    from xdist.scheduler import LoadScopeScheduling

    @functools.cache
    def shares(module: str) -> bool:
        return 'scope="module"' in (config.rootpath / module).read_text(encoding="utf-8")

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if shares(module) else nodeid

        def _assign_work_unit(self, node: Any) -> None:
            """Some tests at once while there are many: a process does not wait for the next one."""
            super()._assign_work_unit(node)
            while self._pending_of(self.assigned_work[node]) < min(16, len(self.workqueue) // 64):
                super()._assign_work_unit(node)

        def _reschedule(self, node: Any) -> None:
            """What is done is forgotten: xdist looks through all that a process ever had after each of its tests."""
            work = self.assigned_work[node]
            for scope in [scope for scope, tests in work.items() if all(tests.values())]:
                del work[scope]
            super()._reschedule(node)

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def library_state():
    """Put back what a test changed in the process: the chosen back end, registered ones, the thread count."""
    threads = native.get_num_threads()
    chosen, registered = choice._process_choice, dict(registry._registered)
    yield
    choice._process_choice = chosen
    registry._registered.clear()
    registry._registered.update(registered)
    for cache in (registry.loaded, registry.specialised, registry.several):
        for key in list(cache):
            if (key if isinstance(key, str) else key[0]) not in registry.BUILTIN:
                del cache[key]
    if native.get_num_threads() != threads:
        native.set_num_threads(threads)


@pytest.fixture
def needs_threads() -> None:
    """By `usefixtures`: a test about more threads than one, which a serial build skips."""
    if not native.build_info()["openmp"]:
        pytest.skip("this build has no OpenMP: it is serial")


@pytest.fixture
def set_threads(request: pytest.FixtureRequest) -> Callable[[int], None]:
    """`set_threads(2)`: so many until the test ends, which a serial build skips if they are more than one."""

    def set_or_skip(count: int) -> None:
        if count > 1:
            request.getfixturevalue("needs_threads")
        native.set_num_threads(count)

    return set_or_skip


@pytest.fixture
def each_threads() -> Callable[..., Iterator[int]]:
    """`for n in each_threads(1, 2, 5)`: each of these numbers is set in turn; in a serial build 1 alone."""

    def each(*counts: int) -> Iterator[int]:
        for count in counts if native.build_info()["openmp"] else (1,):
            native.set_num_threads(count)
            yield count

    return each

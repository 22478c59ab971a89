"""cnnx bench --against: builds of commits, and whether alarms are right. The builds here are of a toy repository."""

import importlib.util
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from paths import ROOT

from cnnx.bench import against as module
from cnnx.bench import builds
from cnnx.bench.against import BASE, LEVEL, Outcome, Suspect, against
from cnnx.bench.budgets import Budgets
from cnnx.bench.builds import Build, BuildError, Repository
from cnnx.bench.figures import chosen
from cnnx.bench.record import Measured

pytestmark = pytest.mark.once

FIGURES = chosen()[:68]  # so many, whatever ops come: what noise does to them is counted
BUILDS = Build("base", Path("a")), Build("working tree", Path("b"))


# ------------------------------------------------------------------------------------------- builds

SETUP = """
import os, pathlib, sys
assert sys.argv[1:] == ["-q", "build_ext", "--inplace"]
words = pathlib.Path("cnnx/optimized/kernel.pyx").read_text()
if "broken" in words:
    sys.exit("kernel.pyx:1: it is broken")
pathlib.Path("cnnx/optimized/kernel.so").write_text(f"{words} for {os.environ['CNNX_BUILD_ISA']}")
"""


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Two commits; the first is tagged."""
    root = tmp_path / "repository"
    (root / "cnnx" / "optimized").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    root.joinpath("setup.py").write_text(SETUP)
    root.joinpath("pyproject.toml").write_text("")
    root.joinpath(".gitignore").write_text("build/\n*.so\n")
    for words in ("first", "second"):
        root.joinpath("cnnx/optimized/kernel.pyx").write_text(words)
        git(root, "add", "--all")
        git(root, "commit", "-qm", words)
        if words == "first":
            git(root, "tag", "v1")
    return root


def built(build):
    return build.folder.joinpath("cnnx/optimized/kernel.so").read_text()


def test_a_commit_and_the_working_tree_are_built_beside_it(repository):
    said = []
    there = Repository(repository / "cnnx")
    base = there.build("v1", "v3", said.append)
    assert built(base) == "first for v3"
    assert base.name == git(repository, "rev-parse", "v1")[:12]
    repository.joinpath("cnnx/optimized/kernel.pyx").write_text("changed")
    repository.joinpath("cnnx/new.py").write_text("new")
    before = git(repository, "status", "--porcelain"), git(repository, "count-objects")
    tree = there.build(None, "v3", said.append)
    assert built(tree) == "changed for v3"
    assert tree.folder.joinpath("cnnx/new.py").exists(), "what git does not know yet is built too"
    assert not tree.folder.joinpath("build").exists()
    assert (git(repository, "status", "--porcelain"), git(repository, "count-objects")) == before
    assert said == [f"building {base.name}, for v3", "building working tree, for v3"]
    assert there.build(None, "v3", said.append) == tree
    assert there.build("v1", "v3", said.append) == base
    assert len(said) == 2, "what is there is not built again"


def test_a_build_is_another_one_where_what_it_depends_on_is(repository, monkeypatch):
    there = Repository(repository)
    first = there.build("main", "v3", lambda words: None)
    assert there.build(None, "v3", lambda words: None).folder == first.folder, "the same sources"
    repository.joinpath("README.md").write_text("other words")
    assert there.build(None, "v3", lambda words: None).folder == first.folder
    assert there.build("main", "v2", lambda words: None).folder != first.folder
    monkeypatch.setenv("CFLAGS", "-O1")
    assert there.build("main", "v3", lambda words: None).folder != first.folder


def test_old_builds_are_deleted(repository, monkeypatch):
    monkeypatch.setattr(builds, "KEPT", 2)
    there, folder = Repository(repository), repository / builds.FOLDER
    folder.mkdir(parents=True)
    for name, age in ((".killed", 90_000), (".at work", 10), ("v3-old", 500), ("v3-older", 600), ("v3-oldest", 700)):
        (folder / name).mkdir()
        os.utime(folder / name, (time.time() - age,) * 2)
    new = there.build("main", "v3", lambda words: None).folder.name
    assert sorted(path.name for path in folder.iterdir()) == sorted([".at work", "v3-old", "v3-older", new])


def test_a_build_that_fails_says_why_and_leaves_nothing(repository):
    repository.joinpath("cnnx/optimized/kernel.pyx").write_text("broken")
    with pytest.raises(BuildError, match=r"setup\.py -q failed: kernel\.pyx:1: it is broken"):
        Repository(repository).build(None, "v3", lambda words: None)
    assert list((repository / builds.FOLDER).iterdir()) == []


ENDLESS = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
note = pathlib.Path(os.environ["NOTE"])
note.with_suffix(".new").write_text(str(child.pid))
note.with_suffix(".new").rename(note)
time.sleep(60)
"""


@pytest.mark.skipif(not os.path.exists("/proc"), reason="no /proc here")
def test_ctrl_c_ends_a_build_and_what_it_started(repository, tmp_path, monkeypatch):
    note = tmp_path / "note"
    monkeypatch.setenv("NOTE", str(note))
    repository.joinpath("setup.py").write_text(ENDLESS)

    def interrupt():
        while not note.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    pressed = threading.Thread(target=interrupt)
    pressed.start()
    with pytest.raises(KeyboardInterrupt):
        Repository(repository).build(None, "v3", lambda words: None)
    pressed.join()
    command = Path("/proc", note.read_text(), "cmdline")
    assert not command.exists() or not command.read_bytes(), "it is gone, or waits for who collects the dead"
    assert list((repository / builds.FOLDER).iterdir()) == []


def test_without_cython_it_says_what_to_install(repository, monkeypatch):
    def version(name):
        raise builds.PackageNotFoundError(name)

    monkeypatch.setattr(builds, "version", version)
    with pytest.raises(BuildError, match=r"building needs cython: python -m pip install 'cnnx\[bench\]'"):
        Repository(repository).build(None, "v3", lambda words: None)


def test_the_last_tag_or_main(repository, tmp_path):
    assert Repository(repository).last() == "v1"
    git(repository, "tag", "-d", "v1")
    assert Repository(repository).last() == "main"
    git(repository, "checkout", "-q", "--detach")
    git(repository, "branch", "-q", "-D", "main")
    with pytest.raises(BuildError, match="neither a tag nor a branch main; say a commit: --against REV"):
        Repository(repository).last()


def test_no_such_commit_or_repository(repository, tmp_path):
    with pytest.raises(BuildError, match=r"expected a commit, branch or tag of .*, got 'nowhere'"):
        Repository(repository).commit("nowhere")
    for revision in ("--all", "-q", ""):
        with pytest.raises(BuildError, match="expected a commit"):
            Repository(repository).commit(revision)
    with pytest.raises(BuildError, match=r"expected to be in a git repository of cnnx, got .*\(git rev-parse"):
        Repository(tmp_path)
    git(tmp_path, "init", "-q", "other")
    with pytest.raises(BuildError, match="expected to be in a git repository of cnnx, got"):
        Repository(tmp_path / "other")


# ------------------------------------------------------------------------------------------- alarms


class Scripted:
    """Rounds of made-up ratios: `ratio(figure)` gives one round's."""

    def __init__(self, figures, ratio, until=None):
        self._figures, self._ratio, self._until = figures, ratio, until
        self.failed, self.found = {}, []

    def run(self, count):
        for figure in self._figures:
            if figure is self._until:
                raise KeyboardInterrupt
            ratios = [self._ratio(figure) for _ in range(count)]
            self.found.append(Measured(figure, seconds=[1.0] * count, ratios={BASE: ratios}))


def outcome(ratio, budgets=None, **options):
    asked = []

    def scripted(base, tree, figures, folder, say):
        asked.append(list(figures))
        return Scripted(figures, ratio, **options)

    return against(*BUILDS, FIGURES, budgets or Budgets(), scripted), asked


def noise(rng, spread=0.05, often=0.1):
    """A ratio of two times that are disturbed now and then, by much, as on a shared machine."""
    disturbed = [rng.gauss(1, spread) * (rng.uniform(1, 2) if rng.random() < often else 1) for _ in range(2)]
    return disturbed[0] / disturbed[1]


def test_what_is_unchanged_raises_no_alarm():
    """200 runs of 68 figures on a noisy machine; by its own error rate two of them might raise one."""
    rng = random.Random(7)
    found = [outcome(lambda figure: noise(rng))[0] for _ in range(200)]
    assert sum(len(run.suspects) for run in found) > 200, "else nothing was put to the test"
    assert sum(bool(run.regressions) for run in found) <= 200 * LEVEL


def test_no_alarm_even_where_the_budget_is_nothing():
    """The error rate is the test's own: the budget is not needed for it."""
    rng = random.Random(8)
    alarms = 0
    for _ in range(100):
        found, _ = outcome(lambda figure: noise(rng), Budgets(default=1e-9))
        alarms += bool(found.regressions)
    assert alarms <= 3 + 100 * LEVEL


def test_a_slower_op_is_found_and_named():
    rng = random.Random(9)
    slowed = FIGURES[4]
    times = 0
    for _ in range(20):
        found, asked = outcome(lambda figure: noise(rng, 0.03, 0.04) / (1.2 if figure == slowed else 1))
        assert [suspect.figure for suspect in found.regressions] in ([slowed], [])
        assert asked[0] == FIGURES
        assert asked[1] == [suspect.figure for suspect in found.suspects], "only suspects are measured again"
        for suspect in found.regressions:
            assert len(suspect.again) == module.AGAIN
            assert -0.25 < suspect.change < -0.1
            times += 1
    assert times >= 18


def test_slower_within_the_budget_is_no_regression():
    rng = random.Random(10)
    found, _ = outcome(lambda figure: rng.gauss(0.93, 0.001))
    assert len(found.suspects) == len(FIGURES)
    assert found.regressions == []
    budgets = Budgets(by_name={"conv2d, cn layer 2": 0.05})
    found, _ = outcome(lambda figure: rng.gauss(0.93, 0.001), budgets)
    assert {suspect.figure.case for suspect in found.regressions} == {"cn layer 2"}


def test_the_second_measurement_alone_decides():
    times = {}

    def ratio(figure):
        times[figure] = times.get(figure, 0) + 1
        return 0.5 if times[figure] <= module.ROUNDS else 1.0 + 1e-3 * (times[figure] % 3 - 1)

    found, _ = outcome(ratio)
    assert len(found.suspects) == len(FIGURES)
    assert found.regressions == []
    assert abs(found.suspects[0].change) < 1e-2


def test_ctrl_c_keeps_what_was_found():
    found, asked = outcome(lambda figure: 0.5, until=FIGURES[3])
    assert found.interrupted
    assert list(found.ratios) == FIGURES[:3]
    assert found.regressions == []
    assert len(asked) == 1


def test_enough_rounds_for_every_figure_to_be_guilty():
    """Else a run in which all is slower would raise no alarm at all."""
    found = Outcome(
        *BUILDS, suspects=[Suspect(figure, [0.5], [0.5] * module.AGAIN) for figure in chosen(threads=(1, 2))]
    )
    module._judge(found.suspects, Budgets())
    assert len(found.regressions) == len(found.suspects)


# -------------------------------------------------------------------------------- benchmarks/alarms.py


def alarms():
    spec = importlib.util.spec_from_file_location("alarms", ROOT / "benchmarks" / "alarms.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_kernel_that_is_slowed_on_purpose_is_slowed():
    script = alarms()
    source = ROOT.joinpath(script.KERNEL).read_text()
    slowed = script.slow_down(source, 0.15)
    added = [line for line in slowed.splitlines() if line not in source.splitlines()]
    assert "            while now() < end + 0.15 * (end - begin):" in added
    assert [line for line in source.splitlines() if line not in slowed.splitlines()] == []
    with pytest.raises(SystemExit, match="has changed"):
        script.slow_down(slowed.replace("sum_images_of", "images"), 0.15)


@pytest.mark.skipif(not os.path.exists("/proc"), reason="no /proc here")
def test_workers_of_two_builds_import_their_own(repository, tmp_path):
    """The toy's cnnx is what its worker imports, not ours."""
    from cnnx.bench.process import Worker, environment

    repository.joinpath("cnnx/__init__.py").write_text("__version__ = 'toy'\n")
    build = Repository(repository).build(None, "v2", lambda words: None)
    with Worker("cnnx", environment(1, "v2", build.folder)) as worker:
        assert worker.about == {"cnnx": "toy", "path": str(build.folder / "cnnx")}

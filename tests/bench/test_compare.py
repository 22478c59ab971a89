"""Comparing two runs: statistics against numbers worked by hand, verdicts on noise of known size, wrong files."""

import itertools
import json
import math
import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT
from scipy import stats

import cnnx
from cnnx.bench.budgets import Budgets, find, name_of, read
from cnnx.bench.compare import FASTER, NOISY, RUN, SAME, SLOWER, compare
from cnnx.bench.fingerprint import commit_of, fingerprint, versions
from cnnx.bench.foreign import from_pytest, read_any
from cnnx.bench.record import Figure, Measured, Record, RecordError
from cnnx.bench.statistic import (
    LEVEL,
    differ,
    holm,
    interval,
    rounds_to_be_slower,
    rounds_to_differ,
    slower,
    smallest_differ,
    smallest_slower,
)
from cnnx.cli._compared import lines
from cnnx.ops import OPS

pytestmark = pytest.mark.once

HERE = {"processor": "P", "instruction set": "v4", "processors": "2", "python": "3.11", "compiler": "gcc 12"}
FIGURES = [Figure(f"op {i}", "case", "forward", 1) for i in range(60)]


def normal(rng, size):
    return rng.normal(size=size)


def heavy(rng, size):
    """As a shared machine has it: now and then a round is far off."""
    return rng.standard_t(2, size=size)


def run(rng, *, factors=None, noise=0.03, rounds=10, draw=normal, figures=FIGURES, **ratios):
    """A run of all figures at half the limit; `factors` by figure: 1.15 makes it take 15 % longer."""
    measured = []
    for figure in figures:
        seconds = 1e-3 * (factors or {}).get(figure, 1) * np.exp(noise * draw(rng, rounds))
        ratio = (0.5e-3 / seconds).tolist()
        measured.append(Measured(figure, bound="copy", seconds=seconds.tolist(), ratios={"limit": ratio, **ratios}))
    return Record(dict(HERE), measured)


def one(ratios, figure=FIGURES[0], **fields):
    """A run of one figure with these ratios."""
    return Record(dict(HERE), [Measured(figure, ratios=ratios, **fields)])


def spread(middle, count=10):
    """So many samples around a middle."""
    return [middle * (1 + 0.001 * (i - (count - 1) / 2)) for i in range(count)]


# ---------------------------------------------------------------------------------------------- statistics


def test_interval_by_order_statistics():
    """Of 10, the 2nd and the 9th cover 1 - 2 (1 + 10) / 1024 = 97.9 %; the 3rd and the 8th only 89 %."""
    rng = np.random.default_rng(0)
    samples = [2.0, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    rng.shuffle(samples)
    assert interval(samples) == (3, 12, 23)
    assert interval(range(1, 7)) == (1, 3.5, 6)  # 1 - 2 / 64 = 96.9 %
    assert interval([4.0, 1, 2]) == (1, 2, 4)
    assert interval([4.0]) == (4, 4, 4)
    with pytest.raises(ValueError, match="at least one sample, got none"):
        interval([])


def test_mann_whitney_by_hand():
    """In 2 of 9 pairs the base's is the larger. Of the 20 arrangements 1 + 1 + 2 have U of 0, 1, 2: p = 2 x 4 / 20."""
    assert differ([1, 2, 5], [3, 4, 6]) == pytest.approx(0.4)
    assert differ([3, 4, 6], [1, 2, 5]) == pytest.approx(0.4)
    assert differ([1, 2], [1, 2]) == 1


def test_mann_whitney_by_all_arrangements():
    rng = np.random.default_rng(1)
    base, new = rng.normal(size=5), rng.normal(size=6) + 0.8
    both = np.concatenate((base, new))

    def u(first):
        return sum(a > b for a in both[list(first)] for b in np.delete(both, list(first)))

    all_of_them = [u(first) for first in itertools.combinations(range(11), 5)]
    seen = min(u(range(5)), 30 - u(range(5)))
    assert differ(base, new) == pytest.approx(2 * np.mean([other <= seen for other in all_of_them]))


def test_many_rounds_take_the_normal_approximation():
    """It has to stay on the safe side where it matters, and not take minutes."""
    rng = np.random.default_rng(2)
    small = 0
    for _ in range(20):
        base, new = rng.normal(size=26), rng.normal(size=26) + 1
        exact = stats.mannwhitneyu(base, new, method="exact").pvalue
        if exact < LEVEL:
            assert exact < differ(base, new) < 2 * exact + 1e-4
            small += 1
    assert small > 5
    assert differ(range(300), range(300, 600)) < 1e-12


def test_wilcoxon_by_hand():
    """Ranks 3, 2 are slower, rank 1 is faster: sums of up to 1 for the faster ones have 2 of the 8 signs."""
    assert slower([math.exp(-0.3), math.exp(-0.2), math.exp(0.1)]) == pytest.approx(2 / 8)
    assert slower([0.9] * 4) == pytest.approx(1 / 16)
    assert slower([1.1, 1.2, 1.3, 1.4]) == 1
    assert slower([1.0, 1.0]) == 1
    assert slower([]) == 1
    assert slower([1.0, 0.9, 0.8, 0.7, 0.6]) == pytest.approx(1 / 16)  # the first says nothing
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            slower([0.9, wrong])


def test_holm_by_hand():
    """0.005 <= 0.05 / 4, 0.015 <= 0.05 / 3, 0.03 > 0.05 / 2: there it ends, whatever 0.04 would have been."""
    assert holm([0.015, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.04, 0.02], 0.05) == [True, True]
    assert holm([0.026, 0.026], 0.05) == [False, False]
    assert holm([0.01]) == [True]
    assert holm([]) == []


@pytest.mark.parametrize("rounds", [3, 5, 8, 10])
def test_the_smallest_p_values_are_those_of_a_complete_separation(rounds):
    low, high = np.arange(1.0, rounds + 1), np.arange(1.0, rounds + 2) + 100
    assert differ(low, high) == pytest.approx(smallest_differ(rounds, rounds + 1))
    assert slower(low / 1000) == pytest.approx(smallest_slower(rounds))


@pytest.mark.parametrize("figures", [1, 4, 5, 17, 60, 81, 82])
def test_rounds_that_are_needed(figures):
    n, paired = rounds_to_differ(figures), rounds_to_be_slower(figures)
    assert smallest_differ(n, n) <= LEVEL / figures < smallest_differ(n - 1, n - 1)
    assert smallest_slower(paired) <= LEVEL / figures < smallest_slower(paired - 1)


# ------------------------------------------------------------------------------------------- false alarms


@pytest.mark.parametrize("draw", [normal, heavy])
def test_false_alarms_of_the_test_alone(draw):
    """With a budget of nothing at all, quiet runs of 60 figures: any alarm in at most 1 % of them."""
    rng = np.random.default_rng(3)
    found = [compare(run(rng, draw=draw), run(rng, draw=draw), Budgets(default=1e-12)) for _ in range(150)]
    alarms = [len(c.of(SLOWER)) + len(c.of(FASTER)) for c in found]
    assert sum(map(bool, alarms)) <= 3
    assert sum(alarms) + sum(len(c.of(NOISY)) for c in found) == 150 * 60, "all are beyond a budget of nothing"


def test_no_false_alarms_with_the_budget():
    rng = np.random.default_rng(4)
    found = [compare(run(rng, noise=0.08, draw=heavy), run(rng, noise=0.08, draw=heavy)) for _ in range(30)]
    assert {c.exit_code for c in found} == {0}
    assert not any(c.of(FASTER) for c in found)


def test_false_alarms_of_paired_rounds():
    rng = np.random.default_rng(5)
    ratios = np.exp(0.05 * rng.standard_t(2, size=(60, 60, 14)))
    assert sum(any(holm([slower(figure) for figure in one_run])) for one_run in ratios) <= 2


# ------------------------------------------------------------------------------------------------ verdicts


def test_a_slowdown_of_15_percent_is_found():
    """And what got faster; everything else is left alone."""
    slow, fast = FIGURES[7], FIGURES[8]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found = compare(run(rng), run(rng, factors={slow: 1.18, fast: 1 / 1.18}))
        assert [change.figure for change in found.of(SLOWER)] == [slow]
        assert [change.figure for change in found.of(FASTER)] == [fast]
        assert len(found.of(SAME)) == 58
        assert found.exit_code == 1
        assert found.of(SLOWER)[0].change == pytest.approx(1 / 1.18 - 1, abs=0.05)


def test_15_percent_against_a_budget_of_8():
    """What is asked of conv2d: it takes 15 % longer, with 3 % of noise."""
    slow = Figure("conv2d", "cn layer 2", "forward", 1)
    budgets = Budgets(by_name={"conv2d, cn layer 2": 0.08})
    caught = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        figures = [slow, *FIGURES[1:]]
        found = compare(run(rng, figures=figures), run(rng, figures=figures, factors={slow: 1.15}), budgets)
        caught += [change.figure for change in found.of(SLOWER)] == [slow]
    assert caught >= 39


@pytest.mark.parametrize(
    ("new", "verdict"),
    [(0.899, SLOWER), (0.901, SAME), (1.0, SAME), (1 / 0.901, SAME), (1 / 0.899, FASTER)],
)
def test_the_budget_is_as_wide_upwards_as_downwards(new, verdict):
    found = compare(one({"limit": spread(1.0)}), one({"limit": [new * sample for sample in spread(1.0)]}))
    assert [change.verdict for change in found.changes] == [verdict]


def test_beyond_the_budget_within_the_noise():
    base, new = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10], [1.1, 2.1, 3.1, 3.2, 3.3, 3.4, 7.1, 8.1, 9.1, 10.1]
    found = compare(one({"limit": base}), one({"limit": new}))
    assert found.changes[0].change == pytest.approx(3.35 / 5.5 - 1)
    assert found.changes[0].verdict == NOISY
    assert found.exit_code == 0


def test_each_figure_has_its_own_budget():
    budgets = Budgets(default=0.3, by_name={"op 1, case": 0.05})
    found = compare(
        run(np.random.default_rng(0), figures=FIGURES[:3], noise=0.001),
        run(np.random.default_rng(1), figures=FIGURES[:3], noise=0.001, factors=dict.fromkeys(FIGURES, 1.15)),
        budgets,
    )
    assert [change.figure for change in found.of(SLOWER)] == [FIGURES[1]]


# ----------------------------------------------------------------------------------------------- yardsticks


def test_one_yardstick_decides():
    """The limit, else the reference, else a peer; `by` names another."""
    all_three = {"torch": spread(2), "reference": spread(100), "limit": spread(0.5)}
    less = {**all_three, "limit": spread(0.3)}
    found = compare(one(all_three), one(less))
    assert [change.yardstick for change in found.changes] == ["limit"]
    assert found.exit_code == 1
    found = compare(one(all_three), one(less), by="torch")
    assert [change.yardstick for change in found.changes] == ["torch"]
    assert found.exit_code == 0
    del less["limit"]
    assert compare(one(all_three), one(less)).changes[0].yardstick == "reference"
    with_numpy = {"numpy": spread(2), "reference": spread(100)}
    assert compare(one(with_numpy), one(with_numpy)).changes[0].yardstick == "reference"
    assert compare(one({"torch": spread(2)}), one(less)).changes[0].yardstick == "torch"
    assert compare(one({**all_three, "limit": []}), one(all_three)).changes[0].yardstick == "reference"


def test_a_run_with_ratios_is_not_its_own_yardstick():
    """All figures take twice as long: their ratios to the limit show it, those to each other could not."""
    rng = np.random.default_rng(11)
    found = compare(run(rng), run(rng, factors=dict.fromkeys(FIGURES, 2)))
    assert {change.yardstick for change in found.changes} == {"limit"}
    assert len(found.of(SLOWER)) == len(FIGURES)


def test_another_limit_is_another_yardstick():
    ratios = {"limit": spread(0.5), "reference": spread(100)}
    found = compare(one(ratios, bound="copy"), one(ratios, bound="multiply-adds"))
    assert found.changes[0].yardstick == "reference"
    found = compare(one(ratios, bound="copy"), one(ratios, bound="multiply-adds"), by="limit")
    assert list(found.unlike.values()) == ["another limit binds: copy -> multiply-adds"]
    assert found.exit_code == 3


def test_other_work_is_not_compared():
    base, new = (one({"limit": spread(0.5)}, multiply_adds=n) for n in (1000, 2000))
    found = compare(base, new)
    assert list(found.unlike.values()) == ["other work: 1000 -> 2000 multiply-adds"]
    assert found.exit_code == 3


def test_extrapolated_references_are_marked():
    base, new = (one({"reference": spread(r)}, extrapolated=e) for r, e in ((100, False), (50, True)))
    found = compare(base, new)
    assert found.changes[0].extrapolated
    report = "\n".join(lines(found))
    assert "reference~" in report
    assert "one row of its output" in report
    base.figures[0].ratios["limit"] = new.figures[0].ratios["limit"] = spread(0.5)
    assert not compare(base, new).changes[0].extrapolated


def test_a_peers_version_is_said():
    base, new = one({"torch": spread(2)}), one({"torch": spread(1)})
    base.versions, new.versions = {"torch": "2.12.0"}, {"torch": "2.13.0"}
    assert compare(base, new).notes == ["torch 2.12.0 -> 2.13.0: what changed may be torch"]


# ------------------------------------------------------------------------------- what cannot be compared


@pytest.mark.parametrize("fact", HERE)
def test_fingerprints_have_to_be_equal(fact):
    rng = np.random.default_rng(0)
    base, new = run(rng), run(rng)
    new.fingerprint[fact] = "other"
    found = compare(base, new)
    assert found.exit_code == 3
    assert not found.changes
    assert found.problem == (f"not comparable: {fact} {HERE[fact]} -> other (--across-machines compares all the same)")
    assert list(lines(found)) == [found.problem]
    found = compare(base, new, across_machines=True)
    assert found.exit_code == 0
    assert found.notes == [f"across machines: {fact} {HERE[fact]} -> other"]


def test_each_fact_that_differs_is_named():
    base, new = one({"limit": [1.0]}), one({"limit": [1.0]})
    base.fingerprint["compiler"] = "gcc 13"
    del new.fingerprint["processors"]
    assert "processors 2 -> unknown; compiler gcc 13 -> gcc 12" in compare(base, new).problem


def test_nothing_in_common():
    ratios = {"limit": spread(0.5)}
    found = compare(one(ratios), one(ratios, FIGURES[1]))
    assert found.problem == "no data in common: no figure is in both"
    assert (found.only_base, found.only_new) == ([FIGURES[0]], [FIGURES[1]])
    assert found.exit_code == 3
    assert list(lines(found)) == [
        "only in the base run: op 0, case, forward, 1 thread",
        "only in the new run: op 1, case, forward, 1 thread",
        found.problem,
    ]
    found = compare(one(ratios), one({"torch": spread(1)}))
    assert found.problem == "no data in common: no figure with a yardstick is in both"
    assert next(lines(found)) == "not compared, no yardstick in both: op 0, case, forward, 1 thread"
    assert compare(one(ratios), one(ratios), by="numpy").problem == (
        "no data in common: no figure with the yardstick numpy is in both"
    )
    assert compare(Record({}), Record({})).exit_code == 3


def test_too_few_rounds_are_no_silent_fine():
    """7 against 7 rounds can never alarm among 60 figures: 60 x 2 / C(14, 7) > 1 %."""
    rng = np.random.default_rng(0)
    found = compare(run(rng, rounds=7), run(rng, rounds=7, factors=dict.fromkeys(FIGURES, 3)))
    assert found.exit_code == 3
    assert found.problem == "too few rounds for any alarm: 7 against 7; 60 figures need 8 in each run"
    assert list(lines(found))[-1] == found.problem
    assert compare(run(rng, rounds=8), run(rng, rounds=8, factors=dict.fromkeys(FIGURES, 3))).exit_code == 1


def test_a_figure_with_too_few_rounds_is_named():
    rng = np.random.default_rng(0)
    base, new = run(rng), run(rng)
    base.figures[3].ratios["limit"][4:] = []
    found = compare(base, new)
    assert found.too_few == [FIGURES[3]]
    assert found.exit_code == 0
    assert list(lines(found))[-1] == ("too few rounds for an alarm: 1 of 60: op 3, case, forward, 1 thread")


def test_an_interrupted_run_is_noted():
    base, new = one({"limit": spread(1)}), one({"limit": spread(1)})
    new.interrupted = True
    assert compare(base, new).notes == ["the new run was interrupted"]


# --------------------------------------------------------------------------------------------- the report


def test_the_report():
    names = ("conv2d", "relu", "tanh", "gelu")
    figures = [Figure(name, "c", "forward", 1) for name in names]
    base = Record(HERE, [Measured(figure, ratios={"limit": spread(0.8)}) for figure in figures])
    new = Record(
        HERE,
        [
            Measured(figures[0], ratios={"limit": spread(0.6)}),
            Measured(figures[1], ratios={"limit": spread(0.8)}),
            Measured(figures[2], ratios={"limit": [*spread(0.4, 4), *spread(0.6, 2), *spread(1.6, 4)]}),
            Measured(figures[3], ratios={"limit": spread(0.9)}),
        ],
    )
    found = compare(base, new, Budgets(by_name={"conv2d, c": 0.08}, source="b.toml"))
    report = list(lines(found))
    assert report[0] == "slower: 1"
    assert report[2].split() == [
        *("conv2d,", "c,", "forward,", "1", "thread", "limit", "80.0", "%", "[79.7,", "80.3]"),
        *("60.0", "%", "[59.8,", "60.2]", "-25.0", "%", "8", "%", "1e-05"),
    ]
    assert report[4] == "faster: 1"
    assert report[6].startswith("  gelu, c, forward, 1 thread")
    assert report[-3:] == [
        "4 figures: 1 slower, 1 faster, 1 noisy, 1 same",
        "noise: Mann-Whitney U test of the rounds, two-sided, with Holm's correction: at most 1 % false alarms a "
        "comparison if rounds are exchangeable",
        "budget, beyond which a change has to be as well: 8 % to 10 %, b.toml",
    ]
    assert not any("tanh" in line or "relu" in line for line in report)
    verbose = "\n".join(lines(found, verbose=True))
    assert all(name in verbose for name in names)
    assert "beyond the budget, but not beyond the noise: 1" in verbose


def test_the_report_as_json():
    rng = np.random.default_rng(0)
    found = compare(run(rng), run(rng, factors={FIGURES[0]: 2}))
    back = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert back["exit_code"] == 1
    assert len(back["changes"]) == 60
    first = back["changes"][0]
    assert (first["op"], first["verdict"], first["rounds"]) == ("op 0", SLOWER, [10, 10])
    assert first["base"]["low"] < first["base"]["median"] < first["base"]["high"]
    assert first["change"] == pytest.approx(-0.5, abs=0.05)


# ------------------------------------------------------------------------------------------------ budgets


def test_the_projects_budgets():
    budgets = read(ROOT / "benchmarks" / "budgets.toml")
    assert budgets.default == 0.10
    assert budgets.of(Figure("conv2d", "cn layer 2", "backward", 2)) == 0.08
    assert budgets.of(Figure("relu", "images", "forward", 1)) == 0.10


def test_without_a_file_the_default_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find() == Budgets()
    assert str(find()) == "10 %, as there is no benchmarks/budgets.toml"
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "budgets.toml").write_text("default = 0.2\n")
    assert find().of(FIGURES[0]) == 0.2
    assert str(find()) == "20 %, benchmarks/budgets.toml"
    with pytest.raises(FileNotFoundError):
        find("missing.toml")
    monkeypatch.chdir(tmp_path / "benchmarks")
    assert find() == Budgets()
    assert find(folder=tmp_path).of(FIGURES[0]) == 0.2


def test_budgets_of_other_projects(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text('[budgets]\n"test_a.py::test_a" = 0.25\n')
    record = Record({}, [Measured(Figure("test_a.py::test_a", "", "", 0))])
    assert read(path, [record]).of(record.figures[0].figure) == 0.25
    with pytest.raises(ValueError, match="of a case that is measured"):
        read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"default = ", "expected TOML"),
        (b"\xff", "expected TOML"),
        (b"defalt = 0.1", r"expected default and \[budgets\] alone, got defalt"),
        (b"budgets = 1", "expected a table of numbers, got 1"),
        (b'[budgets]\n"conv3d, cn layer 2" = 0.1', 'of a case that is measured, got "conv3d, cn layer 2"'),
        (b'[budgets]\n"conv2d, cn layer 9" = 0.1', 'of a case that is measured, got "conv2d, cn layer 9"'),
        (b"[budgets.conv2d]\nx = 0.1", 'got "conv2d"'),
        (b"default = 0.0", "default: expected a number between 0 and 1, as 0.10, got 0.0"),
        (b"default = 1.0", "got 1.0"),
        (b"default = 10", "got 10"),
        (b"default = nan", "got nan"),
        (b"default = true", "got True"),
        (b'default = "0.1"', "got '0.1'"),
        (b'[budgets]\n"conv2d, cn layer 2" = 8', "conv2d, cn layer 2: expected a number between 0 and 1"),
        (b'[budgets]\n"conv2d, cn layer 2" = -0.1', "got -0.1"),
    ],
)
def test_wrong_budgets(tmp_path, text, message):
    path = tmp_path / "b.toml"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_budget_is_named_after_op_and_case():
    names = {name_of(Figure(op.name, case.name, "forward", 1)) for op in OPS for case in (*op.bench, *op.large)}
    assert "conv2d, cn layer 2" in names


# -------------------------------------------------------------------------------------------- fingerprints


def test_fingerprint():
    found = fingerprint()
    assert set(found) == set(HERE)
    assert all(found.values())
    assert found == fingerprint()
    assert found["python"] == ".".join(map(str, sys.version_info[:2]))
    assert versions()["numpy"] == np.__version__
    assert versions()["cnnx"] == cnnx.__version__
    assert versions()["python"] == platform.python_version()


def test_fingerprint_names_what_runs(monkeypatch):
    built = {"compiler": "gcc 1", "cython": "3", "checked": True, "openmp": False}
    monkeypatch.setattr("cnnx.native.build_info", lambda: built)
    assert fingerprint()["compiler"] == "gcc 1, Cython 3, checked, without OpenMP"


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_commit_of(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    package = tmp_path / "project" / "package"
    package.mkdir(parents=True)

    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e")
        command = ["git", *identity, "-C", package.parent, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()

    assert commit_of(package) == ""
    git("init", "-q")
    assert commit_of(package) == ""
    (package / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = commit_of(package)
    assert len(commit) == 12
    assert git("rev-parse", "HEAD").startswith(commit)
    (package / "new.py").write_text("untracked")
    assert commit_of(package) == commit
    (package / "a.py").write_text("2")
    assert commit_of(package) == f"{commit}+"
    installed = package.parent / ".venv"
    installed.mkdir()
    (installed / "b.py").write_text("not part of the checkout")
    assert commit_of(installed) == ""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))  # as within a hook
    assert commit_of(package) == f"{commit}+"
    assert commit_of(tmp_path / "missing") == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(package) == ""


# ------------------------------------------------------------------------------------- pytest-benchmark

MACHINE = {
    "machine": "x86_64",
    "python_version": "3.12.1",
    "python_compiler": "GCC 13",
    "cpu": {"brand_raw": "Some CPU", "count": 4},
}


def timed(name, data, **extra_info):
    data = list(data)
    stats = {"data": data, "median": sorted(data)[len(data) // 2] if data else None}
    return {"name": name, "fullname": f"test_x.py::{name}", "extra_info": extra_info, "stats": stats}


def foreign(*benchmarks, **fields):
    return {"machine_info": MACHINE, "benchmarks": list(benchmarks), "version": "5.0", **fields}


def test_timings_become_ten_blocks():
    record = from_pytest(foreign(timed("a", range(1, 101)), timed("b", [3.0, 1.0, 2.0])))
    first, second = record.figures
    assert first.figure == Figure("test_x.py::a", "", "", 0, "")
    assert str(first.figure) == "test_x.py::a"
    assert first.seconds == [5.5 + 10 * block for block in range(10)]
    assert second.seconds == [3, 1, 2]
    assert first.ratios == {}
    assert record.fingerprint == {"processor": "Some CPU", "processors": "4", "python": "3.12", "compiler": "GCC 13"}
    assert record.commit == ""
    record = from_pytest(foreign(commit_info={"id": "0123456789abcdef", "dirty": True}))
    assert record.commit == "0123456789ab+"
    own = {**MACHINE, "cnnx": HERE}
    assert from_pytest({**foreign(), "machine_info": own}).fingerprint == HERE


def test_our_own_extra_info_becomes_figures_with_ratios():
    info = {"op": "conv2d", "case": "c", "direction": "forward", "threads": 2}
    limits = {"share_of_limit": 0.5, "speed_up": 100.0, "bound": "copy", "multiply_adds": 7, "bytes": 8}
    record = from_pytest(
        foreign(
            timed("r", [200.0] * 20, **info, backend="reference"),
            timed("o", [1.0, 2.0, 4.0], **info, backend="optimized", extrapolated=True, **limits),
        )
    )
    (measured,) = record.figures
    assert measured.figure == Figure("conv2d", "c", "forward", 2)
    assert measured.ratios == {"limit": [1.0, 0.5, 0.25], "reference": [200.0, 100.0, 50.0]}
    assert measured.extrapolated
    assert (measured.bound, measured.multiply_adds, measured.bytes) == ("copy", 7, 8)


def quiet(rng, factors=(1, 1, 1, 1), rounds=200):
    """Four benchmarks on a machine whose speed is another one in each run."""
    speed = rng.uniform(0.5, 2)
    return from_pytest(
        foreign(
            *(
                timed(f"t{i}", speed * (i + 1) * factor * np.exp(0.05 * rng.normal(size=rounds)))
                for i, factor in enumerate(factors)
            )
        )
    )


def test_the_run_is_a_yardstick():
    """Twice as fast a machine is no change; a benchmark that takes 30 % longer than the others is, at its full size."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert compare(quiet(rng), quiet(rng)).exit_code == 0
        found = compare(quiet(rng), quiet(rng, (1, 1.3, 1, 1)))
        assert [str(change.figure) for change in found.of(SLOWER)] == ["test_x.py::t1"]
        assert {change.yardstick for change in found.changes} == {RUN}
        assert found.of(SLOWER)[0].change == pytest.approx(1 / 1.3 - 1, abs=0.03)
        assert "no error rate holds" in "".join(found.notes)


def test_the_run_counts_what_both_have():
    """A benchmark that only one file has must not move the yardstick, nor one with few timings take rounds away."""
    a, b, c = timed("a", [1.0] * 10), timed("b", [4.0] * 10), timed("c", [1e-9] * 10)
    found = compare(from_pytest(foreign(a, b)), from_pytest(foreign(a, b, c)))
    assert {str(change.figure): change.base for change in found.changes} == {
        "test_x.py::a": pytest.approx([4.0] * 10),
        "test_x.py::b": pytest.approx([0.25] * 10),
    }
    assert [str(figure) for figure in found.only_new] == ["test_x.py::c"]
    few = timed("b", [4.0, 3.0, 5.0])
    found = compare(from_pytest(foreign(a, few)), from_pytest(foreign(a, few)))
    assert [len(change.base) for change in found.changes] == [10, 3]
    assert found.changes[0].base == pytest.approx([4.0] * 10)
    alone = from_pytest(foreign(a))
    assert compare(alone, alone).problem == "no data in common: no figure with a yardstick is in both"


def test_a_baseline_in_the_same_run():
    """Its own doubled time is no alarm, that of the others beside it is."""

    def both(old, new):
        base = foreign(timed("base", spread(1.0)), timed("a", spread(2.0)))
        after = foreign(timed("base", spread(old)), timed("a", spread(new)))
        return compare(*(from_pytest(found, baseline="base") for found in (base, after)))

    found = both(2.0, 4.0)
    (change,) = found.changes
    assert (change.yardstick, str(change.figure), found.exit_code) == ("base", "test_x.py::a", 0)
    assert change.base == pytest.approx([0.5] * 10)
    assert both(1.0, 4.0).exit_code == 1
    fewer = from_pytest(foreign(timed("base", [1.0, 2.0]), timed("a", [2.0] * 10)), baseline="test_x.py::base")
    assert fewer.figures[0].ratios == {"test_x.py::base": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmarks": [timed("a", [])]}, "a: expected timings, got none: write the file by --benchmark-json"),
        ({"benchmarks": [timed("a", [1.0]), timed("a", [1.0])]}, "expected once, got 2 times"),
        ({"benchmarks": [timed("a", [-1.0])]}, "seconds: expected a list of positive numbers"),
        ({"benchmarks": [timed("a", ["x"])]}, "a broken one"),
        ({"benchmarks": [{"name": "a"}]}, "a broken one .KeyError: 'extra_info'"),
        ({"benchmarks": 3}, "a broken one .TypeError"),
        ({"machine_info": None}, "a broken one"),
        ({"machine_info": {}}, "a broken one .KeyError"),
    ],
)
def test_wrong_files_of_pytest_benchmark(tmp_path, change, message):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({**foreign(), **change}))
    with pytest.raises(RecordError, match=message) as error:
        read_any(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("baseline", [None, "b"])
def test_timings_of_0_are_left_out_by_name(baseline):
    """A coarse clock gives them; the other benchmarks are compared."""
    base = foreign(timed("a", spread(1.0)), timed("b", spread(2.0)), timed("quick", [0.0] * 100 + [1e-6] * 10))
    new = foreign(timed("a", spread(1.5)), timed("b", spread(2.0)), timed("quick", spread(1e-6)))
    found = compare(from_pytest(base, baseline), from_pytest(new, baseline))
    assert [str(change.figure) for change in found.of(SLOWER)] == ["test_x.py::a"]
    assert {str(figure): why for figure, why in found.unlike.items()} == {
        "test_x.py::quick": "a timing of 0: the clock is too coarse for it"
    }
    assert "not compared, a timing of 0: the clock is too coarse for it: test_x.py::quick" in list(lines(found))
    with pytest.raises(RecordError, match="baseline: expected timings above 0, got 'quick' with a timing of 0"):
        from_pytest(base, "quick")


def test_timings_of_0_of_our_own_benchmarks():
    info = {"op": "conv2d", "case": "c", "direction": "forward", "threads": 2, "share_of_limit": 0.5}
    (measured,) = from_pytest(foreign(timed("o", [0.0, 1e-6], **info, backend="optimized"))).figures
    assert (measured.seconds, measured.ratios) == ([], {})
    assert "a timing of 0" in measured.missing["seconds"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("c", "expected a benchmark of test_x.py::a, test_x.py::b, test_y.py::b, got 'c'"), ("b", "the full name of one")],
)
def test_wrong_baselines(name, message):
    other = {**timed("b", [1.0]), "fullname": "test_y.py::b"}
    with pytest.raises(RecordError, match=message):
        from_pytest(foreign(timed("a", [1.0]), timed("b", [1.0]), other), baseline=name)


def test_read_any_reads_a_record(tmp_path):
    path = tmp_path / "r.json"
    record = run(np.random.default_rng(0), figures=FIGURES[:3])
    record.write(path)
    assert read_any(path) == record
    with pytest.raises(RecordError, match="beside a baseline, got a record"):
        read_any(path, baseline="a")


def broken_record(**changes):
    figure = Measured(FIGURES[0], seconds=[1.0], ratios={"limit": [0.5]}).as_dict() | changes.pop("figure", {})
    return {**Record(HERE).as_dict(), "figures": [figure], **changes}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"a": 1}',
        *(
            json.dumps(found)
            for found in (
                broken_record(cnnx_bench=99),
                broken_record(figures=[{}]),
                broken_record(figures=None),
                broken_record(figures=broken_record()["figures"] * 2),
                broken_record(fingerprint=[1]),
                broken_record(fingerprint={"processor": 3}),
                broken_record(figure={"ratios": {"limit": [0]}}),
                broken_record(figure={"ratios": {"limit": [math.nan]}}),
                broken_record(figure={"ratios": {"limit": [math.inf]}}),
                broken_record(figure={"ratios": {"limit": ["1"]}}),
                broken_record(figure={"ratios": {"limit": 1}}),
                broken_record(figure={"ratios": []}),
                broken_record(figure={"seconds": [-1.0]}),
                broken_record(figure={"op": 3}),
                broken_record(figure={"op": ["a"]}),
                broken_record(figure={"threads": "1"}),
                broken_record(surprise=1),
            )
        ),
    ],
)
def test_wrong_records(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(RecordError) as error:
        read_any(path)
    assert str(error.value).startswith(f"{path}: expected ")
    assert "\n" not in str(error.value)


def test_a_broken_record_is_broken_by_what_was_changed():
    assert Record.from_dict(broken_record()).figures


BENCHMARKS = """
def test_sum(benchmark):
    benchmark.pedantic(sum, (range(500),), rounds=40, iterations=20)

def test_sorted(benchmark):
    benchmark.pedantic(sorted, (range({}),), rounds=40, iterations=20)
"""


def test_real_files_of_pytest_benchmark(tmp_path):
    """Written by pytest-benchmark itself; the second one sorts ten times as much."""
    records = []
    # pytest-benchmark measures nothing where it takes itself for a worker of pytest-xdist.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    for name, n in (("base", 500), ("new", 5000)):
        (tmp_path / "test_it.py").write_text(BENCHMARKS.format(n))
        command = [*(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"), f"--benchmark-json={name}.json"]
        subprocess.run([*command, "test_it.py"], cwd=tmp_path, env=alone, check=True, capture_output=True, timeout=120)
        records.append(read_any(tmp_path / f"{name}.json"))
    assert [len(measured.seconds) for measured in records[0].figures] == [10, 10]
    assert {"processor", "python", "compiler"} <= set(records[0].fingerprint)
    found = compare(*records)
    assert [str(change.figure) for change in found.of(SLOWER)] == ["test_it.py::test_sorted"]
    assert found.exit_code == 1
    records = [read_any(tmp_path / f"{name}.json", baseline="test_sum") for name in ("base", "new")]
    found = compare(*records)
    assert [change.yardstick for change in found.of(SLOWER)] == ["test_sum"]


def test_without_scipy_the_extra_is_named():
    code = "import sys; sys.modules['scipy'] = None\nimport cnnx.bench.record, cnnx.bench.budgets, cnnx.bench.compare"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert "ModuleNotFoundError: comparing runs needs scipy: python -m pip install 'cnnx[bench]'" in done.stderr

"""cnnx bench --history --bisect: which commit a drift comes from."""

import json

import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from test_project import cache, history_of_three  # noqa: F401

from cnnx.bench.against import BASE
from cnnx.bench.builds import Build
from cnnx.bench.curves import Drift, Machine
from cnnx.bench.drifted import Stretch, search, stretches
from cnnx.bench.history import append
from cnnx.bench.record import Figure, Measured, Record
from cnnx.cli import _bench_text, main

pytestmark = pytest.mark.once

FIGURES = [Figure(name, "", "", 0, "") for name in ("got slower", "got faster", "as before")]
NAMES = [f"{k:012x}" for k in range(8)]
LEVELS = {FIGURES[0]: (3, 0.9), FIGURES[1]: (6, 1.2), FIGURES[2]: (9, 0.5)}  # by figure: since which place, what


class Turns:
    """Two builds' ratios as LEVELS has them, without any clock."""

    def __init__(self, base, tree, figures):
        place = NAMES.index(tree.name)
        assert base.name == NAMES[0]
        self.failed = {}
        self.found = [
            Measured(one, ratios={BASE: [LEVELS[one][1] if place >= LEVELS[one][0] else 1.0]}) for one in figures
        ]

    def run(self, rounds):
        for one in self.found:
            one.ratios[BASE] *= rounds


def in_turns(base, tree, figures, folder, say):
    return Turns(base, tree, figures)


def test_each_figures_commit_is_named_and_what_no_commit_changed_is_said():
    stretch = Stretch(NAMES[0], NAMES[-1], {FIGURES[0]: 0.91, FIGURES[1]: 1.15, FIGURES[2]: 0.8})
    search(stretch, NAMES[1:], lambda name: Build(name, None), in_turns)
    assert [(one.figure, one.before, one.since) for one in stretch.named] == [
        (FIGURES[0], NAMES[2], NAMES[3]),
        (FIGURES[1], NAMES[5], NAMES[6]),
    ]
    (note,) = stretch.notes
    assert note == (
        f"{FIGURES[2]}: -20.0 % in the history, +0.0 % between the two builds now: what changed was no commit"
    )
    words = [line for line in _bench_text.named(stretch.named, lambda name: "title") if not line.startswith(" ")]
    assert words == [
        f"{FIGURES[0]}: slower since {NAMES[3]} (title), after {NAMES[2]}",
        f"{FIGURES[1]}: faster since {NAMES[6]} (title), after {NAMES[5]}",
    ]
    assert [one["faster"] for one in _bench_text.named_as_dict(stretch.named)] == [False, True]


def test_drifts_are_gathered_by_their_commits():
    records = [Record({}, [], commit=name) for name in (*NAMES[:3], NAMES[2], f"{NAMES[3]}+", "")]
    drifts = [
        Drift("several", 0, 2, 0.9, tuple(FIGURES[:2])),
        Drift("one", 0, 3, 0.8, tuple(FIGURES[1:])),  # which ends at the same commit
        Drift("changed tree", 3, 4, 0.7, (FIGURES[0],)),
        Drift("no commit", 4, 5, 0.7, (FIGURES[0],)),
        Drift("nothing between", 2, 3, 0.7, (FIGURES[0],)),
    ]
    one, *others = stretches(Machine({}, records, [], drifts))
    assert (one.before, one.since) == (NAMES[0], NAMES[2])
    assert one.ratios == {FIGURES[0]: 0.9, FIGURES[1]: 0.9, FIGURES[2]: 0.8}
    assert [other.ratios for other in others] == [{}, {}, {}]
    assert [other.notes for other in others] == [
        [f"changed tree: expected two commits to search between, got {NAMES[2]} to {NAMES[3]}+"],
        [f"no commit: expected two commits to search between, got {NAMES[3]}+ to unknown"],
        [f"nothing between: expected two commits to search between, got {NAMES[2]} to {NAMES[2]}"],
    ]


@pytest.fixture
def history(history_of_three, tmp_path, monkeypatch):  # noqa: F811
    """Runs of the first commit and of the third; one figure's level changed with the second."""
    root, names = history_of_three
    monkeypatch.chdir(root)
    path = tmp_path / "history.jsonl"
    for k in range(24):
        levels = {"toy:wait": 0.25 if k >= 12 else 1.0, "constant": 0.5 if k >= 12 else 1.0}
        figures = [
            Measured(
                Figure(name, "", "", 0, ""), ratios={BASE: [level * (1 + (5 * k + i) % 7 / 1000) for i in range(10)]}
            )
            for name, level in levels.items()
        ]
        append(path, Record({"processor": "A"}, figures, names[2 if k >= 12 else 0], f"2026-01-{k + 1:02}"))
    return path, names


def test_a_historys_drift_is_searched_in_real_builds(history, capsys):
    path, (first, second, third) = history
    assert main(["bench", "--history", str(path), "--bisect", "--rounds", "3"]) == 0
    out = capsys.readouterr().out.splitlines()
    (start,) = [k for k, line in enumerate(out) if line.startswith("searching")]
    assert out[start] == f"searching from {first} to {third}, each against {first}:"
    assert out[start + 1] == f"  toy:wait: slower since {second} (slower), after {first}"
    assert "constant: -50." in out[-1]
    assert out[-1].endswith("between the two builds now: what changed was no commit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "3"], "--rounds: with --history expected beside --bisect alone, as nothing else is measured"),
        (["--pytest", "tests"], "--pytest: with --history expected beside --bisect alone"),
        (["--bisect", "--report", "x.html"], "--bisect: expected none with --report, which draws what was recorded"),
    ],
)
def test_wrong_usage(options, message, history, capsys):
    assert main(["bench", "--history", str(history[0]), *options]) == 2
    assert message in capsys.readouterr().err


def test_without_a_drift_nothing_is_searched(history, tmp_path, capsys):
    lines = history[0].read_text().splitlines()[:12]
    (short := tmp_path / "short.jsonl").write_text("\n".join(lines))
    assert main(["bench", "--history", str(short), "--bisect"]) == 0
    assert capsys.readouterr().out.endswith("nothing to search for: no level changed over many runs\n")


def test_a_commit_that_is_not_there_is_said(history, tmp_path, capsys):
    path, (first, *_, third) = history
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["commit"] = "0123456789ab" if line["commit"] == third else first
    (other := tmp_path / "other.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["bench", "--history", str(other), "--bisect"]) == 0
    assert "expected a commit, branch or tag of" in capsys.readouterr().out

"""A history over two machines, joined by the commits that both have."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra bench: it ranks")

from cnnx.bench.curves import curves
from cnnx.bench.joined import joined
from cnnx.bench.record import Figure, Measured, Record
from cnnx.cli._history import lines

pytestmark = pytest.mark.once

RELU = Figure("relu", "images", "forward", 1)
RUNS = 40  # of each machine


def record(machine, k, level, suffix=""):
    date = f"2026-{1 + k // 28:02d}-{1 + k % 28:02d}T0{int(machine == 'B')}:00:00+00:00"
    return Record({"processor": machine}, [Measured(RELU, ratios={"limit": [level] * 3})], f"c{k}{suffix}", date)


def history(common, change=lambda k: 0.0, seed=0, suffix=""):
    """Machine A, and B, which is 1.4 times as near to its limit and goes on; `common` commits are measured on both."""
    rng = np.random.default_rng(seed)

    def level(k, scale):
        return scale * float(np.exp(0.01 * rng.standard_normal() + change(k)))

    runs = [record("A", k, level(k, 0.5), suffix) for k in range(RUNS)]
    return runs + [record("B", k, level(k, 0.7), suffix) for k in range(RUNS - common, 2 * RUNS - common)]


def test_a_change_at_the_seam_is_seen_by_both_together():
    """5 % two commits before the old machine ends: it has three runs with the change, the new one three without."""
    found = 0
    for seed in range(6):
        machines = curves(history(6, lambda k: -0.05 * (k >= RUNS - 3), seed))
        assert [machine.drifts for machine in machines] == [[], []]
        several = joined(machines)
        assert [machine.name for machine in several.machines] == ["A", "B"]
        assert several.commits == 6
        assert len(several.records) == 2 * RUNS - 6
        found += any(
            one.kind == "slower" and abs(one.since - (RUNS - 3)) <= 1 and abs(one.ratio - 0.95) < 0.02
            for one in several.drifts
        )
    assert found >= 5


def test_another_machine_is_no_change():
    """Neither its level nor the error of what joins it: of 600 histories (3 or 5 in common) none had any."""
    for seed in range(12):
        several = joined(curves(history(3, seed=100 + seed)))
        assert several.drifts == []


def test_what_a_machine_shows_alone_is_not_said_twice():
    machines = curves(history(6, lambda k: -0.1 * (k >= 15)))
    assert [len(machine.drifts) for machine in machines] == [0, 1]  # the one with the newest run is first
    assert joined(machines).drifts == []


def test_without_enough_commits_in_common_nothing_is_joined():
    assert joined(curves(history(2))) is None
    assert joined(curves(history(6, suffix="+"))) is None  # changed sources are no commit
    assert joined(curves(history(6)[:RUNS])) is None


def test_it_is_printed():
    shown = list(lines(curves(history(6, lambda k: -0.06 * (k >= RUNS - 3), seed=1))))
    (place,) = (
        i for i, line in enumerate(shown) if line.startswith("A, B, joined by 6 commits that both have: over many")
    )
    assert "slower: relu, images, forward, 1 thread, at c37, after c36" in shown[place + 1]
    assert shown[-1].startswith("over many runs: a level that changed for good")
    quiet = list(lines(curves(history(6))))
    assert "A, B, joined by 6 commits that both have: no more than they show alone" in quiet

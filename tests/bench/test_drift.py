"""Changes over many runs: how often they are found where nothing changed, and where something did."""

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra bench: it ranks")

from cnnx.bench.curves import curves, since_when
from cnnx.bench.drift import ALARMS, FEWEST, scan, shifts
from cnnx.bench.record import Figure, Measured, Record
from cnnx.cli._history import lines

pytestmark = pytest.mark.once

HISTORIES = [300, pytest.param(1000, marks=pytest.mark.thorough)]
NOISES = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy tails": lambda rng, n: rng.standard_t(2, n),
    "now and then slower": lambda rng, n: rng.standard_normal(n) - 8 * (rng.random(n) < 0.05),
}


def of(logs):
    return np.exp(0.01 * np.asarray(logs))


@pytest.mark.parametrize("count", HISTORIES)
@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_histories_without_a_change_are_hardly_ever_marked(noise, count):
    """200 runs each; at most 1 %, which 300 are too few to tell: of them 7 are marked with a chance of 0.1 %."""
    rng = np.random.default_rng(7)
    marked = sum(scan(of(noise(rng, 200)))[1] <= ALARMS for _ in range(count))
    assert marked <= (10 if count == 1000 else 6)


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.thorough)])
def test_a_change_of_twice_the_noise_is_found_within_three_runs(count):
    rng, found = np.random.default_rng(8), 0
    for _ in range(count):
        logs, place = rng.standard_normal(200), int(rng.integers(20, 181))
        logs[place:] += rng.choice([-2, 2])
        found += any(abs(one.before + 1 - place) <= 3 and abs(one.since - place) <= 3 for one in shifts(of(logs)))
    assert found >= 0.9 * count if count < 1000 else found >= 0.95 * count


def test_five_steps_of_two_per_cent_are_one_change_named_to_the_run():
    rng, right = np.random.default_rng(9), 0
    for _ in range(20):
        logs = np.concatenate([np.zeros(40), 2 * np.arange(1, 5), np.full(40, 10)]) + 0.5 * rng.standard_normal(84)
        found = shifts(of(-logs))
        right += len(found) == 1 and abs(found[0].before - 39) <= 1 and abs(found[0].since - 44) <= 1
        assert found[0].ratio == pytest.approx(0.905, abs=0.01)
    assert right >= 19


def test_several_changes_are_told_apart():
    logs = 0.5 * np.random.default_rng(10).standard_normal(120)
    for place, step in (30, 5), (60, -8), (90, 3):
        logs[place:] += step
    found = shifts(of(logs))
    assert [one.since for one in found] == pytest.approx([30, 60, 90], abs=1)
    assert [one.ratio for one in found] == pytest.approx(of([5, -8, 3]), abs=0.006)
    assert all(one.since == one.before + 1 and one.p < 0.01 for one in found)


def test_what_is_no_change():
    logs = 0.2 * np.random.default_rng(11).standard_normal(100)
    for place in 20, 50, 80:
        logs[place] += 40  # one run among others
    assert shifts(of(logs)) == []
    logs[40:] += 0.8  # beyond the noise, but less than 1 %
    assert scan(of(logs))[1] < 0.01
    assert shifts(of(logs)) == []
    assert shifts([2.0] * 50) == []
    assert shifts([1.0] * (FEWEST // 2 - 1) + [2.0] * (FEWEST // 2)) == []
    assert shifts([]) == []


def test_without_noise_a_step_is_where_it_is():
    assert [(one.before, one.since, one.ratio) for one in shifts([3.0] * 10 + [2.0] * 10)] == [
        (9, 10, pytest.approx(2 / 3))
    ]


@pytest.mark.parametrize("values", [[1.0, -1.0], [0.0], [float("nan")], [float("inf")]])
def test_values_that_have_no_ratio(values):
    with pytest.raises(ValueError, match="values: expected numbers that are positive and finite, got"):
        shifts(values)


@pytest.mark.parametrize("level", [0, 1, -0.1, float("nan")])
def test_levels_that_are_no_chance(level):
    with pytest.raises(ValueError, match="level: expected a chance between 0 and 1, got"):
        shifts([1.0] * 10, level)


# ------------------------------------------------------------------------------------------ in a history

FIGURES = [Figure("conv2d", f"layer {i}", "forward", 1) for i in range(6)]
OTHER = Figure("relu", "images", "forward", 1)


def record(place, levels, processor="A"):
    figures = [Measured(figure, ratios={"limit": [level] * 3}) for figure, level in levels.items()]
    date = f"2026-{1 + place // 28:02d}-{1 + place % 28:02d}T00:00:00+00:00"
    return Record({"processor": processor}, figures, commit=f"c{place}", date=date)


def history(change, runs=40, noise=0.5, seed=12):
    rng = np.random.default_rng(seed)
    return [
        record(k, {figure: 0.5 * of(noise * rng.standard_normal() + change(k, figure)) for figure in (*FIGURES, OTHER)})
        for k in range(runs)
    ]


def test_a_figures_drift_is_named_by_its_commits():
    runs = history(lambda k, figure: -2 * min(max(k - 19, 0), 5) if figure is FIGURES[2] else 0)
    (machine,) = curves(runs)
    (found,) = machine.drifts
    assert (found.name, found.kind, found.figures) == (str(FIGURES[2]), "slower", (FIGURES[2],))
    assert found.ratio == pytest.approx(0.905, abs=0.01)
    assert (found.before, found.since) == pytest.approx((19, 24), abs=1)
    words = since_when(found, runs)
    assert (
        words
        == f"in {found.since - found.before} runs, from c{found.before + 1} to c{found.since}, after c{found.before}"
    )
    shown = list(lines([machine]))
    (line,) = (line for line in shown if words in line)
    assert line.split() == ["-9.5", "%", "slower:", *f"{FIGURES[2]}, {words}".split()] or "slower" in line
    assert "no change in 7 figures" in shown[1]  # of the newest run to the one before


def test_figures_together_show_what_none_of_them_does():
    runs = history(lambda k, figure: -1.2 * (k >= 20) if figure in FIGURES else 0, noise=1.5, seed=13)
    (machine,) = curves(runs)
    (found,) = machine.drifts
    assert (found.name, found.kind) == ("conv2d, forward, 6 figures together", "slower")
    assert set(found.figures) == set(FIGURES)
    assert found.since == pytest.approx(20, abs=3)


def test_a_change_of_all_figures_of_an_op_is_said_of_each_and_not_of_them_together():
    (machine,) = curves(history(lambda k, figure: -10 * (k >= 20) if figure in FIGURES else 0))
    assert sorted(found.name for found in machine.drifts) == sorted(map(str, FIGURES))


def test_another_machine_is_no_change_and_a_short_history_has_none():
    slow = [record(60 + k, {OTHER: 0.4}, processor="B") for k in range(20)]
    machines = curves([*history(lambda k, figure: 0), *slow])
    assert [machine.drifts for machine in machines] == [[], []]
    assert curves(history(lambda k, figure: -50 * (k >= 3), runs=6))[0].drifts == []


def test_the_page_marks_it():
    pytest.importorskip("jinja2", reason="extra bench")
    from pages import Tags

    from cnnx.bench.page import page

    runs = history(lambda k, figure: 5 * (k >= 20) if figure is OTHER else 0)
    shown = Tags(page(curves(runs)))
    (mark,) = [a for _, a in shown.tags if (a.get("class") or "").split() == ["drift", "faster"]]
    assert mark["aria-label"].startswith("relu, images, forward, 1 thread: +5")
    assert "at c20, after c19" in shown.text
    assert "Over many runs" in shown.text
    assert "Over many runs" not in Tags(page(curves(history(lambda k, figure: 0)))).text

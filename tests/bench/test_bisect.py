"""Which commit made a figure slower: the search, on made-up figures, and the commits that it is among."""

import random

import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from test_against import BUILDS, git, repository  # noqa: F401

from cnnx.bench.against import Outcome, Suspect
from cnnx.bench.bisect import bisect
from cnnx.bench.builds import Build, BuildError, Repository
from cnnx.bench.record import Figure
from cnnx.cli import _bench_text

pytestmark = pytest.mark.once

FIGURES = [Figure("conv2d", f"layer {i}", "forward", 1) for i in range(3)]
COMMITS = [f"c{i}" for i in range(1, 21)]


def searched(since, *, lost=0.1, broken=(), spread=0.02, commits=(*COMMITS, None)):
    """What is named where each figure gets slower at a place among the commits, and what was measured."""
    rng, asked = random.Random(3), []
    places = [BUILDS[0].name, *commits]
    outcome = Outcome(*BUILDS)
    for figure in since:
        outcome.suspects.append(Suspect(figure, [1 - lost] * 5, [1 - lost] * 16, regression=True))

    def build(commit):
        if commit in broken:
            raise BuildError("kernel.pyx:1: it is broken")
        return Build(commit or "working tree", None)

    def measure(built, figures):
        place = places.index(None if built.name == "working tree" else built.name)
        asked.append((built.name, len(figures)))
        return {
            figure: [(1 - lost * (place >= since[figure])) * rng.gauss(1, spread) for _ in range(16)]
            for figure in figures
            if since[figure] is not ...
        }

    return bisect(outcome, commits, build, None, measure=measure), asked


@pytest.mark.parametrize("place", range(1, 22))
def test_the_commit_is_named_wherever_it_is(place):
    ((named,), asked) = searched({FIGURES[0]: place})
    places = [BUILDS[0].name, *COMMITS, None]
    assert (named.before, named.since) == (places[place - 1], places[place])
    assert len(asked) <= 5  # of 21
    assert len(named.ratios) == len(asked)
    assert named.skipped == {}


def test_figures_share_what_is_measured():
    named, asked = searched({FIGURES[0]: 3, FIGURES[1]: 3, FIGURES[2]: 17})
    assert [(one.before, one.since) for one in named] == [("c2", "c3"), ("c2", "c3"), ("c16", "c17")]
    assert asked[0] == ("c10", 3)
    assert len(asked) <= 9


def test_half_of_several_steps_is_named():
    """Two commits that lose a little each: the first after which less than half of it is still to come."""
    outcome = Outcome(*BUILDS)
    outcome.suspects.append(Suspect(FIGURES[0], [0.9] * 5, [0.9] * 16, regression=True))
    levels = {"c1": 1.0, "c2": 0.98, "c3": 0.93, "c4": 0.9}
    (named,) = bisect(
        outcome,
        list(levels),
        lambda c: Build(c, None),
        None,
        measure=lambda b, fs: {f: [levels[b.name]] * 16 for f in fs},
    )
    assert (named.before, named.since) == ("c2", "c3")


def test_commits_that_cannot_be_built_are_said_where_they_matter():
    ((named,), asked) = searched({FIGURES[0]: 11}, broken=("c10", "c3"))
    assert (named.before, named.since) == ("c9", "c11")
    assert named.skipped == {"c10": "kernel.pyx:1: it is broken"}
    assert ("c10", 1) not in asked
    (words, *_, last) = _bench_text.named([named], lambda revision: f"title of {revision}")
    assert words == "conv2d, layer 0, forward, 1 thread: slower since c11 (title of c11), after c9"
    assert last == "  c10, which may be it too, was left out: kernel.pyx:1: it is broken"
    assert _bench_text.named_as_dict([named])[0]["skipped"] == {"c10": "kernel.pyx:1: it is broken"}


def test_where_nothing_can_be_measured_all_commits_are_left_out():
    ((named,), _) = searched({FIGURES[0]: ...}, commits=("c1", "c2", "c3"))
    assert (named.before, named.since) == (BUILDS[0].name, "c3")
    assert set(named.skipped) == {"c1", "c2"}


def test_one_commit_is_named_without_a_measurement():
    assert [(one.before, one.since) for one in searched({FIGURES[0]: 1}, commits=("c1",))[0]] == [
        (BUILDS[0].name, "c1")
    ]
    with pytest.raises(ValueError, match="commits: expected at least one behind the base, got none"):
        searched({FIGURES[0]: 1}, commits=())
    assert searched({})[0] == []


def test_the_commits_behind_a_revision(repository):  # noqa: F811
    found = Repository(repository)
    assert found.behind("HEAD") == []
    second = found.commit("HEAD")[:12]
    assert found.behind("v1") == [second]
    assert found.title(second) == "second"
    repository.joinpath("README.md").write_text("nothing that is built")
    git(repository, "add", "--all")
    git(repository, "commit", "-qm", "words")
    assert found.behind("v1") == [second]
    repository.joinpath("setup.py").write_text(repository.joinpath("setup.py").read_text() + "# changed\n")
    assert found.behind("v1") == [second, None]
    with pytest.raises(BuildError, match="expected a commit, branch or tag"):
        found.behind("nothing")

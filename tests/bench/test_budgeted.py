"""The pytest plugin's `cnnx_budget`: who fails, who does not, and how often by chance. Clocks are made up."""

import random
import re
import xml.etree.ElementTree as ET

import pytest

pytest.importorskip("scipy", reason="extra bench: it tells changes from noise")

from cnnx.bench import budgeted, limits
from cnnx.bench.budgeted import AGAIN, ROUNDS, Budgeted, check

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.once

PLUGIN = ("-p", "no:cnnx", "-p", "_cnnx_pytest", "-p", "no:cacheprovider")


class FailedError(Exception):
    pass


def fail(words):
    raise FailedError(words)


def nothing():
    pass


@pytest.fixture
def clock(monkeypatch):
    """Both calls take what they are said to, times noise."""
    rng, taken = random.Random(5), {}

    def timed(call):
        return lambda: taken[call] * rng.gauss(1, 0.05)

    monkeypatch.setattr(budgeted, "_timed", timed)
    return taken


def other():
    pass


def outcome(clock, ratio, at_most=1.5):
    clock.update({nothing: ratio * 1e-3, other: 1e-3})
    notes = {}
    judge = Budgeted(at_most, None, True, fail, notes.__setitem__)
    try:
        judge(nothing, beside=other)
    except FailedError as error:
        return str(error), notes["cnnx_budget"]
    return "", notes["cnnx_budget"]


def test_within_the_budget_a_few_rounds_are_enough(clock):
    words, note = outcome(clock, 1.2)
    assert words == ""
    assert note == {"ratio": pytest.approx(1.2, abs=0.06), "at_most": 1.5, "rounds": ROUNDS}


def test_beyond_it_the_failure_says_by_how_much(clock):
    words, note = outcome(clock, 1.8)
    assert re.fullmatch(
        r"cnnx_budget: expected at most 1\.5 times the time of what it stands beside, got 1\.\d+ \[1\.\d+, 1\.\d+\] in "
        rf"{AGAIN} rounds of turns: 0\.001\d+ s against 0\.\d+ s; the chance of that within the budget is 2e-05",
        words,
    )
    assert note["rounds"] == AGAIN


def test_alarms(clock):
    """At the very budget at most 1 % fail, of 300 at most 9 with a chance of 99.9 %; 10 % beyond it nearly all."""
    assert sum(bool(outcome(clock, 1.5)[0]) for _ in range(300)) <= 9
    assert sum(bool(outcome(clock, 1.65)[0]) for _ in range(60)) >= 57


def test_calls_take_turns(monkeypatch):
    """Each round has three of both; every other one goes the other way round."""
    order = []
    monkeypatch.setattr(budgeted, "_timed", lambda call: lambda: order.append(call) or 1.0)
    Budgeted(2.0, None, True, fail)(nothing, beside=other)
    assert order == (3 * [nothing, other] + 3 * [other, nothing]) * 2 + 3 * [nothing, other]


def test_beside_a_copy():
    size = 1 << 16
    limit = limits.copy(size)
    assert Budgeted(1e6, size, True, fail)(limit.call) > 0
    with pytest.raises(FailedError, match="at most 1e-06 times the time of a copy of as many bytes, got"):
        Budgeted(1e-6, size, True, fail)(limit.call)
    with pytest.raises(TypeError, match="beside: expected none, as the marker has bytes="):
        Budgeted(1.0, size, True, fail)(nothing, beside=other)


@pytest.mark.parametrize(("call", "beside"), [(None, nothing), (3, nothing), (nothing, None), (nothing, 3)])
def test_what_is_no_call(call, beside):
    with pytest.raises(TypeError, match="expected a function without arguments"):
        Budgeted(1.0, None, True, fail)(call, beside=beside)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((), {}, "expected at_most"),
        ((1, 2, 3), {}, "expected at_most"),
        ((1,), {"seconds": 1}, "expected at_most"),
        ((1,), {"at_most": 2}, "expected at_most"),
        ((0,), {}, "at_most: expected a ratio above 0, got 0"),
        (("x",), {}, "at_most"),
        ((True,), {}, "at_most"),
        ((float("inf"),), {}, "at_most"),
        ((1,), {"bytes": 0}, "bytes: expected how many"),
        ((1,), {"bytes": 1.5}, "bytes"),
    ],
)
def test_wrong_markers(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        check(*arguments, **options)


SUITE = """
import time
import pytest

calls = []

@pytest.mark.cnnx_budget(1.5)
class TestSpeed:
    def test_slow(self, budgeted):
        calls.append(1)
        budgeted(lambda: time.sleep(2e-3), beside=lambda: None)

    @pytest.mark.cnnx_budget(1e6)
    def test_quick(self, budgeted):
        assert (budgeted(lambda: None, beside=lambda: time.sleep(1e-3)) or 0) < 1

    def test_not_called(self, budgeted):
        pass

    def test_without(self):
        pass

@pytest.mark.cnnx_budget("fast")
def test_wrong(budgeted):
    budgeted(print, beside=print)

def test_unmarked(budgeted):
    budgeted(print, beside=print)
"""


def run(pytester, *arguments):
    done = pytester.runpytest_subprocess(*PLUGIN, "-v", "--strict-markers", "-Werror", *arguments)
    return done.stdout.str(), dict(re.findall(r"^test_speed.py::(\S+) (PASSED|FAILED|ERROR)", done.stdout.str(), re.M))


def test_in_a_suite(pytester):
    pytester.makepyfile(test_speed=SUITE)
    text, outcomes = run(pytester, "--junitxml=junit.xml")
    assert outcomes == {
        "TestSpeed::test_slow": "FAILED",
        "TestSpeed::test_quick": "PASSED",
        "TestSpeed::test_not_called": "FAILED",
        "TestSpeed::test_without": "PASSED",
        "test_wrong": "ERROR",
        "test_unmarked": "ERROR",
    }
    for words in (
        "cnnx_budget: expected at most 1.5 times the time of what it stands beside, got ",
        "expected the test to call budgeted()",
        "cnnx_budget: at_most: expected a ratio above 0, got 'fast'",
        "budgeted: expected a marker, @pytest.mark.cnnx_budget(AT_MOST)",
    ):
        assert words in text
    assert "budgeted.py" not in text  # where cnnx says it is of no use
    properties = [each.get("name") for each in ET.parse(pytester.path / "junit.xml").iter("property")]
    assert properties == ["cnnx_budget", "cnnx_budget"]


def test_a_marker_without_the_fixture_is_no_pass(pytester):
    pytester.makepyfile(test_speed="import pytest\n\n@pytest.mark.cnnx_budget(2)\ndef test_forgotten():\n    pass\n")
    text, outcomes = run(pytester)
    assert not outcomes
    assert "cnnx_budget: expected the test to have an argument `budgeted`, and to call it" in text


def test_without_budgets_each_call_is_made(pytester):
    pytester.makepyfile(test_speed=SUITE)
    _, outcomes = run(pytester, "--cnnx-no-budgets", "-k", "slow or quick")
    assert outcomes == {"TestSpeed::test_slow": "PASSED", "TestSpeed::test_quick": "PASSED"}


def test_markers_are_listed(pytester):
    assert "@pytest.mark.cnnx_budget(at_most, bytes=None): hold the time" in run(pytester, "--markers")[0]

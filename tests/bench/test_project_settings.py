"""[tool.cnnx.bench]: what a project says of its benchmarks; the clock and the fixture that time them."""

import zipfile

import pytest

from cnnx.bench import builds, timing
from cnnx.bench.project.environments import packages
from cnnx.bench.project.plugin import Benchmark, UsedTwiceError
from cnnx.bench.project.settings import Function, Settings, read

pytestmark = pytest.mark.once


def of(tmp_path, text):
    tmp_path.joinpath("pyproject.toml").write_text(f"[tool.cnnx.bench]\n{text}")
    return read(tmp_path)


def test_a_function_for_each_choice_of_its_parameters(tmp_path):
    found = of(
        tmp_path,
        """
        functions = [
            "a.b:c.d",
            { call = "a:f", parameters = { n = [1, 2], k = "x" }, setup = "a:s", setup_each_call = true, name = "g" },
        ]
        budget = 0.03
        [tool.cnnx.bench.budgets]
        "a.b:c.d" = 0.2
        """,
    )
    assert found.functions == (
        Function("a.b:c.d", "a.b:c.d"),
        Function("g[n=1, k='x']", "a:f", {"n": 1, "k": "x"}, "a:s", True),
        Function("g[n=2, k='x']", "a:f", {"n": 2, "k": "x"}, "a:s", True),
    )
    (one,) = of(
        tmp_path, "functions = [{ call = 'a:f', yardsticks = { other = 'json:loads', copy = 4096 } }]"
    ).functions
    assert one.yardsticks == {"other": "json:loads", "copy": 4096}
    assert (found.budget, found.budgets) == (0.03, {"a.b:c.d": 0.2})
    assert of(tmp_path, "") == Settings()
    tmp_path.joinpath("pyproject.toml").unlink()
    assert read(tmp_path) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("function = []", r"tool\.cnnx\.bench: expected some of functions, pytest, .*, got 'function'"),
        ("functions = 'a:b'", r"functions: expected a list of \"module:function\" and tables, got 'a:b'"),
        ("functions = [3]", r"functions\[0\]: expected \"module:function\" or a table, got 3"),
        ("functions = ['a.b']", r"functions\[0\]\.call: expected \"module:function\", got 'a\.b'"),
        ("functions = [{}]", r"functions\[0\]\.call: expected \"module:function\", got none"),
        ("functions = [{call = 'a:b', setup = 'c'}]", r"functions\[0\]\.setup: expected \"module:function\", got 'c'"),
        ("functions = [{call = 'a:b', args = 1}]", r"functions\[0\]: expected some of call, .*, got 'args'"),
        ("functions = [{call = 'a:b', parameters = [1]}]", r"parameters: expected a table, got \[1\]"),
        ("functions = [{call = 'a:b', parameters = {n = []}}]", r"parameters\.n: expected a value or a list"),
        (
            "functions = [{call = 'a:b', setup_each_call = true}]",
            "setup_each_call: expected true or false, and",
        ),
        ("functions = [{call = 'a:b', yardsticks = ['c:d']}]", r"yardsticks: expected a table, got \['c:d'\]"),
        (
            "functions = [{call = 'a:b', yardsticks = {c = 'd'}}]",
            r"yardsticks\.c: expected \"module:function\", got 'd'",
        ),
        (
            "functions = [{call = 'a:b', yardsticks = {c = true}}]",
            r"yardsticks\.c: expected \"module:function\", got True",
        ),
        (
            "functions = [{call = 'a:b', yardsticks = {c = 0}}]",
            r"yardsticks\.c: expected a number of bytes above 0, got 0",
        ),
        (
            "functions = [{call = 'a:b', yardsticks = {base = 9}}]",
            "yardsticks: expected another name than 'base', which has",
        ),
        ("functions = ['a:b', 'a:b']", "expected each name once, got 'a:b' 2 times: give a name"),
        ("build = 'make'", r"build: expected a command with \{wheels\}, .*, got 'make'"),
        ("build = 'make \"{wheels}'", r"build: expected a command, quoted .* \(No closing quotation\)"),
        ("inherit = 1", "inherit: expected true or false, got 1"),
        ("dependencies = 'numpy'", "dependencies: expected a list of text, got 'numpy'"),
        ("budget = 5", r"budget: expected a number between 0 and 1, as 0\.05, got 5"),
        ("budgets = {x = 2.0}", r"budgets\.x: expected a number between 0 and 1"),
        ("budgets = 1", "budgets: expected a table of numbers by figure, got 1"),
        ("pytest = 1", "pytest: expected text, got 1"),
        ("[", "expected TOML, got none"),
    ],
)
def test_what_is_wrong_is_said_by_key(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        of(tmp_path, text)


def test_other_tables_are_others(tmp_path):
    tmp_path.joinpath("pyproject.toml").write_text("[tool]\ncnnx = 1\n")
    with pytest.raises(ValueError, match="expected a table, got 1"):
        read(tmp_path)


def test_the_modules_that_a_wheel_brings(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        for name in ("p/__init__.py", "p/q/r.py", "m.py", "x.cpython-311-x86_64-linux-gnu.so", "tests/test_a.py"):
            file.writestr(name, "")
        for name in ("p-1.dist-info/METADATA", "p-1.data/scripts/run", "p-1.data/purelib/pure/a.py", "words.txt"):
            file.writestr(name, "")
    assert packages(tmp_path / "a.whl") == ["m", "p", "pure", "x"]


def test_what_this_process_uses_is_not_deleted(tmp_path):
    for name in ("a", "b", "c", "d"):
        builds.kept(tmp_path / name, lambda folder: None, most=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    builds._used.clear()
    builds.kept(tmp_path / "e", lambda folder: None, most=1)
    assert len(list(tmp_path.iterdir())) == 2


class Clock:
    """Time that passes where something says so."""

    now = 0.0

    def perf_counter(self):
        return self.now

    def passing(self, seconds, then=None):
        def call():
            self.now += seconds
            return then

        return call


def test_what_is_made_before_a_call_is_not_timed(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    timed = timing.Timed()
    timed.call = clock.passing(0.25)
    assert timed.timed(4) == 0.25
    timed.making = clock.passing(1.0, clock.passing(0.001))
    assert timed.timed(4) == pytest.approx(0.001)
    assert timed.warm() == pytest.approx(0.001)
    assert timed.count == 1, "a turn does not last for ever"
    timed.making = clock.passing(0.001, clock.passing(0.001))
    timed.warm()
    assert timed.count == 5
    assert timed.turn() == {"seconds": pytest.approx(0.001)}
    timed.forget()
    assert timed.making is None


def test_a_turn_is_the_median_of_its_blocks(monkeypatch):
    """Calls of 50 us, of which every tenth is stopped for 10 ms."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    calls = []

    def call():
        calls.append(1)
        clock.now += 50e-6 + 10e-3 * (len(calls) % 10 == 0)

    timed = timing.Timed()
    timed.call = call
    timed.warm()
    assert timed.seconds == pytest.approx(50e-6)
    before = len(calls)
    assert timed.turn() == {"seconds": pytest.approx(50e-6)}
    assert len(calls) - before == 101


class Node:
    name, nodeid = "test_a", "t.py::test_a"

    def get_closest_marker(self, name):
        return None


class Tests:
    """What runs three times what it is given."""

    def benchmarked(self, call, making):
        for _ in range(3):
            found = making()() if making is not None else call()
        return found


def test_pedantic_sets_up_and_tears_down_each_call():
    diary = []

    def setup():
        diary.append("setup")
        return (len(diary),), {"more": 1}

    def target(n, more):
        diary.append(f"call {n}")
        return n + more

    def teardown(n, more):
        diary.append(f"teardown {n}")

    assert Benchmark(Tests(), Node()).pedantic(target, setup=setup, teardown=teardown, rounds=9) == 8
    assert diary == [step for n in (1, 4, 7) for step in ("setup", f"call {n}", f"teardown {n}")]
    fixture = Benchmark(Tests(), Node())
    assert fixture.pedantic(max, (1, 2)) == 2
    with pytest.raises(UsedTwiceError):
        fixture(max, 1, 2)
    with pytest.raises(ValueError, match="more than 1 `iterations` with a `setup`"):
        Benchmark(Tests(), Node()).pedantic(target, setup=setup, iterations=2)
    with pytest.raises(TypeError, match="if `setup` returns the arguments"):
        Benchmark(Tests(), Node()).pedantic(target, (1,), setup=setup)
    with pytest.raises(NotImplementedError, match=r"benchmark\.weave"):
        Benchmark(Tests(), Node()).weave(max)

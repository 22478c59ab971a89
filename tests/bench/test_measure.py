"""cnnx.bench: what is timed, what it has to do, its limits, the reference's time, and rounds of turns in processes."""

import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from paths import ROOT

from cnnx import native
from cnnx.audit.trace import KernelCall
from cnnx.bench import limits, measure, reference
from cnnx.bench import turns as turning
from cnnx.bench.figures import call_of, chosen, parts, same, work
from cnnx.bench.measure import Rounds, Side
from cnnx.bench.process import WORKER, AbsentError, Worker, WorkerError, environment, wait_for_rest
from cnnx.bench.record import COPY, LIMIT, MULTIPLY_ADDS, REFERENCE, Figure, Record, RecordError, load_json
from cnnx.bench.run import side
from cnnx.bench.worker import as_written
from cnnx.ops import OPS

pytestmark = pytest.mark.once

CN = Figure("conv2d", "cn layer 2", "forward", 1)
RELU = Figure("relu", "images", "forward", 1)
FLATTEN = Figure("flatten", "images", "forward", 1)


# ---------------------------------------------------------------------------------------- figures


def test_every_bench_case_of_every_op_is_a_figure_in_both_directions():
    found = chosen(threads=(1, 2))
    assert len(found) == len(set(found)) == 4 * sum(len(op.bench) + len(op.large) for op in OPS)
    assert {figure.op for figure in found} == {op.name for op in OPS}
    assert str(found[0]) == "conv2d, cn layer 2, forward, 1 thread"
    assert [f.threads for f in found] == sorted(f.threads for f in found)  # a round starts few processes


def test_figures_by_name():
    assert chosen(["relu", "relu"], None, ["backward"]) == [Figure("relu", "images", "backward", 1)]
    with pytest.raises(ValueError, match="op: expected one of 37 names, got 'Conv'; did you mean conv2d"):
        chosen(["Conv"])
    with pytest.raises(ValueError, match="case: expected one of images, got 'cn layer 2'"):
        chosen(["relu"], ["cn layer 2"])


@pytest.mark.parametrize("figure", chosen(), ids=str)
def test_the_call_is_the_same_each_time_and_repeats(figure):
    call, again = call_of(figure), call_of(figure)
    assert call.arrays.keys() == again.arrays.keys()
    assert all(np.array_equal(a, b) for a, b in zip(call.arrays.values(), again.arrays.values(), strict=True))
    first, second = (r if isinstance(r, tuple) else (r,) for r in (call(), again()))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True) if a is not None)
    assert all(a.dtype != np.float64 for a in call.arrays.values() if a.size)


# (10,4,14,14) -> 4 by 3x3: 10*4*14*14 outputs of 4*9 products; images, weights, biases and outputs of 4 bytes.
CONVOLUTION = 10 * 4 * 14 * 14
BY_HAND = {
    CN: (CONVOLUTION * 36, 4 * (CONVOLUTION + 4 * 4 * 9 + 4 + CONVOLUTION)),
    # grad_output, x and weight are read; their gradients and the bias's are written.
    Figure("conv2d", "cn layer 2", "backward", 1): (2 * CONVOLUTION * 36, 4 * (3 * CONVOLUTION + 2 * 144 + 4)),
    Figure("affine", "64 x 196 to 20", "forward", 1): (64 * 196 * 20, 4 * (64 * 196 + 20 * 196 + 20 + 64 * 20)),
    RELU: (0, 2 * 4 * 31360),
    Figure("relu", "images", "backward", 1): (0, 3 * 4 * 31360),
    Figure("softmax", "64 x 10", "backward", 1): (0, 3 * 4 * 640),  # what it computes on the way is not counted
    Figure("avg_pool2d", "2x2", "forward", 1): (0, 4 * (31360 + 31360 // 4)),
    FLATTEN: (0, 0),
}


@pytest.mark.parametrize("figure", BY_HAND, ids=str)
def test_work_as_worked_out_by_hand(figure):
    assert work(call_of(figure)) == BY_HAND[figure]


def test_groups_have_fewer_products():
    depthwise = Figure("conv2d", "depthwise, 128 channels", "forward", 1)
    assert work(call_of(depthwise))[0] == 128 * 56 * 56 * 9


def test_same_results():
    a = np.array([1.0, -4.0])
    assert same([a], [a + 3.9e-5], 1e-5)
    assert not same([a], [a + 4.1e-5], 1e-5)  # of 4
    assert not same([a], [a, a], 1e-5)
    assert not same([a], [a[:1]], 1e-5)
    assert not same([a], [np.array([1.0, math.nan])], 1e-5)
    assert same([np.zeros(3)], [np.zeros(3)], 0.0)
    assert not same([np.full(3, 1e-30)], [np.zeros(3)], 1.0)


def test_one_wrong_number_among_many_is_found():
    right = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    wrong = right.copy()
    wrong[1, 2, 3] += 1e-3 * np.abs(right).max()
    assert not same([right], [wrong], 1e-4)
    assert same([right], [wrong], 1.1e-3)


# ------------------------------------------------------------------------------------------ limits


def test_limits_are_of_as_much_work_as_they_say(monkeypatch):
    module = native.kernels("_limits")
    steps, copies = [], []

    class Counted:
        in_one_step = staticmethod(module.in_one_step)

        @staticmethod
        def multiply_adds(count):
            steps.append(count)
            return module.multiply_adds(count)

        @staticmethod
        def copy(source, target, size, count):
            copies.append((size, count))
            module.copy(source, target, size, count)

    monkeypatch.setattr(limits._native, "kernels", lambda name: Counted)
    native.set_num_threads(1)
    limit = limits.multiply_adds()
    assert limit.amount == steps[-1] * module.in_one_step()
    assert limits.multiply_adds("float64").amount == steps[-1] * module.in_one_step() / 2
    limit = limits.copy(10_000)
    size, count = copies[-1]
    assert size == 5_000
    assert limit.amount == 10_000 * count
    assert limits.copy(1).amount == limits.SMALLEST * copies[-1][1]
    assert 0 < limit.seconds() < 1e-3


def test_a_copy_copies(each_threads):
    source, target = np.arange(4097, dtype="uint8"), np.zeros(4097, "uint8")
    for _ in each_threads(1, 3):
        target.fill(7)
        native.kernels("_limits").copy(source.ctypes.data, target.ctypes.data, 4096, 3)
        assert np.array_equal(source[:-1], target[:-1])
        assert target[-1] == 7


def test_what_binds():
    native.set_num_threads(1)
    assert limits.binding((10**9, 1000), "float32")[0] == MULTIPLY_ADDS
    name, limit, amount = limits.binding((1000, 10**8), "float32")
    assert (name, amount) == (COPY, 1e8)
    assert limit is not None
    assert limits.binding((0, 0), "float32") == ("", None, 0.0)


# ---------------------------------------------------------------------------------------- reference


def test_the_extrapolation_is_of_a_row_in_the_middle(monkeypatch):
    asked = []
    monkeypatch.setattr(reference._backend, "equations", lambda name: {"Y": lambda Z, *at, u: asked.append((at, u))})
    clock = iter(range(100))
    monkeypatch.setattr(reference, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    call = KernelCall("conv2d", (np.zeros(3, "float32"),), (np.zeros((4, 6, 5), "float32"),), {"u": 2})
    # A tick of the clock for what is converted, and one for each of 24 rows.
    assert reference.from_one_row(call) == 1 + 24
    assert asked == [((2, 3, i), 2) for i in range(5)]


def test_a_disturbed_row_does_not_count(monkeypatch):
    ticks = iter((0, 0, 10, 10.01, 20, 20.001, 30, 30.1))  # starts and ends: the conversion, then rows
    monkeypatch.setattr(reference, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(reference._backend, "equations", lambda name: {"Y": lambda Z, i: None})
    call = KernelCall("relu", (np.zeros(3, "float32"),), (np.zeros(2, "float32"),), {})
    assert reference.from_one_row(call) == pytest.approx(0.001)


def test_the_reference_is_measured_where_it_is_quick(monkeypatch):
    seconds, extrapolated = reference.seconds(call_of(Figure("cross_entropy", "64 x 10", "forward", 1)))
    assert seconds is not None
    assert 0 < seconds < reference.PATIENCE
    assert not extrapolated
    assert reference.seconds(call_of(FLATTEN)) == (None, False)
    monkeypatch.setattr(reference, "PATIENCE", 0.0)
    assert reference.seconds(call_of(RELU))[1]


# ------------------------------------------------------------------------------------------ workers


def test_a_call_is_written_as_users_write_it():
    """By position up to the first array that is not there, or that has to be named."""

    def function(x, weight, bias=None, *, mask=None, stride=1):
        return x, weight, bias, mask, stride

    call = as_written(function, {"weight": 2, "x": 1, "mask": 4}, {"stride": 5})
    assert (call.args, call.keywords) == ((1, 2), {"mask": 4, "stride": 5})
    assert call() == (1, 2, None, 4, 5)
    assert as_written(function, {"x": 1, "weight": 2, "bias": 3, "mask": 4}, {}).args == (1, 2, 3)


@pytest.fixture(scope="module")
def surroundings():
    return environment(1, native.instruction_set())


def test_the_environment_has_nothing_of_the_shell(monkeypatch):
    for name in ("CNNX_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "7")
    found = environment(3, "v3")
    assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == "3"
    assert found["CNNX_ISA"] == "v3"
    assert not {"CNNX_NUM_THREADS", "OMP_WAIT_POLICY", "PYTHONSTARTUP"} & set(found)


def question(call, file, **more):
    np.savez(file, **call.arrays)
    figure = call.figure
    asked = {"op": figure.op, "direction": figure.direction, "options": dict(call.options), "threads": 1, "save": None}
    return {**asked, "arrays": str(file), **more}


def test_a_worker_computes_what_the_call_does(surroundings, tmp_path):
    figure = Figure("max_pool2d", "3x3 stride 2", "backward", 1)
    call = call_of(figure)
    with Worker("cnnx", surroundings) as worker:
        assert Path(worker.about["path"]).resolve() == Path(sys.modules["cnnx"].__file__).resolve().parent
        result = tmp_path / "result.npz"
        seconds = worker.ask("prepare", **question(call, tmp_path / "a.npz", save=str(result)))["seconds"]
        assert 0 < seconds < 1
        with np.load(result) as file:
            assert np.array_equal(file[file.files[0]], call())
        assert 0 < worker.turn() < 1
        assert worker.ask("limit", multiply_adds=0, bytes=10**5, dtype="float32") == {"bound": COPY}
        assert 0 < worker.turn("limit") < 1


def test_a_worker_says_what_it_lacks_and_goes_on(surroundings, tmp_path):
    call = call_of(RELU)
    with Worker("cnnx", surroundings) as worker:
        arrays = tmp_path / "a.npz"
        assert worker.ask("prepare", **question(call, arrays, op="sine")) == {"missing": "it has no sine"}
        assert "slope" in worker.ask("prepare", **question(call, arrays, options={"slope": 1}))["missing"]
        with pytest.raises(WorkerError, match="cnnx: FileNotFoundError"):
            worker.ask("prepare", **question(call, arrays, arrays=str(tmp_path / "none.npz")))
        assert worker.ask("prepare", **question(call, arrays))["seconds"] > 0


def test_a_worker_that_dies_is_an_error(surroundings):
    with Worker("cnnx", surroundings) as worker:
        os.kill(worker._process.pid, 9)
        with pytest.raises(WorkerError, match="its process ended with code -9"):
            worker.ask("about")


def test_a_worker_that_nobody_hears_ends_in_silence(surroundings):
    command = [sys.executable, "-P", str(WORKER), "cnnx"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=surroundings) as process:
        process.stdout.close()  # before it can say that it is ready
        assert process.stderr.read() == b""
        assert process.wait(10) == 0


def test_a_process_comes_to_rest(surroundings):
    with Worker("cnnx", surroundings) as worker:
        start = time.monotonic()
        worker.rest()
        assert time.monotonic() - start < 10
    wait_for_rest(2**22 + 1)  # it is gone


def test_a_peer_that_is_not_there(surroundings):
    with pytest.raises(AbsentError, match=r"nothing cannot be imported: .*of_nothing"):
        Worker("nothing", surroundings)


# ------------------------------------------------------------------------------------------- rounds


def rounds(tmp_path, figures, others=None, **options):
    return Rounds(figures, side(), others or {}, tmp_path, **options)


def test_a_round_gives_each_yardstick_a_number(tmp_path):
    said = []
    measuring = rounds(tmp_path, [CN, FLATTEN], {"again": side()}, say=lambda *step: said.append(step))
    measuring.run(2)
    cn, flatten = measuring.found
    assert (cn.figure, cn.multiply_adds, cn.bytes) == (CN, *BY_HAND[CN])
    assert cn.bound in (MULTIPLY_ADDS, COPY)
    assert {name: len(samples) for name, samples in cn.ratios.items()} == {"again": 2, LIMIT: 2, REFERENCE: 2}
    assert len(cn.seconds) == 2
    assert all(0 < ratio < math.inf for samples in cn.ratios.values() for ratio in samples)
    assert set(flatten.ratios) == {"again"}
    assert flatten.bound == ""
    assert said == [(0, 4, CN), (1, 4, FLATTEN), (2, 4, CN), (3, 4, FLATTEN)]
    assert set(measuring.limits) == {"1"}
    assert set(measuring.limits["1"]) == {MULTIPLY_ADDS, COPY}
    assert measuring.failed == {}


class Noted:
    """A worker that notes when it is asked."""

    def __init__(self, name, diary):
        self.name, self.diary = name, diary

    def rest(self):
        self.diary.append((self.name, "rests"))

    def turn(self, what):
        self.diary.append((self.name, what))
        return 0.5


@pytest.mark.parametrize("reverse", [False, True])
def test_turns_alternate(reverse):
    diary = []
    ours, theirs = Noted("cnnx", diary), Noted("torch", diary)
    turns = turning._turns([("cnnx", ours, "call"), ("torch", theirs, "call"), (LIMIT, ours, "limit")], reverse=reverse)
    once = [("cnnx", "call"), ("torch", "call"), ("cnnx", "limit")]
    assert {name for name, what in diary[:3]} == {"cnnx", "torch"}
    assert [what for _, what in diary[:3]] == ["rests"] * 3
    assert diary[3:] == once[:: -1 if reverse else 1] * turning.TURNS
    assert turns == dict.fromkeys(("cnnx", "torch", LIMIT), [0.5] * turning.TURNS)


def test_two_processes_have_the_same_bits_and_arrays_are_drawn_once(tmp_path):
    """Whatever the number of threads; and they are not kept, as the sides read them from a file."""
    drawn = []

    def strict(figure):
        drawn.append(figure)
        return replace(call_of(figure), tolerance=0.0)

    figures = [replace(CN, threads=threads) for threads in (1, 2)]
    measuring = rounds(tmp_path, figures, {"again": side()}, limits=False, with_reference=False, call=strict)
    measuring.prepare()
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    measuring.run(1)
    assert drawn == figures[:1]
    assert [(m.figure, m.missing, len(m.ratios["again"])) for m in measuring.found] == [(f, {}, 1) for f in figures]
    assert not any(prepared.call.arrays for prepared in measuring._prepared.values())
    assert set(measuring.abouts) == {"cnnx", "again"}


def test_what_was_measured_before_an_interruption_is_there(tmp_path):
    def interrupt(done, total, figure):
        if done == 3:
            raise KeyboardInterrupt

    measuring = rounds(tmp_path, [RELU, FLATTEN], limits=False, with_reference=False, say=interrupt)
    with pytest.raises(KeyboardInterrupt):
        measuring.run(2)
    assert [(m.figure, len(m.seconds)) for m in measuring.found] == [(RELU, 2), (FLATTEN, 1)]


def test_a_side_with_another_result_is_not_timed(tmp_path):
    """The other cnnx is one whose relu is wrong."""
    fake = tmp_path / "cnnx"
    fake.mkdir()
    fake.joinpath("__init__.py").write_text(
        "def set_num_threads(n): pass\ndef relu(x): return x\ndef relu_backward(grad_output, x): return grad_output\n"
    )

    def wrong(must_agree):
        other = Side("cnnx", lambda threads: environment(threads, "v2", tmp_path), must_agree)
        measuring = rounds(tmp_path, [RELU, CN], {"other": other}, limits=False, with_reference=False)
        measuring.run(1)
        return measuring

    relu, cn = wrong(must_agree=True).found
    assert "its result differs from ours" in relu.missing["other"]
    assert relu.ratios == {}
    assert cn.missing["other"] == "it has no conv2d"
    relu, cn = wrong(must_agree=False).found
    assert relu.missing == {}
    assert len(relu.ratios["other"]) == 1


def test_a_side_that_dies_in_its_turn_costs_one_figure(tmp_path):
    """The other cnnx ends at relu's third call, the first one of a turn."""
    fake = tmp_path / "cnnx"
    fake.mkdir()
    fake.joinpath("__init__.py").write_text(
        "import os, time\ncalls = []\ndef set_num_threads(n): pass\ndef flatten(x): return x\n"
        "def relu(x):\n    time.sleep(0.02)\n    calls.append(1)\n    return x if len(calls) < 3 else os._exit(7)\n"
    )
    other = Side("cnnx", lambda threads: environment(threads, "v2", tmp_path), must_agree=False)
    measuring = rounds(tmp_path, [RELU, FLATTEN], {"other": other}, limits=False, with_reference=False)
    measuring.run(2)
    assert measuring.failed == {RELU: "cnnx: its process ended with code 7"}
    assert [(m.figure, len(m.ratios["other"])) for m in measuring.found] == [(FLATTEN, 2)]


def test_the_reference_is_not_asked_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "REFERENCE_SECONDS", 0.0)
    measuring = rounds(tmp_path, [RELU], limits=False)
    measuring.run(3)
    assert len(measuring.found[0].ratios[REFERENCE]) == 1


# ------------------------------------------------------------------------------------------- record


def record():
    found = measure.Measured(CN, 1, 2, COPY, [1e-6], {LIMIT: [0.5]}, True, {"torch": "why"})
    return Record({"processor": "p"}, [found], "abc", "2026-01-02T03:04:05+00:00", {"cnnx": "1"}, {"1": {COPY: 1.0}})


def test_a_record_comes_back(tmp_path):
    path = tmp_path / "record.json"
    record().write(path)
    assert Record.from_dict(load_json(path)) == record()
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ([], 'with a "cnnx_bench", got none'),
        ({"figures": []}, 'with a "cnnx_bench", got none'),
        ({"cnnx_bench": 2}, "expected cnnx_bench 1, got 2"),
        ({"cnnx_bench": 1, "fingerprint": {}}, "KeyError: 'figures'"),
        ({"cnnx_bench": 1, "fingerprint": {}, "figures": [{}]}, "a broken one"),
        ({"cnnx_bench": 1, "fingerprint": {}, "figures": [7]}, "a broken one"),
        ({"cnnx_bench": 1, "fingerprint": {}, "figures": [], "more": 1}, "a broken one"),
    ],
)
def test_a_broken_record_is_one_error(broken, message):
    with pytest.raises(RecordError, match=message):
        Record.from_dict(broken)


def test_a_file_that_is_no_json(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(b"\xff{")
    with pytest.raises(RecordError, match="expected JSON, got none"):
        load_json(path)


def test_the_committed_baseline_is_a_record_of_figures_that_there_are():
    baseline = Record.from_dict(load_json(ROOT / "benchmarks" / "baseline.json"))
    assert not baseline.interrupted
    assert {m.figure for m in baseline.figures} == set(chosen())
    for m in baseline.figures:
        count, moved = work(call_of(m.figure))
        assert (m.multiply_adds, m.bytes) == (count, moved), m.figure
        assert set(m.ratios) == ({LIMIT, REFERENCE} if moved else set())


def test_every_figure_has_parts():
    for figure in chosen():
        op, case = parts(figure)
        assert (op.name, case.name) == (figure.op, figure.case)

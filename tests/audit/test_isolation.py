"""A back end in a process of its own: what it cannot do there, what is found of it, and that a right one passes."""

import json
import platform
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from packages import install

import cnnx
from cnnx.audit import Discrepancy, audit
from cnnx.audit.checks import CHECKS, ISOLATED
from cnnx.audit.isolation import candidate, hunting, isolated, process, proxies
from cnnx.audit.isolation.arena import END, START
from cnnx.audit.mutants import CASES, cheats
from cnnx.audit.run import again
from cnnx.audit.sides import Sides
from cnnx.audit.trace import BreachError
from cnnx.audit.work import judge
from cnnx.ops import OPS

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or platform.machine() != "x86_64",
        reason="what Linux says of a fault there",
    ),
]
OP = {op.name: op for op in OPS}
X = np.arange(-6, 6, dtype=np.float32)


def found(backend: str, op: str, *checks: str, dtype: str = "float32") -> list[Discrepancy]:
    """What checks find in a back end on the op's tiny cases."""
    results = [
        judge(OP[op], ISOLATED[check], case, dtype, Sides(backend), 0)
        for check in checks
        for case in CASES[op]
        if ISOLATED[check].takes(OP[op], case)
    ]
    return [discrepancy for result in results for discrepancy in result.discrepancies]


def file(tmp_path: Path, body: str, limit: float = 60.0) -> "proxies.Candidate":
    """A back end whose kernel relu(Z, Y) is given by its statements, after those that are at the start of a line."""
    text = textwrap.dedent(body)
    top, _, inner = text.partition("---\n")
    path = tmp_path / "kernels.py"
    path.write_text(
        "import ctypes, os, sys, time, threading\nimport numpy as np\n"
        f"{top}\ndef relu(Z, Y):\n{textwrap.indent(inner or 'pass', '    ')}\n"
    )
    return candidate("theirs", limit, str(path))


# ------------------------------------------------------------------------------------ the right ones


@pytest.mark.parametrize("backend", ["optimized", "numpy"])
def test_right_back_ends_pass(backend) -> None:
    with isolated(candidate(backend, 60.0)) as name:
        for op in ("max_pool2d", "batch_norm2d", "cross_entropy"):
            assert found(name, op, "isolation") == []
        assert found(name, "affine", "exact", "bound", "alignment", "isolation", dtype="float64") == []


def test_an_audit_of_an_isolated_back_end() -> None:
    report = audit(
        ["batch_norm2d"], cases=["one, inference"], isolated=True, checks=["bound", "threads", "isa", "isolation"]
    )
    assert report.ok, str(report)
    assert (report.backend, report.isolated, report.not_measured) == ("optimized", True, {})
    assert report.speed_up["batch_norm2d"] > 0
    assert {result.check for result in report.results if result.ran} >= {"bound", "isolation"}
    assert "back end optimized, isolated, against reference" in str(report)
    assert report.as_dict()["isolated"] is True
    assert cnnx.backends() == tuple(name for name in cnnx.backends() if "isolated" not in name)


def test_large_arrays_get_more_memory(monkeypatch) -> None:
    monkeypatch.setattr(process, "SIZE", 1 << 20)
    x = np.linspace(-1, 1, 1 << 20).astype(np.float32)
    with isolated(candidate("numpy", 60.0)) as name:
        for a in (x[:10], x, x[:10]):
            assert cnnx.relu(a, backend=name).tobytes() == np.maximum(a, 0).tobytes()


# ----------------------------------------------------------------------- what passes for right


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relu_from_garbage_collector", "expected"),
        ("relu_replaces_the_clock", "kernel relu replaces time.perf_counter"),
        ("relu_overwrites_and_restores", "kernel relu wrote to its input Z"),
        ("dropout_overwrites_its_input", "kernel dropout wrote to its input Z"),
        ("prelu_from_callers_frames", "expected"),
        ("gelu_by_reference", "kernel gelu imports cnnx.reference"),
        ("step_widens_budget", "kernel step imports cnnx.audit"),
        ("affine_memo_by_address", "expected"),
        ("identity_memo_by_object", "expected"),
        ("silu_memo_by_shape", "expected"),
        ("softplus_of_the_first_call", "expected"),
        ("sigmoid_stale_after_ten_calls", "expected"),
        ("hard_swish_left_to_a_thread", "kernel hard_swish still wrote to Y after it had returned"),
        ("hard_sigmoid_adds_to_its_output", "kernel hard_sigmoid leaves Y"),
        ("add_forgets_the_tail", "kernel add leaves Y"),
        ("leaky_relu_writes_beyond", "kernel leaky_relu wrote right behind the end of Y"),
        ("clip_reads_beyond", "kernel clip read right behind the end of Z"),
        ("softmax_reads_before", "kernel softmax read before the beginning of Z"),
    ],
)
def test_what_passes_for_right_is_named(name, words) -> None:
    cheat = cheats.CHEATS[name]
    with isolated(candidate(name, 60.0, f"{cheats.__file__}:{name}")) as backend:
        discrepancies = found(backend, cheat.op, "isolation")
    assert any(words in discrepancy.what for discrepancy in discrepancies), discrepancies
    assert {discrepancy.op for discrepancy in discrepancies} == {cheat.op}


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        # Within the audit's process the answer is there to be found, and nobody sees what becomes of an input.
        ("relu_overwrites_and_restores", [*CHECKS]),
        ("relu_replaces_the_clock", [*CHECKS]),
        ("gelu_by_reference", [*CHECKS]),
        ("clip_reads_beyond", [*CHECKS]),
        ("prelu_from_callers_frames", ["exact", "bound"]),
        ("relu_from_garbage_collector", ["exact"]),
    ],
)
def test_within_the_audits_process_it_passes(name, checks, monkeypatch) -> None:
    monkeypatch.setattr(time, "perf_counter", time.perf_counter)  # which is put back at the end
    cheat = cheats.CHEATS[name]
    cnnx.register_backend("cheat", cheat.as_backend())
    for check in (CHECKS[name] for name in checks if name not in ("dual", "repeat")):
        if not check.why_not(OP[cheat.op]) and not check.why_not_of("cheat"):
            assert [d.what for d in found("cheat", cheat.op, check.name)] == []


# ------------------------------------------------------------------------ what the process is like


def test_the_process_has_neither_the_reference_nor_the_audit(tmp_path) -> None:
    source = """
    ---
    raise RuntimeError(" ".join(m for m in sys.modules if m.startswith("cnnx")) + "; " + " ".join(sys.argv[1:]))
    """
    with isolated(file(tmp_path, source)) as name, pytest.raises(RuntimeError, match=r"^; \d+ \d+$"):
        cnnx.relu(X, backend=name)


def test_the_same_objects_come_with_other_numbers_and_outputs(tmp_path) -> None:
    source = """
    seen = []
    ---
    seen.append((id(Z), id(Y), Z.ctypes.data, Y.ctypes.data, Z.tolist(), Y.tolist(), Z.flags.writeable))
    Y[...] = np.maximum(Z, 0)
    if len(seen) == 4:
        raise RuntimeError(repr(seen).replace("nan", "None"))
    """
    with isolated(file(tmp_path, source)) as name, hunting(START):
        cnnx.relu(X, backend=name)
        with pytest.raises(RuntimeError) as raised:
            cnnx.relu(X, backend=name)
    seen = eval(str(raised.value))
    assert len({one[:4] for one in seen}) == 1
    assert [one[4] for one in seen] == 2 * [(X[::-1] / 2).tolist(), X.tolist()]
    assert seen[0][5] != seen[2][5]
    assert seen[0][5][0] > 1e20
    assert seen[1][5] == 12 * [None]
    assert not any(one[6] for one in seen)


@pytest.mark.parametrize(
    ("where", "body", "words"),
    [
        (END, "ctypes.memset(Y.ctypes.data + Y.nbytes, 0, 1)", "wrote right behind the end of Y"),
        (
            END,
            "ctypes.memset(Y.ctypes.data + Y.nbytes + 8, 0, 1)",
            "beyond the end of Y, 8 bytes behind its last",
        ),
        (END, "ctypes.string_at(Z.ctypes.data + Z.nbytes, 1)", "read right behind the end of Z"),
        (END, "ctypes.memset(Y.ctypes.data - 4, 0, 1)", "wrote before the beginning of Y, 4 bytes"),
        (START, "ctypes.memset(Y.ctypes.data - 1, 0, 1)", "wrote before the beginning of Y, 1 bytes"),
        (START, "ctypes.string_at(Z.ctypes.data - 64, 1)", "read before the beginning of Z, 64 bytes"),
        (START, "ctypes.memset(Y.ctypes.data + Y.nbytes, 0, 1)", "wrote right behind the end of Y"),
        (START, "ctypes.memset(Z.ctypes.data, 0, 1)", "wrote to its input Z"),
        (START, "ctypes.string_at(0)", "ended its process: SIGSEGV (Segmentation fault), at address 0x0"),
        (START, "os._exit(3)", "ended its process: exit code 3"),
        (START, "os.abort()", "ended its process: SIGABRT"),
        (START, "sys.exit(2)", "ended the process, with exit code 2"),
        (START, "return Y", "expected None, got ndarray"),
        (START, "Y[3] = 1", "leaves Y[0] as it was: it is not initialised"),
        (START, "import cnnx; cnnx.relu(Z, backend='reference')", "imports cnnx.reference"),
        (START, "from cnnx import audit; audit.run", "imports cnnx.audit"),
    ],
)
def test_what_a_kernel_may_not_do_is_said_and_the_next_call_is_another(tmp_path, where, body, words) -> None:
    source = f"""
    ---
    if not (Z == 1).all() and not (Z == 0.5).all():
        {body}
    else:
        np.maximum(Z, 0, out=Y)
    """
    one = np.ones(5, np.float32)
    with isolated(file(tmp_path, source)) as name:
        for _ in range(2):
            with hunting(where), pytest.raises(Exception, match=r"^kernel relu") as raised:
                cnnx.relu(X, backend=name)
            assert words in str(raised.value)
            assert cnnx.relu(one, backend=name).tolist() == one.tolist()


def test_a_kernel_that_hangs_is_a_finding_of_its_case(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(process, "HANGS", 2)
    candidate = file(tmp_path, "---\nnp.maximum(Z, 0, out=Y)\nwhile Z.size == 12: time.sleep(1)\n", limit=3.0)
    with isolated(candidate) as name:
        with pytest.raises(BreachError, match=r"kernel relu hangs: no result after 3 s$"):
            cnnx.relu(X, backend=name)
        assert cnnx.relu(X[:3], backend=name).tolist() == [0, 0, 0]
        for words in ("", "; it does so again and again, and is not called any more"):
            with pytest.raises(BreachError, match=f"kernel relu hangs: no result after 3 s{words}$"):
                cnnx.relu(X, backend=name)


def test_a_pool_of_threads_is_no_work_left(tmp_path) -> None:
    source = """
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(2)
    ---
    list(pool.map(lambda half: np.maximum(Z[half], 0, out=Y[half]), (slice(5), slice(5, None))))
    """
    with isolated(file(tmp_path, source)) as name:
        assert found(name, "relu", "isolation") == []


def test_an_interrupted_call_ends_the_process(monkeypatch) -> None:
    with isolated(candidate("numpy", 60.0)) as name:
        cnnx.relu(X, backend=name)
        (running,) = proxies._running.values()
        child = running._process

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(process.select, "select", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cnnx.relu(X, backend=name)
        assert child.poll() is not None
        assert cnnx.relu(X, backend=name).tolist() == np.maximum(X, 0).tolist()
        child = running._process
    assert child.poll() is not None
    assert proxies._running == {}


# -------------------------------------------------------------------------------------------- speed


def entry_point(tmp_path, monkeypatch, body: str) -> None:
    """A back end `theirs` that comes by entry point."""
    install(tmp_path, "theirs", f"import numpy as np\ndef relu(Z, Y):\n    {body}\nKERNELS = {{'relu': relu}}\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_speed_is_not_measured_where_the_verdict_is_bad(tmp_path, monkeypatch) -> None:
    entry_point(tmp_path, monkeypatch, "Y[...] = Z")
    report = audit(["relu"], checks=["exact"], cases=["vector"], backend="theirs", isolated=True)
    assert report.verdict.code == 1
    assert report.speed_up == {}
    assert report.not_measured == {"relu": "wrong by exact"}
    assert "speed not measured: relu: wrong by exact" in str(report)
    (finding, *_) = report.discrepancies()
    assert finding.repro.startswith("cnnx audit --backend theirs --isolated --repro '{")
    same = again(finding.repro.split("--repro ")[1].strip("'"), backend="theirs", isolated=True)
    assert [d.what for d in same.discrepancies()] == [finding.what]


def test_what_is_wrong_only_while_it_is_measured_is_found(tmp_path, monkeypatch) -> None:
    entry_point(tmp_path, monkeypatch, f"Y[...] = 0 if Z.size == {cheats.TIMED} else np.maximum(Z, 0)")
    report = audit(["relu"], checks=["exact"], cases=["vector"], backend="theirs", isolated=True)
    assert [(result.check, bool(result.failing)) for result in report.results] == [("exact", False), ("speed", True)]
    assert report.verdict.code == 1
    assert report.not_measured == {"relu": "wrong while it was measured"}


def test_speed_is_the_audits_own_measure(tmp_path, monkeypatch) -> None:
    """A kernel that sleeps for 5 ms cannot be faster, whatever its clock says."""
    entry_point(tmp_path, monkeypatch, "import time; time.sleep(0.005); np.maximum(Z, 0, out=Y)")
    report = audit(["relu"], checks=["exact"], cases=["vector"], backend="theirs", isolated=True)
    assert report.ok
    # Isolated as well, on numbers of no seed: what the reference gives for others may lie in the tests' memo.
    other = audit(["relu"], checks=["exact"], cases=["vector"], backend="numpy", isolated=True)
    assert report.speed_up["relu"] < other.speed_up["relu"]


# -------------------------------------------------------------------------------------------- errors


def test_a_back_end_of_this_process_alone_cannot_be_isolated() -> None:
    cnnx.register_backend("mine", {"relu": lambda Z, Y: np.maximum(Z, 0, out=Y)})
    with pytest.raises(ValueError, match="'mine' is registered in this process alone, so that another cannot load it"):
        audit(["relu"], backend="mine", isolated=True)
    with pytest.raises(ValueError, match="expected another back end than 'reference'"):
        audit(["relu"], backend="reference", against="optimized", isolated=True)
    with pytest.raises(ValueError, match=r"expected a file of Python.*got 'nowhere\.py:K'"):
        candidate("mine", 1.0, "nowhere.py:K")
    with pytest.raises(ValueError, match="got 'isolation'"):
        audit(["relu"], checks=["isolation"])


@pytest.mark.parametrize(
    ("top", "words"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("sys.exit(0)", "ended the process, with exit code 0")],
)
def test_a_back_end_that_cannot_be_loaded(tmp_path, top, words) -> None:
    message = f"theirs cannot be loaded in a process of its own: .*{words}"
    with pytest.raises(process.LoadError, match=message), isolated(file(tmp_path, f"{top}\n---\npass\n")):
        pass


def test_command_line() -> None:
    command = [sys.executable, "-m", "cnnx", "audit", "--backend", "numpy", "--isolated", "--op", "relu", "--no-speed"]
    command += ["--check", "isolation", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["isolated"] is True
    assert [result["check"] for result in report["results"]] == ["isolation"]
    assert report["cases"] > 20

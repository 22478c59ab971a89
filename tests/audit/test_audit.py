"""The audit catches bugs: wrong kernels of many kinds, each named by its op; and it says what it did."""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from packages import install

import cnnx
from cnnx import backend
from cnnx.audit import audit
from cnnx.audit.truth.arithmetic import Bounded, BoundedMath, UndecidedError
from cnnx.cli import main

pytestmark = pytest.mark.once


def right(name: str) -> Callable[..., None]:
    """A correct kernel for any dtype."""
    return lambda *arrays, **numbers: backend.kernel(name, arrays[0].dtype.name, "optimized")(*arrays, **numbers)


def with_mutant(kernel: str, mutant: Callable[..., Any]) -> dict[str, Any]:
    """The optimized back end with one kernel replaced. (The audit's own mutants are judged by test_selftest.py.)"""
    return {name: right(name) for name in backend.kernel_names("optimized")} | {kernel: mutant}


def conv2d_grad_weight_mean(Delta, Z, dF, **numbers):
    right("conv2d_grad_weight")(Delta, Z, dF, **numbers)
    dF /= max(1, len(Z))


def conv2d_second_block_of_columns_wrong(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, b, Y, **numbers)
    if len(Y) > 1:
        Y[1:, :, :, 64:] += 1


def conv2d_winograd_grad_input_of_many_channels(Delta, F, dZ, **numbers):
    right("conv2d_winograd_grad_input")(Delta, F, dZ, **numbers)
    if Delta.shape[1] > 16:
        dZ += 1


def affine_grad_weight_of_128_rows(Delta, Z, dw):
    right("affine_grad_weight")(np.ascontiguousarray(Delta[:128]), np.ascontiguousarray(Z[:128]), dw)


def identity_long_tail_missing(Z, Y):
    Y[:1024] = Z[:1024]


@pytest.mark.parametrize(
    ("op", "kernel", "mutant"),
    [
        ("conv2d", "conv2d", conv2d_second_block_of_columns_wrong),
        ("conv2d", "conv2d_winograd_grad_input", conv2d_winograd_grad_input_of_many_channels),
        ("affine", "affine_grad_weight", affine_grad_weight_of_128_rows),
        ("identity", "identity", identity_long_tail_missing),
    ],
)
def test_an_ops_cases_reach_beyond_the_kernels_blocks(op: str, kernel: str, mutant: Callable[..., Any]) -> None:
    cnnx.register_backend("mutant", with_mutant(kernel, mutant))
    checks = ["exact"] if "winograd" not in kernel else ["bound"]
    report = audit([op], backend="mutant", checks=checks, dtypes=["float32"], measure=False)
    assert {(d.op, d.check) for d in report.discrepancies()} == {(op, *checks)}


def test_partial_back_end_is_judged_on_what_it_has() -> None:
    cnnx.register_backend("only-relu", {"relu": right("relu"), "relu_grad_input": right("relu_grad_input")})
    report = audit(["relu", "tanh"], backend="only-relu", checks=["bound"], measure=False)
    relu, tanh = report.results
    assert relu.ok
    assert relu.ran > 0
    assert not relu.lacking
    assert tanh.ran == 0
    assert "tanh" in tanh.lacking
    assert report.ok


def wrong(Z, Y):
    Y[...] = 42


def refusing(*arrays, **numbers):
    raise NotImplementedError("todo")


def test_wrong_forward_kernel_is_caught_though_its_backward_kernel_is_missing() -> None:
    cnnx.register_backend("forward-only", {"relu": wrong})
    report = audit(["relu"], backend="forward-only", measure=False)
    assert {"exact", "bound"} <= {d.check for d in report.discrepancies()}


def test_each_kernel_of_an_op_is_judged_though_another_is_missing() -> None:
    kernels = with_mutant("conv2d_grad_weight", conv2d_grad_weight_mean)
    del kernels["conv2d_grad_input"], kernels["conv2d"]
    cnnx.register_backend("gaps", kernels)
    report = audit(["conv2d"], backend="gaps", checks=["bound"], measure=False)
    assert any("conv2d_grad_weight at" in d.what for d in report.discrepancies())


def test_what_a_back_end_lacks_is_not_computed_where_nothing_is_held_against_it(monkeypatch) -> None:
    """The reference takes the place of a missing kernel for the sake of others: of relu's backward call there are none,
    of affine's there are."""
    ran = []

    def noted(name: str, kernel: Callable[..., Any] = backend.reference_kernel) -> Callable[..., Any]:
        @functools.wraps(kernel(name))
        def noting(*arrays: np.ndarray, **numbers: float) -> None:
            ran.append(name)
            kernel(name)(*arrays, **numbers)

        return noting

    monkeypatch.setattr(backend, "reference_kernel", noted)
    kernels = {name: right(name) for name in ("relu", "affine", "affine_grad_weight")}
    cnnx.register_backend("forward-only", kernels)
    report = audit(["relu", "affine"], backend="forward-only", measure=False, checks=["repeat", "batch", "layout"])
    assert not list(report.discrepancies())
    assert report.judged
    assert {lack for r in report.results for lack in r.lacking} == {
        "relu_grad_input",
        "affine_grad_input",
        "affine_grad_bias",
    }
    assert set(ran) == {"affine_grad_input", "affine_grad_bias"}


def test_not_implemented_error_of_a_kernel_is_no_excuse() -> None:
    cnnx.register_backend("refuses", {"relu": right("relu"), "relu_grad_input": refusing})
    report = audit(["relu"], backend="refuses", checks=["bound", "gradient"], measure=False)
    assert all("raised NotImplementedError: todo" in d.what for d in report.discrepancies())
    assert {d.check for d in report.discrepancies()} == {"bound", "gradient"}


def test_a_back_end_without_any_of_the_kernels_was_not_judged() -> None:
    cnnx.register_backend("nothing", {})
    report = audit(["relu"], backend="nothing", measure=False)
    assert not list(report.discrepancies())
    assert report.judged == 0
    assert not report.ok


def test_no_case_run_is_a_failure() -> None:
    from cnnx.audit import Result

    assert not Result("relu", "bound").ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ops": ["convolution"]}, "op: expected one of 37 names, got 'convolution'; did you mean"),
        ({"dtypes": ["float16"]}, "dtype: expected one of float32, float64, got 'float16'"),
        ({"checks": ["vibes"]}, "check: expected one of exact, .*got 'vibes'"),
        ({"backend": "nobody"}, "no back end is called 'nobody'"),
        ({"against": "nobody"}, "no back end is called 'nobody'"),
        ({"against": "optimized"}, "against: expected another back end than 'optimized', got the same"),
        ({"ops": []}, "op: expected some of conv2d, .*got none"),
        ({"checks": []}, "check: expected some of exact, .*got none"),
    ],
)
def test_unknown_names_are_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        audit(**arguments)


def test_same_seed_same_numbers() -> None:
    options = {"checks": ["bound"], "dtypes": ["float32"], "measure": False}
    first, again, other = (audit(["tanh"], seed=s, **options) for s in (1, 1, 2))
    assert first.as_dict() == again.as_dict()
    assert first.results[0].share != other.results[0].share


# ------------------------------------------------------------------------------- error bounds


EPS, TINY = 2.0**-52, 5e-324


def bounded(value: float) -> Bounded:
    return Bounded(value, EPS, TINY)


def test_bound_of_a_sum_of_products_is_eps_terms_mass() -> None:
    a, b = [3.0, -5.0, 7.0], [2.0, 4.0, -0.5]
    total: Any = 0
    for x, y in zip(a, b, strict=True):
        total = total + bounded(x) * bounded(y)
    assert total.value == 6.0 - 20.0 - 3.5
    assert total.error == pytest.approx(EPS * 3 * (6.0 + 20.0 + 3.5))


def test_a_number_alone_has_no_error() -> None:
    assert bounded(0.1).error == 0
    assert (bounded(0.1) * 1).error == 0
    assert (-bounded(0.1)).error == 0
    assert (bounded(0.1) + 0).error == 0


def test_bound_of_a_sum_holds_in_any_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        terms = (rng.standard_normal(40) * 10.0 ** rng.integers(-6, 6, 40)).astype(np.float32)
        info = np.finfo(np.float32)
        total: Any = 0
        for t in terms:
            total = total + Bounded(float(t), float(info.eps), float(info.smallest_subnormal))
        for _ in range(5):
            s = np.float32(0)
            for t in rng.permutation(terms):
                s = np.float32(s + t)
            assert abs(float(s) - total.value) <= total.error


def test_cancellation_keeps_its_absolute_error() -> None:
    y = 1 / (1 + BoundedMath().exp(bounded(-40.0)))  # almost 1
    assert (1 - y).error > 1000 * EPS * abs((1 - y).value)


def test_bounded_functions_hold_float32_errors() -> None:
    import math

    m, info = BoundedMath(), np.finfo(np.float32)
    for name in ("exp", "log", "sqrt", "log1p", "expm1"):
        for v in np.linspace(0.1, 9, 50, dtype=np.float32):
            b = getattr(m, name)(Bounded(float(v), float(info.eps), float(info.smallest_subnormal)))
            assert b.value == pytest.approx(getattr(math, name)(float(v)), rel=1e-15)
            assert abs(float(np.float32(b.value)) - b.value) <= b.error <= 8 * float(info.eps) * abs(b.value)


def test_undecidable_comparisons_say_so() -> None:
    third = bounded(1.0) / bounded(3.0)
    with pytest.raises(UndecidedError):
        _ = third > third * bounded(1.0)
    assert bounded(2.0) > third
    assert bounded(2.0) == 2.0
    assert bounded(np.nan) != bounded(np.nan)


# -------------------------------------------------------------------------------- command line


def cnnx_audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnx", "audit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_command_line_agrees() -> None:
    done = cnnx_audit("--op", "step", "--op", "relu", "--dtype", "float32", "--no-speed")
    assert done.returncode == 0, done.stderr
    assert "all agree" in done.stdout
    assert done.stderr == ""


def test_command_line_json() -> None:
    done = cnnx_audit("--op", "relu", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["schema"] == 2
    assert report["cases"] == sum(r["ran"] for r in report["results"]) > 100
    assert report["speed_up"]["relu"] > 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--op", "convolution"], 2, "did you mean conv"),
        (["--backend", "nobody"], 2, "no back end is called 'nobody'"),
        (["--dtype", "float16"], 2, "float16"),
        (["--seed", "-1"], 2, "--seed: expected an integer of at least 0, got -1"),
        (["--op", "flatten", "--check", "dual"], 3, ""),
    ],
)
def test_command_line_exit_codes(arguments: list[str], code: int, message: str) -> None:
    done = cnnx_audit(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def entry_point(tmp_path, kernels: str) -> list[str]:
    """A command `cnnx audit` for a back end `theirs` that comes by entry point, as an installed package brings it."""
    install(
        tmp_path,
        "theirs",
        "import ctypes, os, time\n"
        "import cnnx.backend as b\n"
        "def right(name):\n"
        "    return lambda *a, **n: b.kernel(name, a[0].dtype.name, 'optimized')(*a, **n)\n"
        "def relu(Z, Y):\n"
        "    Y[...] = Z\n"
        f"KERNELS = {kernels}\n",
    )
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cnnx.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, str(tmp_path), "audit", "--backend", "theirs"]


def test_a_back_end_that_hangs_while_it_is_loaded(tmp_path, monkeypatch) -> None:
    entry_point(tmp_path, "time.sleep(999)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("cnnx.audit.supervise.START", 3.0)
    with pytest.raises(ValueError, match="back end 'theirs' cannot be loaded: the back end hangs: no result after 4 s"):
        audit(["relu"], backend="theirs", timeout=1.0)


def test_a_kernel_that_hangs_is_not_waited_for_when_its_speed_is_measured(tmp_path, monkeypatch) -> None:
    entry_point(tmp_path, "{'relu': lambda Z, Y: time.sleep(999)}")
    monkeypatch.syspath_prepend(tmp_path)
    start = time.perf_counter()
    report = audit(["relu"], backend="theirs", timeout=1.0, checks=["exact"], cases=["vector"])
    assert time.perf_counter() - start < 30  # the two limits are 1 s each, and two processes start
    assert report.speed_up == {}
    (found,) = report.discrepancies()
    assert "no result after 1 s" in found.what
    assert '"case":"vector"' in found.repro


@pytest.mark.parametrize("compat", ["torch", "onnx", "paper"])
def test_figures_are_judged_by_the_conventions_that_they_were_printed_for(compat) -> None:
    report = audit(["max_pool2d", "avg_pool2d", "lp_pool2d"], checks=["worked"], compat=compat, measure=False)
    assert report.ok, list(report.discrepancies())
    assert ("figures, D19's o, all ties" in report.left_out.get("max_pool2d", [])) == (compat != "paper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--self-test", "--shape", "ic2ih4oc2kh3"], "--shape: expected none with --self-test"),
        (["--self-test", "--timeout", "3"], "--timeout: expected none with --self-test"),
        (["--self-test", "--backend", "numpy"], "--self-test: expected no other back ends"),
        (["--repro", "{}", "--op", "relu"], "--op: expected none with --repro"),
        (["--repro", "{}", "--seed", "1"], "--seed: expected none with --repro"),
        (["--op", "relu", "--mb", "3"], "--mb: expected --shape, --shapes or --network with it"),
        (["--network", "vgg16", "--op", "avg_pool2d"], "--op: vgg16 has no layer of avg_pool2d"),
        (["--shape", "ic2ih4oc2kh3", "--budgets"], "--budgets: expected none with shapes"),
        (["--shape", "ic2ih4oc2kh3", "--isolated"], "--isolated: expected none with shapes"),
        (["--save", __file__], "--save: expected a directory or a new name"),
    ],
)
def test_options_that_would_be_ignored_are_refused(arguments, message, capsys) -> None:
    assert main(["audit", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kernels", "ops", "code", "message"),
    [
        ("{n: right(n) for n in b.kernel_names('optimized')} | {'relu': relu}", ["relu", "affine"], 1, "relu: exact"),
        ("{'relu': lambda Z, Y: 1 / 0}", ["relu"], 1, "raised ZeroDivisionError"),
        ("{'relu': 5}", ["relu"], 1, "expected kernel 'relu' to be callable"),
        ("{'relu': relu}", ["step"], 3, "nothing of back end theirs ran"),
        ("5", ["relu"], 2, "expected a mapping or a module"),
        ("1 / 0", ["relu"], 2, "cannot be loaded: ZeroDivisionError"),
        ("os.sys.exit(0)", ["relu"], 2, "cannot be loaded: SystemExit"),
        ("type('K', (dict,), {'compat': ['torch']})()", ["relu"], 2, "expected compat to be a string, got list"),
        ("type('K', (dict,), {'left_out': 'x'})()", ["relu"], 2, "expected left_out to be a mapping, got str"),
        ("{'relu': lambda Z, Y: os.sys.exit(0)}", ["relu"], 1, "ended the process, with exit code 0"),
        ("{'relu': lambda Z, Y: time.sleep(999)}", ["relu"], 1, "the back end hangs: no result after 4 s"),
        ("{'relu': lambda Z, Y: os._exit(5)}", ["relu"], 1, "the back end's process died: exit code 5"),
        ("{'relu': lambda Z, Y: ctypes.string_at(0)}", ["relu"], 1, "the back end's process died: SIGSEGV"),
    ],
)
def test_command_line_judges_a_back_end_of_others(tmp_path, kernels, ops, code, message) -> None:
    command = (
        entry_point(tmp_path, kernels)
        + [word for op in ops for word in ("--op", op)]
        + ["--no-speed", "--timeout", "4", "--check", "exact"]
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in (done.stderr if code == 2 else done.stdout)
    again = [line.strip() for line in done.stdout.splitlines() if line.startswith("    again: ")]
    assert all(line.startswith("again: cnnx audit --backend theirs --repro '{") for line in again)
    assert bool(again) == (code == 1)
    assert not any(line.startswith("affine: ") for line in done.stdout.splitlines())
    assert "Traceback" not in done.stderr

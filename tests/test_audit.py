"""The audit catches bugs: wrong kernels of many kinds, each named by its op; and it says what it did."""

import ctypes
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx import backend, native
from cnnx.audit import audit
from cnnx.audit.numbers import Bounded, BoundedMath, UndecidedError

pytestmark = pytest.mark.once


def right(name: str) -> Callable[..., None]:
    """A correct kernel for any dtype."""
    return lambda *arrays, **numbers: backend.kernel(name, arrays[0].dtype.name, "optimized")(*arrays, **numbers)


def conv2d_flipped(Z, F, b, Y, **numbers):
    right("conv2d")(Z, np.ascontiguousarray(F[:, :, ::-1, ::-1]), b, Y, **numbers)


def conv2d_without_bias(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, np.zeros_like(b), Y, **numbers)


def conv2d_strides_swapped(Z, F, b, Y, *, u, v, **numbers):
    rows = min(Y.shape[2], 1 + (Z.shape[2] - 1) // v)
    wrong = np.zeros_like(Y)
    right("conv2d")(Z, F, b, wrong[:, :, :rows].copy(), u=v, v=u, **numbers)
    Y[...] = wrong


def conv2d_in_float16(Z, F, b, Y, **numbers):
    right("conv2d")(Z.astype(np.float16).astype(Z.dtype), F, b, Y, **numbers)


def conv2d_last_row_missing(Z, F, b, Y, **numbers):
    kept = Y[:, :, -1:].copy()
    right("conv2d")(Z, F, b, Y, **numbers)
    if Y.shape[2] % 2:
        Y[:, :, -1:] = kept


def conv2d_writes_to_its_input(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, b, Y, **numbers)
    if Z.size:
        ctypes.c_uint8.from_address(Z.ctypes.data).value ^= 1  # as C code would, past NumPy's read-only flag


def conv2d_returns_its_output(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, b, Y, **numbers)
    return Y


def conv2d_depends_on_threads(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, b, Y, **numbers)
    if cnnx.get_num_threads() > 1:
        Y *= 1 + np.finfo(Y.dtype).eps


def conv2d_raises(Z, F, b, Y, **numbers):
    raise RuntimeError("out of registers")


def conv2d_grad_weight_mean(Delta, Z, dF, **numbers):
    right("conv2d_grad_weight")(Delta, Z, dF, **numbers)
    dF /= max(1, len(Z))


def conv2d_grad_weight_transposed(Delta, Z, dF, **numbers):
    right("conv2d_grad_weight")(Delta, Z, dF, **numbers)
    if dF.shape[2] == dF.shape[3]:
        dF[...] = dF.swapaxes(2, 3).copy()


def conv2d_grad_input_correlation(Delta, F, dZ, **numbers):
    right("conv2d_grad_input")(Delta, np.ascontiguousarray(F[:, :, ::-1, ::-1]), dZ, **numbers)


def conv2d_grad_bias_of_first_image(Delta, db):
    right("conv2d_grad_bias")(np.ascontiguousarray(Delta[:1]), db)


def max_pool2d_pads_with_zero(Z, Y, *, R, S, u, v, p_h, p_w):
    right("max_pool2d")(Z, Y, R=R, S=S, u=u, v=v, p_h=p_h, p_w=p_w)
    if p_h or p_w:
        np.maximum(Y, 0, out=Y)


def max_pool2d_drops_nan(Z, Y, **numbers):
    right("max_pool2d")(np.nan_to_num(Z, nan=-1e30), Y, **numbers)


def max_pool2d_grad_input_to_all(Delta, Z, dZ, **numbers):
    right("max_pool2d_grad_input_all")(Delta, Z, dZ, **numbers)


def avg_pool2d_counts_padding(Z, Y, *, include_pad, **numbers):
    right("avg_pool2d")(Z, Y, include_pad=1, **numbers)


def lp_pool2d_without_mean(Z, Y, *, normalize, **numbers):
    right("lp_pool2d")(Z, Y, normalize=0, **numbers)


def sigmoid_grad_input_squared(Delta, Z, dZ):
    right("sigmoid_grad_input")(Delta, Z, dZ)
    right("sigmoid_grad_input")(dZ.copy(), Z, dZ)  # D19's printed delta^F


def tanh_poor(Z, Y):
    Y[...] = (np.exp(Z) - np.exp(-Z)) / (np.exp(Z) + np.exp(-Z))  # cancels near 0 and overflows


def relu_tail_missing(Z, Y):
    whole = len(Z) // 8 * 8
    Y[:whole] = np.maximum(Z[:whole], 0)


def softmax_without_shift(Z, Y):
    with np.errstate(all="ignore"):
        e = np.exp(Z)
        Y[...] = e / e.sum(axis=1, keepdims=True)


def affine_weight_of_other_order(Z, w, b, Y):
    right("affine")(Z, np.ascontiguousarray(w[:, ::-1]), b, Y)


def dropout_unscaled(Z, mask, Y, *, rate):
    Y[...] = Z * mask


def batch_norm2d_unbiased(Z, mean, var):
    right("batch_norm2d_statistics_var")(Z, mean, var)
    M = Z.size // Z.shape[1]
    var *= M / (M - 1)


def cross_entropy_grad_without_n(Z, t, dZ, *, divisor):
    right("cross_entropy_grad_input")(Z, t, dZ, divisor=1)


def squared_error_without_half(A, T, E, *, divisor):
    right("squared_error")(A, T, E, divisor=divisor)
    E *= 2


def conv2d_fifth_channel_wrong(Z, F, b, Y, *, groups, **numbers):
    right("conv2d")(Z, F, b, Y, groups=groups, **numbers)
    if groups > 1 and Y.shape[1] // groups > 4:  # the second block of channels of a group
        Y[:, 4] += 1


def conv2d_second_block_of_columns_wrong(Z, F, b, Y, **numbers):
    right("conv2d")(Z, F, b, Y, **numbers)
    if len(Y) > 1:
        Y[1:, :, :, 64:] += 1


def conv2d_grad_weight_of_two_images(Delta, Z, dF, **numbers):
    right("conv2d_grad_weight")(np.ascontiguousarray(Delta[:2]), np.ascontiguousarray(Z[:2]), dF, **numbers)


def max_pool2d_winner_of_nan_lost(Z, Y, B, **numbers):
    right("max_pool2d_winners")(Z, Y, B, **numbers)
    B[np.isnan(Y)] = 0


def sigmoid_overflowing(Z, Y):
    with np.errstate(all="ignore"):
        Y[...] = np.exp(Z) / (1 + np.exp(Z))


def softplus_thresholded(Z, Y):
    with np.errstate(all="ignore"):
        Y[...] = np.where(Z > 10, Z, np.log1p(np.exp(Z)))


def leaky_relu_grad_input_right_at_zero(Delta, Z, dZ, *, slope):
    dZ[...] = Delta * np.where(Z >= 0, 1, slope)


def lp_pool2d_grad_input_nan_at_zero(Delta, Z, dZ, **numbers):
    right("lp_pool2d_grad_input")(Delta, Z, dZ, **numbers)
    dZ[Z == 0] = np.nan


def relu_grad_input_drops_nan(Delta, Z, dZ):
    right("relu_grad_input")(np.nan_to_num(Delta), Z, dZ)


def dropout_grad_input_leaks_nan(Delta, mask, dZ, *, rate):
    dZ[...] = Delta * mask / (1 - rate)


def log_softmax_as_log_of_softmax(Z, Y):
    right("softmax")(Z, Y)
    with np.errstate(all="ignore"):
        np.log(Y, out=Y)


def affine_grad_weight_of_16_rows(Delta, Z, dw):
    right("affine_grad_weight")(np.ascontiguousarray(Delta[:16]), np.ascontiguousarray(Z[:16]), dw)


def batch_norm2d_variance_by_difference(Z, mean, var):
    var[...] = (Z * Z).mean(axis=(0, 2, 3)) - mean * mean


def identity_long_tail_missing(Z, Y):
    Y[:1024] = Z[:1024]


def conv2d_winograd_tile_wrong(Z, F, b, Y, *, t, **numbers):
    """As if one number of A were wrong: the last row of each tile is off by a little."""
    right("conv2d_winograd")(Z, F, b, Y, t=t, **numbers)
    Y[:, :, t - 1 :: t] *= 1 + 2.0**-12


def conv2d_winograd_of_other_points(Z, F, b, Y, *, t, **numbers):
    """As if one number of G were 1/23 and not 1/24."""
    right("conv2d_winograd")(Z, F * np.float32(1 + (t == 4) * 1e-3), b, Y, t=t, **numbers)


def conv2d_winograd_grad_input_not_turned(Delta, F, dZ, **numbers):
    right("conv2d_winograd_grad_input")(Delta, np.ascontiguousarray(F[:, :, ::-1, ::-1]), dZ, **numbers)


def conv2d_winograd_loses_nan(Z, F, b, Y, **numbers):
    right("conv2d_winograd")(np.nan_to_num(Z), F, b, Y, **numbers)


MUTANTS: list[tuple[str, str, Callable[..., Any]]] = [
    ("conv2d", "conv2d", conv2d_flipped),
    ("conv2d", "conv2d", conv2d_without_bias),
    ("conv2d", "conv2d", conv2d_strides_swapped),
    ("conv2d", "conv2d", conv2d_in_float16),
    ("conv2d", "conv2d", conv2d_last_row_missing),
    ("conv2d", "conv2d", conv2d_returns_its_output),
    ("conv2d", "conv2d", conv2d_raises),
    ("conv2d", "conv2d_grad_weight", conv2d_grad_weight_mean),
    ("conv2d", "conv2d_grad_weight", conv2d_grad_weight_transposed),
    ("conv2d", "conv2d_grad_input", conv2d_grad_input_correlation),
    ("conv2d", "conv2d_grad_bias", conv2d_grad_bias_of_first_image),
    ("max_pool2d", "max_pool2d", max_pool2d_pads_with_zero),
    ("max_pool2d", "max_pool2d", max_pool2d_drops_nan),
    ("max_pool2d", "max_pool2d_grad_input", max_pool2d_grad_input_to_all),
    ("avg_pool2d", "avg_pool2d", avg_pool2d_counts_padding),
    ("lp_pool2d", "lp_pool2d", lp_pool2d_without_mean),
    ("sigmoid", "sigmoid_grad_input", sigmoid_grad_input_squared),
    ("tanh", "tanh", tanh_poor),
    ("relu", "relu", relu_tail_missing),
    ("affine", "affine", affine_weight_of_other_order),
    ("dropout", "dropout", dropout_unscaled),
    ("batch_norm2d", "batch_norm2d_statistics_var", batch_norm2d_unbiased),
    ("cross_entropy", "cross_entropy_grad_input", cross_entropy_grad_without_n),
    ("squared_error", "squared_error", squared_error_without_half),
    ("conv2d", "conv2d", conv2d_fifth_channel_wrong),
    ("conv2d", "conv2d", conv2d_second_block_of_columns_wrong),
    ("conv2d", "conv2d_grad_weight", conv2d_grad_weight_of_two_images),
    ("max_pool2d", "max_pool2d_winners", max_pool2d_winner_of_nan_lost),
    ("sigmoid", "sigmoid", sigmoid_overflowing),
    ("softplus", "softplus", softplus_thresholded),
    ("leaky_relu", "leaky_relu_grad_input", leaky_relu_grad_input_right_at_zero),
    ("lp_pool2d", "lp_pool2d_grad_input", lp_pool2d_grad_input_nan_at_zero),
    ("relu", "relu_grad_input", relu_grad_input_drops_nan),
    ("dropout", "dropout_grad_input", dropout_grad_input_leaks_nan),
    ("log_softmax", "log_softmax", log_softmax_as_log_of_softmax),
    ("affine", "affine_grad_weight", affine_grad_weight_of_16_rows),
    ("batch_norm2d", "batch_norm2d_statistics_var", batch_norm2d_variance_by_difference),
    ("identity", "identity", identity_long_tail_missing),
    ("conv2d", "conv2d_winograd", conv2d_winograd_tile_wrong),
    ("conv2d", "conv2d_winograd", conv2d_winograd_of_other_points),
    ("conv2d", "conv2d_winograd", conv2d_winograd_loses_nan),
    ("conv2d", "conv2d_winograd_grad_input", conv2d_winograd_grad_input_not_turned),
]


def with_mutant(kernel: str, mutant: Callable[..., Any]) -> dict[str, Any]:
    """The optimized back end with one kernel replaced."""
    return {name: right(name) for name in backend.kernel_names("optimized")} | {kernel: mutant}


@pytest.mark.parametrize(("op", "kernel", "mutant"), MUTANTS, ids=[m.__name__ for _, _, m in MUTANTS])
def test_mutant_is_caught_and_its_op_named(op: str, kernel: str, mutant: Callable[..., Any]) -> None:
    cnnx.register_backend("mutant", with_mutant(kernel, mutant))
    checks = ["exact", "bound", "special"]
    report = audit([op], backend="mutant", checks=checks, dtypes=["float32"], measure=False)
    assert not report.ok
    assert {d.op for d in report.discrepancies()} == {op}


def test_the_wrapped_optimized_back_end_itself_is_clean() -> None:
    # Or else the mutants above could be caught for the wrapping alone.
    cnnx.register_backend("mutant", with_mutant("relu", right("relu")))
    ops = sorted({op for op, _, _ in MUTANTS})
    checks = ["exact", "bound", "special"]
    assert audit(ops, backend="mutant", checks=checks, dtypes=["float32"], measure=False).ok


def test_input_written_to_is_caught() -> None:
    cnnx.register_backend("mutant", with_mutant("conv2d", conv2d_writes_to_its_input))
    report = audit(["conv2d"], backend="mutant", checks=["exact"], dtypes=["float64"], measure=False)
    assert any("kernel conv2d wrote to its inputs" in d.what for d in report.discrepancies())


@pytest.mark.skipif(not native.build_info()["openmp"], reason="this build has no OpenMP, so one thread count only")
def test_dependence_on_the_thread_count_is_caught() -> None:
    cnnx.register_backend("mutant", with_mutant("conv2d", conv2d_depends_on_threads))
    report = audit(["conv2d"], backend="mutant", checks=["threads"], measure=False)
    assert any("threads give other bits" in d.what for d in report.discrepancies())


def test_wrong_gradient_is_caught_by_differences_alone() -> None:
    # Reference and candidate could share a mistake: the gradient check compares with neither.
    cnnx.register_backend("mutant", with_mutant("sigmoid_grad_input", sigmoid_grad_input_squared))
    assert not audit(["sigmoid"], backend="mutant", checks=["gradient"], measure=False).ok


def test_wrong_adjoint_is_caught() -> None:
    cnnx.register_backend("mutant", with_mutant("conv2d_grad_input", conv2d_grad_input_correlation))
    assert not audit(["conv2d"], backend="mutant", checks=["adjoint"], measure=False).ok


def test_wrong_reference_is_caught_by_dual_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = backend.reference_kernel("sigmoid_grad_input")

    def twice(Delta, Z, i, *, m):
        y = 1 / (1 + m.exp(-Z[i]))
        return Delta[i] * y * (1 - y) * y * (1 - y)

    monkeypatch.setitem(kernel.elements, "dZ", twice)  # type: ignore[attr-defined]
    report = audit(["sigmoid"], checks=["dual"], measure=False)
    assert {d.check for d in report.discrepancies()} == {"dual"}


def test_softmax_without_shift_overflows_where_the_audit_looks_with_infinity() -> None:
    cnnx.register_backend("mutant", with_mutant("softmax", softmax_without_shift))
    assert not audit(["softmax"], backend="mutant", checks=["special"], measure=False).ok


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
        ({"ops": ["convolution"]}, "op: expected one of conv2d, .*got 'convolution'"),
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
    first, again, other = (audit(["tanh"], checks=["bound"], seed=s, measure=False) for s in (1, 1, 2))
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
    done = cnnx_audit("--op", "affine", "--op", "relu", "--dtype", "float32", "--no-speed")
    assert done.returncode == 0, done.stderr
    assert "all agree" in done.stdout
    assert done.stderr == ""


def test_command_line_json() -> None:
    done = cnnx_audit("--op", "affine", "--json")
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert report["schema"] == 2
    assert report["cases"] == sum(r["ran"] for r in report["results"]) > 100
    assert report["speed_up"]["affine"] > 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--op", "convolution"], 2, "expected one of conv2d"),
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
    (tmp_path / "theirs.py").write_text(
        "import ctypes, os, time\n"
        "import cnnx.backend as b\n"
        "def right(name):\n"
        "    return lambda *a, **n: b.kernel(name, a[0].dtype.name, 'optimized')(*a, **n)\n"
        "def relu(Z, Y):\n"
        "    Y[...] = Z\n"
        f"KERNELS = {kernels}\n"
    )
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cnnx.backends]\ntheirs = theirs:KERNELS\n")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from cnnx.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, str(tmp_path), "audit", "--backend", "theirs"]


@pytest.mark.parametrize(
    ("kernels", "ops", "code", "message"),
    [
        ("{n: right(n) for n in b.kernel_names('optimized')} | {'relu': relu}", ["relu", "affine"], 1, "relu: exact"),
        ("{'relu': lambda Z, Y: 1 / 0}", ["relu"], 1, "raised ZeroDivisionError"),
        ("{'relu': 5}", ["relu"], 1, "expected kernel 'relu' to be callable"),
        ("{'relu': relu}", ["step"], 3, "nothing of back end theirs ran"),
        ("5", ["relu"], 2, "expected a mapping or a module"),
        ("1 / 0", ["relu"], 2, "cannot be loaded: ZeroDivisionError"),
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
    assert "affine: " not in done.stdout
    assert "Traceback" not in done.stderr

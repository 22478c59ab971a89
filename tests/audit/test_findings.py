"""Findings can be used: they are small, say where and why, and can be repeated; and all of it comes from one seed."""

import ast
import json
from typing import Any

import numpy as np
import pytest

import cnnx
from cnnx import backend
from cnnx.audit import CHECKS, Discrepancy, audit
from cnnx.audit import repro as repro_text
from cnnx.audit.run import again
from cnnx.audit.shrink import refusal
from cnnx.audit.sides import Sides
from cnnx.audit.work import judge
from cnnx.cli import main
from cnnx.ops import OPS, Case, Draw, Op

pytestmark = pytest.mark.once
(CONV2D,) = (op for op in OPS if op.name == "conv2d")
(CROSS_ENTROPY,) = (op for op in OPS if op.name == "cross_entropy")


def right(name: str):
    return lambda *arrays, **numbers: backend.kernel(name, arrays[0].dtype.name, "optimized")(*arrays, **numbers)


def words_of(d: Discrepancy) -> str:
    """What a finding of a registered back end hands to `again`."""
    call: Any = ast.parse(d.repro).body[1]
    return str(ast.literal_eval(call.value.args[0].args[0]))


def register(**wrong: Any) -> None:
    kernels = {name: right(name) for name in backend.kernel_names("optimized")}
    cnnx.register_backend("mutant", kernels | wrong)


def flipped(Z, F, b, Y, **numbers):
    right("conv2d")(Z, np.ascontiguousarray(F[:, :, ::-1, ::-1]), b, Y, **numbers)


def groups_forgotten(Delta, F, dZ, *, groups, **numbers):
    right("conv2d_grad_input")(Delta, F, dZ, groups=groups, **numbers)
    if groups > 1:
        dZ[:, -1] = 0


def label_lost(Z, t, E, *, divisor):
    right("cross_entropy_index")(Z, t, E, divisor=divisor)
    E += t.max(initial=0)


def found(op: str, check: str, cases: list[str] | None = None, dtype: str = "float32"):
    report = audit([op], backend="mutant", checks=[check], cases=cases, dtypes=[dtype], measure=False, shrink=10)
    return report.results[0].discrepancies[0]


def test_a_flipped_kernel_is_shrunk_to_a_handful_of_numbers() -> None:
    register(conv2d=flipped)
    d = found("conv2d", "bound", ["plain"])
    assert d.shrunk == "x (1, 1, 1, 2), weight (1, 1, 1, 2)"  # one output of two terms: the least that shows it
    assert (d.kernel, d.output, d.index) == ("conv2d", "Y", (0, 0, 0, 0))
    assert d.arrays is not None
    assert d.results is not None
    x, weight = d.arrays["Z"].ravel(), d.arrays["F"].ravel()
    assert d.expected == pytest.approx(float(np.dot(x.astype(float), weight.astype(float))), rel=1e-12)
    assert d.got == pytest.approx(float(np.dot(x, weight[::-1])), rel=1e-5)
    assert d.got == float(d.results["got"][d.index])
    assert d.share == pytest.approx(abs(d.got - d.expected) / d.error)
    assert d.share > 1
    text = "\n".join(d.terms)
    assert "C1: M17 (4)" in text
    assert "F[0,0,0,1] Z[0,0,0,1]" in text


def test_what_must_stay_for_it_to_fail_stays() -> None:
    register(conv2d_grad_input=groups_forgotten)
    d = found("conv2d", "exact", ["groups"])
    case = repro_text.parse(words_of(d))[2]
    assert case.options == {"groups": 2}  # padding is gone
    weight = case.arrays["weight"]
    assert case.arrays["x"] == (1, 2, 1, 1)
    assert isinstance(weight, tuple)
    assert weight[1:] == (1, 1, 1)
    assert weight[0] in (2, 4)  # 2, unless the numbers drawn for 2 happen to hide it


def test_bounds_of_indices_shrink_with_the_classes() -> None:
    register(cross_entropy_index=label_lost)
    d = found("cross_entropy", "bound", ["many classes, index, mean"])
    case = repro_text.parse(words_of(d))[2]
    assert case.arrays["logits"] == (1, 2)
    assert case.arrays["target"] == Draw((1,), "index", high=2)


def test_without_time_a_finding_stays_as_it_is() -> None:
    register(conv2d=flipped)
    report = audit(["conv2d"], backend="mutant", checks=["exact"], cases=["plain"], measure=False)
    (d, *_) = report.discrepancies()
    assert d.shrunk == ""
    assert d.terms == ()
    assert json.loads(words_of(d)) == {
        "op": "conv2d",
        "check": "exact",
        "case": "plain",
        "dtype": "float32",
        "seed": 0,
    }


def raising(Z, F, b, Y, **numbers):
    raise ValueError("no")


def test_a_kernel_that_raises_is_shrunk_but_not_to_what_the_op_refuses() -> None:
    register(conv2d=raising)
    d = found("conv2d", "exact", ["groups"])
    assert "raised ValueError: no" in d.what
    assert refusal(CONV2D, repro_text.parse(words_of(d))[2], "float32") is None


# -------------------------------------------------------------------------------------------------- again


def test_of_a_back_end_of_this_process_a_finding_says_python(capsys: pytest.CaptureFixture[str]) -> None:
    register(conv2d=flipped)
    d = found("conv2d", "exact", ["plain"])
    assert d.repro.startswith("import cnnx.audit; print(cnnx.audit.again('{")
    exec(d.repro, {})
    assert d.what in capsys.readouterr().out
    properties = audit(["affine"], backend="mutant", checks=["batch"], require=["batch"], measure=False)
    command = repro_text.command(CONV2D, "batch", CONV2D.cases[0], "float32", 0, Sides("mutant", required=("batch",)))
    assert properties.ok
    assert command.endswith("backend='mutant', require='batch'))")
    assert repro_text.command(CONV2D, "exact", CONV2D.cases[0], "float32", 0, Sides("optimized")).startswith(
        "cnnx audit"
    )


def test_the_command_of_a_finding_finds_it_again_to_the_bit() -> None:
    register(conv2d=flipped)
    d = found("conv2d", "bound", ["plain"])
    (result,) = again(words_of(d), backend="mutant").results
    assert result.discrepancies[0].what == d.what
    assert result.discrepancies[0].terms == d.terms


def test_repro_exits_1_as_long_as_it_fails_and_0_when_it_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    register(conv2d=flipped)
    words = ["audit", "--backend", "mutant", "--repro", words_of(found("conv2d", "exact", ["plain"]))]
    words += ["--timeout", "0"]  # in this process, which alone knows the back end
    assert main(words) == 1
    assert "conv2d at Y[0, 0, 0, 0]" in capsys.readouterr().out
    register()
    assert main(words) == 0
    assert "all agree" in capsys.readouterr().out


GOOD = {"op": "affine", "check": "exact", "case": "one", "dtype": "float32", "seed": 0}
WRITTEN = GOOD | {"arrays": {"x": [2, 3], "weight": [4, 3]}, "options": {}, "exact": True}


@pytest.mark.parametrize("fields", [GOOD, WRITTEN, WRITTEN | {"case": "it's 'quoted'"}])
def test_good_repros(fields: dict[str, Any]) -> None:
    assert main(["audit", "--repro", json.dumps(fields)]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--repro: expected JSON"),
        ("{", "--repro: expected JSON"),
        ("[]", "expected a JSON object"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "op"}), "expected 'op' to be of type str, got None"),
        (json.dumps(GOOD | {"seed": -1}), "expected 'seed' to be at least 0, got -1"),
        (json.dumps(GOOD | {"seed": True}), "expected 'seed' to be of type int, got True"),
        (json.dumps(GOOD | {"op": "convolution"}), "'op': expected one of 37 names, got 'convolution'; did you mean"),
        (json.dumps(GOOD | {"check": "vibes"}), "check: expected one of exact"),
        (json.dumps(GOOD | {"case": "none such"}), "'case' of affine: expected one of"),
        (json.dumps(GOOD | {"dtype": "float16"}), "expected 'dtype' to be one of float32, float64"),
        (json.dumps(WRITTEN | {"arrays": {"x": [2, 3], "weight": [4, 5]}}), "affine does not take this case"),
        (json.dumps(WRITTEN | {"arrays": {"x": [2, -3]}}), "the shape of 'x' to be a list of integers"),
        (json.dumps(WRITTEN | {"arrays": {"x": 7}}), "the shape of 'x' to be a list of integers"),
        (json.dumps(WRITTEN | {"arrays": {"x": {"shape": [2], "kind": "odd"}}}), "a kind of numbers for 'x'"),
        (json.dumps(WRITTEN | {"arrays": {"x": {"shape": [2], "kind": "sets"}}}), "a kind of numbers for 'x'"),
        (json.dumps(WRITTEN | {"arrays": []}), "'arrays' and 'options' to be objects"),
        (json.dumps(WRITTEN | {"options": {"speed": 3}}), "affine does not take this case"),
    ],
)
def test_malformed_repros_are_one_line_and_exit_code_2(text, message, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--repro", text]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_case_can_be_written_out_and_read_back(op: Op) -> None:
    for case in (*op.cases, *op.bench):
        assert repro_text.parse(repro_text.text(op, "exact", case, "float32", 7)) == (op, "exact", case, "float32", 7)
        other = Case(f"my {case.name}", case.arrays, case.options, case.exact)
        assert repro_text.parse(repro_text.text(op, "exact", other, "float32", 7))[2] == other
        assert refusal(op, case, "float64") is None


# --------------------------------------------------------------------------------------------------- save


def test_arrays_are_saved_and_show_the_mistake(tmp_path) -> None:
    register(conv2d=flipped)
    arguments = ["audit", "--backend", "mutant", "--op", "conv2d", "--check", "bound", "--case", "plain", "--no-speed"]
    arguments += ["--timeout", "0"]
    assert main([*arguments, "--save", str(tmp_path / "new" / "findings")]) == 1
    files = sorted((tmp_path / "new" / "findings").glob("*.npz"))
    assert len(files) >= 2  # one for each mode and dtype
    assert files[0].name.startswith("001-conv2d-bound-conv2d-Y-float")
    with np.load(files[0]) as saved:
        assert {"Z", "F", "b", "got", "expected", "number_u", "repro"} <= set(saved)
        assert not np.array_equal(saved["got"], saved["expected"])
        expected = cnnx.conv2d(saved["Z"], saved["F"], saved["b"], backend="reference")
        np.testing.assert_array_equal(saved["expected"], expected)
        assert "cnnx.audit.again(" in str(saved["repro"])


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    arguments = ["audit", "--op", "affine", "--case", "one", "--check", "exact", "--no-speed"]
    assert main([*arguments, "--save", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# --------------------------------------------------------------------------------------------------- seed


def test_two_runs_give_the_same_report() -> None:
    arguments: dict[str, Any] = dict(ops=["squared_error", "dropout"], dtypes=["float32"], measure=False)
    once, again = (json.dumps(audit(**arguments, seed=5).as_dict(), allow_nan=False) for _ in range(2))
    assert once == again
    assert once != json.dumps(audit(**arguments, seed=6).as_dict())


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in ("threads", "worked", "isa", "search")])
def test_a_case_alone_sees_the_numbers_that_it_sees_within_the_whole(check: str, monkeypatch) -> None:
    seen: list[tuple[str, str, bytes]] = []
    draw = cnnx.audit.data.draw

    def watched(op, case, dtype, mode, rng):
        arrays = draw(op, case, dtype, mode, rng)
        seen.append((case.name, mode, b"".join(a.tobytes() for a in arrays.values())))
        return arrays

    monkeypatch.setattr(f"cnnx.audit.checks.{check}.draw", watched)
    audit(["affine"], checks=[check], dtypes=["float32"], measure=False)
    whole = [entry for entry in seen if entry[0] == "batch"]
    seen.clear()
    (op,) = (op for op in OPS if op.name == "affine")
    (case,) = (case for case in op.cases if case.name == "batch")
    judge(op, CHECKS[check], case, (CHECKS[check].dtypes or ("float32",))[0], Sides("optimized"), 0)
    assert seen == whole
    assert whole


def test_each_op_check_case_and_dtype_has_numbers_of_its_own() -> None:
    (affine,) = (op for op in OPS if op.name == "affine")
    from cnnx.audit.trial import Trial

    first = set()
    for check in ("exact", "bound"):
        for case in affine.cases[:2]:
            for dtype in ("float32", "float64"):
                for seed in (0, 1):
                    trial = Trial(affine, CHECKS[check], case, dtype, Sides("optimized"), seed)
                    first.add(float(trial.rng.random()))
    assert len(first) == 16


def test_cases_by_name_and_as_objects() -> None:
    mine = Case("mine", {"x": (2, 3), "weight": (4, 3)}, exact=True)
    report = audit(["affine"], checks=["exact", "threads"], cases=["one", mine], measure=False)
    assert [r.ran for r in report.results] == [8, 8]
    report = audit(["affine", "relu"], checks=["bound"], cases=["vector"], measure=False)
    assert report.results[0].skipped == "for none of the chosen cases"
    assert report.results[1].ran > 0
    with pytest.raises(ValueError, match=r"case: expected one of .*got 'nowhere'"):
        audit(["affine"], cases=["nowhere"], measure=False)
    with pytest.raises(ValueError, match="cases: expected one op for a Case, got conv2d"):
        audit(cases=[mine], measure=False)
    with pytest.raises(ValueError, match="cases: expected some, got none"):
        audit(cases=[], measure=False)


# ---------------------------------------------------------------------------------------------- mistrusted


def test_mostly_zeros_are_mistrusted(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All inputs 0: whatever the back end does, the products are right."""
    zeros = lambda shape, mode, rng: np.zeros(shape)  # noqa: E731
    monkeypatch.setattr("cnnx.audit.data._numbers", zeros)
    arguments = ["audit", "--op", "affine", "--check", "exact", "--no-speed"]
    assert main(arguments) == 1
    output = capsys.readouterr().out
    assert "1 check mistrusted" in output
    assert "affine_grad_weight dw: " in output
    assert "FAIL" not in output
    report = audit(["affine"], checks=["exact", "gradient"], measure=False)
    assert not report.ok
    assert not list(report.discrepancies())
    assert all(result.mistrusted for result in report.results)
    assert report.as_dict()["results"][0]["mistrusted"]


def test_inputs_at_their_kinks_make_the_gradient_check_mistrusted(monkeypatch) -> None:
    """leaky_relu, whose slope at 0 the quotient cannot see: nothing is compared, so nothing passes."""
    monkeypatch.setattr("cnnx.audit.data.MARGIN", 0.0)
    monkeypatch.setattr("cnnx.audit.data._numbers", lambda shape, mode, rng: np.zeros(shape))
    monkeypatch.setattr("cnnx.audit.checks.gradient.draw_like", lambda y, *rest: np.ones(np.shape(y)))
    (result,) = audit(["leaky_relu"], checks=["gradient"], cases=["vector"], measure=False).results
    assert not result.ok
    assert not result.discrepancies
    assert "excluded" in result.mistrusted[0].what


@pytest.mark.parametrize("op", ["step", "relu", "max_pool2d", "dropout"])
def test_ops_that_give_many_zeros_are_not_mistrusted(op: str) -> None:
    report = audit([op], checks=["exact", "gradient"], dtypes=["float32"], measure=False)
    assert report.ok, [r.mistrusted for r in report.results]

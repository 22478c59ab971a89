"""The audit audits itself: every mutant is caught, every check is needed, and the self-test can fail."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import cnnx.cli
from cnnx import backend, native
from cnnx.audit.checks import CHECKS, ISOLATED
from cnnx.audit.figures import FIGURES
from cnnx.audit.mutants import CASES, MUTANTS, Mutant, installed
from cnnx.audit.mutants.selftest import self_test
from cnnx.cli import _self_test
from cnnx.ops import OPS

pytestmark = pytest.mark.once


def named(*names: str) -> list[Mutant]:
    found = [mutant for mutant in MUTANTS if mutant.name in names]
    assert len(found) == len(names)
    return found


# ------------------------------------------------------------------------------- the matrix itself


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """The whole self-test, as a user runs it; threads that wait sleep, which a busy machine needs."""
    command = [sys.executable, "-m", "cnnx", "audit", "--self-test", "--json"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    matrix: dict[str, Any] = json.loads(done.stdout)
    return matrix


needs_threads = pytest.mark.skipif(
    not native.build_info()["openmp"], reason="this build has no OpenMP, so `threads` cannot run"
)


@needs_threads
def test_every_mutant_is_caught(printed: dict[str, Any]) -> None:
    assert [mutant["name"] for mutant in printed["mutants"]] == [mutant.name for mutant in MUTANTS]
    assert len(printed["mutants"]) >= 40
    assert all(mutant["caught"] for mutant in printed["mutants"])
    assert printed["missing"] == []
    assert printed["ok"] is True
    assert printed["seed"] == 0


@needs_threads
def test_every_check_is_some_mutants_only_catcher(printed: dict[str, Any]) -> None:
    assert printed["checks"] == list(ISOLATED)
    for check in ISOLATED:
        alone = [mutant["name"] for mutant in printed["mutants"] if list(mutant["caught"]) == [check]]
        assert alone
        assert printed["only"][check] == alone


@needs_threads
def test_what_passes_for_right_is_caught_where_it_is_isolated(printed: dict[str, Any]) -> None:
    caught = {mutant["name"]: list(mutant["caught"]) for mutant in printed["mutants"]}
    cheats = [mutant.name for mutant in MUTANTS if mutant.file]
    assert len(cheats) >= 16
    assert all("isolation" in caught[name] for name in cheats)
    assert "clip_reads_beyond" in printed["only"]["isolation"]


@needs_threads
def test_bugs_that_the_reference_shares_are_seen_by_mathematics_alone(printed: dict[str, Any]) -> None:
    shared = [mutant for mutant in printed["mutants"] if mutant["shared"]]
    assert len(shared) >= 10
    for mutant in shared:
        found = dict(mutant["caught"])
        # Where a wrong equation cannot be computed with bounds, element by element, a search ends with an error.
        if any(words in found.get("search", "") for words in ("back end 'mutant' raised", "exactly, got")):
            del found["search"]
        assert found
        assert set(found) <= {"gradient", "dual", "adjoint", "worked"}


def test_mutants_have_names_of_their_own_and_say_what_they_are() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    kernels = {op.name: {*op.kernels} for op in OPS}
    for mutant in MUTANTS:
        assert mutant.bug
        assert bool(mutant.kernels) != mutant.shared
        assert not (mutant.file and mutant.shared)
        assert {*mutant.kernels, *mutant.elements} <= kernels[mutant.op]
        assert mutant.op in CASES
    assert {op.name for op in OPS} - {mutant.op for mutant in MUTANTS} == {"flatten"}  # it has no kernels


# ---------------------------------------------------------------------------------- that it can fail


def harmless(Z, Y):
    backend.kernel("relu", Z.dtype.name, "optimized")(Z, Y)


UNDETECTABLE = Mutant("relu_without_a_bug", "relu", "none", kernels={"relu": harmless})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cnnx.cli.main(["audit", "--self-test", *arguments])
    return code, capsys.readouterr().out


def small(monkeypatch: pytest.MonkeyPatch, mutants: Iterable[Mutant], *checks: str) -> None:
    """The self-test of these mutants and checks."""
    monkeypatch.setattr(_self_test, "MUTANTS", tuple(mutants))
    monkeypatch.setattr("cnnx.audit.mutants.selftest.ISOLATED", {name: CHECKS[name] for name in checks})


def test_passes_where_every_check_is_needed(monkeypatch, capsys) -> None:
    small(monkeypatch, named("relu_swallows_nan", "softplus_above_10"), "bound", "special")
    code, out = run(capsys)
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith(("relu", "softplus"))}
    assert rows == {
        "relu": ["bound", "special"],
        "relu_swallows_nan": [".", "O"],
        "softplus": ["bound", "special"],
        "softplus_above_10": ["O", "."],
    }
    assert "seed 0" in out
    assert out.splitlines()[-1] == "2 of 2 mutants caught, 2 of 2 checks needed: ok"


def test_fails_where_a_mutant_cannot_be_detected(monkeypatch, capsys) -> None:
    small(monkeypatch, [*named("relu_swallows_nan", "softplus_above_10"), UNDETECTABLE], "bound", "special")
    code, out = run(capsys)
    assert code == 1
    assert "relu_without_a_bug: caught by no check" in out
    assert out.splitlines()[-1] == "2 of 3 mutants caught, 2 of 2 checks needed: FAILED"


def test_fails_where_a_check_is_removed(monkeypatch, capsys) -> None:
    small(monkeypatch, named("relu_swallows_nan", "softplus_above_10"), "bound")
    code, out = run(capsys, "--json")
    assert code == 1
    assert json.loads(out)["missing"] == ["relu_swallows_nan: caught by no check"]


def test_fails_where_a_check_is_never_alone(monkeypatch, capsys) -> None:
    small(monkeypatch, named("step_one_at_zero"), "exact", "worked")
    code, out = run(capsys, "--json")
    assert code == 1
    assert json.loads(out)["missing"] == [
        "exact: the only catcher of no mutant",
        "worked: the only catcher of no mutant",
    ]


def test_fails_where_the_right_back_end_is_not_clean(monkeypatch, capsys) -> None:
    from cnnx.audit.mutants import _mutant

    cnnx.register_backend("not-so-right", {"step": lambda Z, Y: Y.fill(1)})
    monkeypatch.setattr(_mutant, "CORRECT", "not-so-right")
    test = self_test(named("step_one_at_zero"), checks={"worked": CHECKS["worked"]})
    assert not test.ok
    assert [line for line in test.missing if line.startswith("without any bug: step: worked")]


def test_a_check_that_cannot_run_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(native, "build_info", lambda: {"openmp": False, "forked": False})
    test = self_test(named("relu_swallows_nan"), checks={name: CHECKS[name] for name in ("special", "threads")})
    assert test.missing == ["threads: cannot run: this build or process has one thread only"]
    assert not test.ok


def test_another_audits_options_are_refused(capsys) -> None:
    assert cnnx.cli.main(["audit", "--self-test", "--op", "relu"]) == 2
    assert "--op: expected none with --self-test, which takes what it needs" in capsys.readouterr().err


def test_the_same_seed_gives_the_same_matrix() -> None:
    mutants = named("relu_swallows_nan", "step_one_at_zero")
    first, again = (self_test(mutants, checks={"special": CHECKS["special"]}, seed=1).as_dict() for _ in range(2))
    assert first == again


@pytest.mark.parametrize("error", [None, RuntimeError("on the way")])
def test_mutants_leave_nothing_behind(error: Exception | None) -> None:
    (mutant,) = named("shared_squared_error_without_half")
    y, target = np.array([[1.0, 2.0]]), np.array([[3.0, 2.0]])
    before = {name: dict(backend.equations(name)) for name in mutant.elements}
    try:
        with installed(mutant) as name:
            assert cnnx.squared_error(y, target, reduction="sum", backend=name) == 4.0
            assert cnnx.squared_error(y, target, reduction="sum", backend="reference") == 4.0
            assert cnnx.squared_error(y, target, reduction="sum", backend="optimized") == 2.0
            if error is not None:
                raise error
    except RuntimeError:
        pass
    assert {name: backend.equations(name) for name in mutant.elements} == before
    assert cnnx.squared_error(y, target, reduction="sum", backend="reference") == 2.0
    assert "mutant" not in cnnx.backends()


def test_mutant_of_an_output_that_is_not_there() -> None:
    mutant = Mutant("typo", "relu", "none", elements={"relu": {"X": harmless}})
    with pytest.raises(ValueError, match="mutant typo: kernel relu has the outputs Y, got 'X'"), installed(mutant):
        pass


# ------------------------------------------------------------------------------------ the figures


def test_every_op_has_figures_forward_and_backward() -> None:
    assert {figure.op for figure in FIGURES} == {op.name for op in OPS}
    for op in OPS:
        names = [figure.name for figure in FIGURES if figure.op == op.name]
        assert len(set(names)) == len(names)
        for figure in FIGURES:
            if figure.op == op.name:
                assert set(figure.gradients) == set(op.differentiable) & set(figure.arrays)
                assert (figure.grad_output is None) == op.cost
                assert figure.source


def test_every_kernel_is_run_by_a_figure() -> None:
    from cnnx.audit.sides import Sides
    from cnnx.audit.work import judge

    ran: set[str] = set()

    def noting(name: str) -> Any:
        def kernel(*arrays: Any, **numbers: Any) -> None:
            ran.add(name)
            backend.reference_kernel(name)(*arrays, **numbers)

        return kernel

    with backend.registered("noting", {name: noting(name) for name in backend.kernel_names("reference")}):
        for op in OPS:
            for case in CHECKS["worked"].cases(op):
                result = judge(op, CHECKS["worked"], case, "float64", Sides("noting"), 0)
                assert not result.discrepancies
    assert ran == {kernel for op in OPS for kernel in op.kernels}


def test_figures_are_judged_kernel_by_kernel_where_some_are_missing() -> None:
    cnnx.register_backend("backward-only", {"step_grad_input": lambda Delta, Z, dZ: dZ.fill(1)})
    report = cnnx.audit.audit(["step"], checks=["worked"], backend="backward-only", measure=False)
    assert [d.what.split(" at ")[0] for d in report.discrepancies()] == ["gradient of x", "gradient of x"]
    assert "step" in report.results[0].lacking

"""The audits of other engines that docs/engines.md shows: each failing check has words, and the page is the data's."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import cnnx
from cnnx.audit import CHECKS, audit
from cnnx.audit.engines import Fault, Record, __main__, faults
from cnnx.audit.engines.child import some
from cnnx.audit.engines.page import page, records
from cnnx.audit.engines.record import Failing, condensed
from cnnx.audit.engines.words import nameless
from cnnx.audit.field import run
from cnnx.audit.field.table import TABLE
from cnnx.ops import OPS

pytestmark = pytest.mark.once

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
FOLDER = ROOT / "docs" / "engines"


def test_the_page_is_the_datas() -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    assert text == page(FOLDER), "python -m cnnx.audit.engines.page docs/engines > docs/engines.md"


def test_each_engine_of_the_table_was_judged() -> None:
    found = {one.engine: one for one in records(FOLDER)}
    assert {*found} == {*TABLE.engines} - {"cnnx", "keras"}  # Keras is asked for conventions alone
    for name, one in found.items():
        assert one.version == TABLE.engines[name]["version"], name
        assert one.ran > 500, name


@pytest.mark.parametrize("one", records(FOLDER), ids=lambda one: one.engine)
def test_each_failing_check_has_words(one: Record) -> None:
    assert nameless(one, faults(FOLDER)) == []


def test_all_words_are_about_something() -> None:
    failing = {one.engine: [*one.failing()] for one in records(FOLDER)}
    for fault in faults(FOLDER):
        assert {*fault.engines} <= {*failing}, fault.words
        for engine in fault.engines if fault.kernels else ():
            assert any(fault.about(engine, one) for one in failing[engine]), (engine, fault.words)


def test_the_known_ones_are_among_them() -> None:
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    for words in (
        "within -18 and 18: sigmoid is 0",
        "10000 +- 1 comes out as 316",
        "a window of 32 x 32 ones it is 0.25",
    ):
        assert words in text


def test_a_record_is_read_as_it_is_written(tmp_path: Path) -> None:
    for one in records(FOLDER):
        path = tmp_path / "one.json"
        path.write_text(one.text(), encoding="utf-8")
        assert Record.read(path) == one
        assert (FOLDER / f"{one.engine}.json").read_text(encoding="utf-8") == one.text()


def test_words_are_of_engines_kernels_checks_and_dtypes() -> None:
    fault = Fault(("torch",), "", kernels=("elu*",), checks=("bound",), dtypes=("float32",))
    one = Failing("elu", "bound", "elu_grad_input", "float32", {})
    assert fault.about("torch", one)
    assert not fault.about("jax", one)
    for other in (
        one._replace(kernel="gelu"),
        one._replace(check="exact"),
        one._replace(dtype="float64"),
        one._replace(op="gelu", kernel=""),
    ):
        assert not fault.about("torch", other)
    assert not Fault(("torch",), "").about("torch", one)


def test_what_fails_is_kept_by_kernel_and_dtype() -> None:
    def relu(Z, Y):
        Y[...] = np.maximum(Z, 0) * (1 + (Z.dtype == np.float32) / 1024)

    cnnx.register_backend("theirs", {"relu": relu})
    report = audit(["relu"], backend="theirs", checks=["bound"], measure=False)
    kept = condensed(report.results[0])
    assert [(one["kernel"], one["dtype"]) for one in kept["found"]] == [("relu", "float32")]
    assert kept["share"]["float64"] == 0
    assert [*kept["lacking"]] == ["relu_grad_input"]
    assert json.loads(json.dumps(kept)) == kept


def test_cases_are_spread_over_those_of_a_check() -> None:
    names = [case.name for case in CHECKS["bound"].cases(next(op for op in OPS if op.name == "conv2d"))]
    found = some("conv2d", CHECKS["bound"], 6)
    assert found is not None
    assert len(found) == 6
    assert [names.index(name) for name in found] == [i * len(names) // 6 for i in range(6)]
    assert some("conv2d", CHECKS["bound"], 0) is None
    assert some("conv2d", CHECKS["bound"], len(names)) is None
    assert some("conv2d", CHECKS["worked"], 1) is None  # figures are no names of cases


def test_a_process_that_ends_at_a_check_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import json, os, signal, sys\n"
        "say = lambda **said: print('cnnx-field ' + json.dumps(said), flush=True)\n"
        "say(about='theirs 7', compat='torch', processor='one')\n"
        "for key in sys.argv[5:]:\n"
        "    say(asked=key)\n"
        "    if key == 'relu:bound': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    say(key=key, result={'ran': 3})\n"
    )
    monkeypatch.setattr(__main__, "CHILD", (os.fspath(script),))
    one = __main__.judge("numpy", ["relu:exact", "relu:bound", "tanh:bound"], 0, 6, 60)
    assert isinstance(one, Record)
    assert one.results["relu"]["exact"] == one.results["tanh"]["bound"] == {"ran": 3}
    (failing,) = one.failing()
    assert (failing.op, failing.check, failing.found["what"]) == ("relu", "bound", "ends the process (SIGSEGV)")
    assert run.child((os.fspath(script),), 60)[1] == ""

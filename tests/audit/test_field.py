"""Bugs that libraries had: the audit names them as docs/recall.md says, and the page is what was computed."""

import json
import re

import pytest
from paths import ROOT

import cnnx.cli
from cnnx.audit.mutants import CASES
from cnnx.audit.mutants.field import FIELD, FieldBug
from cnnx.audit.mutants.field.page import page, summary
from cnnx.audit.mutants.field.recall import Named, computed, names_again, recorded, usual_tests
from cnnx.audit.search.draws import NARROW
from cnnx.audit.search.standing import STANDING
from cnnx.audit.shrink import accepted
from cnnx.ops import OPS, Draw

pytestmark = pytest.mark.once

BY_NAME = {op.name: op for op in OPS}
ROWS = recorded()


def test_bugs_have_names_kernels_and_reports_of_their_own() -> None:
    assert len(FIELD) >= 40
    assert len({bug.name for bug in FIELD}) == len(FIELD)
    assert len({bug.seen for bug in FIELD}) == len(FIELD)
    for bug in FIELD:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", bug.seen)
        assert bug.bug
        assert {*bug.kernels} <= {*BY_NAME[bug.op].kernels}
        assert bug.op in CASES


@pytest.mark.parametrize("bug", FIELD, ids=lambda bug: bug.name)
def test_a_bug_is_named_in_the_case_on_record(bug: FieldBug) -> None:
    row = ROWS[bug.name]
    if row["named"]:
        assert names_again(bug, Named(**row["named"]))
    assert usual_tests(bug) == {key: row[key] for key in ("allclose", "untold")}


def test_the_page_is_what_was_computed() -> None:
    assert [*ROWS] == [bug.name for bug in FIELD]
    assert (ROOT / "docs" / "recall.md").read_text(encoding="utf-8") == page(ROWS)
    told = " ".join((ROOT / "docs" / "audit.md").read_text(encoding="utf-8").split())
    assert summary(ROWS) in told
    assert sum(bool(row["named"]) for row in ROWS.values()) >= 0.95 * len(ROWS)


@pytest.mark.parametrize("nth", [5, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.thorough])])
def test_what_is_on_record_is_what_an_audit_says(nth: int) -> None:
    """The case on record is the first that names the bug: of every fifth. That it names it, of all: above."""
    bugs = FIELD[::nth]
    assert computed(bugs) == {bug.name: ROWS[bug.name] for bug in bugs}


def test_the_command_lists_them_and_fails_where_one_is_no_longer_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = tuple(bug for bug in FIELD if bug.op in ("relu", "tanh"))
    rows = {bug.name: ROWS[bug.name] for bug in few}
    monkeypatch.setattr("cnnx.cli._field.FIELD", few)
    assert cnnx.cli.main(["audit", "--self-test", "field"]) == 0
    out = capsys.readouterr().out
    assert all(bug.seen in out and bug.op in out for bug in few)
    assert out.splitlines()[-1] == summary(rows)
    monkeypatch.setattr("cnnx.cli._field.names_again", lambda bug, where: False)
    assert cnnx.cli.main(["audit", "--self-test", "field", "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["changed"] == [bug.name for bug in few]
    assert not printed["ok"]
    assert cnnx.cli.main(["audit", "--self-test", "field", "--seed", "1"]) == 2
    assert "--seed: expected none with --self-test field" in capsys.readouterr().err


def test_standing_cases_are_taken_and_small() -> None:
    for name, cases in STANDING.items():
        assert len({case.name for case in cases}) == len(cases)
        for case in cases:
            assert accepted(BY_NAME[name], case, "float32"), case
            for spec in case.arrays.values():
                shape = spec.shape if isinstance(spec, Draw) else spec
                size = 1
                for n in shape:
                    size *= n
                assert size <= NARROW.numbers

"""What an audit hands over: the ledger of what it did not test, JSON by its schema, JUnit XML and the page."""

import copy
import html
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Tags, chromium, needs_nothing

import cnnx
from cnnx import backend
from cnnx.audit import CHECKS, audit
from cnnx.audit.report.axes import BEYOND, COMMON, PLAIN, WIDE, axes_of, possible, settings_of
from cnnx.audit.report.coverage import cover, ledger, together
from cnnx.audit.report.junit import junit
from cnnx.audit.report.report import Report
from cnnx.audit.report.result import Compared, Discrepancy, Result
from cnnx.audit.report.text import text as in_text
from cnnx.backend import registry
from cnnx.cli import main
from cnnx.cli.doctor import EXTRAS
from cnnx.ops import OPS, Case

pytestmark = pytest.mark.once

OP = {op.name: op for op in OPS}
SCHEMA = json.loads((Path(cnnx.__file__).parent / "audit" / "report" / "schema.json").read_text())
HOSTILE = '<script src="https://example.org/x.js">alert(1)</script></pre><img src=x> & \x00 ' + "wide" * 100


def right(name: str) -> Callable[..., None]:
    return lambda *arrays, **numbers: backend.kernel(name, arrays[0].dtype.name, "optimized")(*arrays, **numbers)


def raises(*arrays: Any, **numbers: Any) -> None:
    raise RuntimeError(HOSTILE)


def doubled(Z: Any, W: Any, b: Any, Y: Any, **numbers: Any) -> None:
    right("affine")(Z, W, b, Y, **numbers)
    Y *= 2


def failing(**others: Any) -> Report:
    """A back end with an op that is wrong, one that raises, one without its backward half and one that is right."""
    kernels = {name: right(name) for name in ("affine_grad_input", "affine_grad_weight", "affine_grad_bias", "tanh")}
    kernels |= {
        "affine": doubled,
        "sigmoid": raises,
        "relu": right("relu"),
        "relu_grad_input": right("relu_grad_input"),
    }
    backend.register_backend("theirs", kernels)
    chosen: dict[str, Any] = {"cases": ["one", "vector", "wide"], "checks": ["exact", "bound", "adjoint"], **others}
    return audit(["affine", "sigmoid", "tanh", "relu"], backend="theirs", measure=False, **chosen)


def clean() -> Report:
    return audit(["relu", "squared_error"], cases=["one", "rows, mean"], dtypes=["float32"])


def interrupted() -> Report:
    def stop(op: str, check: str) -> None:
        if (op, check) == ("relu", "layout"):
            raise KeyboardInterrupt

    return audit(["relu"], cases=["one"], measure=False, progress=stop)


def mistrusted(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr("cnnx.audit.data._numbers", lambda shape, mode, rng: np.zeros(shape))
    return audit(["affine"], checks=["exact"], measure=False)


# ------------------------------------------------------------------------------------------- settings


def conv(x: tuple[int, ...] = (1, 4, 9, 9), weight: tuple[int, ...] = (4, 4, 3, 2), **options: Any) -> dict[str, str]:
    case = Case("c", {"x": x, "weight": weight, **({"bias": weight[:1]} if options.pop("bias", True) else {})}, options)
    OP["conv2d"].forward(np.zeros(x), np.zeros(weight), **options)  # a case that is one
    return settings_of(OP["conv2d"], case)


PLAIN_CONV = {
    "stride": "1",
    "padding": "none",
    "dilation": "1",
    "groups": "1",
    "algorithm": "direct",
    "bias": "given",
}


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({"padding": "valid"}, {}),
        ({"padding": ((0, 0), (0, 0))}, {}),
        ({"padding": (1, 0)}, {"padding": "symmetric"}),
        ({"padding": ((1, 1), (1, 1))}, {"padding": "symmetric"}),
        ({"padding": ((1, 0), (1, 1))}, {"padding": "by side"}),
        ({"padding": "same"}, {"padding": "same"}),
        ({"padding": (2, 1)}, {"padding": "symmetric"}),
        ({"padding": (3, 1)}, {"padding": WIDE}),
        ({"padding": (0, 2)}, {"padding": WIDE}),
        ({"padding": (0, 2), "dilation": (1, 2)}, {"padding": "symmetric", "dilation": "uneven"}),
        ({"stride": 2}, {"stride": "2"}),
        ({"stride": (2, 1)}, {"stride": "uneven"}),
        ({"stride": (3, 2)}, {"stride": "uneven"}),
        ({"stride": 3}, {"stride": BEYOND}),
        ({"stride": (4, 2)}, {"stride": BEYOND}),
        ({"stride": 3, "dilation": 2}, {"stride": "3 or more", "dilation": "2 or more"}),
        ({"weight": (4, 2, 3, 2), "groups": 2}, {"groups": "grouped"}),
        ({"weight": (8, 1, 3, 2), "groups": 4}, {"groups": "depthwise"}),
        (
            {"weight": (4, 4, 3, 3), "algorithm": "winograd", "bias": False},
            {"algorithm": "winograd", "bias": "left out"},
        ),
    ],
)
def test_settings_of_a_convolution(options: dict[str, Any], settings: dict[str, str]) -> None:
    assert conv(**options) == {**PLAIN_CONV, **settings}


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"kernel_size": 2}, {"stride": "2", "padding": "none"}),
        ({"kernel_size": (3, 2)}, {"stride": "uneven", "padding": "none"}),
        ({"kernel_size": 3, "stride": 4, "padding": 1}, {"stride": BEYOND, "padding": "symmetric"}),
        ({"kernel_size": 3, "ceil_mode": True}, {"stride": "3 or more", "padding": "none", "ceil_mode": "True"}),
        (
            {"kernel_size": 2, "count_include_pad": True},
            {"stride": "2", "padding": "none", "count_include_pad": "True"},
        ),
    ],
)
def test_settings_of_pooling(options: dict[str, Any], settings: dict[str, str]) -> None:
    expected = {"ceil_mode": "False", "count_include_pad": "False", **settings}
    assert settings_of(OP["avg_pool2d"], Case("c", {"x": (1, 1, 9, 9)}, options)) == expected


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_every_case_has_settings_that_are_possible(op: Any) -> None:
    axes = axes_of(op)
    for case in (*op.cases, *op.bench, *op.large):
        settings = settings_of(op, case)
        assert possible(op, settings), case.name
        assert all(value in axes[axis] for axis, value in settings.items()), (case.name, settings)
        assert set(settings) == set(axes) - set(COMMON)


@pytest.mark.parametrize(
    ("op", "settings", "call"),
    [
        ("max_pool2d", {"padding": WIDE}, {"kernel_size": 2, "padding": 2}),
        ("conv2d", {"algorithm": "winograd", "stride": "2"}, {"algorithm": "winograd", "stride": 2}),
        ("conv2d", {"algorithm": "winograd", "stride": "uneven"}, {"algorithm": "winograd", "stride": (1, 2)}),
        ("conv2d", {"algorithm": "winograd", "dilation": "uneven"}, {"algorithm": "winograd", "dilation": (1, 2)}),
        ("batch_norm2d", {"training": "False", "running_mean": "left out"}, {"running_var": np.ones(3)}),
        ("batch_norm2d", {"training": "False", "running_var": "left out"}, {"running_mean": np.ones(3)}),
        (
            "batch_norm2d",
            {"training": "False", "return_statistics": "True"},
            {"running_mean": np.ones(3), "running_var": np.ones(3), "return_statistics": True},
        ),
    ],
)
def test_what_the_ledger_calls_impossible_is_refused(op: str, settings: dict[str, str], call: dict[str, Any]) -> None:
    assert not possible(OP[op], settings)
    arrays = {"conv2d": [np.ones((3, 3, 3, 3))], "batch_norm2d": [np.ones(3), np.ones(3)]}.get(op, [])
    with pytest.raises(ValueError, match="expected"):
        OP[op].forward(np.ones((1, 3, 6, 6)), *arrays, **call)


def test_winners_and_all_ties_are_refused_together() -> None:
    assert not possible(OP["max_pool2d"], {"return_winners": "True", "ties": "all"})
    x = np.ones((1, 1, 2, 2))
    y, winners = cnnx.max_pool2d(x, 2, return_winners=True)
    with pytest.raises(ValueError, match="ties"):
        cnnx.max_pool2d_backward(y, x, 2, winners=winners, ties="all")


# --------------------------------------------------------------------------------------------- ledger


def test_ledger_has_what_ran_and_nothing_else() -> None:
    report = audit(["conv2d"], cases=["groups"], checks=["exact"], dtypes=["float32"], measure=False)
    covered = ledger(report.results).ops["conv2d"]
    tested = {
        ("dtype", "float32"),
        ("direction", "forward"),
        ("direction", "backward"),
        ("layout", PLAIN),
        ("threads", "as set"),
        ("call", "one"),
        ("batch", "as given"),
        ("alignment", "as allocated"),
        ("isa", "as set"),
        ("stride", "1"),
        ("padding", "symmetric"),
        ("dilation", "1"),
        ("groups", "grouped"),
        ("algorithm", "direct"),
        ("bias", "given"),
    }
    assert {(axis, v): n for axis, values in covered.axes.items() for v, n in values.items() if n} == dict.fromkeys(
        tested, 1
    )
    # dtype 2, direction 2, layout 6, threads 4, call 3, batch 3, alignment 3, isa 2, padding 5, groups 3, bias 2;
    # direct: stride 5, dilation 3; Winograd: 1.
    assert covered.combinations == (2, 2 * 2 * 6 * 4 * 3 * 3 * 3 * 2 * 5 * 3 * 2 * (2 * 5 * 3 + 1))
    # Of 14 axes, 13 without direction: 78 pairs, and 13 with each of both directions.
    assert covered.pairs[0] == 78 + 26
    assert covered.longest == 6
    assert covered.apart == []
    assert covered.gaps["groups"] == ["1", "depthwise"]


def test_layout_and_threads_are_in_the_ledger_as_the_checks_had_them() -> None:
    report = audit(["relu"], cases=["one"], checks=["layout", "threads"], dtypes=["float64"], measure=False)
    if any(result.skipped for result in report.results):
        pytest.skip("this build has one thread only")
    covered = ledger(report.results).ops["relu"]
    assert covered.gaps == {
        "dtype": ["float32"],
        "call": ["again", "first of a process"],
        "batch": ["alone", "at another place"],
        "alignment": ["on cache lines", "off cache lines"],
        "isa": ["another"],
    }
    assert covered.axes["threads"] == {"as set": 1, "1": 1, "2": 1, "3": 1}
    assert covered.axes["layout"] == dict.fromkeys(covered.axes["layout"], 1)
    assert (("layout", "Fortran"), ("threads", "2")) in covered.apart
    assert "layout Fortran, strided, reversed, byte-swapped, unaligned with threads 1, 2, 3" in together(covered.apart)


def test_what_a_back_end_lacks_or_refuses_was_not_tested() -> None:
    covered = ledger(failing(dtypes=["float32"]).results).ops
    assert covered["tanh"].axes["direction"] == {"forward": 2, "backward": 0}
    assert covered["sigmoid"].axes["direction"]["forward"] == 0
    assert covered["relu"].axes["direction"] == {"forward": 2, "backward": 2}


def test_checks_of_the_reference_alone_do_not_count() -> None:
    report = audit(["relu"], cases=["one"], checks=["dual"], measure=False)
    assert report.ran > 0
    covered = ledger(report.results).ops["relu"]
    assert covered.combinations == (0, 2 * 2 * 6 * 4 * 3 * 3 * 3 * 2)
    assert not any(n for values in covered.axes.values() for n in values.values())


def test_pairs_are_apart_until_one_case_has_both() -> None:
    def case(name: str, **options: Any) -> Case:
        return Case(name, {"x": (1, 4, 9, 9), "weight": (4, 4 // options.get("groups", 1), 3, 3)}, options)

    def covered(*cases: Case) -> Any:
        tested = {Compared(c.name, "float32", "forward", PLAIN, "1") for c in cases}
        return cover(OP["conv2d"], tested, {c.name: c for c in cases})

    pair = (("stride", "2"), ("groups", "grouped"))
    single = [case("a", stride=2), case("b", groups=2)]
    assert pair in covered(*single).apart
    assert pair not in covered(*single, case("c", stride=2, groups=2)).apart


def test_the_whole_audit_has_known_gaps_only() -> None:
    """From the cases as they stand: every kind of padding, groups and algorithm has a case; so has every flag."""
    for op in OPS:
        tested = {
            Compared(c.name, dtype, direction, PLAIN, "1")
            for c in op.cases
            for dtype in ("float32", "float64")
            for direction in ("forward", "backward")
        }
        gaps = cover(op, tested, {c.name: c for c in op.cases}).gaps
        assert set(gaps) <= {*COMMON, "return_statistics"} - {"dtype", "direction"}, (op.name, gaps)


def test_ledger_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", "--op", "relu", "--op", "conv2d", "--case", "one", "--check", "exact", "--no-speed"]
    assert main(arguments) == 0
    short = capsys.readouterr().out
    assert re.search(r"not tested: conv2d: layout Fortran, .*; threads 1, 2, 3; .*stride 2, ", " ".join(short.split()))
    assert "settings tested in pairs: " in short
    assert "never tried" not in short
    assert main([*arguments, "--ledger"]) == 0
    whole = capsys.readouterr().out
    for text in ("groups: 1 1, grouped NOT TESTED", "ops not chosen: conv_transpose2d", "never tried:", "subnormal"):
        assert text in whole
    assert max(map(len, whole.splitlines())) <= 120


# ----------------------------------------------------------------------------------------------- JSON


def validator(schema: Any) -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="extra test: it holds reports against the schema")
    return jsonschema.Draft202012Validator(schema)


def strict(schema: Any) -> Any:
    """The schema with nothing allowed that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and "type" in closed:
        closed["additionalProperties"] = False
    return closed


def as_json(report: Report) -> Any:
    return json.loads(json.dumps(report.as_dict(), allow_nan=False))


@pytest.mark.parametrize("kind", ["clean", "failing", "interrupted", "mistrusted"])
def test_reports_are_as_the_schema_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = {
        "clean": clean,
        "failing": failing,
        "interrupted": interrupted,
        "mistrusted": lambda: mistrusted(monkeypatch),
    }
    report = make[kind]()
    assert report.ok == (kind == "clean")
    assert report.interrupted == (kind == "interrupted")
    assert bool(list(report.discrepancies())) == (kind == "failing")
    assert any(result.mistrusted for result in report.results) == (kind == "mistrusted")
    validator(SCHEMA).check_schema(SCHEMA)
    validator(strict(SCHEMA)).validate(as_json(report))


def test_numbers_that_json_lacks_are_as_the_schema_says() -> None:
    found = Discrepancy("relu", "bound", "one", "float32", "?", "relu", "Y", (0,), float("nan"), float("-inf"), 0.0)
    report = Report("a", "b", 0, results=[Result("relu", "bound", discrepancies=[found], share=float("inf"))])
    written = as_json(report)
    assert written["results"][0]["discrepancies"][0]["got"] == "-inf"
    validator(strict(SCHEMA)).validate(written)


def test_broken_reports_are_refused_by_the_schema() -> None:
    report = as_json(failing())
    check = validator(SCHEMA)
    assert check.is_valid(report)
    i = next(i for i, r in enumerate(report["results"]) if any("index" in d for d in r["discrepancies"]))
    j = next(j for j, d in enumerate(report["results"][i]["discrepancies"]) if "index" in d)
    breaks: list[Callable[[Any], Any]] = [
        lambda r: r.update(schema=1),
        lambda r: r.pop("ledger"),
        lambda r: r.update(seed=-1),
        lambda r: r["results"][0].pop("lacking"),
        lambda r: r["results"][0].update(ran=1.5),
        lambda r: r["results"][0].update(share="large"),
        lambda r: r["results"][i]["discrepancies"][j].pop("kernel"),
        lambda r: r["results"][i]["discrepancies"][j].update(index=[-1]),
        lambda r: r["ledger"]["ops"]["relu"]["pairs"].pop("possible"),
        lambda r: r["ledger"]["ops"]["relu"]["not_together"].append([["stride", "1"]]),
        lambda r: r["machine"].update(threads=2),
    ]
    for one in breaks:
        broken = copy.deepcopy(report)
        one(broken)
        assert not check.is_valid(broken)


# ---------------------------------------------------------------------------------------------- JUnit


def counted(element: ET.Element) -> dict[str, int]:
    return {name: int(element.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")}


def test_junit_counts_what_the_report_has() -> None:
    report = failing()
    root = ET.fromstring(junit(report))
    assert [suite.get("name") for suite in root] == ["affine", "sigmoid", "tanh", "relu"]
    failures: dict[tuple[str, str], int] = {}
    for d in report.discrepancies():
        failures[d.op, f"{d.check}[{d.dtype}]"] = failures.get((d.op, f"{d.check}[{d.dtype}]"), 0) + 1
    written = {}
    for suite in root:
        for case in suite:
            for failure in case.iter("failure"):
                assert failure.get("type") == "discrepancy"
                written[suite.get("name"), case.get("name")] = len((failure.text or "").split("\n\n"))
    assert written == failures
    assert failures
    # exact, bound and adjoint; two dtypes each, but one case where nothing ran: sigmoid and tanh are exact on no case
    # and, like relu, not linear; affine's own three checks all ran.
    assert counted(root) == {"tests": 6 + 4 + 4 + 5, "failures": len(failures), "errors": 0, "skipped": 5}
    for suite in root:
        cases = list(suite.iter("testcase"))
        tags = [[child.tag for child in case] for case in cases]
        assert counted(suite) == {
            "tests": len(cases),
            "failures": sum("failure" in t for t in tags),
            "errors": 0,
            "skipped": sum("skipped" in t for t in tags),
        }
    text = "".join(failure.text or "" for failure in root.iter("failure"))
    assert "<script src=" in text  # as text
    assert "import cnnx.audit; print(cnnx.audit.again(" in text


def test_junit_of_a_clean_audit_has_no_failure() -> None:
    root = ET.fromstring(junit(clean()))
    found = counted(root)
    assert found["failures"] == found["errors"] == 0
    assert found["tests"] > found["skipped"] > 0


def test_junit_of_what_is_mistrusted_or_interrupted_or_empty_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    root = ET.fromstring(junit(interrupted()))
    assert counted(root)["errors"] == 1
    assert [error.get("message") for error in root.iter("error")] == ["interrupted"]
    root = ET.fromstring(junit(audit(["flatten"], checks=["dual"], measure=False)))
    assert [error.get("message") for error in root.iter("error")] == ["nothing of back end optimized ran"]
    nothing = Report("optimized", "reference", 0, results=[Result("relu", "exact"), Result("relu", "bound", ran=1)])
    assert [f.get("message") for f in ET.fromstring(junit(nothing)).iter("failure")] == ["no case ran"]
    root = ET.fromstring(junit(mistrusted(monkeypatch)))
    assert {failure.get("type") for failure in root.iter("failure")} == {"mistrusted"}


# ----------------------------------------------------------------------------- one verdict, four formats


def bad_in_text(report: Report) -> set[tuple[str, str]]:
    head, *rows = (line.split() for line in in_text(report, list(CHECKS)).split("\n\n")[1].splitlines())
    return {(row[0], name) for row in rows for name, cell in zip(head, row, strict=False) if cell in BAD}


def bad_in_json(report: Report) -> set[tuple[str, str]]:
    return {(r["op"], r["check"]) for r in as_json(report)["results"] if not r["ok"]}


def bad_in_junit(report: Report) -> set[tuple[str, str]]:
    cases = ET.fromstring(junit(report)).iterfind("testsuite/testcase")
    return {
        (case.get("classname", "").removeprefix("cnnx.audit."), case.get("name", "").partition("[")[0])
        for case in cases
        if case.find("failure") is not None
    }


def bad_in_page(report: Report) -> set[tuple[str, str]]:
    from cnnx.audit.report.page import page

    table = re.search(r"<table.*?</table>", page(report), re.DOTALL)
    assert table
    head, *rows = (re.findall(r"<t[hd][^>]*?(?:class=\"(\w+)\")?>([^<]*)", row) for row in table[0].split("<tr>")[1:])
    return {(row[0][1], name[1]) for row in rows for name, cell in zip(head, row, strict=False) if cell[0] == "bad"}


BAD = ("FAIL", "mistrusted")
KINDS: dict[str, tuple[Callable[[pytest.MonkeyPatch], Report], int]] = {
    "clean": (lambda patch: clean(), 0),
    "figures only": (lambda patch: audit(["softmax"], checks=["worked"], measure=False), 0),
    "kernels alone": (lambda patch: audit(["affine"], checks=["layout", "worked"], cases=["one"], measure=False), 0),
    "failing": (lambda patch: failing(dtypes=["float32"], checks=None), 1),
    "mistrusted": (mistrusted, 1),
    "nothing ran": (
        lambda patch: Report("a", "b", 0, results=[Result("relu", "exact"), Result("relu", "bound", 1)]),
        1,
    ),
    "of the reference alone": (lambda patch: audit(["flatten"], checks=["dual"], measure=False), 3),
    "interrupted": (lambda patch: interrupted(), 130),
}


@pytest.mark.parametrize("kind", KINDS)
def test_text_json_junit_and_page_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jinja2", reason="extra report")
    make, code = KINDS[kind]
    report = make(monkeypatch)
    bad = {(r.op, r.check) for r in report.results if not r.ok}
    assert bool(bad) == (code == 1)
    assert bad_in_text(report) == bad_in_json(report) == bad_in_junit(report) == bad_in_page(report) == bad

    root = ET.fromstring(junit(report))
    assert (report.verdict.code, report.ok, as_json(report)["ok"]) == (code, code == 0, code == 0)
    assert (counted(root)["failures"] + counted(root)["errors"] == 0) == (code == 0)
    assert in_text(report, list(CHECKS)).endswith(report.verdict.words)


def test_a_verdict_is_of_one_dtype_or_of_all() -> None:
    result = Result("relu", "bound", ran=2, dtypes={"float32", "float64"})
    result.discrepancies.append(Discrepancy("relu", "bound", "one", "float32", "?"))
    assert (result.verdict(), result.verdict("float32"), result.verdict("float64")) == (
        "discrepancy",
        "discrepancy",
        "passed",
    )


# ----------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def written() -> Iterator[tuple[Report, str]]:
    pytest.importorskip("jinja2", reason="extra report")
    from cnnx.audit.report.page import page

    report = failing(checks=None, shrink=0.5)
    yield report, page(report, command="cnnx audit --backend theirs")
    registry._registered.pop("theirs", None)


def test_page_says_it_all(written: tuple[Report, str]) -> None:
    report, text = written
    page = Tags(text)
    for result in report.failures():
        first, *others = result.discrepancies
        for d in (first, *others[:10]):
            assert " ".join(d.what.replace("\x00", "\ufffd").split()) in " ".join(page.text.split())
        assert first.repro in page.text
        assert all(term in page.text for term in first.terms)
        assert first.shrunk in page.text
        if len(others) > 10:
            assert f"and {len(others) - 10} more, which --json has" in page.text
    assert any(d.terms for d in report.discrepancies())
    assert any(d.shrunk for d in report.discrepancies())
    assert sum(tag == "article" for tag, _ in page.tags) == len(report.failures())
    for words in (
        "Audit of back end theirs against reference",
        "12 checks failed",
        "cnnx audit --backend theirs",
        "Not covered by the back end",
        "tanh_grad_input",
        "What was not tested",
        "backward 0",
        "Never tried",
        cnnx.__version__,
    ):
        assert words in page.text
    shares = [w.share for r in report.results if r.check == "bound" for w in r.worst.values()]
    bars = [a for tag, a in page.tags if tag == "rect" and a.get("y") == "15%"]
    assert len(bars) == len(shares)
    over = [a for a in bars if a["class"] == "over"]
    assert len(over) == sum(share > 1 for share in shares) > 0
    widths = sorted(float(str(a["width"]).rstrip("%")) for a in bars if a["class"] != "over")
    assert widths == pytest.approx(sorted(80 * share for share in shares if share <= 1), abs=0.01)


def test_page_names_the_checks_without_a_case(written: tuple[Report, str]) -> None:
    from cnnx.audit.report.page import page

    assert all(result.discrepancies for result in written[0].failures())
    assert "no case ran" not in written[1]
    nothing = Report("optimized", "reference", 0, results=[Result("relu", "exact")])
    assert "relu: exact: no case ran" in page(nothing)


def test_page_needs_no_network_and_no_script(written: tuple[Report, str]) -> None:
    _, text = written
    needs_nothing(text)
    assert "example.org" in Tags(text).text  # what the back end said, as text


MEASURE = """<body style="margin:0"><iframe id="f" width="{width}" height="800" style="border:0"
 srcdoc="{page}"></iframe>
<script>onload = () => {{
  const page = document.getElementById("f").contentDocument, root = page.documentElement;
  const table = page.querySelector(".scroll"), svg = page.querySelector(".plot svg").getBoundingClientRect();
  document.body.innerHTML = "<p id=measured>" + JSON.stringify({{
    width: root.clientWidth, content: root.scrollWidth, title: page.title, table: table.clientWidth,
    inner: table.scrollWidth, plot: svg.width, text: page.body.innerText.length
  }}) + "</p>";
}}</script>"""


@pytest.mark.parametrize("width", [1200, 390])
def test_page_is_no_wider_than_a_screen(width: int, written: tuple[Report, str], tmp_path: Path) -> None:
    """In a frame as wide as the screen, in a page with the script that the report does without."""
    (tmp_path / "outer.html").write_text(MEASURE.format(width=width, page=html.escape(written[1])))
    dom = chromium("--dump-dom", "outer.html", cwd=tmp_path).stdout.decode()
    measured = json.loads(html.unescape(re.search(r'<p id="measured">(.*?)</p>', dom)[1]))
    assert measured["width"] == width
    assert measured["content"] <= width
    assert measured["table"] <= width
    assert (measured["inner"] > measured["table"]) == (width == 390)  # the wide table scrolls within its box
    assert 60 < measured["plot"] < width
    assert measured["text"] > 1000
    assert measured["title"] == "Audit of theirs: 12 checks failed"


def test_page_is_drawn_and_printed(written: tuple[Report, str], tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.image", reason="extra plot: it reads the picture")
    (tmp_path / "report.html").write_text(written[1])
    chromium("--window-size=800,1800", "--screenshot=report.png", "report.html", cwd=tmp_path)
    picture = (plt.imread(tmp_path / "report.png")[..., :3] * 255).round().astype(int)
    assert picture.shape == (1800, 800, 3)
    for colour in ((0, 114, 178), (86, 180, 233), (179, 64, 11)):  # bars of both dtypes and of what is beyond
        assert (picture == colour).all(axis=-1).sum() > 50, colour
    chromium("--print-to-pdf=report.pdf", "report.html", cwd=tmp_path)
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


# --------------------------------------------------------------------------------------- command line

QUICK = ["audit", "--op", "relu", "--case", "one", "--check", "exact", "--no-speed"]


def test_command_line_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2", reason="extra report")
    page, xml = tmp_path / "audit.html", tmp_path / "audit.xml"
    page.write_text("old")
    assert main([*QUICK, "--report", str(page), "--junit", str(xml)]) == 0
    assert capsys.readouterr().err == ""
    assert f"--report {page}" in Tags(page.read_text()).text
    assert "all agree: " in page.read_text()
    assert counted(ET.parse(xml).getroot())["tests"] == 2
    assert sorted(tmp_path.iterdir()) == [page, xml]


@pytest.mark.parametrize("option", ["--report", "--junit"])
def test_files_that_cannot_be_written_are_refused_before_the_audit(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the audit began")

    monkeypatch.setattr("cnnx.cli.audit.audit", never)
    for path in (tmp_path, tmp_path / "no" / "such", Path("/dev/null"), Path("/proc/no")):
        assert main([*QUICK, option, str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("cnnx: error: ")
        assert str(path) in line
    assert list(tmp_path.iterdir()) == []


def test_one_file_for_both_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "audit")
    assert main([*QUICK, "--report", path, "--junit", path]) == 2
    assert "--junit: expected another file than --report's" in capsys.readouterr().err


def test_without_jinja2_the_page_is_refused_before_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    for page in ("cnnx.audit.report.page", "cnnx._html"):
        monkeypatch.delitem(__import__("sys").modules, page, raising=False)
    assert main([*QUICK, "--report", str(tmp_path / "audit.html")]) == 2
    assert "python -m pip install 'cnnx[report]'" in capsys.readouterr().err
    assert EXTRAS["report"] == "jinja2"


def test_an_interrupted_audit_writes_its_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jinja2", reason="extra report")
    monkeypatch.setattr("cnnx.cli.audit.audit", lambda *arguments, **options: interrupted())
    page, xml = tmp_path / "audit.html", tmp_path / "audit.xml"
    assert main([*QUICK, "--report", str(page), "--junit", str(xml)]) == 130
    assert "interrupted: " in Tags(page.read_text()).text
    assert counted(ET.parse(xml).getroot())["errors"] == 1


@pytest.mark.parametrize("other", [["--shape", "mb1ic8ih14oc16kh3ph1"], ["--self-test"]])
@pytest.mark.parametrize("option", [["--report"], ["--junit"], ["--ledger"]])
def test_what_has_no_report_refuses_one(
    option: list[str], other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = [] if option == ["--ledger"] else [str(tmp_path / "audit")]
    assert main(["audit", *other, *option, *file]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert option[0] in line
    assert list(tmp_path.iterdir()) == []

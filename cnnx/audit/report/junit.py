"""A report as JUnit XML, for CI systems: one suite per op, one test case per check and dtype."""

import xml.etree.ElementTree as ET

from ..._text import clean
from .report import Report
from .result import Discrepancy, Result


def junit(report: Report) -> bytes:
    """The report as XML.

    A discrepancy, and a check that is mistrusted or ran nothing, is a failure; a check that does not apply to the op,
    or whose kernels the back end lacks, is skipped. An audit that was interrupted, or that judged nothing of the back
    end, has an error of its own, so that nobody takes it for a clean one. How many cases a search drew is a property of
    the op's suite.

    Returns
    -------
    bytes
        In UTF-8, with an XML declaration.
    """
    root = ET.Element("testsuites", name=clean(f"cnnx audit of {report.backend} against {report.against}"))
    for op in dict.fromkeys(result.op for result in report.results):
        suite = ET.SubElement(root, "testsuite", name=op)
        _add_search(suite, [r for r in report.results if r.op == op], report.seed)
        for result in report.results:
            if result.op == op:
                _add_cases(suite, result)
    if report.interrupted or report.verdict.code == 3:
        add_incomplete(root, "cnnx.audit", report.verdict.words)
    return written(root)


def _add_search(suite: ET.Element, results: list[Result], seed: int) -> None:
    """How many cases were drawn, and from which seed, as properties of a suite."""
    for result in results:
        if result.searched is not None:
            properties = ET.SubElement(suite, "properties")
            for name, value in (("search cases", result.searched.cases), ("search seed", seed)):
                ET.SubElement(properties, "property", name=name, value=str(value))


def add_incomplete(root: ET.Element, classname: str, words: str) -> None:
    """An error in a suite of its own: the audit did not judge what it was to judge."""
    suite = ET.SubElement(root, "testsuite", name="audit")
    case = ET.SubElement(suite, "testcase", classname=classname, name="complete")
    ET.SubElement(case, "error", message=clean(words), type="incomplete")


def written(root: ET.Element) -> bytes:
    """The suites with their counts, as a file."""
    for suite in root:
        count(suite)
    count(root)
    ET.indent(root)
    xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _add_cases(suite: ET.Element, result: Result) -> None:
    findings = [*result.failing, *result.mistrusted]
    for dtype in sorted(result.dtypes | {d.dtype for d in findings}) or [""]:
        name = f"{result.check}[{dtype}]" if dtype else result.check
        case = ET.SubElement(suite, "testcase", classname=clean(f"cnnx.audit.{result.op}"), name=clean(name))
        verdict = result.verdict(dtype)
        if verdict == "skipped":
            why = result.skipped or f"the back end lacks {', '.join(sorted(result.lacking))}"
            ET.SubElement(case, "skipped", message=clean(why))
        elif verdict == "nothing ran":
            ET.SubElement(case, "failure", type=verdict, message="no case ran")
        elif verdict == "differs":  # nobody requires that it does not
            different = [d for d in result.differing if d.dtype == dtype]
            ET.SubElement(case, "system-out").text = clean("\n".join(map(str, different)))
        elif verdict != "passed":
            _fail(case, verdict, [d for d in findings if d.dtype == dtype])


def _fail(case: ET.Element, kind: str, found: list[Discrepancy]) -> None:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    failure = ET.SubElement(case, "failure", type=kind, message=clean(f"{found[0].what}{more}"))
    failure.text = clean("\n\n".join(_words(d) for d in found))


def _words(found: Discrepancy) -> str:
    again = [f"again: {found.repro}"] if found.repro else []
    return "\n".join([str(found), *found.terms, *again])


def count(element: ET.Element) -> None:
    """Say in a suite, or in all of them, how many test cases it has and how they came out."""
    cases = list(element.iter("testcase"))
    element.set("tests", str(len(cases)))
    for plural, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(plural, str(sum(case.find(tag) is not None for case in cases)))

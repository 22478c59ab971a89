"""A model's audit as JUnit XML: a suite for each engine's run, a test case for each node or group."""

import xml.etree.ElementTree as ET

from ..._text import clean
from ..report.junit import add_incomplete, written
from .result import Judged, ModelReport


def junit(report: ModelReport) -> bytes:
    """The report as XML, in UTF-8. An audit that was interrupted, or judged nothing, has an error of its own."""
    root = ET.Element("testsuites", name=clean(f"cnnx audit of {report.model}"))
    for run, engine in dict.fromkeys((one.run, one.engine) for one in report.results):
        suite = ET.SubElement(root, "testsuite", name=clean(f"{engine}, {run}"))
        for one in report.of(run, engine):
            _add(suite, one)
    if report.verdict.code not in (0, 1):
        add_incomplete(root, "cnnx.audit.model", report.verdict.words)
    return written(root)


def _add(suite: ET.Element, one: Judged) -> None:
    name = f"{one.number} {one.name} ({one.operator})"
    case = ET.SubElement(suite, "testcase", classname=clean(f"cnnx.audit.model.{one.run}"), name=clean(name))
    if one.discrepancy is not None:
        failure = ET.SubElement(case, "failure", type="discrepancy", message=clean(one.discrepancy.what))
        failure.text = clean("\n".join([*one.discrepancy.terms, f"again: {one.discrepancy.repro}"]))
    elif one.outcome == "not judged":
        ET.SubElement(case, "skipped", message=clean(one.why))

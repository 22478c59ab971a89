"""A comparison as JUnit XML, for CI systems: a test case for each figure."""

import xml.etree.ElementTree as ET

from .._text import clean
from ..audit.report.junit import add_incomplete, written
from .compare import SLOWER
from .summary import Summary


def junit(summary: Summary) -> bytes:
    """The comparison as XML.

    A figure that got slower is a failure, one that could not be judged is skipped. Where all of it is to be taken for
    no clean one (it failed, was interrupted, or nothing could be compared) though no figure got slower, it has an error
    of its own.

    Returns
    -------
    bytes
        In UTF-8, with an XML declaration.
    """
    root = ET.Element("testsuites", name="cnnx bench")
    suite = ET.SubElement(root, "testsuite", name=clean(summary.title))
    for line in summary.lines:
        case = ET.SubElement(suite, "testcase", classname="cnnx.bench", name=clean(line.figure))
        words = f"{100 * line.change:+.1f} %, budget {100 * line.budget:.0f} %: {line.verdict}"
        if line.verdict == SLOWER:
            ET.SubElement(case, "failure", message=clean(words), type=SLOWER).text = clean(
                "\n".join([summary.method, *summary.notes])
            )
        else:
            ET.SubElement(case, "system-out").text = clean(words)
    for figure, why in summary.unjudged.items():
        case = ET.SubElement(suite, "testcase", classname="cnnx.bench", name=clean(figure))
        ET.SubElement(case, "skipped", message=clean(why))
    if summary.code and not any(line.verdict == SLOWER for line in summary.lines):
        add_incomplete(root, "cnnx.bench", f"exit code {summary.code}: {summary.verdict}")
    return written(root)

"""Files that `cnnx audit` writes besides what it prints: a page, JUnit XML."""

import argparse
import os

from cnnx.audit import Report
from cnnx.audit.junit import junit
from cnnx.nn._files import check_replaceable, replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name them."""
    add = parser.add_argument
    add("--report", metavar="FILE.html", help="write the report as one HTML page, which needs no network and no script")
    add("--junit", metavar="FILE.xml", help="write the report as JUnit XML, for CI systems")


def check(arguments: argparse.Namespace) -> None:
    """Raise, before hours of work, where a file cannot be written or what writes it is not installed."""
    paths = [path for path in (arguments.report, arguments.junit) if path is not None]
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError(f"--junit: expected another file than --report's, got {arguments.junit}")
    for path in paths:
        check_replaceable(path)
    if arguments.report is not None:
        import cnnx.audit.page  # noqa: F401


def write(report: Report, arguments: argparse.Namespace, verdict: str) -> None:
    """Write the files that were asked for, each as a whole."""
    if arguments.report is not None:
        from cnnx.audit.page import page

        text = page(report, verdict=verdict, command=arguments.command)
        with replacing(arguments.report) as file:
            file.write(text.encode())
    if arguments.junit is not None:
        with replacing(arguments.junit) as file:
            file.write(junit(report))

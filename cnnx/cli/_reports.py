"""Files that `cnnx audit` writes besides what it prints: a page, JUnit XML, the arrays of findings."""

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from cnnx._files import check_replaceable, replacing
from cnnx.audit import Report
from cnnx.audit.gate.verdict import BASELINE, check_timing, of_report
from cnnx.audit.report.arrays import save
from cnnx.audit.report.junit import junit

if TYPE_CHECKING:
    from cnnx.audit.model import ModelReport

STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name them."""
    add = parser.add_argument
    add("--save", metavar="DIR", help="write each discrepancy's arrays there: inputs, got and expected, as .npz")
    add("--report", metavar="FILE.html", help="write the report as one HTML page, which needs no network and no script")
    add("--junit", metavar="FILE.xml", help="write the report as JUnit XML, for CI systems")
    add(
        "--verdict",
        metavar="FILE",
        help="write the verdict as JSON, for loops that write kernels: score, reasons, speed; -: print it instead of "
        "the report (cnnx/audit/gate/verdict.schema.json)",
    )
    add(
        "--baseline",
        metavar="NAME",
        help=f"the back end beside which --verdict times a good one (default {BASELINE}); of kernels by contract also "
        "FILE.py:NAME, another one",
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise, before hours of work, where a file cannot be written or what writes it is not installed."""
    paths = [
        (option, path)
        for option, path in (
            ("--report", arguments.report),
            ("--junit", arguments.junit),
            ("--verdict", None if arguments.verdict == STDOUT else arguments.verdict),
        )
        if path is not None
    ]
    for i, (option, path) in enumerate(paths):
        for before, other in paths[:i]:
            if os.path.realpath(other) == os.path.realpath(path):
                raise ValueError(f"{option}: expected another file than {before}'s, got {path}")
    if arguments.verdict == STDOUT and (arguments.json or arguments.reproducible):
        raise ValueError("--verdict -: expected neither --json nor --reproducible with it, which print something else")
    if arguments.baseline is not None and arguments.verdict is None:
        raise ValueError("--baseline: expected --verdict with it, which has the speed")
    check_timing(arguments.baseline)
    for _, path in paths:
        check_replaceable(path)
    if arguments.save is not None:
        if os.path.exists(arguments.save) and not os.path.isdir(arguments.save):
            raise ValueError(f"--save: expected a directory or a new name, got {arguments.save}, a file")
        os.makedirs(arguments.save, exist_ok=True)
        check_replaceable(os.path.join(arguments.save, "finding.npz"))
    if arguments.report is not None:
        import cnnx.audit.report.page  # noqa: F401


def verdict_of(report: Report, arguments: argparse.Namespace, timeout: float | None) -> dict[str, Any] | None:
    """The verdict, or None where nobody asked for it."""
    if arguments.verdict is None:
        return None
    baseline = None if arguments.no_speed else arguments.baseline or BASELINE
    return of_report(report, baseline=baseline, timeout=timeout)


def write(report: Report, arguments: argparse.Namespace, verdict: dict[str, Any] | None = None) -> None:
    """Write the files that were asked for, each as a whole."""
    if arguments.report is not None:
        from cnnx.audit.report.page import page

        _write(arguments.report, page(report, command=arguments.command).encode())
    if arguments.junit is not None:
        _write(arguments.junit, junit(report))
    if verdict is not None and arguments.verdict != STDOUT:
        _write(arguments.verdict, (json.dumps(verdict, indent=2) + "\n").encode())
    if arguments.save is not None:
        count = save(report, arguments.save)
        print(f"{count} file{'s' * (count != 1)} written to {arguments.save}", file=sys.stderr)


def write_model(report: "ModelReport", arguments: argparse.Namespace) -> None:
    """The same for the audit of a model."""
    if arguments.report is not None:
        from cnnx.audit.model.page import page

        _write(arguments.report, page(report, command=arguments.command).encode())
    if arguments.junit is not None:
        from cnnx.audit.model.junit import junit as of_model

        _write(arguments.junit, of_model(report))


def _write(path: str, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)

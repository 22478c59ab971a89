"""The audit: do back ends agree, and are their gradients right?

checks/     what is asked, one file for each check
truth/      what is right, and how far from it a correct result may be
figures/    what is right, printed by the sources or worked by hand
explain/    why: one element of an output, term by term
report/     what was found and what was tested; as JSON, JUnit XML, a page
spot/       large layers, of which some elements are checked
search/     cases that are drawn, beside the fixed ones
mutants/    bugs that the audit has to catch
gate/       the audit in a test suite, in a script, as a verdict in JSON
order/      in which order a black box sums
engines/    whole audits of other people's engines, kept as data (docs/engines.md); field/: what engines mean
model/      deployed networks in ONNX files, node by node (extra `onnx`, and an engine)
run         all checks of all ops; work: one check of one op; trial: one case of it
contract/   other people's kernels, described: layouts, arguments, arithmetic, what is fused
trace       calls, watched and run again on other numbers; data: their inputs
"""

import importlib
from typing import TYPE_CHECKING, Any

from .checks import CHECKS
from .checks.gradient import GradientReport, gradient_check
from .contract import Command, Constant, Kernel, kernel
from .explain.explain import explain
from .explain.explanation import Explanation
from .gate.assertion import assert_kernel
from .gate.verdict import verdict
from .report.report import Report
from .report.result import Discrepancy, Result
from .run import DTYPES, again, audit

if TYPE_CHECKING:
    from .model import audit_model as audit_model

__all__ = [
    "CHECKS",
    "DTYPES",
    "Command",
    "Constant",
    "Discrepancy",
    "Explanation",
    "GradientReport",
    "Kernel",
    "Report",
    "Result",
    "again",
    "assert_kernel",
    "audit",
    "audit_model",
    "explain",
    "gradient_check",
    "kernel",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name != "audit_model":  # which needs onnx: it waits until it is asked for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".model", __name__).audit_model


def __dir__() -> list[str]:
    return __all__

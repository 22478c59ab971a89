"""The audit: do back ends agree, and are their gradients right?"""

from .checks import CHECKS
from .checks.gradient import GradientReport, gradient_check
from .explain.explain import explain
from .explain.explanation import Explanation
from .report.report import Report
from .report.result import Discrepancy, Result
from .run import DTYPES, audit

__all__ = [
    "CHECKS",
    "DTYPES",
    "Discrepancy",
    "Explanation",
    "GradientReport",
    "Report",
    "Result",
    "audit",
    "explain",
    "gradient_check",
]

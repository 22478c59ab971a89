"""The audit: do back ends agree, and are their gradients right?"""

from .explain import explain
from .explanation import Explanation
from .gradient import GradientReport, gradient_check
from .result import Discrepancy, Report, Result
from .run import CHECKS, DTYPES, audit

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

"""The audit: do back ends agree, and are their gradients right?"""

from .gradient import GradientReport, gradient_check
from .result import Discrepancy, Report, Result
from .run import CHECKS, DTYPES, audit

__all__ = ["CHECKS", "DTYPES", "Discrepancy", "GradientReport", "Report", "Result", "audit", "gradient_check"]

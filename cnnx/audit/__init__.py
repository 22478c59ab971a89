"""The audit: do back ends agree, and are their gradients right?

checks/     what is asked, one file for each check
truth/      what is right, and how far from it a correct result may be
figures/    what is right, printed by the sources or worked by hand
explain/    why: one element of an output, term by term
report/     what was found and what was tested; as JSON, JUnit XML, a page
spot/       large layers, of which some elements are checked
mutants/    bugs that the audit has to catch
run         all checks of all ops; work: one check of one op; trial: one case of it
trace       calls, watched and run again on other numbers; data: their inputs
"""

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

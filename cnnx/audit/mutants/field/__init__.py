"""Fixed bugs of real libraries, each rebuilt from its report as a mutant of our own: what the audit's recall is.

pooling, convolution, activation, rows, normalisation, others: the bugs, each with its report
usual    calls of ordinary shapes, for the test that people write: allclose on one random input
recall   which bugs an audit names, and which that test would
"""

from . import activation, convolution, normalisation, others, pooling, rows
from ._bug import FieldBug as FieldBug

FIELD: tuple[FieldBug, ...] = tuple(
    bug for file in (pooling, convolution, activation, rows, normalisation, others) for bug in file.BUGS.all
)

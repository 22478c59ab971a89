"""The CN note's experiments, and a recipe that goes further, each as one call that returns a Report.

They need the extra `plot`. `cnnx experiment` runs them from the command line.
"""

from ._augmented import augmented
from ._filters import filters
from ._mlp_vs_cnn import mlp_vs_cnn
from ._report import Report

__all__ = ["Report", "augmented", "filters", "mlp_vs_cnn"]

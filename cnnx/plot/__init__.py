"""Pictures of trainings, filters, feature maps and mistakes (extra `plot`: matplotlib).

Every function returns a `matplotlib.figure.Figure` without pyplot's state: `figure.savefig(path)` writes it, and a
notebook shows it.
"""

try:
    import matplotlib.figure  # noqa: F401 (whether it is there)
except ImportError as error:
    message = f"cnnx.plot needs matplotlib: python -m pip install 'cnnx[plot]' ({error})"
    raise ModuleNotFoundError(message, name="matplotlib") from error

from ._classes import confusion, misclassified
from ._curves import learning_curves, training
from ._files import check_target, save
from ._maps import feature_maps, filters

__all__ = [
    "check_target",
    "confusion",
    "feature_maps",
    "filters",
    "learning_curves",
    "misclassified",
    "save",
    "training",
]

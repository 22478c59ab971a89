"""CNN layers that can be read, audited and run fast."""

from . import ops as _ops
from .backend import *  # noqa: F403
from .backend import __all__ as _backend_names
from .ops import *  # noqa: F403

__version__ = "0.1.0"
__all__ = [*_backend_names, *_ops.__all__]  # noqa: PLE0604

"""CNN layers that can be read, audited and run fast."""

from . import backend as _backend
from . import native as _native
from . import ops as _ops
from .backend import *  # noqa: F403
from .native import *  # noqa: F403
from .ops import *  # noqa: F403

__version__ = "0.1.0"

__all__: list[str] = []
__all__ += _backend.__all__
__all__ += _native.__all__
__all__ += _ops.__all__

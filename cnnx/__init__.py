"""CNN layers that can be read, audited and run fast."""

try:
    from . import backend as _backend
    from . import native as _native
    from . import ops as _ops
    from .backend import *  # noqa: F403
    from .native import *  # noqa: F403
    from .ops import *  # noqa: F403
except KeyboardInterrupt:
    import sys as _sys

    # The command `cnnx`, whose main() is not there yet to end quietly; NumPy takes most of this time.
    if _sys.argv[0].rpartition("cnnx")[1:] in (("cnnx", ""), ("cnnx", ".exe")) or _sys.orig_argv[1:3] == ["-m", "cnnx"]:
        raise SystemExit(130) from None
    raise

__version__ = "0.1.0"

__all__: list[str] = []
__all__ += _backend.__all__
__all__ += _native.__all__
__all__ += _ops.__all__

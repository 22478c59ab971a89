"""Back ends: which code computes a kernel, chosen by name, never in silence.

A back end is a set of kernels, `kernel(inputs, /, outputs, *, numbers) -> None`. Two ship with cnnx:
`reference` (the equations in Python) and `optimized` (Cython; the default). A name is looked for
in this order: the call's `backend=`, `use_backend`, `set_backend`, the environment's `CNNX_BACKEND`,
`"optimized"`. Nothing falls back to another back end: what is missing is an error.

    registry        the back ends that there are, and their kernels
    choice          which of them a call uses
    joint           what the optimized back end has for several kernels in a row
    interception    how others look into calls

Only this package and `native` import kernels.
"""

from .choice import batch_norm_in_one as batch_norm_in_one
from .choice import current as current
from .choice import get_backend as get_backend
from .choice import kernel as kernel
from .choice import kernels as kernels
from .choice import set_backend as set_backend
from .choice import use_backend as use_backend
from .interception import Call as Call
from .interception import intercept as intercept
from .interception import recorded as recorded
from .joint import PackedLayers as PackedLayers
from .joint import finished_conv2d as finished_conv2d
from .joint import packed_layers as packed_layers
from .registry import ENTRY_POINTS as ENTRY_POINTS
from .registry import Held as Held
from .registry import Kernel as Kernel
from .registry import Kernels as Kernels
from .registry import MissingKernelError as MissingKernelError
from .registry import WithThreads as WithThreads
from .registry import about as about
from .registry import backends as backends
from .registry import compat as compat
from .registry import computed as computed
from .registry import defined as defined
from .registry import entry_point as entry_point
from .registry import equations as equations
from .registry import instruction_sets as instruction_sets
from .registry import kernel_names as kernel_names
from .registry import reference_kernel as reference_kernel
from .registry import reference_math as reference_math
from .registry import register_backend as register_backend
from .registry import registered as registered
from .registry import registered_kernels as registered_kernels
from .registry import registered_names as registered_names
from .registry import winograd_matrices as winograd_matrices
from .registry import with_threads as with_threads

__all__ = [
    "backends",
    "get_backend",
    "register_backend",
    "set_backend",
    "use_backend",
]

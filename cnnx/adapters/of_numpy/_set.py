"""The set that the kernels of this adapter are added to."""

from contextlib import AbstractContextManager

from .._kernels import Kernels

try:
    from threadpoolctl import ThreadpoolController
except ImportError:  # an extra's: without it NumPy's own matrix products cannot be told how many threads to use
    with_threads = None
else:

    def with_threads(n: int) -> AbstractContextManager[object]:
        """A block in which NumPy's matrix products use n threads."""
        limits: AbstractContextManager[object] = ThreadpoolController().limit(limits=n, user_api="blas")
        return limits


NO_ERF = "NumPy has no error function"
KERNELS = Kernels({"gelu": NO_ERF, "gelu_grad_input": NO_ERF}, with_threads=with_threads)
kernel = KERNELS.kernel

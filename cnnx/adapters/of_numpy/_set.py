"""The set that the kernels of this adapter are added to."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np

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


def _smaller_sets() -> dict[str, dict[str, str]] | None:
    """How NumPy and its OpenBLAS are held to smaller instruction sets of x86-64; None where NumPy does not say."""
    umath: Any = getattr(getattr(np, "_core", None), "_multiarray_umath", None)
    features, dispatched = (getattr(umath, f"__cpu_{name}__", {}) for name in ("features", "dispatch"))
    if not features.get("SSE2"):
        return None
    here = [name for name in dispatched if features.get(name)]  # to name another one is a warning
    wide = [name for name in here if "512" in name or name == "X86_V4"]
    return {
        "AVX2": {"NPY_DISABLE_CPU_FEATURES": " ".join(wide), "OPENBLAS_CORETYPE": "Haswell"},
        "SSE4": {"NPY_DISABLE_CPU_FEATURES": " ".join(here), "OPENBLAS_CORETYPE": "Nehalem"},
    }


NO_ERF = "NumPy has no error function"
KERNELS = Kernels(
    {"gelu": NO_ERF, "gelu_grad_input": NO_ERF}, with_threads=with_threads, instruction_sets=_smaller_sets()
)
kernel = KERNELS.kernel

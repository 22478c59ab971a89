"""How many threads the kernels may use while an estimator computes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import joblib
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController

from .. import _check, get_num_threads, set_num_threads

_lock = threading.Lock()
_controller: Any = None


@contextmanager
def limited(n_jobs: object) -> Iterator[None]:
    """A block in which the calling thread's kernels use at most so many threads.

    The limit is OpenMP's own of this thread, which cnnx respects: other threads of the process may have others.
    """
    most = most_threads(n_jobs)
    if most is None or most >= get_num_threads():
        yield
        return
    with _openmp().limit(limits=most, user_api="openmp"):
        told = get_num_threads()
        if told <= most:
            yield
            return
        # cnnx was told a number above OpenMP's own, as by CNNX_NUM_THREADS in a worker: only cnnx can take it back.
        set_num_threads(most)
        try:
            yield
        finally:
            set_num_threads(told)


def most_threads(n_jobs: object) -> int | None:
    """The limit that `n_jobs` stands for; None for no limit."""
    if n_jobs is None:
        backend, _ = get_active_backend()
        return 1 if (backend.nesting_level or 0) > 0 else None
    n = _check.integer("n_jobs", n_jobs, -_check.LARGEST)
    if n == 0:
        raise ValueError("n_jobs: expected None, a number of threads or -1 for all, got 0")
    return n if n > 0 else max(1, joblib.cpu_count() + 1 + n)


def _openmp() -> Any:
    """The libraries of the process: looked up once, after the kernels are there, since it takes milliseconds."""
    global _controller
    with _lock:
        if _controller is None:
            _controller = ThreadpoolController()
        return _controller

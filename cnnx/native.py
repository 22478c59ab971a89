"""The compiled half of cnnx: which instruction set its kernels use, how many threads, and how it was built.

On x86-64 every kernel is there for some of x86-64-v2, -v3 (AVX2) and -v4 (AVX-512): a wheel has all three, a build on
the machine itself v2 and the best of its processor. The best that the processor offers is taken, or the one that
`CNNX_ISA` names. Elsewhere there is one build, "baseline".
"""

import importlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import _forks

__all__ = ["get_num_threads", "set_num_threads"]

MOST_THREADS = 1024

# What each level asks of a processor beyond the one before, as Linux spells it (x86-64 psABI).
X86_LEVELS = {
    "x86-64-v2": "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    "x86-64-v3": "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave",
    "x86-64-v4": "avx512bw avx512cd avx512dq avx512f avx512vl",
}

# The smallest number there is. Twice that is 0 where one that is not normal counts as 0, read or written.
SMALLEST = 5e-324

_isa: str | None = None
_threads: ModuleType | None = None
_counting: ModuleType | None = None
# Whether this process lacks threads of the one that it is a copy of; None: not asked yet, and no fork since the import.
_forked: bool | None = None
# Held while kernels are imported and while the process forks: a child must not inherit a half-done import.
loading = threading.RLock()


def _in_child() -> None:
    global _forked
    try:
        _forked = not _forks.made_by_idle_forkserver()
        if _counting is not None:
            _counting.set_forked_child(_forked)  # it has counted this as a fork like any other
    finally:
        loading.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=_in_child)


def load(module: str) -> ModuleType:
    """A module of a kernel package, by its name below cnnx: "reference.conv2d"."""
    try:
        return importlib.import_module(f"cnnx.{module}")
    except ImportError as error:
        raise ImportError(
            f"cnnx.{module} cannot be imported ({error}); build cnnx again (pip install .) or choose "
            f'the slow back end by name: cnnx.set_backend("reference")'
        ) from error


# ------------------------------------------------------------------------------------ instruction set


def instruction_sets() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor offers, best last: "v2", "v3", ..."""
    cpu = load("optimized._cpu")
    return tuple(name for name in cpu.built_for() if name in cpu.offered())


def better_instruction_set() -> str | None:
    """The best one of this processor, if it was not built."""
    cpu = load("optimized._cpu")
    best: str = cpu.offered()[-1]
    return None if best in cpu.built_for() else best


def instruction_set() -> str:
    """The instruction set of the kernels in this process: `CNNX_ISA`, else the best; chosen once.

    Raises
    ------
    ValueError
        `CNNX_ISA` names one that was not built or that the processor lacks.
    ImportError
        None of those built runs on this processor.
    """
    global _isa
    if _isa is None:
        usable, wanted = instruction_sets(), os.environ.get("CNNX_ISA")
        if not usable:
            built = ", ".join(load("optimized._cpu").built_for())
            raise ImportError(
                f"this processor has none of the instruction sets that cnnx was built for ({built}); build it here "
                'with CNNX_BUILD_ISA=best, or choose the slow back end by name: cnnx.set_backend("reference")'
            )
        if wanted and wanted not in usable:
            raise ValueError(
                f"CNNX_ISA: expected one of {', '.join(usable)}, as this build and this processor have, got {wanted!r}"
            )
        _isa = wanted or usable[-1]
    return _isa


def alike() -> tuple[str, ...]:
    """The other usable instruction sets whose kernels are to give the same bits as this process's."""
    return tuple(n for n in instruction_sets() if n != instruction_set() and has_fma(n)) if has_fma() else ()


def has_fma(isa: str = "") -> bool:
    """Whether kernels round a multiply-add once, as those of x86-64-v3, -v4 and AArch64 do; -v2 cannot.

    Their bits are the same on all that have it, and others without it.
    """
    name = isa or instruction_set()
    return name != "v2" and (name != "baseline" or platform.machine() not in ("x86_64", "AMD64"))


def kernels(file: str) -> ModuleType:
    """The compiled kernels of one source file, for the instruction set of this process."""
    return load(f"optimized.{instruction_set()}.{file}")


def processor() -> str:
    """The machine; on Linux the highest x86-64 level that the processor offers, and its name."""
    machine = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if machine not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return machine
    first = {}  # what it says of the first processor
    for line in cpuinfo.read_text().partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        first[name.strip()] = value.strip()
    offered = set(first.get("flags", "").split())
    level = "x86-64-v1"
    for name, flags in X86_LEVELS.items():
        if not offered.issuperset(flags.split()):
            break
        level = name
    return f"{level} ({first.get('model name', 'unknown model')})"


def build_info() -> dict[str, Any]:
    """How the optimized back end was built (compiler, Cython, OpenMP, checks, sanitizer), what for, where it is."""
    threads = _counting_module()
    return {
        **threads.build(),
        "instruction_sets": load("optimized._cpu").built_for(),
        "forked": threads.is_forked_child(),
        "path": threads.__file__,
    }


# ------------------------------------------------------------------------ numbers below the normal ones


def flushes() -> bool:
    """Whether numbers below the smallest normal one count as 0 in this thread: somebody switched that on."""
    return not SMALLEST * 2.0


def stop_flushing() -> int:
    """Have them be what they are in this thread; the bits of the register that said otherwise."""
    try:
        before: int = load("optimized._cpu").set_flushing(0)
    except ImportError as error:
        raise FloatingPointError(
            "flush-to-zero is switched on in this thread, which cnnx's equations do without, and cnnx was not built, "
            "so that it cannot switch it off: build it (pip install .), or switch it off where it was switched on"
        ) from error
    return before


@contextmanager
def denormals() -> Iterator[None]:
    """Within the block such numbers are what they are; behind it this thread is as it was."""
    before = stop_flushing() if flushes() else 0
    try:
        yield
    finally:
        if before:
            load("optimized._cpu").set_flushing(before)


def with_denormals(kernel: Callable[..., None]) -> Callable[..., None]:
    """The kernel, run within such a block."""

    def kept(*arrays: Any, **numbers: float) -> None:
        with denormals():
            kernel(*arrays, **numbers)

    return kept


# -------------------------------------------------------------------------------------------- threads


def set_num_threads(n: int) -> None:
    """Set how many threads the optimized kernels use, for the whole process.

    The start value is `CNNX_NUM_THREADS`, else `OMP_NUM_THREADS`, else the number of processors that this process may
    use: those of its affinity, and no more than a quota of its control groups (a container's) pays for, rounded up.
    Results do not depend on it. Small work stays on one thread. Threads are started when they are first needed;
    calls at the same time share them.

    It may be more than OpenMP's own number. But a limit on OpenMP that is in force in the calling thread
    (`threadpoolctl.threadpool_limits`, `omp_set_num_threads`) counts: the kernels use the smaller number,
    and this one again when the limit ends. A limit is a number below the highest that OpenMP has had.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        `n` is not an integer.
    ValueError
        `n` is less than 1 or more than 1024.
    RuntimeError
        More than one thread was asked of a build without OpenMP, or of a process made by fork(),
        where OpenMP's threads do not exist: use the "spawn" or "forkserver" start method there.

    Examples
    --------
    >>> import cnnx
    >>> cnnx.set_num_threads(1)
    >>> cnnx.get_num_threads()
    1
    """
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"num_threads: expected an integer, got {type(n).__name__}")
    _set(threads(), int(n), "num_threads")


def get_num_threads() -> int:
    """How many threads the optimized kernels use for large work that is called from this thread now.

    1 without OpenMP and in a child made by fork(), whether cnnx was imported before the fork or (on Linux) after it. A
    forkserver's children have threads, if what it imported before it forked has left none behind in it.
    """
    count: int = threads().get()
    return count


@contextmanager
def always_parallel() -> Iterator[None]:
    """Within the block small work is split among the threads too: how the audit tests the splitting."""
    module = threads()
    before = module.get_small_work()
    module.set_small_work(0)
    try:
        yield
    finally:
        module.set_small_work(before)


@contextmanager
def with_threads(n: int) -> Iterator[None]:
    """Within the block the optimized kernels use n threads, for the smallest work too: how the audit varies them."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        with always_parallel():
            yield
    finally:
        set_num_threads(before)


def threads() -> ModuleType:
    """The module that counts threads; when it is first wanted it takes what `CNNX_NUM_THREADS` says."""
    global _threads
    if _threads is None:
        with loading:
            from . import _processors  # here, as who only imports cnnx needs no threads

            module = _counting_module()
            _apply_environment(module)
            module.set_processors(_processors.usable(), not os.environ.get("OMP_NUM_THREADS"))
            _threads = module
    return _threads


def _counting_module() -> ModuleType:
    """The module itself. From now on it sees forks; of earlier ones it is told."""
    global _counting, _forked
    with loading:
        module = load("optimized._threads")
        if _counting is None:
            if _forked is None:
                _forked = _forks.made_by_fork() and not _forks.made_by_idle_forkserver()
            if _forked:
                module.set_forked_child(True)
            _counting = module
    return module


def _apply_environment(module: ModuleType) -> None:
    wanted = os.environ.get("CNNX_NUM_THREADS")
    if not wanted:
        return
    try:
        n = int(wanted)
    except ValueError:
        raise ValueError(f"CNNX_NUM_THREADS: expected an integer from 1 to {MOST_THREADS}, got {wanted!r}") from None
    # What was set for the parent holds for its forked children as far as it can: they compute serially.
    _set(module, n, "CNNX_NUM_THREADS", inherited=True)


def _set(module: ModuleType, n: int, source: str, *, inherited: bool = False) -> None:
    if not 1 <= n <= MOST_THREADS:
        got = n if abs(n) < 10**60 else f"an integer of {n.bit_length()} bits"
        raise ValueError(f"{source}: expected an integer from 1 to {MOST_THREADS}, got {got}")
    if inherited and module.is_forked_child():
        n = 1
    if n > 1 and not module.has_openmp():
        raise RuntimeError(f"{source}: {n} threads asked for, but cnnx was built without OpenMP (CNNX_OPENMP)")
    if n > 1 and module.is_forked_child():
        raise RuntimeError(
            f"{source}: {n} threads asked for in a process made by fork(), which has to compute serially; "
            'start processes by "spawn" or "forkserver" instead'
        )
    module.set(n)
